"""A ladder of fidelities: what each epoch is trained on, what a promotion keeps, and which epochs are results."""

from dataclasses import replace

import pytest
import torch

from archsieve.models.data.fidelity import at_fidelity, share_of
from archsieve.models.networks.build import build_for
from archsieve.models.training.epoch import best_of
from archsieve.models.training.ladder import LadderFit
from archsieve.models.training.trainer import Fit
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, Flatten, GlobalAverage
from archsieve.spaces.recipes.fidelity import CARRIED, DATA_SHARE, FIDELITY, IMAGE_SIZE, Rung, is_whole
from archsieve.spaces.recipes.recipe import Recipe

RUNGS = (Rung(1, 0.25, 4), Rung(3, 0.5))
RECIPE = Recipe(epochs=5, batch_size=25, lr=0.02, averaging="ema")


def ladder(data, end=GlobalAverage, rungs=RUNGS):
    architecture = Architecture((1, 8, 8), (Conv(4), end()), 10)

    def make(rung):
        size = 8 if rung is None else rung.size(8)
        network = build_for(replace(architecture, input_shape=(1, size, size)), RECIPE, seed=3)
        return Fit(network, data if rung is None else at_fidelity(data, rung), RECIPE, seed=3, keep_best=rung is None)

    return LadderFit(rungs, 8, make)


def trained(fit):
    while not fit.done:
        fit.step()
    return fit


def test_each_epoch_names_its_fidelity_and_only_whole_epochs_are_results(few_digits):
    fit, kept = ladder(few_digits), []
    while not fit.done:
        fit.step()
        kept.append(fit.best_weights is not None)
    metrics = [result.metrics for result in fit.history]
    assert [one[DATA_SHARE] for one in metrics] == [0.25, 0.5, 0.5, 1, 1]
    assert [one[IMAGE_SIZE] for one in metrics] == [4, 8, 8, 8, 8]
    assert [one[FIDELITY] for one in metrics] == [0.0625, 0.5, 0.5, 1, 1]
    assert [one.get(CARRIED) for one in metrics] == [None, 1, None, 1, None]
    assert kept == [False, False, False, True, True]
    # the best epoch is a whole one even where an epoch on a rung has a higher accuracy
    higher = [replace(fit.history[0], val_accuracy=1.0), *fit.history[1:]]
    assert best_of(higher) in fit.history[3:]


@pytest.mark.parametrize("end", [GlobalAverage, Flatten])
def test_a_resumed_ladder_gives_identical_results_after_every_epoch(few_digits, end):
    whole, interrupted = trained(ladder(few_digits, end)), ladder(few_digits, end)
    while not interrupted.done:
        interrupted.step()
        resumed = ladder(few_digits, end)
        resumed.load_state_dict(interrupted.state_dict())
        interrupted = resumed
    assert interrupted.history == whole.history
    assert all(map(torch.equal, interrupted.module.state_dict().values(), whole.module.state_dict().values()))


def test_weights_whose_shapes_depend_on_the_image_size_start_again(few_digits):
    fit = trained(ladder(few_digits, Flatten))
    total = sum(value.numel() for value in fit.module.state_dict().values())
    classifier = 10 * 4 * 8 * 8
    assert fit.history[1].metrics[CARRIED] == pytest.approx(1 - classifier / total)
    # a promotion keeps what the smaller fidelity has learned: the convolution before the next step is that of the rung
    at_rung = ladder(few_digits, Flatten, rungs=(Rung(1, 0.25, 4),))
    at_rung.step()
    before = at_rung.module.state_dict()
    at_rung._climb(1)
    kept = {name for name, value in at_rung.module.state_dict().items() if torch.equal(value, before.get(name))}
    assert len(kept) == len(before) - 1


def test_data_at_a_fidelity_are_a_share_of_each_class_and_smaller_images(few_digits):
    labels = few_digits.train.labels
    quarter, half = (share_of(labels, share) for share in (0.25, 0.5))
    assert set(quarter.tolist()) < set(half.tolist())
    counts, whole = labels[half].bincount(minlength=10), labels.bincount(minlength=10)
    assert all(abs(part - 0.5 * count) <= 0.5 for part, count in zip(counts.tolist(), whole.tolist(), strict=True))
    assert len(share_of(torch.ones(40, 3, dtype=torch.bool), 0.25)) == 10
    small = at_fidelity(few_digits, Rung(1, 0.25, 4))
    assert small.input_shape == (1, 4, 4)
    assert len(small.train) == len(quarter)
    assert len(small.val) == len(few_digits.val)
    pixels = few_digits.train.images[quarter[0], 0, :2, :2].float().mean()
    assert abs(float(small.train.images[0, 0, 0, 0]) - float(pixels)) <= (
        0.5 if small.train.images.dtype == torch.uint8 else 1e-6
    )


def test_metrics_without_a_fidelity_are_whole():
    assert [is_whole(one) for one in ({}, {FIDELITY: 1.0}, {FIDELITY: 0.5})] == [True, True, False]
