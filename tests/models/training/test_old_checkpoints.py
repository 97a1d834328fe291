"""Checkpoints of version 0.1.0 are resumed; ``old/fits-0.1.0.pt`` has states after one epoch and final histories."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from archsieve.models.data.dataset import ImageData, Split
from archsieve.models.data.zero_shot import ZeroShotData, ZeroShotSource
from archsieve.models.networks.build import build_for
from archsieve.models.networks.feature_extractors import ArchitectureBody
from archsieve.models.training.cross_validation import FoldedFit, FoldedResult
from archsieve.models.training.trainer import Fit
from archsieve.models.zero_shot.trainer import ZeroShotFit, ZeroShotFoldedResult
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, Linear, Pool
from archsieve.spaces.recipes.recipe import Recipe
from archsieve.spaces.recipes.zero_shot_recipe import ZeroShotRecipe

FILE = Path(__file__).parent / "old" / "fits-0.1.0.pt"
NETWORK = Architecture((1, 8, 8), (Conv(4), Pool(4), Linear(8)), 4)
BASE = Recipe(epochs=2, batch_size=16, lr=0.05, augmentation="standard", dropout=0.2, dropconnect=0.1)
MANY_OPTIONS = replace(BASE, averaging="ema", auxiliary="rotation", find_lr=True, l1=1e-4)
ZERO_SHOT = ZeroShotRecipe(epochs=2, batch_size=16, lr=3e-3, k=4, hidden=8, loss="softmax", augmentation="shift")
NAMES = tuple("abcd")


def pixels(n: int, first: int) -> Split:
    """Return images of four classes, each with another bright row; they are the same on every machine."""
    noise = torch.arange(first, first + 64 * n).mul(2_654_435_761).remainder(97).view(n, 1, 8, 8)
    labels = torch.arange(n) % 4
    noise[torch.arange(n), 0, 2 * labels] += 120
    return Split(noise.byte(), labels)


def images(first: int = 0) -> ImageData:
    return ImageData.of("rows", NAMES, train=pixels(48, first), val=pixels(24, first + 10_000))


def zero_shot() -> ZeroShotData:
    samples = pixels(64, 0)
    texts = ("first row bright", "second row bright", "third line bright", "fourth line bright")
    source = ZeroShotSource(NAMES, texts, samples, torch.arange(64) % 16 > 11, torch.ones(64, dtype=torch.bool))
    return ZeroShotData.of("rows", source, torch.tensor([1, 3]))


def single(data: ImageData, recipe: Recipe, seed: int) -> Fit:
    return Fit(build_for(NETWORK, recipe, seed=seed), data, recipe, seed=seed, keep_best=True)


def zero_shot_fit(seed: int) -> ZeroShotFit:
    return ZeroShotFit(ArchitectureBody(NETWORK, seed=seed), zero_shot(), ZERO_SHOT, seed=seed)


FITS: dict[str, Callable[[], Any]] = {
    "rich": lambda: single(images(), MANY_OPTIONS, 1),
    "folds": lambda: FoldedFit(
        [single(images(first), BASE, seed) for seed, first in enumerate((0, 99))], FoldedResult, keep_best=True
    ),
    "zero-shot folds": lambda: FoldedFit([zero_shot_fit(seed) for seed in range(2)], ZeroShotFoldedResult),
}


@pytest.mark.parametrize("name", FITS)
def test_a_checkpoint_of_an_earlier_version_is_resumed(name: str) -> None:
    old = torch.load(FILE, weights_only=True)[name]
    fit = FITS[name]()
    fit.load_state_dict(old["state"])
    assert fit.epoch == 1
    fit.step()
    assert fit.done
    for result, expected in zip(fit.history, old["history"], strict=True):
        for key in ("epoch", "lr", "train_loss", "val_loss"):
            assert getattr(result, key) == pytest.approx(expected[key], rel=1e-3), key
