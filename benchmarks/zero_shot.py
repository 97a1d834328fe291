"""Compare a searched zero-shot model with ten baselines on five splits of the glyphs into seen and unseen characters.

Each split is a complete search by ``examples/glyphs.toml`` with another seed. The seed determines the unseen
characters, the fonts of the test images, and the trials. The results of finished splits are read from the database, so
an interrupted benchmark resumes.

    python benchmarks/zero_shot.py [--splits 5] [--runs runs/zero-shot-splits] [-s recipe.epochs=3 ...]
"""

import argparse
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from archsieve.results.database.errors import NoStoreError
from archsieve.results.database.store import open_store
from archsieve.results.database.zero_shot_records import latest_test_table
from archsieve.search.experiment.search_file import load_experiment
from archsieve.search.runs.session import resume, search

SEARCH_FILE = Path(__file__).resolve().parent.parent / "examples" / "glyphs.toml"
TABLE_METRICS = ("roc_unseen", "pr_unseen", "top1_unseen", "h", "h_calibrated", "ausuc")
COMPARED_METRICS = ("roc_unseen", "h", "h_calibrated")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/zero-shot-splits"))
    parser.add_argument("-s", "--set", action="append", default=[])
    args = parser.parse_args()
    tables = []
    for seed in range(args.splits):
        tables.append(run_split(SEARCH_FILE, f"split-{seed}", seed, args.runs, args.set))
        print(f"split {seed}: {tables[-1]['rows'][0]['setting']}", flush=True)
        report(tables)


def run_split(file: Path, name: str, seed: int, runs: Path, settings: list[str]) -> dict[str, Any]:
    """Return the table of one split: from the database if it is finished, else by running or resuming the search.

    ``file`` is the search file, ``name`` the name of the run.
    """
    try:
        with open_store(runs / "archsieve.db", read_only=True) as store:
            run_exists = name in {run.name for run in store.runs()}
            table = latest_test_table(store, name) if run_exists else None
    except NoStoreError:
        run_exists, table = False, None
    if table is not None:
        return dict(table)
    if run_exists:
        return dict(resume(name, runs=runs).zero_shot or {})
    overrides = [f"data.seed={seed}", f"search.seed={seed}", *settings]
    return dict(search(load_experiment(file, overrides), name=name, runs=runs).zero_shot)


def report(tables: list[dict[str, Any]]) -> None:
    """Print mean and sample deviation over splits as Markdown, and how often the model beats the best baseline."""
    methods = ["searched", *(row["method"] for row in tables[0]["rows"][1:])]
    print(f"\n| method | {' | '.join(TABLE_METRICS)} |\n|---|{'---|' * len(TABLE_METRICS)}")
    for row_index, method in enumerate(methods):
        cells = [spread([table["rows"][row_index][name] for table in tables]) for name in TABLE_METRICS]
        print(f"| {method} | {' | '.join(cells)} |")
    for name in COMPARED_METRICS:
        margins = [table["rows"][0][name] - max(row[name] for row in table["rows"][1:]) for table in tables]
        n_better = sum(margin > 0 for margin in margins)
        print(f"{name}: above the split's best baseline by {spread(margins)}, in {n_better} of {len(margins)} splits")
    print(flush=True)


def spread(values: list[float]) -> str:
    """Return mean and sample standard deviation as text."""
    return f"{fmean(values):.3f} ± {stdev(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}"


if __name__ == "__main__":
    main()
