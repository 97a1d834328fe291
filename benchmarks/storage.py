"""Measure the storages of images: a training step, decoding per batch, the second start of a run, a large index.

* ``step``: processor time of an epoch of a small network on images in memory, in a cache file, and decoded per batch;
  one thread trains, and one more decodes.
* ``stream``: images per second, decoded in shuffled batches of 64 by threads of the storage, and by the processes of
  torchvision's ``ImageFolder`` in a ``DataLoader`` with the same transforms and as many workers. Nothing is trained.
* ``start``: seconds of ``archsieve search`` until it would start Ray, with images that are in a cache already; of the
  clock, and of the processor, which a busy machine changes less; and of a process that only imports torch.
* ``index``: seconds and memory of the index of 1.28 million files in 1,000 class folders (hard links to empty files).

The sides of a comparison alternate, so that a busy machine slows down all of them.

    python benchmarks/storage.py [--only step,stream,start,index] [--rounds 5] [--workers 2]
"""

import argparse
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

import numpy as np
import torch
from data_memory import write_images

from archsieve.models.data.registry import load_data
from archsieve.models.storage.choice import StorageOptions

BATCH = 64
STEP_IMAGES, STEP_SIDE = 4_000, 64
STREAM_IMAGES = 400
START_IMAGES = 50_000
INDEX_CLASSES, INDEX_FILES = 1_000, 1_280
INDEX = """
import re, sys, time
from pathlib import Path
import pyarrow.compute
from archsieve.models.readers.read_index import read_index
def peak_kb():  # not ru_maxrss, which starts with the memory of the parent
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
before, started, used = peak_kb(), time.perf_counter(), time.process_time()
index = read_index(sys.argv[1])
index.labels
clock, used = time.perf_counter() - started, time.process_time() - used
print(clock, used, index.table.nbytes / 1e6, (peak_kb() - before) * 1024 / 1e6)
"""
# `archsieve search` until it would start Ray
START = """
import sys, time
from archsieve.search.cli.main import main
from archsieve.search.runs import session
def before_ray(*arguments, **options):
    raise SystemExit(0)
session.run_trials = before_ray
sys.argv = ["archsieve", "search", sys.argv[1], "--name", f"run-{time.time_ns()}"]
main()
"""


