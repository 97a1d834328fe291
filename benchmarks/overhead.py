"""Compare milliseconds per no-op trial: archsieve with its database against Ray Tune with its defaults.

Each measurement runs in its own process. The sides alternate, so that a drift of the machine's speed affects both. The
time is from the proposal of the first trial to the end of the run; the start of Ray does not count.

    python benchmarks/overhead.py [--trials 200] [--peer-trials 20] [--rounds 3]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsieve.search.trials.report import EpochMetrics, TrialReport

if TYPE_CHECKING:
    from ray.tune import TuneConfig


def ours(trials: int) -> float:
    """Return the seconds for ``trials`` no-op trials with archsieve: propose, record and finish each trial."""
    from ray import tune

    class NoOp(tune.Trainable):
        def setup(self, config, data, conditions):
            pass

        def reset_config(self, new_config):
            return True

        def step(self):
            return DONE

    return drive(NoOp, trials, cpus=2)


# a constant report: the trial itself must take no time
METRICS = {"train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
DONE = TrialReport((EpochMetrics(1, METRICS),), done=True).to_tune()


def drive(trainable: type, trials: int, cpus: int) -> float:
    """Return the seconds of a run of ``trials`` trials of ``trainable``; Ray gets ``cpus`` cores, a trial uses one."""
    import ray

    from archsieve.results.database.store import open_store
    from archsieve.search.experiment.experiment import experiment
    from archsieve.search.experiment.search_file import parse
    from archsieve.search.runs import tuner
    from archsieve.search.trials import trainable as _  # noqa: F401 - import torch before the time starts

    search_experiment = experiment(
        parse(
            {"recipe": {"epochs": 1}, "search": {"trials": trials, "searcher": "random"}, "budget": {"params": "60k"}}
        )
    )
    with tempfile.TemporaryDirectory() as folder, tuner.quiet(Path(folder) / "log"):
        ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False)
        with open_store(Path(folder) / "archsieve.db", create=True) as store:
            dataset = {"content_hash": "none", "name": "none"}
            run_id = store.create_run("overhead", search_experiment.to_json(), "random", 0, dataset, {})
            started = time.perf_counter()
            tuner.run_trials(search_experiment, None, store, run_id, Path(folder), trainable=trainable)
            seconds = time.perf_counter() - started
            states = [trial.state.value for trial in store.history(run_id)]
        ray.shutdown()
    # a failed trial is fast and would distort the result
    assert states == ["completed"] * trials, states
    return seconds


def peer(trials: int) -> float:
    """Return the seconds for ``trials`` no-op trials of a plain ``Tuner(...)`` with defaults."""
    from ray import tune

    def no_op(config):
        tune.report({"val_accuracy": 0.5})

    return fit(no_op, tune.TuneConfig(num_samples=trials), trials, cpus=2)


def fit(trainable: Callable | type, config: "TuneConfig", trials: int, cpus: int, **run: Any) -> float:
    """Return the seconds of a plain ``Tuner(...)`` with ``trials`` samples; ``run`` are arguments of ``RunConfig``."""
    import ray
    from ray import tune

    with tempfile.TemporaryDirectory() as folder:
        # no dashboard and no log forwarding on both sides
        ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False)
        search = tune.Tuner(
            trainable,
            param_space={"x": tune.uniform(0, 1)},
            tune_config=config,
            run_config=tune.RunConfig(storage_path=folder, **run),
        )
        started = time.perf_counter()
        results = search.fit()
        seconds = time.perf_counter() - started
        ray.shutdown()
    assert len(results) == trials
    assert not results.errors, results.errors[0]
    return seconds


def seconds_of(script: str, side: str, *arguments: str) -> float:
    """Run ``script`` for ``side`` in a new process, and return the seconds that it prints in its last line."""
    # a new process has no Ray, no imports and no caches of an earlier measurement
    command = [sys.executable, script, "--side", side, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"})
    if result.returncode:
        raise SystemExit(f"{side} failed:\n{result.stderr[-3000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def measure(side: str, trials: int) -> float:
    """Return the milliseconds per trial of ``side``."""
    return 1000 * seconds_of(__file__, side, "--trials", str(trials)) / trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--peer-trials", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=["ours", "peer"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps({"ours": ours, "peer": peer}[args.side](args.trials)))
        return
    rows = [(measure("ours", args.trials), measure("peer", args.peer_trials)) for _ in range(args.rounds)]
    print(f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}, ray {version('ray')}")
    for name, column, n in (("archsieve", 0, args.trials), ("Tuner defaults", 1, args.peer_trials)):
        values = [row[column] for row in rows]
        print(
            f"{name:15} {statistics.median(values):8.1f} ms per trial "
            f"(min {min(values):.1f}, max {max(values):.1f}; {args.rounds} rounds of n = {n})"
        )
    ratios = [a / b for a, b in rows]
    print(f"ratio {statistics.median(ratios):.4f} (min {min(ratios):.4f}, max {max(ratios):.4f}); target: at most 0.05")


if __name__ == "__main__":
    main()
