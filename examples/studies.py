"""Studies: what the lecture says of depth, reductions and search, tried on scikit-learn's digits.

    python examples/studies.py [depth] [residual] [inception] [search] [--seeds 5] [--first-seed 0]

Each prints a table: mean and sample deviation over seeds, each seed its own weights and batches on one split. Figures
are of the validation pictures, never of the test pictures. Minutes on two cores; `docs/studies.md` has them.
"""

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from statistics import fmean, stdev

import torch
from scipy.stats import t

from archsieve.models.data.registry import load_data
from archsieve.models.networks.build import build
from archsieve.models.training.epoch import Diverged
from archsieve.models.training.trainer import fit
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import Conv, GlobalAverage, Inception, Linear, Pool, Residual
from archsieve.spaces.parameters.lookup import look_up
from archsieve.spaces.recipes.recipe import Recipe

DATA = load_data("digits")
RECIPE = Recipe(epochs=15, batch_size=64, lr=0.05)


def network(*blocks: object) -> Architecture:
    return Architecture(DATA.input_shape, blocks, DATA.n_classes)  # type: ignore[arg-type]


def trained(architecture: Architecture, seeds: range, recipe: Recipe = RECIPE) -> dict[str, list[float]]:
    """Errors in per cent of the last epoch, one for each seed."""
    errors: dict[str, list[float]] = {"training": [], "validation": []}
    for seed in seeds:
        last = fit(build(architecture, seed=seed), DATA, recipe, seed=seed)[-1]
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
    """Taking layers out of a small AlexNet: what removals cost together, beside the sum of what each part costs."""
    removals = {"nothing": (0, 0), "one fc": (0, 1), "both fc": (0, 2), "one conv": (1, 0), "both conv": (2, 0),
                "both conv and both fc": (2, 2)}  # fmt: skip
    errors: dict[tuple[int, int], float] = {}

    def rows() -> Iterator[Sequence[object]]:
        for name, (convs, dense) in removals.items():
            kept = (Conv(16, norm=False),) * (2 - convs)
            architecture = network(Conv(4, stride=2, norm=False), *kept, Pool(2), *(Linear(48),) * (2 - dense))
            told = trained(architecture, seeds)
            errors[convs, dense] = fmean(told["validation"])
            drop = errors[convs, dense] - errors[0, 0]
            parts = errors[convs, 0] + errors[0, dense] - 2 * errors[0, 0] if convs and dense else None
            yield (name, f"{cost(architecture).params:,}", spread(told["validation"]), f"{drop:+.2f}",
                   "" if parts is None else f"{parts:+.2f}")  # fmt: skip

    columns = ("removed", "params", "validation error, %", "drop, points", "sum of the drops of its parts")
    table(f"Removing layers, n = {len(seeds)} seeds", columns, rows())


def residual(seeds: range) -> None:
    """Depth with and without shortcuts: plain = residual with the shortcut off, at equal parameters (He 2015)."""
    recipe = Recipe(epochs=12, batch_size=64, lr=0.05)

    def rows() -> Iterator[Sequence[object]]:
        for blocks in (3, 30):
            for shortcut in ("none", "A"):
                architecture = network(Conv(12), Pool(2), *(Residual(12, shortcut=shortcut),) * blocks, GlobalAverage())
                told = trained(architecture, seeds, recipe)
                kind, params = "plain" if shortcut == "none" else "residual", cost(architecture).params
                yield kind, 2 * blocks + 2, f"{params:,}", spread(told["training"]), spread(told["validation"])

    columns = ("network", "layers", "params", "training error, %", "validation error, %")
    table(f"Depth without and with shortcuts, n = {len(seeds)} seeds, batch norm everywhere", columns, rows())


def inception(seeds: range) -> None:
    """GoogLeNet's 1x1 reductions: the same widths with and without."""
    recipe = Recipe(epochs=30, batch_size=64, lr=0.1, label_smoothing=0.1, augmentation="shift")
    errors: dict[bool, list[float]] = {}

    def rows() -> Iterator[Sequence[object]]:
        for reduce in (True, False):
            architecture = network(Conv(16), Pool(2), *(Inception(width=32, reduce=reduce),) * 3, GlobalAverage())
            errors[reduce], price = trained(architecture, seeds, recipe)["validation"], cost(architecture)
            yield "with" if reduce else "without", f"{price.params:,}", f"{price.macs:,}", spread(errors[reduce])

    columns = ("1x1 reductions", "params", "macs", "validation error, %")
    table(f"Reductions before the large windows, n = {len(seeds)} seeds", columns, rows())
    apart = [mine - other for mine, other in zip(errors[True], errors[False], strict=True)]
    low, high = t.interval(0.95, len(apart) - 1, fmean(apart), stdev(apart) / len(apart) ** 0.5)
    print(f"\nwith less without, by seed: {fmean(apart):+.2f} points, 95 % of its mean {low:+.2f} to {high:+.2f}")


def search(seeds: range) -> None:
    """Bergstra and Bengio 2012: 27 trials on three axes, of which one matters: lr, over six decades.

    The grid has three places on each axis, moved by chance within their thirds with each seed, so that no seed's grid
    lies well or badly by our choice.
    """
    architecture, places = network(Conv(8), Pool(2), Conv(12), GlobalAverage()), range(3)

    def error(at: Sequence[float], seed: int) -> float:
        lr, decay, smoothing = 10 ** (6 * at[0] - 5), 10 ** (3 * at[1] - 8), 0.02 * at[2]
        recipe = Recipe(epochs=3, batch_size=64, lr=lr, weight_decay=decay, label_smoothing=smoothing)
        try:
            return 100 * (1 - fit(build(architecture, seed=seed), DATA, recipe, seed=seed)[-1].val_accuracy)
        except Diverged:
            return 100.0

    def grid(seed: int) -> list[tuple[float, ...]]:
        rng = random.Random(seed)
        moved = [rng.random() for _ in range(3)]
        return [tuple((n + m) / 3 for n, m in zip(at, moved, strict=True)) for at in product(places, repeat=3)]

    def at_random(seed: int) -> list[tuple[float, ...]]:
        rng = random.Random(1000 + seed)
        return [(rng.random(), rng.random(), rng.random()) for _ in range(27)]

    def rows() -> Iterator[Sequence[object]]:
        best: dict[str, list[float]] = {}
        for name, drawn in (("grid", grid), ("random", at_random)):
            best[name] = [min(error(at, seed) for at in drawn(seed)) for seed in seeds]
            better = sum(mine < theirs for mine, theirs in zip(best[name], best["grid"], strict=True))
            yield name, 27, spread(best[name]), f"better in {better} of {len(seeds)}" if name == "random" else ""

    columns = ("search", "trials", "best validation error, %", "beside grid, by seed")
    table(f"Grid and random search, n = {len(seeds)} seeds", columns, rows())


STUDIES: dict[str, Callable[[range], None]] = {
    "depth": depth,
    "residual": residual,
    "inception": inception,
    "search": search,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"of {', '.join(STUDIES)}; all by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [look_up(STUDIES, name, "study") for name in asked.studies or STUDIES]
    for study in chosen:
        study(range(asked.first_seed, asked.first_seed + asked.seeds))


if __name__ == "__main__":
    main()
