"""Studies: statements of the lecture about depth, 1x1 reductions and search, tested on scikit-learn's digits.

    python examples/studies.py [depth] [residual] [inception] [search] [--seeds 5] [--first-seed 0]

Each study prints a table with mean and sample standard deviation over seeds. A seed determines weights and batches; the
split is the same for all seeds. All metrics are on validation images, none on test images. A study takes minutes on two
cores. `docs/studies.md` shows the results.
"""

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from statistics import fmean, stdev

import torch
from scipy.stats import t

import archsieve as av
from archsieve.models.training.epoch import Diverged
from archsieve.models.training.trainer import fit
from archsieve.spaces.parameters.lookup import look_up

DATA = av.load_data("digits")
RECIPE = av.Recipe(epochs=15, batch_size=64, lr=0.05)


def network(*blocks: object) -> av.Architecture:
    return av.Architecture(DATA.input_shape, blocks, DATA.n_classes)  # type: ignore[arg-type]


def train(architecture: av.Architecture, seeds: range, recipe: av.Recipe = RECIPE) -> dict[str, list[float]]:
    """Train once per seed, and return the training and validation errors of the last epoch in percent."""
    errors: dict[str, list[float]] = {"training": [], "validation": []}
    for seed in seeds:
        last = fit(av.build(architecture, seed=seed), DATA, recipe, seed=seed)[-1]
        errors["training"].append(100 * (1 - last.train_accuracy))
        errors["validation"].append(100 * (1 - last.val_accuracy))
    return errors


def spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.2f} ± {stdev(values):.2f}"


