"""How fast a network is priced: the closed form beside torch's FLOP counter, fvcore, thop, ptflops and torchinfo.

Peers build the network and count it: torch's counter and torchinfo on the meta device, the others on a CPU, as they
must. Ours never builds it. Four figures of ours, each of the same network:

    total, warm   Architecture(...) made anew from its blocks, checked and priced; the blocks' prices are remembered
    total, cold   the same with every cache of the package emptied before
    table, warm   one row a layer of that architecture, named and priced; the blocks' rows are remembered
    table, cold   the same with every cache emptied before

"resnet-space" stands for what a search does: each time another network, drawn from that space, none twice. There
"warm" begins with empty caches and remembers only what the networks before it had in common with this one.

Each side runs in processes of its own, one after the other in turn, so that a drift of the machine meets all.

    python benchmarks/profiler.py [--rounds 5] [--n 5] [--networks resnet18,resnet50,googlenet,vgg16,resnet-space]
"""

import argparse
import importlib
import io
import itertools
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.metadata import PackageNotFoundError, version

NETWORKS = ("resnet18", "resnet50", "googlenet", "vgg16", "resnet-space")
SPACES = ("resnet-space",)
OURS = ("total, warm", "total, cold", "table, warm", "table, cold")
PEERS = ("torch", "fvcore", "thop", "ptflops", "torchinfo")
AIMS = {("total, warm", "torch"): 1000, ("total, warm", "fvcore"): 2000, ("table, warm", "torch"): 300}
Count = Callable[[], int]


def described(name: str, n: int) -> list:
    """The network ``name``, or ``n`` + 1 networks of that space: one before the clock starts."""
    from archsieve.spaces.architectures.budget import Budget
    from archsieve.spaces.architectures.catalogue import named
    from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
    from archsieve.spaces.constrained.sampling import sample_one
    from archsieve.spaces.search_space.named import named_space

    if name not in SPACES:
        return [named(name)]
    sieve, rng = ConstrainedSpace(named_space(name), Budget()), random.Random(0)
    drawn = (sample_one(sieve, rng) for _ in range(2 * n + 2))
    return list({each.fingerprint: each for each in drawn}.values())[: n + 1]


def ours(side: str, name: str, n: int) -> tuple[Count, Callable[[], None]]:
    """What is timed, and what is done before each time."""
    from archsieve.spaces.architectures.architecture import Architecture
    from archsieve.spaces.architectures.cost import cost, layer_costs

    parts = [(each.input_shape, each.blocks, each.classes) for each in described(name, n)]
    following = itertools.cycle(parts)
    empty_caches()

    def total() -> int:
        return cost(Architecture(*next(following))).macs

    def table() -> int:
        return sum(row.macs for row in layer_costs(Architecture(*next(following))))

    what, heat = side.split(", ")
    return {"total": total, "table": table}[what], empty_caches if heat == "cold" else lambda: None


def empty_caches() -> None:
    """Forget everything that ``archsieve.spaces`` remembers."""
    for name, module in list(sys.modules.items()):
        if name.startswith("archsieve.spaces."):
            for thing in vars(module).values():
                if hasattr(thing, "cache_clear"):
                    thing.cache_clear()


def peer(side: str, name: str, n: int) -> tuple[Count, Callable[[], None]]:
    """Build ``name`` and count its multiply-accumulates as ``side`` does, and nothing to do before."""
    import torch

    torch.set_num_threads(1)
    device = "meta" if side in ("torch", "torchinfo") else "cpu"
    count, make = COUNTERS[side](), maker(name, n, device)

    def run() -> int:
        with torch.device(device), torch.no_grad():
            return int(count(make().eval(), torch.empty(1, 3, 224, 224).fill_(0.5)))

    return run, lambda: None