def write_photographs(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Write ``count`` JPEG files of ``size`` (width, height) with the spectrum of photographs: 1/f noise."""
    from PIL import Image

    rng = np.random.default_rng(0)
    width, height = size
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    radius[0, 0] = 1
    for number in range(count):
        noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((3, height, width))) / radius).real
        pixels = (noise / noise.std() * 50 + 128).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
        file = folder / f"class{number % 2}" / f"{number:05}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file, quality=90)
    return folder


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure_step(rounds: int, scratch: Path) -> None:
    """Print the milliseconds of a training step from each storage, and their ratios to that from memory."""
    from torch import nn

    from archsieve.models.training.trainer import Fit
    from archsieve.spaces.recipes.recipe import Recipe

    folder = write_images(scratch / "step", STEP_IMAGES, STEP_SIDE)
    torch.set_num_threads(1)
    fits = {}
    for kind in ("memory", "cache", "stream"):
        options = StorageOptions(kind, str(scratch / "cache"))
        data = load_data("images", path=folder, image_size=STEP_SIDE, storage=options)
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU()
        module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
        fits[kind] = Fit(module, data, Recipe(epochs=rounds + 1, batch_size=BATCH), seed=0)
    n_steps = len(fits["memory"].task.train) // BATCH
    times = {kind: [] for kind in fits}
    for number in range(rounds + 1):
        for kind, fit in fits.items():
            started = time.process_time()
            fit.step()
            elapsed = 1000 * (time.process_time() - started) / n_steps
            if number:  # the first epoch warms up
                times[kind].append(elapsed)
    print(f"\nTraining step of {BATCH} images of {STEP_SIDE} pixels, with its share of the validation, n = {rounds}\n")
    print("| storage | processor ms, median (min to max) | ratio to memory, median (min to max) |\n|---|---|---|")
    for kind, values in times.items():
        ratios = [value / base for value, base in zip(values, times["memory"], strict=True)]
        print(f"| {kind} | {_spread(values)} | {_spread(ratios, 3)} |")


def measure_stream(rounds: int, workers: int, scratch: Path) -> None:
    """Print images per second of both sides for two sizes of files and two sizes of images."""
    print(f"\nImages per second, {workers} threads or processes, {STREAM_IMAGES} files, n = {rounds}\n")
    print("| files | side | stream | ImageFolder and DataLoader | ratio |\n|---|---|---|---|---|")
    for size in ((500, 375), (2000, 1500)):
        folder = write_photographs(scratch / f"photographs{size[0]}", STREAM_IMAGES, size)
        for side in (64, 224):
            _compare(folder, size, side, rounds, workers, scratch)


def _compare(folder: Path, size: tuple[int, int], side: int, rounds: int, workers: int, scratch: Path) -> None:
    sides = {"ours": stream_epoch(folder, side, workers, scratch), "theirs": loader_epoch(folder, side, workers)}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, epoch in sides.items():
            rate = STREAM_IMAGES / seconds(epoch)
            if number:
                rates[name].append(rate)
    ratios = [ours / theirs for ours, theirs in zip(rates["ours"], rates["theirs"], strict=True)]
    columns = (_spread(rates["ours"], 0), _spread(rates["theirs"], 0), _spread(ratios, 2))
    print(f"| {size[0]}x{size[1]} | {side} | {' | '.join(columns)} |", flush=True)


def stream_epoch(folder: Path, side: int, workers: int, scratch: Path) -> Callable[[], None]:
    from archsieve.models.image_files.decoding import Decoding
    from archsieve.models.readers.read_index import read_index
    from archsieve.models.storage.encoded import EncodedImages
    from archsieve.models.storage.open_images import open_images

    options = StorageOptions("stream", str(scratch / "cache"))
    images = open_images(EncodedImages(read_index(folder), Decoding(side)), options).images
    torch.set_num_threads(workers)

    def epoch() -> None:
        batches = torch.split(torch.randperm(len(images)), BATCH)
        images.prefetch(batches)
        for batch in batches:
            images[batch].float().div_(255)

    return epoch


def loader_epoch(folder: Path, side: int, workers: int) -> Callable[[], None]:
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    transform = v2.Compose([v2.Resize(side), v2.CenterCrop(side), v2.PILToTensor()])
    loader = DataLoader(ImageFolder(folder, transform), BATCH, True, num_workers=workers, persistent_workers=True)

    def epoch() -> None:
        for images, _ in loader:
            images.float().div_(255)

    return epoch


def measure_start(rounds: int, scratch: Path) -> None:
    """Print the seconds of the first and of later starts of a run, from the start of Python to that of Ray."""
    folder = write_images(scratch / "start", START_IMAGES, STEP_SIDE)
    file = scratch / "search.toml"
    cache = scratch / "start-cache"
    file.write_text(
        f'[data]\nname = "images"\npath = "{folder}"\nimage_size = {STEP_SIDE}\ncache = "{cache}"\n'
        '[budget]\nparams = "100k"\n[search]\ntrials = 1\n'
    )
    environment = {**os.environ, "ARCHSIEVE_CACHE": str(cache)}
    time.sleep(3)  # files that have just changed are not trusted to stay as they are

    def start(program: str = START) -> tuple[float, float]:
        before, started = os.times(), time.perf_counter()
        command = [sys.executable, "-c", program, str(file)]
        subprocess.run(command, check=True, env=environment, cwd=scratch, stderr=subprocess.DEVNULL)
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        return time.perf_counter() - started, used

    first, pairs = start(), [(start(), start("import torch")) for _ in range(rounds)]
    print(f"\n{START_IMAGES:,} images of {STEP_SIDE} pixels in 10 class folders: seconds until a run starts Ray\n")
    print(f"| seconds | first start, with the build of the cache | later starts, n = {rounds} | only import torch |")
    print("|---|---|---|---|")
    for column, name in enumerate(("clock", "processor")):
        later, torch_alone = ([pair[side][column] for pair in pairs] for side in (0, 1))
        print(f"| {name} | {first[column]:.1f} | {_spread(later)} | {_spread(torch_alone)} |")


def measure_index(rounds: int, scratch: Path) -> None:
    """Print seconds, table bytes and the additional peak memory to read class folders of 1.28 million files."""
    root = scratch / "tree"
    for label in range(INDEX_CLASSES):
        folder = root / f"n{label:08}"
        folder.mkdir(parents=True)
        first = folder / "0.JPEG"
        first.touch()
        for number in range(1, INDEX_FILES):
            os.link(first, folder / f"{number}.JPEG")
    command = [sys.executable, "-c", INDEX, str(root)]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() for _ in range(rounds)]
    print(f"\n{INDEX_CLASSES * INDEX_FILES:,} files in {INDEX_CLASSES:,} class folders, n = {rounds}\n")
    print("| seconds of the clock | of the processor | table, MB | additional peak memory, MB |\n|---|---|---|---|")
    print(f"| {' | '.join(_spread([float(run[column]) for run in runs], 1) for column in range(4))} |")


def _spread(values: list[float], digits: int = 2) -> str:
    low, high = min(values), max(values)
    return f"{statistics.median(values):,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="step,stream,start,index")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    print(f"{os.cpu_count()} x {platform.machine()}, torch {version('torch')}, torchvision {version('torchvision')}")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        parts = {
            "step": lambda: measure_step(args.rounds, scratch),
            "stream": lambda: measure_stream(args.rounds, args.workers, scratch),
            "start": lambda: measure_start(args.rounds, scratch),
            "index": lambda: measure_index(args.rounds, scratch),
        }
        for part in args.only.split(","):
            parts[part]()


if __name__ == "__main__":
    main()
