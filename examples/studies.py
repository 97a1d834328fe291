"""Studies: what the lecture says of depth, reductions and search, tried on scikit-learn's digits.

    python examples/studies.py [depth] [residual] [inception] [search] [--seeds 3]

Each prints a table: mean and sample deviation over seeds, each seed its own weights and batches on one split. Figures
are of the validation pictures, never of the test pictures. Minutes on two cores; `docs/studies.md` has them.
"""

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean, stdev

import torch

from archsieve.models.build import build
from archsieve.models.data import load_data
from archsieve.models.train import fit
from archsieve.spaces.architecture import Architecture
from archsieve.spaces.blocks import Conv, GlobalAverage, Inception, Linear, Pool, Residual
from archsieve.spaces.cost import cost
from archsieve.spaces.recipe import Recipe

DATA = load_data("digits")
RECIPE = Recipe(epochs=8, batch_size=64, lr=0.05)
ADAM = Recipe(epochs=8, batch_size=64, lr=3e-3, optimizer="adam")


def network(*blocks: object) -> Architecture:
    return Architecture(DATA.input_shape, blocks, DATA.n_classes)  # type: ignore[arg-type]


def trained(architecture: Architecture, seeds: int, recipe: Recipe = RECIPE) -> dict[str, list[float]]:
    """Errors in per cent of the last epoch, one for each seed."""
    errors: dict[str, list[float]] = {"training": [], "validation": []}
    for seed in range(seeds):
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


def depth(seeds: int) -> None:
    """Taking layers out of a small AlexNet: what two removals cost together, beside the sum of what each costs."""
    convs = {"conv 2": Conv(24, norm=False), "conv 3": Conv(24, norm=False)}
    dense = {"fc 1": Linear(48), "fc 2": Linear(48)}
    removals = [(), ("fc 1",), ("fc 2",), ("conv 2",), ("conv 3",), ("fc 1", "fc 2"), ("conv 2", "conv 3"),
                ("conv 2", "conv 3", "fc 1", "fc 2")]  # fmt: skip
    errors: dict[tuple[str, ...], float] = {}

    def rows() -> Iterator[Sequence[object]]:
        for removed in removals:
            kept = [block for name, block in convs.items() if name not in removed]
            ends = [block for name, block in dense.items() if name not in removed]
            architecture = network(Conv(12, norm=False), *kept, Pool(2), *ends)
            told = trained(architecture, seeds)
            errors[removed] = fmean(told["validation"])
            drop = errors[removed] - errors[()]
            alone = sum(errors[(name,)] - errors[()] for name in removed)
            price = cost(architecture)
            yield (" and ".join(removed) or "nothing", f"{price.params:,}", spread(told["validation"]), f"{drop:+.2f}",
                   f"{alone:+.2f}" if len(removed) > 1 else "")  # fmt: skip

    columns = ("removed", "params", "validation error, %", "drop, points", "sum of the single drops")
    table(f"Removing layers, n = {seeds} seeds", columns, rows())


def residual(seeds: int) -> None:
    """Depth with and without shortcuts: plain = residual with the shortcut off, at equal parameters."""

    def rows() -> Iterator[Sequence[object]]:
        for blocks in (2, 16):
            for shortcut in ("none", "A"):
                body = (Residual(12, shortcut=shortcut, norm=False),) * blocks
                architecture = network(Conv(12), Pool(2), *body, GlobalAverage())
                told = trained(architecture, seeds, ADAM)
                price = cost(architecture)
                kind = "plain" if shortcut == "none" else "residual"
                yield kind, 2 * blocks + 2, f"{price.params:,}", spread(told["training"]), spread(told["validation"])

    columns = ("network", "layers", "params", "training error, %", "validation error, %")
    table(f"Depth without and with shortcuts, n = {seeds} seeds, no batch norm in the blocks", columns, rows())


def inception(seeds: int) -> None:
    """GoogLeNet's 1x1 reductions: the same widths with and without."""

    def rows() -> Iterator[Sequence[object]]:
        for reduce in (True, False):
            block = Inception(width=48, reduce=reduce)
            architecture = network(Conv(32), block, block, Pool(2), block, GlobalAverage())
            told, price = trained(architecture, seeds), cost(architecture)
            yield "with" if reduce else "without", f"{price.params:,}", f"{price.macs:,}", spread(told["validation"])

    columns = ("1x1 reductions", "params", "macs", "validation error, %")
    table(f"Reductions before the large windows, n = {seeds} seeds", columns, rows())


def search(seeds: int) -> None:
    """Bergstra and Bengio 2012: nine trials, one axis that matters (lr) and one that does not (weight decay)."""
    architecture = network(Conv(8), Pool(2), Conv(12), GlobalAverage())
    trials, low, high = 3, -3.5, 0.5  # lr from 10**low to 10**high

    def error(lr_power: float, decay_power: float, seed: int) -> float:
        recipe = Recipe(epochs=3, batch_size=64, lr=10**lr_power, weight_decay=10**decay_power)
        return 100 * (1 - fit(build(architecture, seed=seed), DATA, recipe, seed=seed)[-1].val_accuracy)

    def grid(seed: int) -> list[float]:
        steps = [(place + 0.5) / trials for place in range(trials)]
        return [error(low + (high - low) * a, -7 + 3 * b, seed) for a in steps for b in steps]

    def at_random(seed: int) -> list[float]:
        rng = random.Random(seed)
        return [error(rng.uniform(low, high), rng.uniform(-7, -4), seed) for _ in range(trials**2)]

    def rows() -> Iterator[Sequence[object]]:
        best = {
            name: [min(method(s)) for s in range(seeds)] for name, method in (("grid", grid), ("random", at_random))
        }
        better = sum(r < g for r, g in zip(best["random"], best["grid"], strict=True))
        worse = sum(r > g for r, g in zip(best["random"], best["grid"], strict=True))
        for name, errors in best.items():
            yield name, trials**2, spread(errors), f"{better} better, {worse} worse" if name == "random" else ""

    columns = ("search", "trials", "best validation error, %", "beside grid, by seed")
    table(f"Grid and random search, n = {seeds} seeds", columns, rows())


STUDIES: dict[str, Callable[[int], None]] = {
    "depth": depth,
    "residual": residual,
    "inception": inception,
    "search": search,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", choices=[*STUDIES, []], default=[*STUDIES])
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.studies:
        STUDIES[name](asked.seeds)


if __name__ == "__main__":
    main()
