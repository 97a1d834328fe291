"""Compare milliseconds of one training step on the CPU with a hand-written loop, and measure the data path's share.

Both sides use the same network, batches, optimizer and data, and one thread. Each measurement runs in its own process.
The sides alternate, so that a drift of the machine's speed affects both. The time is processor time, because it depends
least on other processes. The data path gathers, augments and normalises a batch; it is timed separately.

    python benchmarks/training.py [--rounds 5] [--steps 40]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

SHAPES = {"digits": (1, 8, 8), "Fashion-MNIST": (1, 28, 28), "CIFAR-10": (3, 32, 32)}
BATCH = 64
AUGMENTATION = "shift-flip"


def prepare(name: str, steps: int):
    """Return random images of the data set's shape, a network for them, and a recipe of one epoch."""
    import torch

    from archsieve.models.data.registry import ImageData, Split
    from archsieve.models.networks.build import build
    from archsieve.spaces.architectures.architecture import Architecture
    from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Residual
    from archsieve.spaces.recipes.recipe import Recipe

    torch.set_num_threads(1)
    shape, n = SHAPES[name], BATCH * steps
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, *shape), generator=rng, dtype=torch.uint8)
    train = Split(images, torch.arange(n) % 10)
    data = ImageData.of(name, tuple("0123456789"), train=train, val=train.take(torch.arange(BATCH)))
    network = build(Architecture(shape, (Conv(16), ConvPool(24), Residual(24), GlobalAverage()), 10), seed=0)
    return data, network, Recipe(epochs=1, batch_size=BATCH, lr=0.02, augmentation=AUGMENTATION)


def ours(name: str, steps: int) -> float:
    """Return the seconds of an epoch of :class:`Fit`, including the validation on one batch."""
    from archsieve.models.training.trainer import Fit

    data, network, recipe = prepare(name, steps)
    Fit(network, data, recipe, seed=0).step()  # warm-up, not timed
    fit = Fit(network, data, recipe, seed=1)
    started = time.process_time()
    fit.step()
    return time.process_time() - started


def by_hand(name: str, steps: int) -> float:
    """Return the seconds of the same epoch in a hand-written loop, including augmentation and validation."""
    import torch
    import torch.nn.functional as F

    from archsieve.models.training.augmentation import augment

    data, network, _ = prepare(name, steps)
    mean, std = data.mean.view(-1, 1, 1), data.std.view(-1, 1, 1)
    # weight decay on weights only, as the recipe does
    weights = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() <= 1]
    groups = [{"params": weights, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.02, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rng = torch.Generator().manual_seed(0)

    def epoch() -> None:
        network.train()
        for index in torch.randperm(len(data.train), generator=rng).split(BATCH):
            images = augment(data.train.images[index].float() / 255, AUGMENTATION, rng)
            optimizer.zero_grad()
            F.cross_entropy(network((images - mean) / std), data.train.labels[index]).backward()
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.inference_mode():
            F.cross_entropy(network((data.val.images.float() / 255 - mean) / std), data.val.labels)

    epoch()  # warm-up, not timed
    started = time.process_time()
    epoch()
    return time.process_time() - started


def data_path(name: str, steps: int) -> float:
    """Return the seconds for the batches of an epoch without a network."""
    import torch

    from archsieve.models.data.dataset import in_unit_range
    from archsieve.models.training.augmentation import distort

    data, _, recipe = prepare(name, steps)
    rng = torch.Generator().manual_seed(0)
    for counted in (False, True):  # the first pass warms up caches and is not counted
        started = time.process_time()
        for index in torch.randperm(len(data.train), generator=rng).split(BATCH):
            data.normalise(distort(in_unit_range(data.train.take(index).images), recipe, rng))
        if counted:
            return time.process_time() - started
    raise AssertionError


SIDES = {"ours": ours, "by_hand": by_hand, "data_path": data_path}


def measure(side: str, name: str, steps: int) -> float:
    """Return the milliseconds per step of ``side``, measured in a new process."""
    command = [sys.executable, __file__, "--side", side, "--data", name, "--steps", str(steps)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"{side} failed:\n{result.stderr[-3000:]}")
    return 1000 * json.loads(result.stdout.splitlines()[-1]) / steps


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--side", choices=[*SIDES], help=argparse.SUPPRESS)
    parser.add_argument("--data", choices=[*SHAPES], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(SIDES[args.side](args.data, args.steps)))
        return
    print(f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}, torch {version('torch')}")
    print(f"median (min to max) of {args.rounds} rounds of n = {args.steps} steps of {BATCH} images, one thread")
    print("\n| images | archsieve, ms per step | by hand, ms | ratio | data path, share |\n|---|---|---|---|---|")
    for name, shape in SHAPES.items():
        rows = [[measure(side, name, args.steps) for side in SIDES] for _ in range(args.rounds)]
        our_ms, by_hand_ms, data_path_ms = (list(column) for column in zip(*rows, strict=True))
        ratios = [a / b for a, b in zip(our_ms, by_hand_ms, strict=True)]
        shares = [p / a for p, a in zip(data_path_ms, our_ms, strict=True)]
        row = [f"{name}, {'x'.join(map(str, shape))}", *map(spread, (our_ms, by_hand_ms, ratios, shares))]
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
