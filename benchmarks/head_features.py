"""Measure what trainings of a head cost on features that are computed once, and their accuracy on real images.

One search trains the head of one pretrained network ``--trials`` times, by random recipes, as a worker does: it builds
the network, loads its weights, opens the features, trains, and tests the best epoch. The ratio is the time of computing
the features and of all trials, divided by the time of computing the features. With a folder of images, the best head is
compared with the best network from scratch that random search finds in the same time, within the parameters and
multiply-accumulates of the pretrained network. The time is processor time of one thread, because it depends least on
other processes. Without a folder the images, and without a file the weights, are random: the weights are read from a
file that the script writes. ``--photographs`` writes that many JPEG files, which go through the cache of decoded images
as photographs of users do.

    python benchmarks/head_features.py [FOLDER] [--weights FILE] [--image-size 224] [--limit N] [--ratio-only]
    python benchmarks/head_features.py --photographs 6000

``FILE`` has the tensors of the network in timm's order, under any names, as torch.save wrote them.
"""

import argparse
import random
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import archsieve as av
from archsieve.models.data.dataset import ImageData, Split
from archsieve.models.data.normalisation import normalised_for
from archsieve.models.data.registry import load_data
from archsieve.models.networks.backbones import backbone
from archsieve.models.networks.compute import CPU
from archsieve.models.networks.pretrained import build_pretrained
from archsieve.models.profiling.backbone_costs import measure_backbone
from archsieve.models.storage.choice import CacheLocation, StorageOptions
from archsieve.models.training.epoch import Diverged
from archsieve.models.training.head_features import head_data
from archsieve.search.tasks.classification import ImageTrialContext
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.recipes.recipe import Recipe

N_RANDOM = 600  # random images without a folder
N_CLASSES = 10  # of random images and of written photographs


@dataclass(frozen=True)
class Best:
    """The best trial of a search by validation accuracy, its test accuracy, the number of trials and their seconds."""

    val: float
    test: float
    trials: int
    seconds: float


def renamed(name: str, file: Path, folder: Path) -> str:
    """Write the tensors of ``file`` under the names of timm's network, and return the path."""
    names = list(backbone(name, device="meta").state_dict())
    tensors = torch.load(file, map_location="cpu", weights_only=True).values()
    torch.save(dict(zip(names, tensors, strict=True)), folder / "weights.pth")
    return str(folder / "weights.pth")


def random_weights(name: str, folder: Path) -> str:
    """Write random weights of the network ``name``, and return the path."""
    torch.save(backbone(name).state_dict(), folder / "weights.pth")
    return str(folder / "weights.pth")


def head_recipe(rng: random.Random, epochs: int) -> Recipe:
    return Recipe(
        train="head",
        epochs=epochs,
        lr=10 ** rng.uniform(-2.5, 0),
        weight_decay=10 ** rng.uniform(-5, -2),
        dropout=rng.choice((0.0, 0.2, 0.5)),
        label_smoothing=rng.choice((0.0, 0.1)),
    )


def scratch_recipe(rng: random.Random, epochs: int) -> Recipe:
    return Recipe(epochs=epochs, batch_size=64, lr=10 ** rng.uniform(-2, -0.5), augmentation="shift-flip")


def context_of(data: ImageData, weights: str | None = None) -> ImageTrialContext:
    return ImageTrialContext(data, CPU.device, precision="fp32", folds=None, fold_seed=0, weights=weights)


def trained(context: ImageTrialContext, network: Architecture, recipe: Recipe, seed: int) -> tuple[float, float]:
    """Train, and return validation and test accuracy of the best epoch; zeros if the training diverges."""
    fit = context.fit(network, recipe, seed)
    try:
        while not fit.done:
            fit.step()
    except Diverged:
        return 0.0, 0.0
    return fit.best.val_accuracy, context.final_metrics(fit).test_accuracy


def extraction_seconds(network: Architecture, data: ImageData, weights: str | None) -> float:
    module, _ = build_pretrained(network, Recipe(), seed=0, weights=weights)
    started = time.process_time()
    head_data(module, normalised_for(data, network), CPU)
    return time.process_time() - started


def warm_up(network: Architecture, data: ImageData, weights: str | None) -> None:
    """Train a head on a few images, so that no later time has imports, which a worker does once for all its trials."""
    parts = {part: getattr(data, part).subset(torch.arange(N_CLASSES)) for part in ("train", "val", "test")}
    head_search(network, replace(data, **parts, content_hash="warm-up"), weights, 1, 1, 0)


def head_search(
    network: Architecture, data: ImageData, weights: str | None, trials: int, epochs: int, seed: int
) -> Best:
    started, rng, context = time.process_time(), random.Random(seed), context_of(data, weights)
    results = [trained(context, network, head_recipe(rng, epochs), seed) for _ in range(trials)]
    return Best(*max(results), trials, time.process_time() - started)


