"""Timed epochs: a few networks trained on a few images, to tell how long a search may take."""

import random
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

from ..cluster.threads import threads_of
from ..searchers.recipe_sampling import draw_recipe
from .experiment import Experiment

if TYPE_CHECKING:
    from ...models.data.dataset import ImageData
    from ...spaces.recipes.recipe import Recipe

NETWORKS = 3
TIMED_IMAGES = 1_024
ENOUGH_S = 15.0  # no other network is timed after that


def epoch_seconds(experiment: Experiment, data: "ImageData") -> list[float]:
    """The seconds that an epoch over all of ``data`` would take, for each of a few networks inside the budget.

    Measured on at most :data:`TIMED_IMAGES` training images and as large a share of the validation images, with a
    trial's number of threads.
    """
    rng, few, started, seconds = random.Random(0), _few(data), perf_counter(), list[float]()
    with threads_of(experiment.file.resources):
        for _ in range(NETWORKS):
            timed = _timed(experiment, few, draw_recipe(experiment.recipes, rng), rng)
            if timed is not None:
                seconds.append(timed * len(data.train) / len(few.train))
            if perf_counter() - started > ENOUGH_S:
                break
    return seconds


def _few(data: "ImageData") -> "ImageData":
    import torch

    n = min(TIMED_IMAGES, len(data.train))
    n_val = max(1, round(n * len(data.val) / len(data.train)))
    return replace(data, train=data.train.take(torch.arange(n)), val=data.val.take(torch.arange(n_val)))


def _timed(experiment: Experiment, data: "ImageData", recipe: "Recipe", rng: random.Random) -> float | None:
    """Seconds of the second epoch, else of the first; None where the network diverges in its first."""
    from ...models.networks.build import build_for
    from ...models.training.trainer import Diverged, Fit

    fit = Fit(build_for(experiment.sieve.sample(rng), recipe, seed=0), data, recipe, seed=0)
    elapsed = None
    try:
        for _ in range(min(2, recipe.epochs)):
            started = perf_counter()
            fit.step()
            elapsed = perf_counter() - started
    except Diverged:
        return elapsed
    return elapsed