def table(title: str, columns: Sequence[str], rows: Iterator[Sequence[object]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def depth(seeds: range) -> None:
    """Remove layers from a small AlexNet: the error increase of a combined removal against the sum of its parts."""
    removals = {"nothing": (0, 0), "one fc": (0, 1), "both fc": (0, 2), "one conv": (1, 0), "both conv": (2, 0),
                "both conv and both fc": (2, 2)}  # fmt: skip
    errors: dict[tuple[int, int], float] = {}

    def rows() -> Iterator[Sequence[object]]:
        for name, (convs, dense) in removals.items():
            convs_left = (av.Conv(16, norm=False),) * (2 - convs)
            architecture = network(
                av.Conv(4, stride=2, norm=False), *convs_left, av.Pool(2), *(av.Linear(48),) * (2 - dense)
            )
            errors_of = train(architecture, seeds)
            errors[convs, dense] = fmean(errors_of["validation"])
            drop = errors[convs, dense] - errors[0, 0]
            parts = errors[convs, 0] + errors[0, dense] - 2 * errors[0, 0] if convs and dense else None
            yield (name, f"{av.cost(architecture).params:,}", spread(errors_of["validation"]), f"{drop:+.2f}",
                   "" if parts is None else f"{parts:+.2f}")  # fmt: skip

    columns = ("removed", "params", "validation error, %", "drop, points", "sum of the drops of its parts")
    table(f"Removing layers, n = {len(seeds)} seeds", columns, rows())


def residual(seeds: range) -> None:
    """Compare depth with and without shortcuts at equal parameters; plain is residual without shortcut (He 2015)."""
    recipe = av.Recipe(epochs=12, batch_size=64, lr=0.05)

    def rows() -> Iterator[Sequence[object]]:
        for blocks in (3, 30):
            for shortcut in ("none", "A"):
                architecture = network(
                    av.Conv(12), av.Pool(2), *(av.Residual(12, shortcut=shortcut),) * blocks, av.GlobalAverage()
                )
                errors_of = train(architecture, seeds, recipe)
                kind, params = "plain" if shortcut == "none" else "residual", av.cost(architecture).params
                yield (
                    kind,
                    2 * blocks + 2,
                    f"{params:,}",
                    spread(errors_of["training"]),
                    spread(errors_of["validation"]),
                )

    columns = ("network", "layers", "params", "training error, %", "validation error, %")
    table(f"Depth without and with shortcuts, n = {len(seeds)} seeds, batch norm everywhere", columns, rows())


def inception(seeds: range) -> None:
    """Compare GoogLeNet's inception modules of the same width with and without 1x1 reductions."""
    recipe = av.Recipe(epochs=30, batch_size=64, lr=0.1, label_smoothing=0.1, augmentation="shift")
    errors: dict[bool, list[float]] = {}

    def rows() -> Iterator[Sequence[object]]:
        for reduce in (True, False):
            architecture = network(
                av.Conv(16), av.Pool(2), *(av.Inception(width=32, reduce=reduce),) * 3, av.GlobalAverage()
            )
            errors[reduce], network_cost = train(architecture, seeds, recipe)["validation"], av.cost(architecture)
            params, macs = f"{network_cost.params:,}", f"{network_cost.macs:,}"
            yield "with" if reduce else "without", params, macs, spread(errors[reduce])

    columns = ("1x1 reductions", "params", "macs", "validation error, %")
    table(f"Reductions before the large windows, n = {len(seeds)} seeds", columns, rows())
    differences = [mine - other for mine, other in zip(errors[True], errors[False], strict=True)]
    low, high = t.interval(0.95, len(differences) - 1, fmean(differences), stdev(differences) / len(differences) ** 0.5)
    print(f"\nwith minus without, paired by seed: {fmean(differences):+.2f} points, 95 % CI {low:+.2f} to {high:+.2f}")


def search(seeds: range) -> None:
    """Compare grid and random search with 27 trials on three axes, of which only lr matters (Bergstra and Bengio 2012).

    lr covers six decades. The grid has three points on each axis, one in each third. Each seed shifts them randomly
    within their thirds, so that the result does not depend on our choice of the points.
    """
    architecture, thirds = network(av.Conv(8), av.Pool(2), av.Conv(12), av.GlobalAverage()), range(3)

    def error(point: Sequence[float], seed: int) -> float:
        lr, decay, smoothing = 10 ** (6 * point[0] - 5), 10 ** (3 * point[1] - 8), 0.02 * point[2]
        recipe = av.Recipe(epochs=3, batch_size=64, lr=lr, weight_decay=decay, label_smoothing=smoothing)
        try:
            return 100 * (1 - fit(av.build(architecture, seed=seed), DATA, recipe, seed=seed)[-1].val_accuracy)
        except Diverged:
            return 100.0  # a diverged trial is as bad as possible

    def grid(seed: int) -> list[tuple[float, ...]]:
        rng = random.Random(seed)
        offsets = [rng.random() for _ in range(3)]
        return [tuple((n + m) / 3 for n, m in zip(point, offsets, strict=True)) for point in product(thirds, repeat=3)]

    def at_random(seed: int) -> list[tuple[float, ...]]:
        rng = random.Random(1000 + seed)
        return [(rng.random(), rng.random(), rng.random()) for _ in range(27)]

    def rows() -> Iterator[Sequence[object]]:
        best: dict[str, list[float]] = {}
        for name, points_of in (("grid", grid), ("random", at_random)):
            best[name] = [min(error(point, seed) for point in points_of(seed)) for seed in seeds]
            better = sum(mine < theirs for mine, theirs in zip(best[name], best["grid"], strict=True))
            yield name, 27, spread(best[name]), f"better in {better} of {len(seeds)}" if name == "random" else ""

    columns = ("search", "trials", "best validation error, %", "paired with grid, by seed")
    table(f"Grid and random search, n = {len(seeds)} seeds", columns, rows())


STUDIES: dict[str, Callable[[range], None]] = {
    "depth": depth,
    "residual": residual,
    "inception": inception,
    "search": search,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"any of {', '.join(STUDIES)} (default: all)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    selected = [look_up(STUDIES, name, "study") for name in args.studies or STUDIES]
    for study in selected:
        study(range(args.first_seed, args.first_seed + args.seeds))


if __name__ == "__main__":
    main()