def scratch_search(data: ImageData, budget: av.Budget, seconds: float, epochs: int, seed: int) -> Best:
    """Train random networks inside ``budget`` until the time is over; a trial that has begun is finished."""
    started, rng, context, results = time.process_time(), random.Random(seed), context_of(data), []
    space = av.Space(
        data.input_shape,
        [
            av.Conv(av.choice(16, 24, 32), stride=2),
            av.repeat(av.Residual(av.choice(24, 32, 48)), av.choice(1, 2), first={"stride": 2}),
            av.repeat(av.Residual(av.choice(48, 64, 96)), av.choice(1, 2), first={"stride": 2}),
            av.GlobalAverage(),
        ],
        classes=data.n_classes,
    )
    networks = av.sample(space, budget, n=100, seed=seed)
    while time.process_time() - started < seconds:
        results.append(trained(context, networks[len(results)], scratch_recipe(rng, epochs), seed))
    return Best(*max(results), len(results), time.process_time() - started)


def random_images(image_size: int) -> ImageData:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (N_RANDOM, 3, image_size, image_size), generator=rng, dtype=torch.uint8)
    split = Split(images, torch.arange(N_RANDOM) % N_CLASSES)
    ends = (0, int(0.6 * N_RANDOM), int(0.8 * N_RANDOM), N_RANDOM)
    train, val, test = (split.subset(torch.arange(*pair)) for pair in pairwise(ends))
    return ImageData.of("random", tuple("0123456789"), train=train, val=val, test=test)


def written_photographs(folder: Path, count: int, side: int) -> Path:
    """Write ``count`` smooth random images of ``side`` pixels in folders of their classes, as JPEG files."""
    rng = np.random.default_rng(0)
    for number in range(count):
        file = folder / f"class {number % N_CLASSES}" / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(file, quality=90)
    return folder


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def row(name: str, searches: list[Best], extra_seconds: float = 0.0) -> str:
    trials = statistics.median(one.trials for one in searches)
    seconds = statistics.median(one.seconds + extra_seconds for one in searches)
    val, test = (spread([getattr(one, key) for one in searches]) for key in ("val", "test"))
    return f"| {name} | {trials:.0f} | {seconds:.0f} | {val} | {test} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--photographs", type=int, metavar="N", help="write N files in place of FOLDER")
    parser.add_argument("--network", default="timm:tf_efficientnet_lite0")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--scratch-size", type=int, default=64, help="side of the images of networks from scratch")
    parser.add_argument("--limit", type=int, help="number of images")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ratio-only", action="store_true", help="train no network from scratch")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        measure(options, Path(temporary))


def measure(options: argparse.Namespace, temporary: Path) -> None:
    given = options.weights and renamed(options.network, options.weights, temporary)
    weights = given or random_weights(options.network, temporary)
    size, folder, cache = options.image_size, options.folder, str(temporary / "cache")
    if options.photographs:
        source = written_photographs(temporary / "photographs", options.photographs, size)
        images = load_data("images", path=source, image_size=size, storage=StorageOptions(cache=cache))
    else:
        images = random_images(size) if folder is None else images_of(folder, size, options.limit)
    data = replace(images, cache=CacheLocation(cache))
    network = Architecture(data.input_shape, (measure_backbone(options.network, data.input_shape),), data.n_classes)
    warm_up(network, data, weights)
    alone = extraction_seconds(network, data, weights)
    heads = [head_search(network, data, weights, options.trials, options.epochs, seed) for seed in range(options.seeds)]
    ratios = [(alone + head.seconds) / alone for head in heads]
    print(f"{sum(map(len, data.splits))} images of {size} px, {options.trials} trials of {options.epochs} epochs")
    print(f"features: {alone:.1f} s; (features + trials) / features, n = {len(ratios)}: {spread(ratios)}", flush=True)
    if folder is None:
        return
    print("| search | trials | seconds | validation accuracy | test accuracy |\n|---|---|---|---|---|")
    print(row("head on features", heads, alone), flush=True)
    if options.ratio_only:
        return
    cost, small = av.cost(network), images_of(folder, options.scratch_size, options.limit)
    budget = av.Budget(params=cost.params, macs=cost.macs)
    scratches = [
        scratch_search(small, budget, alone + head.seconds, options.epochs, seed) for seed, head in enumerate(heads)
    ]
    print(row("networks from scratch", scratches))


def images_of(folder: Path, image_size: int, limit: int | None) -> ImageData:
    return load_data("images", path=folder, image_size=image_size, limit=limit)


if __name__ == "__main__":
    main()
