"""Distortion: the field is as strong as its formula says, seeded, and torchvision's at half the scale."""

import math

import pytest
import torch
from torch import Generator, Tensor
from torchvision.transforms import v2

from archsieve.models.training.augmentation import augment, distort, elastic, elastic_field, moved_by, noise
from archsieve.spaces.recipes.recipe import Recipe


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def rms(field: Tensor) -> float:
    return float(field.square().mean().sqrt())


@pytest.mark.parametrize(("alpha", "sigma", "side"), [(34.0, 4.0, 29), (8.0, 2.0, 8), (20.0, 3.0, 32)])
def test_the_displacement_is_that_of_the_formula(alpha: float, sigma: float, side: int) -> None:
    field = elastic_field(400, side, side, alpha, sigma, rng())
    assert rms(field) == pytest.approx(alpha / (math.sqrt(3) * 2 * sigma * math.sqrt(math.pi)), rel=0.1)
    edge = torch.cat([field[..., 0], field[..., -1]])
    assert rms(edge) == pytest.approx(rms(field), rel=0.1)


def test_a_wide_gaussian_shifts_and_a_narrow_one_is_noise() -> None:
    wide, narrow = elastic_field(50, 8, 8, 100.0, 40.0, rng()), elastic_field(50, 8, 8, 1.0, 0.05, rng())
    assert rms(wide - wide.mean((2, 3), keepdim=True)) < 0.2 * rms(wide)
    neighbours = torch.corrcoef(torch.stack([narrow[..., :-1].flatten(), narrow[..., 1:].flatten()]))[0, 1]
    assert abs(float(neighbours)) < 0.05
    assert rms(narrow) == pytest.approx(1 / math.sqrt(3), rel=0.05)


def test_torchvision_moves_half_as_far_for_the_same_alpha() -> None:
    torch.manual_seed(0)
    transform = v2.ElasticTransform(alpha=68.0, sigma=4.0)
    fields = []
    for _ in range(200):
        displacement = transform.make_params([torch.zeros(1, 29, 29)])["displacement"]  # of a half side
        fields.append(displacement * 29 / 2)
    inner = torch.cat(fields)[:, 10:-10, 10:-10]  # its borders are reflected, which makes them stronger
    assert rms(inner) == pytest.approx(rms(elastic_field(200, 29, 29, 34.0, 4.0, rng())), rel=0.15)


def test_a_field_moves_as_torchvision_moves() -> None:
    images, field = torch.rand(1, 3, 12, 16, generator=rng()), 2 * torch.rand(1, 2, 12, 16, generator=rng(1)) - 1
    scaled = (field * torch.tensor([2 / 16, 2 / 12]).view(1, 2, 1, 1)).permute(0, 2, 3, 1)
    theirs = v2.functional.elastic(images, scaled)
    torch.testing.assert_close(moved_by(images, field)[..., 2:-2, 2:-2], theirs[..., 2:-2, 2:-2], atol=1e-4, rtol=0)


def test_a_whole_pixel_is_a_whole_pixel() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 8, 8) / 8
    field = torch.zeros(1, 2, 8, 8)
    field[:, 0] = 1
    torch.testing.assert_close(moved_by(ramp, field)[..., :-1], ramp[..., 1:])


def test_channels_move_together_and_images_apart() -> None:
    same = torch.rand(1, 1, 16, 16, generator=rng()).expand(4, 3, 16, 16)
    moved = elastic(same, 20.0, 4.0, rng())
    assert torch.equal(moved[:, 0], moved[:, 2])
    assert len({image.numpy().tobytes() for image in moved}) == 4


ON = [
    {"rotation_degrees": 20.0},
    {"jitter": 0.3},
    {"noise_std": 0.1},
    {"elastic_alpha_px": 8.0, "elastic_sigma_px": 2.0},
]


@pytest.mark.parametrize("on", ON, ids=lambda on: next(iter(on)))
def test_each_key_changes_images_within_their_range_and_by_its_seed(on: dict[str, float]) -> None:
    images = torch.rand(6, 3, 12, 16, generator=rng(7))
    before, recipe = images.clone(), Recipe(**on)
    first, again = distort(images, recipe, rng()), distort(images, recipe, rng())
    assert torch.equal(first, again)
    assert not torch.equal(first, distort(images, recipe, rng(1)))
    assert not torch.equal(first, images)
    assert torch.equal(images, before)
    assert first.shape == images.shape
    assert 0 <= first.min() <= first.max() <= 1


def test_a_change_that_is_off_draws_nothing() -> None:
    images = torch.rand(6, 1, 8, 8, generator=rng(7))
    assert torch.equal(distort(images, Recipe(augmentation="standard"), rng()), augment(images, "standard", rng()))


def test_noise_is_as_strong_as_said() -> None:
    grey = torch.full((50, 1, 8, 8), 0.5)
    assert float((noise(grey, 0.1, rng()) - grey).std()) == pytest.approx(0.1, rel=0.05)
