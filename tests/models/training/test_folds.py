"""Folds partition the training and validation images, and a cross-validation is one fit per fold."""

import io
from collections.abc import Callable
from statistics import fmean, stdev
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsieve.models.data.folds import cross_folds, fold_indices, fold_seed
from archsieve.models.data.registry import ImageData, Split, load_data
from archsieve.models.training.cross_validation import FoldedFit, FoldedResult
from archsieve.models.training.trainer import Fit
from archsieve.spaces.recipes.recipe import Recipe

Net = Callable[..., nn.Sequential]
RECIPE = Recipe(epochs=3, batch_size=32, lr=0.05, augmentation="shift", dropout=0.2)
NAMES = tuple("abcdefghij")


def image_bytes(split: Split) -> set[bytes]:
    return {image.numpy().tobytes() for image in split.images}


def test_each_image_is_validated_in_exactly_one_fold_and_none_is_a_test_image(digits: ImageData) -> None:
    folds = cross_folds(digits, 5, seed=0)
    pool = torch.cat([digits.train.labels, digits.val.labels])
    assert sum(len(fold.val) for fold in folds) == len(pool)
    for fold in folds:
        assert len(fold.train) + len(fold.val) == len(pool)
        assert not image_bytes(fold.train) & image_bytes(fold.val)
        assert digits.test is not None
        assert not (image_bytes(fold.train) | image_bytes(fold.val)) & image_bytes(digits.test)
        assert fold.test is digits.test
    assert set.union(*(image_bytes(fold.val) for fold in folds)) == image_bytes(digits.train) | image_bytes(digits.val)


def test_every_fold_has_its_share_of_each_class_and_its_statistics(digits: ImageData) -> None:
    pool = torch.cat([digits.train.labels, digits.val.labels]).bincount()
    folds = cross_folds(digits, 4, seed=1)
    for fold in folds:
        assert ((fold.val.labels.bincount() - pool / 4).abs() <= 1).all()
        assert torch.allclose(fold.mean, fold.train.images[:].mean())
    assert len({fold.mean.item() for fold in folds}) == len({fold.content_hash for fold in folds}) == 4


def test_the_seed_decides_the_folds(few_digits: ImageData) -> None:
    hashes = [[fold.content_hash for fold in cross_folds(few_digits, 3, seed=seed)] for seed in (7, 7, 8)]
    assert hashes[0] == hashes[1]
    assert not set(hashes[0]) & set(hashes[2])


def test_folds_by_class_validate_on_classes_without_training_images() -> None:
    labels = torch.arange(10).repeat_interleave(torch.arange(1, 11))
    pairs = fold_indices(labels, NAMES, 3, seed=0, by="class")
    val_classes = [set(labels[val].tolist()) for _, val in pairs]
    assert sorted(label for classes in val_classes for label in classes) == list(range(10))
    for train, val in pairs:
        assert not set(labels[train].tolist()) & set(labels[val].tolist())
        assert len(train) + len(val) == len(labels)
        assert torch.equal(train, train.sort().values)


@pytest.mark.parametrize(
    ("count", "by", "message"),
    [
        (1, "sample", r"folds .*2, but got 1"),
        (4, "sample", r"4 folds.*'c' has 3"),
        (11, "class", r"10 classes for 11 folds"),
        (2, "clas", r"'clas'.*'class'"),
    ],
)
def test_impossible_folds_are_refused(count: int, by: str, message: str) -> None:
    labels = torch.arange(10).repeat_interleave(torch.tensor([9, 9, 3, 9, 9, 9, 9, 9, 9, 9]))
    with pytest.raises(ValueError, match=message):
        fold_indices(labels, NAMES, count, seed=0, by=by)


def cross_validation(data: ImageData, net: Net, count: int = 3, seed: int = 4) -> FoldedFit:
    folds = cross_folds(data, count, seed=0)
    fits = [Fit(net(dropout=0.2), fold, RECIPE, seed=fold_seed(seed, k)) for k, fold in enumerate(folds)]
    return FoldedFit(fits, FoldedResult, keep_best=True)


def trained(run: FoldedFit) -> FoldedFit:
    while not run.done:
        run.step()
    return run


def weights(run: FoldedFit) -> list[Tensor]:
    return [tensor for fit in run.fits for tensor in fit.module.state_dict().values()]


def test_a_cross_validation_is_the_mean_of_its_folds(few_digits: ImageData, small_net: Net) -> None:
    run = trained(cross_validation(few_digits, small_net))
    fits = []
    for fold, data in enumerate(cross_folds(few_digits, 3, seed=0)):
        fit = Fit(small_net(dropout=0.2), data, RECIPE, seed=fold_seed(4, fold))
        while not fit.done:
            fit.step()
        fits.append(fit)
    for epoch, result in enumerate(run.history):
        accuracies = [fit.history[epoch].val_accuracy for fit in fits]
        assert result.epoch == epoch + 1
        assert result.val_accuracy == pytest.approx(fmean(accuracies))
        assert result.val_accuracy_std == pytest.approx(stdev(accuracies))
        assert result.val_loss == pytest.approx(fmean(fit.history[epoch].val_loss for fit in fits))


def test_the_best_networks_are_those_of_the_epoch_with_the_best_mean(few_digits: ImageData, small_net: Net) -> None:
    run = cross_validation(few_digits, small_net)
    weights_after = []
    while not run.done:
        run.step()
        weights_after.append([tensor.clone() for tensor in weights(run)])
    best = max(run.history, key=lambda result: (result.val_accuracy, -result.val_loss))
    best_weights = [tensor for module, _ in run.best_networks() for tensor in module.state_dict().values()]
    assert all(map(torch.equal, best_weights, weights_after[best.epoch - 1]))


def saved_and_loaded(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def test_resuming_is_bit_identical(few_digits: ImageData, small_net: Net) -> None:
    uninterrupted = cross_validation(few_digits, small_net)
    uninterrupted.step()
    state = saved_and_loaded(uninterrupted.state_dict())
    trained(uninterrupted)
    resumed = cross_validation(few_digits, small_net, seed=99)
    resumed.load_state_dict(state)
    assert resumed.epoch == 1
    assert trained(resumed).history == uninterrupted.history
    assert all(map(torch.equal, weights(resumed), weights(uninterrupted)))
    assert uninterrupted.best_weights is not None
    assert resumed.best_weights is not None
    for ours, theirs in zip(resumed.best_weights, uninterrupted.best_weights, strict=True):
        assert all(map(torch.equal, ours.values(), theirs.values()))


def test_a_fit_with_another_number_of_folds_cannot_be_resumed(few_digits: ImageData, small_net: Net) -> None:
    run = cross_validation(few_digits, small_net)
    for state in (cross_validation(few_digits, small_net, count=2).state_dict(), run.fits[0].state_dict()):
        with pytest.raises(ValueError, match=r"3 folds.*\b(2|no) folds"):
            run.load_state_dict(state)


def test_folds_keep_the_published_test_split(image_folder: Callable[..., Any]) -> None:
    for within in ("train", "val", "test"):
        root = image_folder(n=6, within=within)
    data = load_data("imagefolder", path=root, image_size=8)
    folds = cross_folds(data, 3, seed=0)
    assert data.test is not None
    assert [(len(fold.train), len(fold.val)) for fold in folds] == [(16, 8)] * 3
    assert all(fold.test is data.test for fold in folds)
