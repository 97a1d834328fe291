"""Measure the time of ``ask`` and ``tell`` of ``av.ask_tell`` after 100, 1,000 and 10,000 trials in memory.

The trials come from random search; each searcher then continues from their state. The times are processor milliseconds
of one thread: the median (min to max) of 10 pairs of calls after the first one, which builds what the searcher caches.

    python benchmarks/ask_tell.py [--trials 100,1000,10000] [--searchers gp,tpe,evolution,random]
"""

import argparse
import os
import random
import statistics
import time

import archsieve as av

N_CALLS = 10


def state_of(trials: int) -> dict:
    """Return the state of a loop with ``trials`` finished trials."""
    loop, rng = av.ask_tell("mixed", {"params": "60k", "macs": "6M"}, searcher="random"), random.Random(0)
    for _ in range(trials):
        loop.tell(loop.ask(), rng.random())
    return loop.state_dict()


def times(searcher: str, state: dict) -> list[float]:
    """Return the milliseconds of the first pair of calls, and of the ``N_CALLS`` that follow."""
    loop, rng = av.ask_tell("mixed", {"params": "60k", "macs": "6M"}, searcher=searcher), random.Random(1)
    loop.load_state_dict(state)
    found = []
    for _ in range(1 + N_CALLS):
        start = time.process_time()
        loop.tell(loop.ask(), rng.random())
        found.append(1000 * (time.process_time() - start))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", default="100,1000,10000")
    parser.add_argument("--searchers", default="gp,tpe,evolution,random")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    print("| trials | searcher | ask and tell, ms | first, ms |\n|---|---|---|---|")
    for trials in map(int, args.trials.split(",")):
        state = state_of(trials)
        for searcher in args.searchers.split(","):
            first, *others = times(searcher, state)
            spread = f"{statistics.median(others):.1f} ({min(others):.1f} to {max(others):.1f})"
            print(f"| {trials:,} | `{searcher}` | {spread} | {first:.0f} |", flush=True)


if __name__ == "__main__":
    main()
