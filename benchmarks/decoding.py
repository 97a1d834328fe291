"""Compare milliseconds to decode a JPEG to small pixels: our rules, those of version 0.1.0, torchvision, torchcodec.

The images are made here: smooth areas, edges and noise, stored at JPEG quality 90. With little noise they have about
one bit a pixel, with more about two, as most photographs. To read the bits takes as long for a reduced image as for a
full one, so the gain is larger with little noise. Each side decodes the same bytes in one thread. The sides alternate,
so that a drift of the machine's speed affects all. Times are CPU time of the process.

    python benchmarks/decoding.py [--rounds 7] [--images 4]

torchvision's and torchcodec's decoders take part where they can be imported. They decode to full size, and the
antialiased resize of torchvision follows.
"""

import argparse
import importlib
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from io import BytesIO
from itertools import product

import numpy as np
from PIL import Image

from archsieve.models.image_files.decoding import Decoding, decode

SIZES = ((500, 375), (2000, 1500), (4032, 3024))
SIDES = (64, 224)
NOISE = (1.5, 3.5)  # standard deviation, in levels of 0 to 255
TARGETS = {(2000, 1500, 64): 4, (4032, 3024, 64): 8}  # times faster than version 0.1.0

Decoder = Callable[[bytes, int], object]


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


def decoders() -> dict[str, Decoder]:
    """Return the sides that can run here."""
    sides: dict[str, Decoder] = {
        "version 0.1.0": lambda content, side: decode(content, Decoding(side, rules=1)),
        "archsieve": lambda content, side: decode(content, Decoding(side)),
    }
    for name, make in (("torchvision", _torchvision), ("torchcodec", _torchcodec)):
        try:
            sides[name] = make()
            sides[name](photograph(64, 48, 1.5, 0), 16)
        except (ImportError, OSError, RuntimeError) as error:
            sides.pop(name, None)
            print(f"{name} does not take part: {str(error).splitlines()[0]}\n")
    return sides


def _torchvision() -> Decoder:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    warnings.filterwarnings("ignore", message=".*TorchVision are deprecated.*")
    return lambda content, side: _square(
        decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), mode=ImageReadMode.RGB), side
    )


def _torchcodec() -> Decoder:
    import torch

    decode_image = importlib.import_module("torchcodec.decoders").decode_image
    return lambda content, side: _square(decode_image(torch.frombuffer(bytearray(content), dtype=torch.uint8)), side)


def _square(image: object, side: int) -> object:
    from torchvision.transforms.v2.functional import center_crop, resize

    return center_crop(resize(image, [side], antialias=True), [side])


def measure(sides: dict[str, Decoder], contents: list[bytes], side: int, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds for one image of each side, a value for each round."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(rounds + 1):
        for name, decoder in sides.items():
            started = time.process_time()
            for content in contents:
                decoder(content, side)
            if round_number:  # the first round warms up
                times[name].append((time.process_time() - started) / len(contents) * 1e3)
    return times


def difference(contents: list[bytes], side: int) -> float:
    """Return the mean absolute difference from the pixels of version 0.1.0, in levels of 0 to 255."""
    pairs = [(decode(content, Decoding(side)), decode(content, Decoding(side, rules=1))) for content in contents]
    return float(np.mean([np.abs(ours.astype(int) - old).mean() for ours, old in pairs]))


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=4)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    sides = decoders()
    rounds, n_images = arguments.rounds, arguments.images
    versions = ", ".join(f"{name} {version(name)}" for name in ("pillow", "numpy", "torch"))
    print(f"{platform.machine()}, Python {platform.python_version()}, {versions}")
    print(f"CPU milliseconds for an image, median (min to max), n = {rounds} rounds of {n_images} images")
    print(f"\n| image | side | {' | '.join(sides)} | times faster than 0.1.0 | target | difference of 255 |")
    print("|---|---" + "|---" * (len(sides) + 3) + "|")
    for (width, height), noise in product(SIZES, NOISE):
        contents = [photograph(width, height, noise, seed) for seed in range(n_images)]
        size = sum(map(len, contents)) / len(contents)
        for side in SIDES:
            times = measure(sides, contents, side, rounds)
            faster = [old / ours for old, ours in zip(times["version 0.1.0"], times["archsieve"], strict=True)]
            cells = [spread(values) for values in times.values()]
            target = TARGETS.get((width, height, side))
            print(
                f"| {width}x{height}, {size / 1e6:.2f} MB | {side} | {' | '.join(cells)} | {spread(faster)} | "
                f"{f'at least {target}' if target else ''} | {difference(contents, side):.2f} |"
            )


if __name__ == "__main__":
    main()
