"""Augmentation: images keep shape and range, the seed decides the draws, and each change has its effect."""

import pytest
import torch
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as v2

from archsieve.models.data.registry import load_data
from archsieve.models.training import augmentation as change
from archsieve.models.training.augmentation import AUGMENTATIONS, augment, augmentation_cost
from archsieve.spaces.recipes import recipe
from archsieve.spaces.recipes.recipe import Recipe


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture(params=[(6, 3, 16, 16), (5, 1, 8, 24), (4, 2, 3, 3)], ids=str)
def images(request: pytest.FixtureRequest) -> Tensor:
    return torch.rand(*request.param, generator=rng(7))


def test_the_table_has_the_augmentations_of_recipes() -> None:
    assert tuple(AUGMENTATIONS) == recipe.AUGMENTATIONS


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_images_keep_shape_and_range_and_the_seed_decides(images: Tensor, kind: str) -> None:
    before = images.clone()
    first, repeated = augment(images, kind, rng()), augment(images, kind, rng())
    assert first.shape == images.shape
    assert first.dtype == torch.float32
    assert 0 <= first.min() <= first.max() <= 1
    assert torch.equal(first, repeated)
    assert torch.equal(images, before)
    assert torch.equal(first, images) == (kind == "none" or (kind == "shift" and images.shape[2] < 8))


def test_an_unknown_kind_names_the_nearest(images: Tensor) -> None:
    with pytest.raises(ValueError, match="'shift-flip'"):
        augment(images, "shift-flop", rng())


def test_a_shift_is_at_most_an_eighth_of_the_side_and_repeats_the_border() -> None:
    ramp = torch.arange(16.0).expand(200, 1, 16, 16) / 16
    moves = (change.shift(ramp, rng()) * 16)[:, 0, 0] - torch.arange(16.0)
    assert set(moves[:, 8].tolist()) == {-2.0, -1.0, 0.0, 1.0, 2.0}
    assert moves[:, 0].min() == 0
    assert moves[:, 15].max() == 0


def test_a_flip_mirrors_about_half_of_the_images() -> None:
    images = torch.rand(200, 1, 4, 4, generator=rng())
    flipped = change.flip(images, rng(1))
    mirrored = (flipped == images.flip(3)).all(3).all(2).view(-1)
    assert 70 < mirrored.sum() < 130
    assert torch.equal(flipped[~mirrored], images[~mirrored])


def test_a_rotation_agrees_with_torchvision() -> None:
    images = torch.rand(1, 3, 12, 20, generator=rng())
    rotated = change.rotate(images, rng(3))
    angle = (2 * torch.rand(1, generator=rng(3)) - 1) * 15
    expected = v2.rotate(images, float(angle), interpolation=v2.InterpolationMode.BILINEAR)
    torch.testing.assert_close(rotated[..., 4:8, 6:14], expected[..., 4:8, 6:14], atol=1e-4, rtol=0)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.2])
@pytest.mark.parametrize("kind", ["brightness", "contrast", "saturation"])
def test_a_jitter_agrees_with_torchvision(kind: str, factor: float) -> None:
    images = torch.rand(3, 3, 8, 8, generator=rng())
    ours = getattr(change, kind)(images, torch.full((3, 1, 1, 1), factor))
    torch.testing.assert_close(ours, getattr(v2, f"adjust_{kind}")(images, factor), atol=1e-3, rtol=0)


def test_every_image_has_its_own_change() -> None:
    equal_images = torch.rand(1, 3, 16, 16, generator=rng()).expand(8, -1, -1, -1)
    assert len({image.numpy().tobytes() for image in augment(equal_images, "standard", rng())}) == 8


def test_the_cost_of_augmentation_is_measured_without_changing_a_fit() -> None:
    images = load_data("digits").train.images
    assert augmentation_cost(images, Recipe(), "cpu") is None
    before = torch.get_rng_state()
    cost = augmentation_cost(images, Recipe(augmentation="standard", batch_size=32), "cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert cost is not None
    assert cost.batch_ms > 0
    assert (cost.batch_size, cost.device) == (32, "cpu")
