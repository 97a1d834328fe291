"""A budget, an image size and a number of trials for a search of stated minutes, from two timed networks.

The time of a training step grows about linearly with the multiply-accumulates of a network. Two networks give the line:
the time of an image without any of this work, and the time of a multiply-accumulate. The former is that of operations
on each pixel, such as normalisation and activations, and grows with the number of pixels.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from ...models.data.shapes import DataShape
from ...spaces.architectures.budget import Budget
from ...spaces.architectures.cost import cost
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.feasibility import cheapest
from ...spaces.constrained.sampling import sample_one
from ...spaces.recipes.recipe import Recipe
from ...spaces.search_space.named import named_space
from ..cluster.threads import trial_threads
from ..config.schema import ResourcesSection

SIDES = (16, 24, 32, 48, 64, 96, 128, 160, 192, 224)  # pixels
TIMED_SIDE, TIMED_IMAGES, TIMED_EPOCHS, BATCH_SIZE = 32, 256, 3, 64
LARGE_MACS = 10_000_000  # of the larger of the two timed networks, at TIMED_SIDE
EPOCHS, TRIALS, MIN_TRIALS = 12, 24, 8
SAFETY = 0.7  # of the time is planned: starting workers and decoding take the rest
LEAST_MACS_PER_PIXEL = 5_000  # of a budget: with fewer, the space has few networks to choose from


@dataclass(frozen=True)
class StepTime:
    """Seconds of training on one image: ``per_image`` for any network, and ``per_mac`` for its work.

    ``per_image`` is that of an image of :data:`TIMED_SIDE` pixels a side.
    """

    per_image: float
    per_mac: float

    def at(self, side: int) -> "StepTime":
        """Return the time of images of ``side`` pixels a side."""
        return StepTime(self.per_image * (side / TIMED_SIDE) ** 2, self.per_mac)

    def seconds(self, macs: float, images: float) -> float:
        """Return the seconds to train on ``images`` images with a network of ``macs``."""
        return images * (self.per_image + self.per_mac * macs)


@dataclass(frozen=True)
class Proposal:
    """What fits into the stated time: the side of images in pixels, the limit of macs, trials, and expected seconds."""

    image_size: int
    macs: int
    trials: int
    seconds: float


def propose(
    n_images: float,
    step: StepTime,
    *,
    minutes: float,
    sides: Sequence[int],
    largest_macs: int,
    concurrent: int,
) -> Proposal:
    """Return the largest of ``sides`` and the largest budget whose search takes at most about ``minutes``.

    ``n_images`` are trained on in each of 12 epochs. At most ``concurrent`` trials run at a time. Where not even the
    smallest side fits, fewer trials are proposed, at least 8: the expected seconds say how long that takes.
    """
    available = 60 * minutes * SAFETY * min(concurrent, TRIALS)  # more cores than trials are idle
    for side in sorted(sides, reverse=True):
        macs = _macs_within(available / (TRIALS * EPOCHS * n_images), step.at(side))
        if macs >= LEAST_MACS_PER_PIXEL * side**2:
            limit = int(min(macs, largest_macs))
            return Proposal(side, limit, TRIALS, _total(step.at(side), limit, n_images, TRIALS, concurrent))
    side = min(sides)
    limit = min(LEAST_MACS_PER_PIXEL * side**2, largest_macs)
    trials = int(available / step.at(side).seconds(limit, EPOCHS * n_images))
    trials = max(MIN_TRIALS, min(TRIALS, trials))
    return Proposal(side, limit, trials, _total(step.at(side), limit, n_images, trials, concurrent))


def _macs_within(seconds_per_image: float, step: StepTime) -> float:
    return (seconds_per_image - step.per_image) / step.per_mac


def _total(step: StepTime, macs: int, n_images: float, trials: int, concurrent: int) -> float:
    return step.seconds(macs, EPOCHS * n_images) * trials / min(concurrent, trials)


def sides_below(sizes: Sequence[tuple[int, int]]) -> list[int]:
    """Return the sides in pixels that do not enlarge half of the images, given their widths and heights."""
    shorter = sorted(min(size) for size in sizes)
    median = shorter[len(shorter) // 2] if shorter else TIMED_SIDE
    return [side for side in SIDES if side <= median] or [SIDES[0]]


def time_steps(n_classes: int) -> StepTime:
    """Train a small and a larger network for three epochs on random images; the faster of the last two is the time.

    They train with the threads of one trial, because other trials use the other cores.
    """
    shape = DataShape((3, TIMED_SIDE, TIMED_SIDE), n_classes)
    space = named_space("mixed", input_shape=shape.input_shape, classes=n_classes)
    small = cheapest(ConstrainedSpace(space, Budget()), "macs")[0]
    low = max(LARGE_MACS // 2, 2 * cost(small).macs)
    large = sample_one(ConstrainedSpace(space, Budget(macs=2 * low, min_macs=low)), random.Random(0))
    with trial_threads(ResourcesSection()):
        timed = [(cost(network).macs, _seconds_per_image(network, n_classes)) for network in (small, large)]
    (macs, seconds), (more_macs, more_seconds) = timed
    # noise can turn the line around where both are fast
    per_mac = max((more_seconds - seconds) / (more_macs - macs), 0.1 * more_seconds / more_macs)
    return StepTime(max(0.0, seconds - per_mac * macs), per_mac)


def _seconds_per_image(network: object, n_classes: int) -> float:
    import torch

    from ...models.data.dataset import ImageData, Split
    from ...models.networks.build import build_for
    from ...models.training.trainer import Fit

    images = torch.randint(0, 256, (TIMED_IMAGES, 3, TIMED_SIDE, TIMED_SIDE), dtype=torch.uint8)
    labels = torch.arange(TIMED_IMAGES) % n_classes
    data = ImageData.of(
        "timing", tuple(map(str, range(n_classes))), train=Split(images, labels), val=Split(images[:16], labels[:16])
    )
    recipe = Recipe(epochs=TIMED_EPOCHS, batch_size=BATCH_SIZE, lr=0.01)
    fit = Fit(build_for(network, recipe, seed=0), data, recipe, seed=0)  # type: ignore[arg-type]
    seconds = []
    for _ in range(TIMED_EPOCHS):
        started = perf_counter()
        fit.step()
        seconds.append(perf_counter() - started)
    return min(seconds[1:]) / TIMED_IMAGES  # the first epoch is a warm-up; other programs make an epoch only slower
