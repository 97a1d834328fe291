"""Weight averaging, auxiliary tasks and the learning rate search: their effects, and bit-identical resumption."""

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsieve.models.data.folds import cross_folds
from archsieve.models.data.registry import ImageData
from archsieve.models.training.auxiliary_tasks import AuxiliaryTask, make_auxiliary_task
from archsieve.models.training.cross_validation import FoldedFit, FoldedResult
from archsieve.models.training.evaluate import evaluate
from archsieve.models.training.lr_finder import find_lr
from archsieve.models.training.trainer import Fit
from archsieve.spaces.recipes.recipe import Recipe

Net = Callable[..., nn.Sequential]


def saved_and_loaded(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def finished(run: Fit) -> Fit:
    while not run.done:
        run.step()
    return run


def tensors(run: Fit) -> list[Tensor]:
    return [*run.module.state_dict().values(), *run.validated_network.state_dict().values()]


BASE: dict[str, Any] = {"epochs": 4, "batch_size": 32, "lr": 0.02, "dropout": 0.1}
OPTIONS: list[dict[str, Any]] = [
    {"averaging": "ema", "ema_decay": 0.9},
    {"averaging": "swa", "swa_start": 0.25},
    {"auxiliary": "rotation"},
    {"auxiliary": "reconstruction", "optimizer": "adam", "lr": 1e-3},
    {"find_lr": True, "lr": 8.0},
    {"l1": 1e-3, "activation_l1": 0.1},
    {"elastic_alpha_px": 8.0, "elastic_sigma_px": 2.0, "noise_std": 0.1, "rotation_degrees": 10.0, "jitter": 0.2},
    {"train": "head-then-all", "head_epochs": 2, "layer_lr_decay": 0.7, "head_lr_factor": 4.0},
    {"adapter": "lora", "lora_rank": 2, "frozen_stages": 1, "averaging": "ema"},
    {"mixup_alpha": 0.4, "cutmix_alpha": 1.0, "clip_grad_norm": 0.5},
    {"randaugment_ops": 1, "random_erasing": 0.5},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, list(options.values())[:2])))
@pytest.mark.parametrize("n_epochs", [1, 3])
def test_a_resumed_fit_is_bit_identical_to_an_uninterrupted_one(
    few_digits: ImageData, small_net: Net, options: dict[str, Any], n_epochs: int
) -> None:
    recipe = Recipe(**BASE | options)
    uninterrupted = finished(Fit(small_net(dropout=0.1), few_digits, recipe, seed=0, keep_best=True))
    interrupted = Fit(small_net(dropout=0.1), few_digits, recipe, seed=0, keep_best=True)
    for _ in range(n_epochs):
        interrupted.step()
    resumed = Fit(small_net(dropout=0.1), few_digits, recipe, seed=9, keep_best=True)
    resumed.load_state_dict(saved_and_loaded(interrupted.state_dict()))
    assert finished(resumed).history == uninterrupted.history
    assert all(map(torch.equal, tensors(resumed), tensors(uninterrupted)))
    assert resumed.lrs_found == uninterrupted.lrs_found
    assert uninterrupted.best_weights is not None
    assert resumed.best_weights is not None
    assert all(torch.equal(value, uninterrupted.best_weights[name]) for name, value in resumed.best_weights.items())


def test_each_option_changes_the_run(few_digits: ImageData, small_net: Net) -> None:
    plain = finished(Fit(small_net(), few_digits, Recipe(**BASE), seed=0)).history
    for options in OPTIONS:
        assert finished(Fit(small_net(), few_digits, Recipe(**BASE | options), seed=0)).history != plain, options


def test_a_checkpoint_without_these_keys_is_resumed(few_digits: ImageData, small_net: Net) -> None:
    interrupted = Fit(small_net(), few_digits, Recipe(**BASE), seed=0)
    interrupted.step()
    state = interrupted.state_dict()
    old_keys = ("epochs", "batch_size", "optimizer", "lr", "momentum", "nesterov", "weight_decay", "dropout")
    state["recipe"] = {name: state["recipe"][name] for name in old_keys}
    resumed = Fit(small_net(), few_digits, Recipe(**BASE), seed=0)
    resumed.load_state_dict(state)
    assert finished(resumed).history == finished(interrupted).history


