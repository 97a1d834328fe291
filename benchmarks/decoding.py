"""Compare milliseconds to decode a JPEG to small pixels: our rules, those of version 0.1.0, torchvision, torchcodec.

The images are made here: smooth areas, edges and noise, stored at JPEG quality 90. With little noise they have about
one bit a pixel, with more about two, as most photographs. To read the bits takes as long for a reduced image as for a
full one, so the gain is larger with little noise.

Each measurement is a process of its own that decodes a folder of files of one size in one thread, as a search does: how
fast memory is allocated depends on what a process did before. The sides alternate, so that a drift of the machine's
speed affects all. Times are CPU time, without the imports and the first image.

"reading alone" is Pillow's decoder at the smallest allowed size, without what follows: most of it is the time to read
the bits of the file, which no choice of ours changes.

    python benchmarks/decoding.py [--rounds 5] [--images 6] [--sizes 2000x1500,4032x3024] [--sides 64] [--only NAME,...]

torchvision's and torchcodec's decoders take part where they can be imported. They decode to full size, and the
antialiased resize of torchvision follows.
"""

import argparse
import importlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = ((500, 375), (2000, 1500), (4032, 3024))
SIDES = (64, 224)
NOISE = (1.5, 3.5)  # standard deviation, in levels of 0 to 255
TARGETS = {(2000, 1500, 64): 4, (4032, 3024, 64): 8}  # times faster than version 0.1.0

Decoder = Callable[[Path, int], object]


def photograph(width: int, height: int, noise: float, seed: int) -> bytes:
    """Return a JPEG of quality 90 with edges at all scales and with noise."""
    rng = np.random.default_rng(seed)
    values = rng.normal(20, noise, (height, width, 1)).astype(np.float32).repeat(3, axis=2)
    for side in (3, 9, 27, 81):
        small = Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))
        method = Image.Resampling.BICUBIC if side < 27 else Image.Resampling.NEAREST  # areas, then edges
        values += np.asarray(small.resize((width, height), method), np.float32) * (0.3 if side < 27 else 0.12)
    content = BytesIO()
    Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=90)
    return content.getvalue()


def _rules(rules: int) -> Decoder:
    from archsieve.models.image_files.decoding import Decoding, decode

    return lambda file, side: decode(file, Decoding(side, rules=rules))


def _reading() -> Decoder:
    def decode(file: Path, side: int) -> object:
        with Image.open(file) as image:
            image.draft("RGB", (2 * side, 2 * side))
            return image.load()

    return decode


def _torchvision() -> Decoder:
    from torchvision.io import ImageReadMode, decode_jpeg, read_file

    warnings.filterwarnings("ignore", message=".*TorchVision are deprecated.*")
    return lambda file, side: _square(decode_jpeg(read_file(str(file)), mode=ImageReadMode.RGB), side)


def _torchcodec() -> Decoder:
    import torch

    decode_image = importlib.import_module("torchcodec.decoders").decode_image
    return lambda file, side: _square(
        decode_image(torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8)), side
    )


def _square(image: object, side: int) -> object:
    from torchvision.transforms.v2.functional import center_crop, resize

    return center_crop(resize(image, [side], antialias=True), [side])


DECODERS: dict[str, Callable[[], Decoder]] = {
    "version 0.1.0": lambda: _rules(1),
    "archsieve": lambda: _rules(2),
    "reading alone": _reading,
    "torchvision": _torchvision,
    "torchcodec": _torchcodec,
}


def work(name: str, folder: Path, side: int) -> None:
    """Print the milliseconds for each image of ``folder``; the first one warms up."""
    decoder = DECODERS[name]()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    first, *files = sorted(folder.iterdir())
    decoder(first, side)
    started = time.process_time()
    for file in files:
        decoder(file, side)
    print((time.process_time() - started) / len(files) * 1e3)


def measure(name: str, folder: Path, side: int) -> float | None:
    """Return the milliseconds for an image, measured in a new process; None if the decoder cannot be imported."""
    command = [sys.executable, __file__, "--worker", name, str(folder), str(side)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode == 0:
        return float(result.stdout)
    if name in ("version 0.1.0", "archsieve"):
        raise RuntimeError(result.stderr)
    return None


def difference(folder: Path, side: int) -> float:
    """Return the mean absolute difference from the pixels of version 0.1.0, in levels of 0 to 255."""
    pairs = [(_rules(2)(file, side), _rules(1)(file, side)) for file in folder.iterdir()]
    return float(np.mean([np.abs(np.subtract(ours, old, dtype=np.int16)).mean() for ours, old in pairs]))


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def row(folder: Path, size: tuple[int, int], side: int, rounds: int, names: list[str]) -> str:
    """Return the row of the table for the images of ``size`` in ``folder``."""
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, values in times.items():
            if (milliseconds := measure(name, folder, side)) is not None:
                values.append(milliseconds)
    faster = [old / ours for old, ours in zip(times["version 0.1.0"], times["archsieve"], strict=True)]
    n_bytes = statistics.mean(file.stat().st_size for file in folder.iterdir())
    target = TARGETS.get((*size, side))
    cells = [
        f"{size[0]}x{size[1]}, {n_bytes / 1e6:.2f} MB",
        str(side),
        *(spread(values) if values else "not installed" for values in times.values()),
        spread(faster),
        f"at least {target}" if target else "",
        f"{difference(folder, side):.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--sizes", default=",".join(f"{width}x{height}" for width, height in SIZES))
    parser.add_argument("--sides", default=",".join(map(str, SIDES)))
    parser.add_argument("--only", default=",".join(DECODERS), help="The decoders; the first two always take part.")
    parser.add_argument("--worker", nargs=3, metavar=("NAME", "FOLDER", "SIDE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        name, folder, side = arguments.worker
        work(name, Path(folder), int(side))
        return
    versions = ", ".join(f"{name} {version(name)}" for name in ("pillow", "numpy", "torch"))
    print(f"{platform.machine()}, Python {platform.python_version()}, {versions}")
    print(
        f"CPU milliseconds for an image, median (min to max), n = {arguments.rounds} processes of "
        f"{arguments.images - 1} images"
    )
    names = [name for name in DECODERS if name in (*list(DECODERS)[:2], *arguments.only.split(","))]
    print(f"\n| image | side | {' | '.join(names)} | times faster than 0.1.0 | target | difference of 255 |")
    print("|---|---" + "|---" * (len(names) + 3) + "|")
    sizes = [tuple(map(int, size.split("x"))) for size in arguments.sizes.split(",")]
    for (width, height), noise in product(sizes, NOISE):
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(arguments.images):
                (Path(folder) / f"{seed}.jpg").write_bytes(photograph(width, height, noise, seed))
            for side in map(int, arguments.sides.split(",")):
                print(row(Path(folder), (width, height), side, arguments.rounds, names), flush=True)


if __name__ == "__main__":
    main()
