"""Compare sampling inside a budget by count tables with rejection: build time, acceptance, time per architecture.

Then joint counts by merged states or rounded sums: processor seconds, width of the interval, and draws from the states.

The peer is rejection sampling, as other toolkits do: draw from the whole space, compute the cost, discard what does not
fit. It uses our closed-form costs and our vectorised draw, so the ratio measures only the effect of the tables.

    python benchmarks/sampler.py [--rounds 3] [--seconds 5]
"""

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.blocks.standard import Conv, GlobalAverage, Inception, Pool, Residual
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.cost_tables import BucketCountTable, cost_arrays
from archsieve.spaces.constrained.sampling import Sampler, TableSampler, count, state_draws
from archsieve.spaces.constrained.state_draws import choose_by
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.search_space.named import named_space
from archsieve.spaces.search_space.space import Space

WIDTHS = ((16, 24, 32, 40, 48, 64), (32, 48, 64, 80, 96, 128), (64, 96, 128, 160, 192, 256))


def huge() -> Space:
    """Return a space of 2e31 architectures for CIFAR: three stages of seven blocks, each of one of four kinds."""
    blocks: list = []
    for w in WIDTHS:
        kinds = (Residual(choice(*w)), Residual(choice(*w), "bottleneck"), Conv(choice(*w), choice(3, 5)))
        blocks += [repeat(choice(*kinds, Inception(choice(*w))), 7, each=True), Pool(2)]
    return Space((3, 32, 32), (Conv(choice(16, 32)), *blocks, GlobalAverage()), 10, "huge")


CASES = {
    "mixed, 60k and 6M": lambda: ConstrainedSpace(named_space("mixed"), Budget(params="60k", macs="6M")),
    "resnet-space, 5M and 600M": lambda: ConstrainedSpace(
        named_space("resnet-space"), Budget(params="5M", macs="600M")
    ),
    "mobile-space, 5M and 300M": lambda: ConstrainedSpace(
        named_space("mobile-space"), Budget(params="5M", macs="300M")
    ),
    "huge, 2M and 150M": lambda: ConstrainedSpace(huge(), Budget(params="2M", macs="150M")),
    "huge, 1M and 90M": lambda: ConstrainedSpace(huge(), Budget(params="1M", macs="90M")),
}


COUNTS = {
    "mobile-space, 2M and 60M": lambda: ConstrainedSpace(named_space("mobile-space"), Budget(params="2M", macs="60M")),
    "inception-space, 2M and 500M": lambda: ConstrainedSpace(
        named_space("inception-space"), Budget(params="2M", macs="500M")
    ),
}


def run_timed(work) -> tuple[float, object]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def ours(make, seconds: float) -> dict:
    """Return the seconds to build graph and bucket table, the acceptance, and the milliseconds per architecture."""
    graph_s, constrained = run_timed(make)
    table_s, table = run_timed(lambda: BucketCountTable(cost_arrays(constrained, constrained.limited)))
    draw, rng = TableSampler(constrained, table), random.Random(0)
    attempts = hits = 0
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        attempts += 1
        hits += draw.attempt(rng) is not None
    return {"table_s": table_s, "graph_s": graph_s, "acceptance": hits / attempts, "ms": 1000 * seconds / max(hits, 1)}


def peer(make, seconds: float) -> dict:
    """Return the acceptance and the milliseconds per architecture of vectorised rejection."""
    import numpy as np

    batch, rng = Sampler(make()).batch, np.random.default_rng(0)
    attempts = hits = 0
    pruning = 0.0
    started = time.perf_counter()
    while time.perf_counter() < started + seconds:
        codes = batch.draw(20_000, rng)  # a large batch, so that the overhead of a call does not count
        fit_s, fits = run_timed(lambda codes=codes: int(batch.fits(codes).sum()))
        attempts, hits, pruning = attempts + len(codes), hits + fits, pruning + fit_s
    elapsed = time.perf_counter() - started
    return {
        "acceptance": hits / attempts,
        "ms": 1000 * elapsed / hits if hits else None,
        "pruned_per_s": attempts / pruning,
    }


def counted(make, seconds: float) -> dict:
    """Return the processor seconds of a joint count, the width of its interval, and milliseconds of an exact draw."""
    constrained = make()
    started = time.process_time()
    result = count(constrained)
    row = {"count_s": time.process_time() - started, "method": result.method, "ms": None}
    row |= {"width": (result.high - result.low) / max(result.low, 1)}
    if result.exact:
        draws, choose = state_draws(constrained), choose_by(random.Random(0))
        started = time.process_time()
        for _ in range(1000):
            draws.draw(choose)
        row["ms"] = time.process_time() - started
    return row | {"mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def measure(side: str, case: str, seconds: float) -> dict:
    command = [sys.executable, __file__, "--side", side, "--case", case, "--seconds", str(seconds)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def median_text(rows: list[dict], key: str) -> str:
    values = [row[key] for row in rows if row[key] is not None]
    if not values:
        return "none"
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--side", choices=["ours", "peer", "counted"], help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        sides = {"ours": ours, "peer": peer, "counted": counted}
        print(json.dumps(sides[args.side]((CASES | COUNTS)[args.case], args.seconds)))
        return
    print(f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}, numpy {version('numpy')}")
    print(
        f"median (min to max) of {args.rounds} rounds of {args.seconds:g} s per side, each in its own process; "
        "the sides alternate"
    )
    for case, make in CASES.items():
        rows = [(measure("ours", case, args.seconds), measure("peer", case, args.seconds)) for _ in range(args.rounds)]
        tables, rejections = [row[0] for row in rows], [row[1] for row in rows]
        print(f"\n{case}: {make().size:.2g} architectures")
        print(
            f"  table:     {median_text(tables, 'table_s')} s to build (graph {median_text(tables, 'graph_s')} s), "
            f"acceptance {median_text(tables, 'acceptance')}, {median_text(tables, 'ms')} ms per architecture"
        )
        print(
            f"  rejection: acceptance {median_text(rejections, 'acceptance')}, "
            f"{median_text(rejections, 'ms')} ms per architecture; "
            f"{median_text(rejections, 'pruned_per_s')} encoded candidates checked per second"
        )
        # rejection can find nothing in its time; such rounds have no ratio
        ratios = [p["ms"] / o["ms"] for o, p in rows if p["ms"]]
        print(
            f"  rejection takes {statistics.median(ratios):.3g} times as long" if ratios else "  rejection found none"
        )
    for case in CASES | COUNTS:
        print_counts(case, [measure("counted", case, args.seconds) for _ in range(args.rounds)])


def print_counts(case: str, rows: list[dict]) -> None:
    print(
        f"\n{case}: counted by {rows[0]['method']} in {median_text(rows, 'count_s')} processor seconds, bounds "
        f"{rows[0]['width']:.2%} apart, {median_text(rows, 'mb')} MB, {median_text(rows, 'ms')} ms per draw"
    )


if __name__ == "__main__":
    main()
