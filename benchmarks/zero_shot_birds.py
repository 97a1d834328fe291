"""Compare searched zero-shot models with baselines and published results, on features and articles of bird species.

Each split into seen and unseen species is a complete search by ``zero_shot_birds.toml`` with another seed; with
``--form fc`` only the model of Ba et al. is searched. The results of finished splits are read from the database, so an
interrupted benchmark resumes. ``--strip-names`` removes the words of the class names from all texts, the honest test of
reading.

    python benchmarks/zero_shot_birds.py --features birds.npz --texts articles.json [--splits 5] [-s search.trials=6]

The file of features has the arrays features, labels and classes; see docs/zero_shot.md.
"""

import argparse
import json
import re
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from zero_shot import run_split

SEARCH_FILE = Path(__file__).with_name("zero_shot_birds.toml")
LECTURE = ("roc_unseen", "roc_seen", "roc_mean", "pr_unseen", "pr_seen", "pr_mean")
RANKED = ("roc_unseen", "top1_unseen", "h_calibrated", "ausuc")
# Ba et al. 2015, table 1, and Elhoseiny et al. 2013, on CUB-200-2010: unseen, seen and mean ROC-AUC, then PR-AUC
PUBLISHED = {
    "DA (Elhoseiny 2013)": (0.59, None, None, None, None, None),
    "DA (VGG features)": (0.62, None, None, None, None, None),
    "fc (Ba 2015)": (0.82, 0.96, 0.934, 0.10, 0.41, 0.35),
    "conv (Ba 2015)": (0.73, 0.96, 0.91, 0.043, 0.34, 0.31),
    "fc+conv (Ba 2015)": (0.80, 0.987, 0.95, 0.08, 0.53, 0.43),
}
DIFFERENCES = (
    "The published rows are of CUB-200-2010: 200 species, 40 unseen, VGG-19 features, Wikipedia articles of 400 words. "
    "The other rows are of the species, features and articles of the files given; with fewer unseen classes a random "
    "order has a higher PR-AUC. Negatives are images of the other classes of the same part; the papers do not state "
    "theirs."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True, help="a .json file of one text for each class")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--form", help="search this form alone")
    parser.add_argument("--strip-names", action="store_true")
    parser.add_argument("--runs", type=Path, default=Path("runs/zero-shot-birds"))
    parser.add_argument("-s", "--set", action="append", default=[])
    args = parser.parse_args()
    args.runs.mkdir(parents=True, exist_ok=True)
    texts = _stripped(args.texts, args.runs) if args.strip_names else args.texts
    kind = f"{args.form or 'searched'}{'-stripped' if args.strip_names else ''}"
    settings = [f"data.path={args.features.resolve()}", f"data.texts={texts.resolve()}", *args.set]
    settings += [f'recipe.form="{args.form}"'] if args.form else []
    tables = []
    for seed in range(args.splits):
        tables.append(run_split(SEARCH_FILE, f"{kind}-{seed}", seed, args.runs, settings))
        print(f"split {seed}: {tables[-1]['rows'][0]['setting']}", flush=True)
    report(tables)


def report(tables: list[dict[str, Any]]) -> None:
    """Print the table of the lecture, the other metrics, and whether the searched model is level with the baselines."""
    methods = ["searched", *(row["method"] for row in tables[0]["rows"][1:])]
    columns = {method: [table["rows"][k] for table in tables] for k, method in enumerate(methods)}
    print(f"\n| method | {' | '.join(LECTURE)} |\n|---|{'---|' * len(LECTURE)}")
    for name, published in PUBLISHED.items():
        print(f"| {name} | {' | '.join('-' if value is None else f'{value:.3g}' for value in published)} |")
    for method, rows in columns.items():
        print(f"| {method} | {' | '.join(spread([row[name] for row in rows]) for name in LECTURE)} |")
    print(f"\n{DIFFERENCES}\n\n| method | {' | '.join(RANKED)} | mean rank |\n|---|{'---|' * (len(RANKED) + 1)}")
    ranks = {method: fmean(_ranks(columns, method)) for method in methods}
    for method, rows in columns.items():
        cells = [spread([row[name] for row in rows]) for name in RANKED]
        print(f"| {method} | {' | '.join(cells)} | {ranks[method]:.2f} |")
    for name in RANKED:
        best = max(methods[1:], key=lambda method: fmean(row[name] for row in columns[method]))
        margins = [a[name] - b[name] for a, b in zip(columns["searched"], columns[best], strict=True)]
        word = "above" if fmean(margins) >= 0 else "BELOW"
        print(f"{name}: searched is {word} {best}, the best baseline on the mean, by {spread(margins)} (paired)")
    print(flush=True)


def _ranks(columns: dict[str, list[dict[str, Any]]], method: str) -> list[float]:
    """Return the rank of ``method``, 1 for the best, on each split and metric."""
    return [
        1 + sum(rows[split][name] > columns[method][split][name] for rows in columns.values())
        for name in RANKED
        for split in range(len(columns[method]))
    ]


def spread(values: list[float]) -> str:
    """Return mean and sample standard deviation as text."""
    return f"{fmean(values):.3f} ± {stdev(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}"


def _stripped(path: Path, folder: Path) -> Path:
    """Write the texts without the words of any class name, and return the file."""
    texts = json.loads(path.read_text(encoding="utf-8"))
    words = {word.lower() for name in texts for word in re.findall(r"[A-Za-z]+", name)}
    pattern = re.compile(rf"\b(?:{'|'.join(sorted(words))})s?\b", re.IGNORECASE)
    file = folder / "texts-without-names.json"
    file.write_text(json.dumps({name: pattern.sub(" ", text) for name, text in texts.items()}), encoding="utf-8")
    return file


if __name__ == "__main__":
    main()
