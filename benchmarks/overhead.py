"""Milliseconds per no-op trial: archsieve, recorded in its database, beside Ray Tune with its defaults.

Each side runs in processes of its own, one after the other in turn, so that a drift of the machine meets both. Starting
Ray is not counted; the clock runs from the first trial's proposal to the end of the run.

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
    """Seconds for ``trials`` no-op trials through the whole of our driver: proposed, recorded, finished."""
    from ray import tune

    class NoOp(tune.Trainable):
        def setup(self, config, data, conditions):
            pass

        def reset_config(self, new_config):
            return True

        def step(self):
            return DONE

    return drive(NoOp, trials, cpus=2)


METRICS = {"train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
DONE = TrialReport((EpochMetrics(1, METRICS),), done=True).to_tune()


def drive(trainable: type, trials: int, cpus: int) -> float:
    """Seconds of a run of ``trials`` by ``trainable``, each on one of ``cpus`` cores that Ray is told of."""
    import ray

    from archsieve.results.database.store import open_store
    from archsieve.search.experiment.experiment import experiment
    from archsieve.search.experiment.search_file import parse
    from archsieve.search.runs import tuner
    from archsieve.search.trials import trainable as _  # noqa: F401 - importing torch is no trial's overhead

    found = experiment(
        parse(
            {"recipe": {"epochs": 1}, "search": {"trials": trials, "searcher": "random"}, "budget": {"params": "60k"}}
        )
    )
    with tempfile.TemporaryDirectory() as folder, tuner.quiet(Path(folder) / "log"):
        ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False)
        with open_store(Path(folder) / "archsieve.db", create=True) as store:
            dataset = {"content_hash": "none", "name": "none"}
            run_id = store.create_run("overhead", found.to_json(), "random", 0, dataset, {})
            started = time.perf_counter()
            tuner.run_trials(found, None, store, run_id, Path(folder), trainable=trainable)
            seconds = time.perf_counter() - started
            states = [trial.state.value for trial in store.history(run_id)]
        ray.shutdown()
    assert states == ["completed"] * trials, states
    return seconds


def peer(trials: int) -> float:
    """Seconds for ``trials`` no-op trials of a plain ``Tuner(...)`` with defaults."""
    from ray import tune

    def no_op(config):
        tune.report({"val_accuracy": 0.5})

    return fit(no_op, tune.TuneConfig(num_samples=trials), trials, cpus=2)


def fit(trainable: Callable | type, config: "TuneConfig", trials: int, cpus: int, **run: Any) -> float:
    """Seconds of a plain ``Tuner(...)`` for as many ``trials`` as ``config`` says; ``run`` is for its ``RunConfig``."""
    import ray
    from ray import tune

    with tempfile.TemporaryDirectory() as folder:
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
    """What ``script`` prints last for ``side``, in a process of its own."""
    command = [sys.executable, script, "--side", side, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"})
    if result.returncode:
        raise SystemExit(f"{side} failed:\n{result.stderr[-3000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def measure(side: str, trials: int) -> float:
    """Milliseconds per trial of ``side``."""
    return 1000 * seconds_of(__file__, side, "--trials", str(trials)) / trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--peer-trials", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=["ours", "peer"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps({"ours": ours, "peer": peer}[asked.side](asked.trials)))
        return
    rows = [(measure("ours", asked.trials), measure("peer", asked.peer_trials)) for _ in range(asked.rounds)]
    print(f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}, ray {version('ray')}")
    for name, place, n in (("archsieve", 0, asked.trials), ("Tuner defaults", 1, asked.peer_trials)):
        values = [row[place] for row in rows]
        print(
            f"{name:15} {statistics.median(values):8.1f} ms per trial "
            f"(min {min(values):.1f}, max {max(values):.1f}; {asked.rounds} rounds of n = {n})"
        )
    ratios = [a / b for a, b in rows]
    print(
        f"ratio {statistics.median(ratios):.4f} (min {min(ratios):.4f}, max {max(ratios):.4f}); the aim is at most 0.05"
    )


if __name__ == "__main__":
    main()