def maker(name: str, n: int, device: str) -> Callable:
    """What builds torchvision's network ``name``, or the next network of that space."""
    import torchvision

    from archsieve.models.networks.build import build

    if name in SPACES:
        following = itertools.cycle(described(name, n))
        return lambda: build(next(following), device=device)
    extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    return lambda: torchvision.models.get_model(name, weights=None, **extra)


def by_torch():
    from torch.utils.flop_counter import FlopCounterMode

    def count(network, batch):
        with FlopCounterMode(display=False) as counter:
            network(batch)
        return counter.get_total_flops() // 2

    return count


def by_fvcore():
    from fvcore.nn import FlopCountAnalysis

    return lambda network, batch: (
        FlopCountAnalysis(network, batch).unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
    )


def by_thop():
    from thop import profile

    return lambda network, batch: profile(network, (batch,), verbose=False)[0]


def by_ptflops():
    from ptflops import get_model_complexity_info

    def count(network, batch):
        found = get_model_complexity_info(
            network, tuple(batch.shape[1:]), as_strings=False, print_per_layer_stat=False, verbose=False
        )
        return found[0]

    return count


def by_torchinfo():
    from torchinfo import summary

    return lambda network, batch: summary(network, input_data=batch, device=batch.device, verbose=0).total_mult_adds


COUNTERS = {"torch": by_torch, "fvcore": by_fvcore, "thop": by_thop, "ptflops": by_ptflops, "torchinfo": by_torchinfo}


def timed(side: str, name: str, n: int) -> dict:
    """Seconds of each of ``n`` runs, after one that is not timed, and the MACs that came out."""
    with redirect_stdout(io.StringIO()):
        run, before = (ours if side in OURS else peer)(side, name, n)
        macs, seconds = run(), []
        for _ in range(n):
            before()
            started = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - started)
    return {"macs": macs, "seconds": seconds}


def measure(side: str, name: str, n: int) -> dict:
    """The same in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--side", side, "--networks", name, "--n", str(n)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{side} on {name} failed:\n{result.stderr[-3000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def installed(side: str) -> bool:
    try:
        importlib.import_module(side)
    except ImportError as error:
        print(f"{side} is skipped: {error}; pip install 'archsieve[benchmarks]'")
        return False
    return True


def spread(values: list[float], form: str) -> str:
    return f"{statistics.median(values):{form}} (min {min(values):{form}}, max {max(values):{form}})"


def report(name: str, sides: list[str], rounds: list[dict[str, dict]], n: int) -> None:
    print(f"\n{name}: milliseconds, median over {len(rounds)} rounds of the median of n = {n} (ours: n = {20 * n})")
    times = {side: [1000 * statistics.median(found[side]["seconds"]) for found in rounds] for side in sides}
    for side in sides:
        print(f"  {side:12} {spread(times[side], '10.4f')}  macs {rounds[0][side]['macs']:,}")
    print("  how many times slower than ours, by round:")
    for mine in OURS:
        for other in (side for side in sides if side not in OURS):
            ratios = [b / a for a, b in zip(times[mine], times[other], strict=True)]
            aim = f"; the aim is {AIMS[mine, other]:,}" if (mine, other) in AIMS else ""
            print(f"  {other:10} / {mine:12} {spread(ratios, '10,.0f')}{aim}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--n", type=int, default=5)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--side", choices=[*OURS, *PEERS], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(timed(asked.side, asked.networks, asked.n)))
        return
    warnings.simplefilter("ignore")  # of libraries, about torch.jit
    sides = [*OURS, *(side for side in PEERS if installed(side))]
    print(f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}, one thread")
    print(", ".join(f"{side} {released(side)}" for side in ("torchvision", *sides[len(OURS) :])))
    for name in asked.networks.split(","):
        rounds = [
            {side: measure(side, name, asked.n * (20 if side in OURS else 1)) for side in sides}
            for _ in range(asked.rounds)
        ]
        report(name, sides, rounds, asked.n)


def released(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "of unknown version"


if __name__ == "__main__":
    main()
