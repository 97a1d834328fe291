"""Elastic distortion and noise: strength by formula, reproducible by seed, twice as strong as torchvision's."""

import math

import pytest
import torch
from torch import Generator, Tensor
from torchvision.transforms import v2

from archsieve.models.training.augmentation import augment, distort, elastic, elastic_field, noise, warp
from archsieve.spaces.recipes.recipe import Recipe


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def rms(field: Tensor) -> float:
    return float(field.square().mean().sqrt())


@pytest.mark.parametrize(("alpha", "sigma", "side"), [(34.0, 4.0, 29), (8.0, 2.0, 8), (20.0, 3.0, 32)])
def test_the_displacement_agrees_with_its_formula(alpha: float, sigma: float, side: int) -> None:
    field = elastic_field(400, side, side, alpha, sigma, rng())
    assert rms(field) == pytest.approx(alpha / (math.sqrt(3) * 2 * sigma * math.sqrt(math.pi)), rel=0.1)
    edge = torch.cat([field[..., 0], field[..., -1]])
    assert rms(edge) == pytest.approx(rms(field), rel=0.1)


def test_a_wide_gaussian_gives_a_shift_and_a_narrow_one_noise() -> None:
    wide, narrow = elastic_field(50, 8, 8, 100.0, 40.0, rng()), elastic_field(50, 8, 8, 1.0, 0.05, rng())
    assert rms(wide - wide.mean((2, 3), keepdim=True)) < 0.2 * rms(wide)
    correlation = torch.corrcoef(torch.stack([narrow[..., :-1].flatten(), narrow[..., 1:].flatten()]))[0, 1]
    assert abs(float(correlation)) < 0.05
    assert rms(narrow) == pytest.approx(1 / math.sqrt(3), rel=0.05)


def test_torchvision_moves_half_as_far_for_the_same_alpha() -> None:
    torch.manual_seed(0)
    transform = v2.ElasticTransform(alpha=68.0, sigma=4.0)
    fields = []
    for _ in range(200):
        displacement = transform.make_params([torch.zeros(1, 29, 29)])["displacement"]  # in half sides
        fields.append(displacement * 29 / 2)
    inner = torch.cat(fields)[
        :, 10:-10, 10:-10
    ]  # torchvision reflects the noise at the borders, which makes the field stronger there
    assert rms(inner) == pytest.approx(rms(elastic_field(200, 29, 29, 34.0, 4.0, rng())), rel=0.15)


def test_warping_by_a_field_agrees_with_torchvision() -> None:
    images, field = torch.rand(1, 3, 12, 16, generator=rng()), 2 * torch.rand(1, 2, 12, 16, generator=rng(1)) - 1
    scaled = (field * torch.tensor([2 / 16, 2 / 12]).view(1, 2, 1, 1)).permute(0, 2, 3, 1)
    expected = v2.functional.elastic(images, scaled)
    torch.testing.assert_close(warp(images, field)[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-4, rtol=0)


def test_a_field_of_one_moves_by_one_pixel() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 8, 8) / 8
    field = torch.zeros(1, 2, 8, 8)
    field[:, 0] = 1
    torch.testing.assert_close(warp(ramp, field)[..., :-1], ramp[..., 1:])


def test_channels_share_a_field_and_images_do_not() -> None:
    equal_images = torch.rand(1, 1, 16, 16, generator=rng()).expand(4, 3, 16, 16)
    distorted = elastic(equal_images, 20.0, 4.0, rng())
    assert torch.equal(distorted[:, 0], distorted[:, 2])
    assert len({image.numpy().tobytes() for image in distorted}) == 4


OPTIONS = [
    {"rotation_degrees": 20.0},
    {"jitter": 0.3},
    {"noise_std": 0.1},
    {"elastic_alpha_px": 8.0, "elastic_sigma_px": 2.0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: next(iter(options)))
def test_each_key_changes_images_within_their_range_and_by_the_seed(options: dict[str, float]) -> None:
    images = torch.rand(6, 3, 12, 16, generator=rng(7))
    before, recipe = images.clone(), Recipe(**options)
    first, repeated = distort(images, recipe, rng()), distort(images, recipe, rng())
    assert torch.equal(first, repeated)
    assert not torch.equal(first, distort(images, recipe, rng(1)))
    assert not torch.equal(first, images)
    assert torch.equal(images, before)
    assert first.shape == images.shape
    assert 0 <= first.min() <= first.max() <= 1


def test_a_change_that_is_off_draws_no_random_numbers() -> None:
    images = torch.rand(6, 1, 8, 8, generator=rng(7))
    assert torch.equal(distort(images, Recipe(augmentation="standard"), rng()), augment(images, "standard", rng()))


def test_noise_has_the_deviation_of_the_recipe() -> None:
    grey = torch.full((50, 1, 8, 8), 0.5)
    assert float((noise(grey, 0.1, rng()) - grey).std()) == pytest.approx(0.1, rel=0.05)
