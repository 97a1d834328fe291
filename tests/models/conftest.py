"""Fixtures for the tests of ``models``: the digits, a small network, an image folder."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from archsieve.models.data.registry import ImageData, load_data


@pytest.fixture(scope="session")
def digits() -> ImageData:
    return load_data("digits")


@pytest.fixture(scope="session")
def few_digits() -> ImageData:
    return load_data("digits", limit=200)


@pytest.fixture
def small_net() -> Callable[..., nn.Sequential]:
    """A convolutional network for digits, the same at every call."""

    def make(width: int = 16, dropout: float = 0.0, n_classes: int = 10) -> nn.Sequential:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return nn.Sequential(
                nn.Conv2d(1, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
                nn.BatchNorm2d(2 * width),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
                nn.Dropout(dropout),
                nn.Linear(32 * width, n_classes),
            )

    return make


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write ``n`` noisy images per class, with the class visible in the brightness, and return the folder."""

    def write(classes: Sequence[str] = ("cat", "dog"), n: int = 10, within: str = ".") -> Path:
        rng = np.random.default_rng(list(within.encode()))  # a seed per subfolder, so that no two splits share an image
        for i, name in enumerate(classes):
            folder = tmp_path / "images" / within / name
            folder.mkdir(parents=True)
            for k in range(n):
                pixels = rng.integers(100 * (i % 2), 100 * (i % 2) + 100, (12, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{k:03}.png")
        return tmp_path / "images"

    return write
