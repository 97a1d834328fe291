"""How much of its workers' time a search uses where trials take less time than workers take to start.

Each trial sleeps for a moment, so that two cores stand for many; its worker first imports torch, as all that train do.
Beside ours stands Ray Tune with a searcher of its own (Optuna's) and ``reuse_actors=True``. A share of 1 would be every
worker busy from the first moment to the last; the time that the first workers take to start is counted.

    python benchmarks/workers.py [--workers 8] [--seconds 2] [--trials 48] [--rounds 3]
"""

import argparse
import json
import os
import platform
import statistics
import time
from importlib.metadata import version

from overhead import DONE, drive, fit, seconds_of


def sleeper(seconds: float) -> type:
    from ray import tune

    class Sleeper(tune.Trainable):
        def setup(self, config, data=None, conditions=None):
            import torch

            torch.set_num_threads(1)

        def reset_config(self, new_config):
            return True

        def step(self):
            time.sleep(seconds)
            return DONE

    return Sleeper


def peer(trainable: type, trials: int, cpus: int) -> float:
    """Seconds of as many trials under Tune with Optuna's searcher, workers going from trial to trial."""
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    searcher = OptunaSearch(metric="val_accuracy", mode="max")
    config = tune.TuneConfig(num_samples=trials, search_alg=searcher, reuse_actors=True)
    no_checkpoint = tune.CheckpointConfig(checkpoint_at_end=False)
    return fit(trainable, config, trials, cpus, verbose=0, checkpoint_config=no_checkpoint)


def measure(side: str, asked: argparse.Namespace) -> float:
    """The share of ``side``."""
    told = ["--workers", str(asked.workers), "--seconds", str(asked.seconds), "--trials", str(asked.trials)]
    return asked.trials * asked.seconds / asked.workers / seconds_of(__file__, side, *told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=["ours", "peer"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        run = {"ours": drive, "peer": peer}[asked.side]
        print(json.dumps(run(sleeper(asked.seconds), asked.trials, asked.workers)))
        return
    rows = [(measure("ours", asked), measure("peer", asked)) for _ in range(asked.rounds)]
    print(f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}, ray {version('ray')}")
    print(
        f"{asked.trials} trials of {asked.seconds:g} s, {asked.workers} workers; share of their time that trials took"
    )
    for place, name in enumerate(("archsieve", "Tune, Optuna's searcher, workers reused")):
        values = [row[place] for row in rows]
        print(f"{name:40} {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
    ratios = [ours / theirs for ours, theirs in rows]
    print(f"ratio {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}), {asked.rounds} rounds")


if __name__ == "__main__":
    main()