@pytest.mark.parametrize("task", ["rotation", "reconstruction"])
def test_an_auxiliary_task_of_weight_zero_changes_nothing(few_digits: ImageData, small_net: Net, task: str) -> None:
    single = finished(Fit(small_net(), few_digits, Recipe(**BASE, augmentation="shift"), seed=0))
    recipe = Recipe(**BASE, augmentation="shift", auxiliary=task, auxiliary_weight=0.0)
    weightless = finished(Fit(small_net(), few_digits, recipe, seed=0))
    assert weightless.history == single.history
    assert all(map(torch.equal, tensors(weightless), tensors(single)))


@pytest.mark.parametrize(("task", "params"), [("rotation", 512 * 4 + 4), ("reconstruction", 512 * 64 + 64)])
def test_an_auxiliary_head_is_trained_and_is_not_part_of_the_network(
    few_digits: ImageData, small_net: Net, task: str, params: int
) -> None:
    recipe = Recipe(epochs=8, batch_size=32, lr=0.02, auxiliary=task, auxiliary_weight=1.0)
    run = Fit(small_net(), few_digits, recipe, seed=0)
    assert run.task.auxiliary is not None
    assert sum(p.numel() for p in run.task.auxiliary.parameters()) == params
    assert list(run.module.state_dict()) == list(small_net().state_dict())
    images = few_digits.normalise(few_digits.train.images)

    def loss(head: AuxiliaryTask) -> float:
        with torch.no_grad():
            return float(head(run.module, images, torch.Generator().manual_seed(0)))

    before = loss(run.task.auxiliary)
    assert loss(finished(run).task.auxiliary) < 0.8 * before  # type: ignore[arg-type]
    assert run.history[-1].val_accuracy > 0.6


def test_rotation_needs_square_images_and_a_head_needs_a_linear_layer(small_net: Net) -> None:
    with pytest.raises(ValueError, match=r"square.*8x6.*'reconstruction'"):
        make_auxiliary_task(small_net(), torch.zeros(1, 8, 6), Recipe(auxiliary="rotation"), 0)
    with pytest.raises(ValueError, match="no linear layer"):
        make_auxiliary_task(nn.Sequential(nn.Flatten()), torch.zeros(1, 8, 8), Recipe(auxiliary="rotation"), 0)


def test_swa_is_the_mean_over_the_ends_of_the_last_epochs(few_digits: ImageData, small_net: Net) -> None:
    run = Fit(small_net(), few_digits, Recipe(**BASE | {"averaging": "swa", "swa_start": 0.5}), seed=0)
    weights_after = []
    while not run.done:
        run.step()
        weights_after.append({name: value.clone() for name, value in run.module.state_dict().items()})
        assert (run.validated_network is run.module) == (run.epoch <= 2)
    for name, value in run.validated_network.named_parameters():
        torch.testing.assert_close(value.detach(), (weights_after[2][name] + weights_after[3][name]) / 2)
    evaluation = evaluate(run.validated_network, few_digits.val, few_digits)
    assert (run.history[-1].val_loss, run.history[-1].val_accuracy) == (
        pytest.approx(evaluation.loss),
        evaluation.accuracy,
    )


def test_averaging_does_not_change_the_training(few_digits: ImageData, small_net: Net) -> None:
    plain = finished(Fit(small_net(), few_digits, Recipe(**BASE), seed=0))
    averaged = finished(Fit(small_net(), few_digits, Recipe(**BASE, averaging="ema", ema_decay=0.9), seed=0))
    assert all(map(torch.equal, plain.module.state_dict().values(), averaged.module.state_dict().values()))
    assert [e.train_loss for e in plain.history] == [e.train_loss for e in averaged.history]


def test_a_found_rate_trains_like_a_given_rate(few_digits: ImageData, small_net: Net) -> None:
    recipe = Recipe(**BASE | {"lr": 64.0, "find_lr": True})
    run = finished(Fit(small_net(), few_digits, recipe, seed=0))
    (found,) = run.lrs_found
    assert found == find_lr(small_net(), few_digits, recipe, start_lr=64.0, seed=0)
    given = finished(Fit(small_net(), few_digits, Recipe(**BASE | {"lr": found.lr}), seed=0))
    assert run.history == given.history
    assert run.history[-1].lr == found.lr * recipe.lr_end


def test_every_fold_searches_its_own_rate(digits: ImageData, small_net: Net) -> None:
    folds = cross_folds(digits, 2, seed=0)
    recipe = Recipe(epochs=1, batch_size=256, lr=64.0, find_lr=True)
    run = FoldedFit([Fit(small_net(), fold, recipe, seed=0) for fold in folds], FoldedResult)
    assert run.lrs_found == []
    run.step()
    assert len(run.lrs_found) == 2
