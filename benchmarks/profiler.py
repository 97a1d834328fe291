"""Compare the time to compute a network's cost: the closed form against torch, fvcore, thop, ptflops and torchinfo.

Peers build the network and count it: torch's FLOP counter and torchinfo on the meta device, the others on a CPU, as
they require. Ours never builds it. Ours is measured in four ways, each on the same network:

    total, warm   create Architecture(...) from its blocks, check it, compute its cost; costs of blocks are cached
    total, cold   the same with all caches of the package cleared before
    table, warm   one row per layer of that architecture with name and cost; the rows of blocks are cached
    table, cold   the same with all caches cleared before

"resnet-space" simulates a search: each repetition uses a new network from that space. There "warm" starts with empty
caches, so only the blocks shared with earlier networks are cached.

Each side runs in its own process. The sides alternate, so that a drift of the machine's speed affects all.

With --built, ``av.profile`` of networks that are already built is compared with torch's counter on the meta device, and
with fvcore on a CPU. The sides alternate in one process, and CPU time is measured.

    python benchmarks/profiler.py [--rounds 5] [--n 5] [--networks resnet18,mobilenet_v2,resnet-space]
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
from functools import partial
from importlib.metadata import PackageNotFoundError, version

NETWORKS = (
    *("resnet18", "resnet50", "googlenet", "vgg16", "mobilenet_v2", "efficientnet_b0", "regnet_y_400mf"),
    "resnet-space",
)
SPACES = ("resnet-space",)
BUILT = (
    *("torchvision:resnet18", "torchvision:resnet50", "torchvision:vgg16", "torchvision:mobilenet_v2"),
    *("torchvision:vit_b_16", "torchvision:convnext_tiny", "torchvision:swin_t", "timm:efficientnet_b0"),
    *("timm:vit_tiny_patch16_224", "timm:regnety_004"),
)
OURS = ("total, warm", "total, cold", "table, warm", "table, cold")
PEERS = ("torch", "fvcore", "thop", "ptflops", "torchinfo")
TARGETS = {("total, warm", "torch"): 1000, ("total, warm", "fvcore"): 2000, ("table, warm", "torch"): 300}
Count = Callable[[], int]


def architectures_of(name: str, n: int) -> list:
    """Return the network ``name``, or ``n`` + 1 networks of that space: the first one is not timed."""
    from archsieve.spaces.architectures.budget import Budget
    from archsieve.spaces.architectures.catalogue import named
    from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
    from archsieve.spaces.constrained.sampling import sample_one
    from archsieve.spaces.search_space.named import named_space

    if name not in SPACES:
        return [named(name)]
    constrained, rng = ConstrainedSpace(named_space(name), Budget()), random.Random(0)
    # twice as many as needed, because equal networks are dropped
    drawn = (sample_one(constrained, rng) for _ in range(2 * n + 2))
    return list({architecture.fingerprint: architecture for architecture in drawn}.values())[: n + 1]


def ours(side: str, name: str, n: int) -> tuple[Count, Callable[[], None]]:
    """Return the function that is timed, and the function that runs before each call."""
    from archsieve.spaces.architectures.architecture import Architecture
    from archsieve.spaces.architectures.cost import cost, layer_costs

    parts = [
        (architecture.input_shape, architecture.blocks, architecture.classes)
        for architecture in architectures_of(name, n)
    ]
    next_architectures = itertools.cycle(parts)
    empty_caches()

    def total() -> int:
        return cost(Architecture(*next(next_architectures))).macs

    def table() -> int:
        return sum(row.macs for row in layer_costs(Architecture(*next(next_architectures))))

    output, cache_state = side.split(", ")
    return {"total": total, "table": table}[output], empty_caches if cache_state == "cold" else lambda: None


def empty_caches() -> None:
    """Clear all caches of ``archsieve.spaces``."""
    for name, module in list(sys.modules.items()):
        if name.startswith("archsieve.spaces."):
            for member in vars(module).values():
                if hasattr(member, "cache_clear"):
                    member.cache_clear()


def peer(side: str, name: str, n: int) -> tuple[Count, Callable[[], None]]:
    """Return a function that builds ``name`` and counts its MACs by ``side``, and a preparation that does nothing."""
    import torch

    torch.set_num_threads(1)  # ours uses one thread too
    device = "meta" if side in ("torch", "torchinfo") else "cpu"
    count, make = COUNTERS[side](), maker(name, n, device)

    def run() -> int:
        with torch.device(device), torch.no_grad():
            return int(count(make().eval(), torch.empty(1, 3, 224, 224).fill_(0.5)))

    return run, lambda: None


def maker(name: str, n: int, device: str) -> Callable:
    """Return a function that builds torchvision's network ``name``, or the next network of that space."""
    import torchvision

    from archsieve.models.networks.build import build

    if name in SPACES:
        next_architectures = itertools.cycle(architectures_of(name, n))
        return lambda: build(next(next_architectures), device=device)
    if name.startswith("regnet"):
        from archsieve.spaces.architectures.catalogue import named

        # torchvision computes the widths of a RegNet with tensors, which have no values on the meta device
        return lambda: build(named(name), device=device)
    # without auxiliary heads and without the slow random initialisation
    extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    return lambda: torchvision.models.get_model(name, weights=None, **extra)


