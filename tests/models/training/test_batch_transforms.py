"""Augmentation by torchvision, and mixing of images: ranges, seeds, and what becomes of the labels."""

import pytest
import torch
from torch import Generator

from archsieve.models.training.batch_transforms import mix, randaugment, random_erasing, targets_of
from archsieve.spaces.recipes.recipe import Recipe


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("channels", [1, 3])
def test_randaugment_changes_each_image_by_the_seed(channels: int) -> None:
    images = torch.rand(1, channels, 16, 16, generator=rng(1)).repeat(12, 1, 1, 1)
    before = torch.get_rng_state()
    first, repeated = randaugment(images, 2, 15, rng()), randaugment(images, 2, 15, rng())
    assert torch.equal(first, repeated)
    assert torch.equal(before, torch.get_rng_state())
    assert len({image.numpy().tobytes() for image in first}) > 6
    assert first.shape == images.shape
    assert 0 <= first.min() <= first.max() <= 1


def test_randaugment_needs_grey_or_coloured_images() -> None:
    with pytest.raises(ValueError, match=r"randaugment_ops .*1 or 3 .*4"):
        randaugment(torch.rand(2, 4, 8, 8), 1, 9, rng())


def test_random_erasing_sets_a_rectangle_to_the_mean() -> None:
    images = torch.ones(40, 3, 16, 16)
    erased = (random_erasing(images, 0.5, rng()) == 0).all(1)
    assert 10 < sum(bool(mask.any()) for mask in erased) < 30
    for mask in erased[erased.any(2).any(1)]:
        rows, columns = mask.any(1).sum(), mask.any(0).sum()
        assert mask.sum() == rows * columns  # a full rectangle


def test_mixup_averages_images_and_labels() -> None:
    values = torch.arange(6.0)
    images, labels = values.view(6, 1, 1, 1).expand(6, 2, 4, 4), torch.arange(6)
    mixed, targets = mix(images, targets_of(labels, 6), Recipe(mixup_alpha=1.0), rng())
    assert targets.shape == (6, 6)
    torch.testing.assert_close(targets.sum(1), torch.ones(6))
    torch.testing.assert_close(mixed[:, 0, 0, 0], targets @ values)
    assert 0 < targets.max() < 1


def test_cutmix_gives_the_label_the_share_of_the_pixels() -> None:
    values = torch.arange(6.0)
    images = values.view(6, 1, 1, 1).expand(6, 1, 8, 8).clone()
    mixed, targets = mix(images, targets_of(torch.arange(6), 6), Recipe(cutmix_alpha=1.0), rng(3))
    shares = torch.stack([(mixed == value).float().mean((1, 2, 3)) for value in values], 1)
    torch.testing.assert_close(targets, shares)
    assert 0 < targets.max() < 1


def test_with_both_each_batch_has_one_of_the_two() -> None:
    images, generator = torch.rand(4, 1, 8, 8), rng()
    recipe = Recipe(mixup_alpha=1.0, cutmix_alpha=1.0)
    kept = [
        bool((mix(images, targets_of(torch.arange(4), 4), recipe, generator)[0] == images).any(3).any(2).any())
        for _ in range(40)
    ]
    assert 5 < sum(kept) < 35  # mixup changes each pixel


def test_several_labels_of_an_image_are_averaged() -> None:
    labels = torch.tensor([[1, 1, 0], [0, 0, 1]])
    _, targets = mix(torch.rand(2, 1, 4, 4), targets_of(labels, 3), Recipe(mixup_alpha=1.0), rng())
    share = targets[0, 0]
    torch.testing.assert_close(
        targets,
        torch.stack([share, 1 - share]).unsqueeze(1) * labels[0]
        + torch.stack([1 - share, share]).unsqueeze(1) * labels[1],
    )
