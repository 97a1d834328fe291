"""Zero-shot: the searched model beside ten baselines on five splits of the glyphs into seen and unseen characters.

Each split is a whole search by ``examples/glyphs.toml`` with another seed, which draws the unseen characters, the faces
that test, and the trials. A split that is done is read back from the database, so a run that was stopped goes on.

    python benchmarks/zero_shot.py [--splits 5] [--runs runs/zero-shot-splits] [-s recipe.epochs=3 ...]
"""

import argparse
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from archsieve.results.database.errors import NoStoreError
from archsieve.results.database.store import open_store
from archsieve.results.database.zero_shot_records import table_of
from archsieve.search.experiment.search_file import load_experiment
from archsieve.search.runs.session import resume, search

ROOT = Path(__file__).resolve().parent.parent
SHOWN = ("roc_unseen", "pr_unseen", "top1_unseen", "h", "h_calibrated", "ausuc")
COMPARED = ("roc_unseen", "h", "h_calibrated")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/zero-shot-splits"))
    parser.add_argument("-s", "--set", action="append", default=[])
    asked = parser.parse_args()
    tables = []
    for seed in range(asked.splits):
        tables.append(split(seed, asked.runs, asked.set))
        print(f"split {seed}: {tables[-1]['rows'][0]['setting']}", flush=True)
        report(tables)


def split(seed: int, runs: Path, settings: list[str]) -> dict[str, Any]:
    """The table of one split, from the database where it is there."""
    name = f"split-{seed}"
    try:
        with open_store(runs / "archsieve.db", read_only=True) as store:
            there = name in {run.name for run in store.runs()}
            found = table_of(store, name) if there else None
    except NoStoreError:
        there, found = False, None
    if found is not None:
        return dict(found)
    if there:
        return dict(resume(name, runs=runs).zero_shot or {})
    overrides = [f"data.seed={seed}", f"search.seed={seed}", *settings]
    return dict(search(load_experiment(ROOT / "examples" / "glyphs.toml", overrides), name=name, runs=runs).zero_shot)


def report(tables: list[dict[str, Any]]) -> None:
    """Mean and sample deviation over splits, as Markdown, and how often the model beats the best baseline."""
    methods = ["searched", *(row["method"] for row in tables[0]["rows"][1:])]
    print(f"\n| method | {' | '.join(SHOWN)} |\n|---|{'---|' * len(SHOWN)}")
    for place, method in enumerate(methods):
        cells = [spread([table["rows"][place][name] for table in tables]) for name in SHOWN]
        print(f"| {method} | {' | '.join(cells)} |")
    for name in COMPARED:
        margins = [table["rows"][0][name] - max(row[name] for row in table["rows"][1:]) for table in tables]
        won = sum(margin > 0 for margin in margins)
        print(f"{name}: above the split's best baseline by {spread(margins)}, in {won} of {len(margins)} splits")
    print(flush=True)


def spread(values: list[float]) -> str:
    """Mean and sample deviation."""
    return f"{fmean(values):.3f} ± {stdev(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}"


if __name__ == "__main__":
    main()
