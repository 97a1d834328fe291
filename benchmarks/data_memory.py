"""Print the private memory of 1, 2 and 4 workers that train on the same images, for each storage.

Private memory is what no other process can share: ``Private_Dirty`` in the kernel's ``smaps_rollup``. The pages of
Ray's shared memory and of a cache file are in the memory of the machine once, however many workers read them. A worker
trains one epoch of a small network on its images. ``images`` is what they add to a worker: its private memory, less
that of a worker with 100 images. ``copied`` sends torch tensors, as version 0.1.0 did.

    python benchmarks/data_memory.py [--images 20000] [--side 64] [--workers 1,2,4] [--rounds 3]
"""

import argparse
import ctypes
import gc
import os
import platform
import statistics
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from archsieve.models.data.dataset import Split

KINDS = ("copied", "memory", "cache", "stream")
PARTS = ("train", "val", "test")
CLASSES = 10


def write_images(folder: Path, count: int, side: int) -> Path:
    """Write ``count`` JPEG files of smooth noise, in ten class folders."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        file = folder / f"class{number % CLASSES}" / f"{number:07}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(file, quality=85)
    return folder


def private_bytes() -> int:
    """Return the bytes of memory that this process shares with no other, as the kernel counts them."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is freed but kept for the next allocation varies
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))


class Worker:
    """Trains on the images that a run sends to its workers."""

    def __init__(self, data) -> None:
        torch.set_num_threads(1)
        self.data = with_tensors(*data) if isinstance(data, tuple) else data

    def train(self, seed: int) -> int:
        from torch import nn

        from archsieve.models.training.trainer import fit
        from archsieve.spaces.recipes.recipe import Recipe

        layers = nn.Conv2d(3, 4, 3, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES)
        fit(nn.Sequential(*layers), self.data, Recipe(epochs=1, batch_size=64), seed=seed)
        return private_bytes()


def with_tensors(data, images):
    """Return ``data`` with the images of each split, which were sent as tensors."""
    splits = {part: Split(images[part], getattr(data, part).labels) for part in PARTS}
    return replace(data, **splits)


def sent(data, kind: str):
    """Return what is put into the object store: the data, or for ``copied`` the images as tensors next to them."""
    if kind != "copied":
        return data
    images = {part: getattr(data, part).images for part in PARTS}
    labels = {
        part: Split(torch.zeros(len(one), 1, 1, 1, dtype=torch.uint8), getattr(data, part).labels)
        for part, one in images.items()
    }
    return replace(data, **labels), images


def measure(data, n_workers: int) -> list[int]:
    """Return the private bytes of each of ``n_workers`` workers after an epoch."""
    import ray

    reference = ray.put(data)
    workers = [ray.remote(num_cpus=1)(Worker).remote(reference) for _ in range(n_workers)]
    sizes = ray.get([worker.train.remote(seed) for seed, worker in enumerate(workers)])
    for worker in workers:
        ray.kill(worker)
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    counts = [int(count) for count in args.workers.split(",")]
    import ray

    from archsieve.models.data.registry import load_data
    from archsieve.models.storage.choice import StorageOptions

    ray.init("local", num_cpus=max(counts), include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as name:
        folder = write_images(Path(name, "images"), args.images, args.side)

        def load(kind: str, limit: int | None = None):
            options = StorageOptions("memory" if kind == "copied" else kind, str(Path(name, "cache")))
            return sent(load_data("images", path=folder, image_size=args.side, limit=limit, storage=options), kind)

        print(f"{os.cpu_count()} x {platform.machine()}, ray {version('ray')}, torch {version('torch')}")
        size = args.images * 3 * args.side**2 / 2**20
        print(f"{args.images:,} images of {args.side} pixels, {size:,.0f} MiB; MiB per worker, median (min to max)")
        heads = [f"{count} workers" for count in counts]
        print(f"| storage | {' | '.join(heads)} | images |\n|{'---|' * (len(counts) + 2)}")
        few = statistics.median(measure(load("memory", 100), 1)) / 2**20
        for kind in KINDS:
            data, columns, medians = load(kind), [], []
            for count in counts:
                values = [size / 2**20 for _ in range(args.rounds) for size in measure(data, count)]
                medians.append(statistics.median(values))
                columns.append(f"{medians[-1]:.0f} ({min(values):.0f} to {max(values):.0f})")
            print(f"| {kind} | {' | '.join(columns)} | {max(medians) - few:+.0f} |", flush=True)
    ray.shutdown()


if __name__ == "__main__":
    main()
