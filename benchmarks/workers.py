"""Measure the share of the workers' time that trials use, with trials that are shorter than the start of a worker.

Each trial sleeps, so that two cores can simulate many. Each worker first imports torch, as real training does. The peer
is Ray Tune with Optuna's searcher and ``reuse_actors=True``. A share of 1 means that every worker is busy from the
start of the run to its end; the start of the first workers counts.

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
            time.sleep(seconds)  # uses no core, so more workers than cores run at full speed
            return DONE

    return Sleeper


def peer(trainable: type, trials: int, cpus: int) -> float:
    """Return the seconds of ``trials`` trials under Tune with Optuna's searcher and reused workers."""
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    # loggers and checkpoints off: only the use of workers is compared
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    searcher = OptunaSearch(metric="val_accuracy", mode="max")
    config = tune.TuneConfig(num_samples=trials, search_alg=searcher, reuse_actors=True)
    no_checkpoint = tune.CheckpointConfig(checkpoint_at_end=False)
    return fit(trainable, config, trials, cpus, verbose=0, checkpoint_config=no_checkpoint)


def measure(side: str, args: argparse.Namespace) -> float:
    """Return the share of the workers' time that trials of ``side`` use."""
    options = [
        "--workers",
        str(args.workers),
        "--seconds",
        str(args.seconds),
        "--trials",
        str(args.trials),
    ]
    return args.trials * args.seconds / args.workers / seconds_of(__file__, side, *options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=["ours", "peer"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        run = {"ours": drive, "peer": peer}[args.side]
        print(json.dumps(run(sleeper(args.seconds), args.trials, args.workers)))
        return
    rows = [(measure("ours", args), measure("peer", args)) for _ in range(args.rounds)]
    print(f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}, ray {version('ray')}")
    print(
        f"{args.trials} trials of {args.seconds:g} s, {args.workers} workers; share of the workers' time used by trials"
    )
    for column, name in enumerate(("archsieve", "Tune, Optuna's searcher, workers reused")):
        values = [row[column] for row in rows]
        print(f"{name:40} {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
    ratios = [ours / theirs for ours, theirs in rows]
    print(f"ratio {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}), {args.rounds} rounds")


if __name__ == "__main__":
    main()
