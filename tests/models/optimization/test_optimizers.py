"""Optimizers apply the recipe's numbers to the right parameters; schedules have the right start, peak and end."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from archsieve.models.optimization.optimizers import OPTIMIZERS, SCHEDULES, lr_at, make_optimizer, set_lr
from archsieve.spaces.recipes import recipe as recipes
from archsieve.spaces.recipes.recipe import Recipe


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.PReLU(), nn.Flatten(), nn.Linear(8, 3))


def test_the_tables_have_the_names_of_recipes() -> None:
    assert tuple(OPTIMIZERS) == recipes.OPTIMIZERS
    assert tuple(SCHEDULES) == recipes.SCHEDULES


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_only_weights_of_convolutions_and_linear_layers_decay(optimizer: str) -> None:
    module = net()
    groups = make_optimizer(module, Recipe(optimizer=optimizer, weight_decay=0.01)).param_groups
    by_decay = {group["weight_decay"]: {id(p) for p in group["params"]} for group in groups}
    assert by_decay[0.01] == {id(module[0].weight), id(module[4].weight)}
    assert len(by_decay[0.01]) + len(by_decay[0.0]) == len(list(module.parameters()))


def test_everything_decays_with_decay_norms() -> None:
    (group,) = make_optimizer(net(), Recipe(decay_norms=True)).param_groups
    assert len(group["params"]) == len(list(net().parameters()))
    assert group["weight_decay"] == Recipe().weight_decay


def test_frozen_parameters_are_left_out() -> None:
    module = net()
    module[0].requires_grad_(False)
    optimized = {id(p) for group in make_optimizer(module, Recipe()).param_groups for p in group["params"]}
    assert optimized == {id(p) for layer in module[1:] for p in layer.parameters()}
    with pytest.raises(ValueError, match="trainable parameters"):
        make_optimizer(nn.Flatten(), Recipe())


def test_nesterov_needs_momentum() -> None:
    assert make_optimizer(net(), Recipe(momentum=0.9)).defaults["nesterov"]
    assert not make_optimizer(net(), Recipe(momentum=0.9, nesterov=False)).defaults["nesterov"]
    assert not make_optimizer(net(), Recipe(momentum=0.0)).defaults["nesterov"]


def test_momentum_is_the_first_beta_of_adam() -> None:
    for optimizer in ("adam", "adamw"):
        assert make_optimizer(net(), Recipe(optimizer=optimizer, momentum=0.8)).defaults["betas"] == (0.8, 0.999)
    assert isinstance(make_optimizer(net(), Recipe(optimizer="adamw")), torch.optim.AdamW)


def test_set_lr_reaches_every_group() -> None:
    optimizer = make_optimizer(net(), Recipe())
    set_lr(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


@pytest.mark.parametrize("warmup", [0.0, 0.5, 3.0, 99.0])
@pytest.mark.parametrize("total", [1, 2, 3, 10, 1237])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_last_step_is_exactly_the_end(schedule: str, total: int, warmup: float) -> None:
    recipe = Recipe(epochs=10, lr=0.3, lr_end=0.01, schedule=schedule, warmup_epochs=warmup)
    lrs = [lr_at(recipe, step, total) for step in range(total)]
    assert lrs[-1] == (0.3 if schedule == "constant" else 0.3 * 0.01)
    assert all(0 < lr <= 0.3 for lr in lrs)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_rises_to_the_peak_once_and_falls(schedule: str) -> None:
    recipe = Recipe(epochs=10, lr=0.3, schedule=schedule, warmup_epochs=2)
    lrs = [lr_at(recipe, step, 100) for step in range(100)]
    assert lrs[20] == max(lrs) == 0.3
    assert lrs[:21] == sorted(lrs[:21])
    assert lrs[20:] == sorted(lrs[20:], reverse=True)
    assert lrs[0] < 0.02


def test_schedules_at_known_steps() -> None:
    recipe = Recipe(lr=1.0, lr_end=0.01)
    assert lr_at(recipe, 0, 101) == 1.0
    assert lr_at(recipe, 50, 101) == pytest.approx(0.505)
    step = replace(recipe, schedule="step")
    assert [lr_at(step, k, 101) for k in (49, 50, 74, 75)] == [1.0, math.sqrt(0.01), math.sqrt(0.01), 0.01]
    one_cycle = replace(recipe, schedule="one-cycle")
    assert [lr_at(one_cycle, k, 100) for k in (0, 30, 99)] == [1 / 25, 1.0, 0.01]


@pytest.mark.parametrize("step", [-1, 10])
def test_a_step_outside_the_run_is_refused(step: int) -> None:
    with pytest.raises(ValueError, match=rf"0 <= step < total_steps.*step={step}\b.*10"):
        lr_at(Recipe(), step, 10)
