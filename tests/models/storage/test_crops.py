"""Random-resized crops: where they are, from which pixels, and training with them."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from archsieve.models.data.registry import load_data
from archsieve.models.image_files.crops import crop_boxes
from archsieve.models.image_files.decoding import Decoding, decode
from archsieve.models.networks.build import build_for
from archsieve.models.storage.choice import StorageOptions
from archsieve.models.storage.cropped import CroppedImages
from archsieve.models.storage.images import Joined, RowsOf, stored
from archsieve.models.storage.tensor_crops import cropped
from archsieve.models.training.augmentation import augmentation_cost
from archsieve.models.training.trainer import Fit
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, GlobalAverage
from archsieve.spaces.recipes.recipe import Recipe

RECIPE = Recipe(epochs=4, batch_size=8, lr=0.05, augmentation="crop-flip")
SIDE = 12


def draws(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 4, generator=torch.Generator().manual_seed(seed))


def test_crops_are_inside_and_have_the_areas_and_ratios_of_the_rule() -> None:
    left, top, right, bottom = crop_boxes(draws(4000).numpy(), 400, 300).T
    assert left.min() >= 0
    assert top.min() >= 0
    assert right.max() <= 400 + 1e-9
    assert bottom.max() <= 300 + 1e-9
    area, ratio = (right - left) * (bottom - top) / 120_000, (right - left) / (bottom - top)
    assert 0.079 < area.min() < 0.1
    assert 0.45 < area.mean() < 0.54  # 0.54 without the cut of sides that are too long
    inside = (right - left < 400) & (bottom - top < 300)
    assert 3 / 4 <= ratio[inside].min() < 0.76
    assert 1.32 < ratio[inside].max() <= 4 / 3
    assert abs((left / (400 - right + left + 1e-12))[inside].mean() - 0.5) < 0.02


def test_a_crop_in_memory_is_that_part_of_the_image() -> None:
    ramp = torch.arange(64.0).expand(1, 1, 64, 64) / 64
    draw = draws(1)
    left, top, right, bottom = crop_boxes(draw.numpy(), 64, 64)[0]
    values = cropped(torch.cat([ramp, ramp.transpose(2, 3)], 1), draw)[0] * 64
    expected = torch.arange(64) + 0.5
    assert torch.allclose(values[0, 5], (left + expected * (right - left) / 64 - 0.5).float(), atol=1e-3)
    assert torch.allclose(values[1, :, 5], (top + expected * (bottom - top) / 64 - 0.5).float(), atol=1e-3)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("size", [(400, 300), (96, 800)])
def test_a_crop_of_a_file_is_that_part_of_the_whole_image(suffix: str, size: tuple[int, int], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    image = small.resize(size, Image.Resampling.BICUBIC)
    image.save(tmp_path / f"x.{suffix}", quality=95)
    for draw in draws(8).numpy():
        box = tuple(crop_boxes(draw[None], *size)[0])
        expected = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box)).transpose(2, 0, 1)
        pixels = decode(tmp_path / f"x.{suffix}", Decoding(SIDE), crop=draw)
        assert np.abs(pixels.astype(int) - expected).mean() < 2.5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of 48 x 48 pixels whose lines of one pixel are grey when they are resized to 12 x 12."""
    rng = np.random.default_rng(0)
    for number in range(48):
        pixels = rng.integers(100, 156, (48, 48, 3), dtype=np.uint8)
        pixels[:, number % 2 :: 2] //= 4
        file = tmp_path / "images" / ("cat", "dog")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    return tmp_path / "images"


def load(folder: Path, kind: str):
    options = StorageOptions(kind, str(folder.parent / "cache"))
    return load_data("images", path=folder, image_size=SIDE, storage=options)


def test_streamed_crops_show_details_that_the_stored_pixels_have_lost(folder: Path) -> None:
    data = {kind: load(folder, kind).train.images for kind in ("memory", "cache", "stream")}
    drawn = draws(len(data["memory"]))
    crops = {kind: CroppedImages(images, drawn)[:] for kind, images in data.items()}
    assert torch.equal(crops["memory"], crops["cache"])
    small = crop_boxes(drawn.numpy(), 48, 48)
    small = torch.from_numpy((small[:, 2] - small[:, 0]) < 20)
    assert small.any()
    deviation = {kind: one[small].float().std((2, 3)).mean() for kind, one in crops.items()}
    assert deviation["stream"] > 2 * deviation["memory"]


def test_views_and_joined_parts_crop_the_same_images(folder: Path) -> None:
    for kind in ("memory", "stream"):
        data = load(folder, kind)
        whole = Joined([stored(data.train.images), stored(data.val.images)])
        rows = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))
        crops = CroppedImages(RowsOf(whole, rows), draws(len(rows)))
        parts = [CroppedImages(split.images, torch.zeros(len(split), 4)) for split in (data.train, data.val)]
        for position in (0, 7, len(rows) - 1):
            row = int(rows[position])
            part, within = (parts[0], row) if row < len(data.train) else (parts[1], row - len(data.train))
            expected = part.images.crops_at(torch.tensor([within]), crops.draws[position : position + 1])
            assert torch.equal(crops[position], expected[0])
        batches = torch.split(torch.arange(len(rows)), 5)
        unannounced = [crops[batch] for batch in batches]
        crops.prefetch(batches)
        assert all(torch.equal(crops[batch], one) for batch, one in zip(batches, unannounced, strict=True))


def fitted(folder: Path, kind: str, *, resumed: bool = False) -> list[list[float]]:
    network = Architecture((3, SIDE, SIDE), (Conv(8), GlobalAverage()), 2)
    fit = Fit(build_for(network, RECIPE, seed=0), load(folder, kind), RECIPE, seed=0)
    for epoch in range(RECIPE.epochs):
        if resumed and epoch == 2:
            state = fit.state_dict()
            fit = Fit(build_for(network, RECIPE, seed=1), load(folder, kind), RECIPE, seed=5)
            fit.load_state_dict(state)
        fit.step()
    return [parameter.tolist() for parameter in fit.module.parameters()]


def test_training_with_crops_can_be_resumed_and_depends_on_the_pixels_that_are_cropped(folder: Path) -> None:
    weights = {kind: fitted(folder, kind) for kind in ("memory", "cache", "stream")}
    assert weights["memory"] == weights["cache"]
    assert weights["memory"] != weights["stream"]
    for kind in ("memory", "stream"):
        assert fitted(folder, kind, resumed=True) == weights[kind]


def test_the_time_of_crops_is_measured() -> None:
    images = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8)
    cost = augmentation_cost(images, RECIPE, "cpu")
    assert cost is not None
    assert cost.batch_size == 8
    assert math.isfinite(cost.batch_ms)