def by_torch():
    from torch.utils.flop_counter import FlopCounterMode

    def count(network, batch):
        with FlopCounterMode(display=False) as counter:
            network(batch)
        return counter.get_total_flops() // 2  # two FLOPs per multiply-accumulate

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
        complexity = get_model_complexity_info(
            network, tuple(batch.shape[1:]), as_strings=False, print_per_layer_stat=False, verbose=False
        )
        return complexity[0]

    return count


def by_torchinfo():
    from torchinfo import summary

    return lambda network, batch: summary(network, input_data=batch, device=batch.device, verbose=0).total_mult_adds


COUNTERS = {"torch": by_torch, "fvcore": by_fvcore, "thop": by_thop, "ptflops": by_ptflops, "torchinfo": by_torchinfo}


def timed(side: str, name: str, n: int) -> dict:
    """Return the seconds of each of ``n`` runs after one untimed run, and the computed MACs."""
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
    """Return the result of ``timed`` in a new process."""
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


def spread(values: list[float], spec: str) -> str:
    return f"{statistics.median(values):{spec}} (min {min(values):{spec}}, max {max(values):{spec}})"


def report(name: str, sides: list[str], rounds: list[dict[str, dict]], n: int) -> None:
    print(f"\n{name}: milliseconds, median over {len(rounds)} rounds of the median of n = {n} (ours: n = {20 * n})")
    times = {side: [1000 * statistics.median(round_[side]["seconds"]) for round_ in rounds] for side in sides}
    for side in sides:
        print(f"  {side:12} {spread(times[side], '10.4f')}  macs {rounds[0][side]['macs']:,}")
    print("  time relative to ours, by round:")
    for our_side in OURS:
        for peer_side in (side for side in sides if side not in OURS):
            ratios = [b / a for a, b in zip(times[our_side], times[peer_side], strict=True)]
            target = f"; target: {TARGETS[our_side, peer_side]:,}" if (our_side, peer_side) in TARGETS else ""
            print(f"  {peer_side:10} / {our_side:12} {spread(ratios, '10,.0f')}{target}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--n", type=int, default=5)
    parser.add_argument("--built", action="store_true", help="compare av.profile with counters of built networks")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--side", choices=[*OURS, *PEERS], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.built:
        compare_built(args.n)
        return
    if args.side:
        print(json.dumps(timed(args.side, args.networks, args.n)))
        return
    warnings.simplefilter("ignore")  # deprecation warnings of libraries about torch.jit
    sides = [*OURS, *(side for side in PEERS if installed(side))]
    print(f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}, one thread")
    print(", ".join(f"{side} {version_of(side)}" for side in ("torchvision", *sides[len(OURS) :])))
    for name in args.networks.split(","):
        rounds = [
            # ours takes microseconds, so it needs more repetitions
            {side: measure(side, name, args.n * (20 if side in OURS else 1)) for side in sides}
            for _ in range(args.rounds)
        ]
        report(name, sides, rounds, args.n)


def compare_built(n: int) -> None:
    """Print the time of ``av.profile`` relative to torch's counter and to fvcore, for each of ten built networks."""
    import torch

    from archsieve.models.networks.backbones import backbone
    from archsieve.models.profiling.profiler import profile_module

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    by_peer: dict[str, list[float]] = {"torch": [], "fvcore": []}
    for name in BUILT:
        counts = {"ours": partial(profile_module, backbone(name, device="meta"), (3, 224, 224))}
        for side, device in (("torch", "meta"), ("fvcore", "cpu")):
            network, count = backbone(name, device=device).eval(), COUNTERS[side]()
            counts[side] = partial(count, network, torch.empty(1, 3, 224, 224, device=device).fill_(0.5))
        with torch.no_grad():
            seconds = interleaved(counts, n)
        ratios = {side: statistics.median(seconds["ours"]) / statistics.median(seconds[side]) for side in by_peer}
        print(f"{name:36}", *(f"ours / {side} {ratio:.2f}" for side, ratio in ratios.items()), flush=True)
        for side, ratio in ratios.items():
            by_peer[side].append(ratio)
    for side, target in (("torch", 1.2), ("fvcore", 1.0)):
        print(f"ours / {side}: {spread(by_peer[side], '.2f')} over {len(BUILT)} networks, n = {n}; target: {target}")


def interleaved(counts: dict[str, Callable], n: int) -> dict[str, list[float]]:
    """Return the CPU seconds of ``n`` calls of each function after an untimed one; the functions alternate."""
    seconds: dict[str, list[float]] = {side: [] for side in counts}
    for count in counts.values():
        count()
    for _ in range(n):
        for side, count in counts.items():
            started = time.process_time()
            count()
            seconds[side].append(time.process_time() - started)
    return seconds


def version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "of unknown version"


if __name__ == "__main__":
    main()
