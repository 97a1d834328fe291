"""The learning rate search; on a quadratic the right result is known."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from archsieve.models.data.registry import ImageData
from archsieve.models.training.epoch import Diverged
from archsieve.models.training.lr_finder import LrFound, NoLearningRate, find_lr, halve_until_loss_falls
from archsieve.models.training.trainer import Fit, fit
from archsieve.spaces.recipes.recipe import Recipe

Net = Callable[..., nn.Sequential]


def descent(curvature: float, steps: int = 50) -> Callable[[float], list[float]]:
    """Return the losses of gradient descent on curvature x**2 / 2 from x = 1, as a function of the rate."""

    def losses_at(lr: float) -> list[float]:
        x = torch.tensor(1 - lr * curvature, dtype=torch.float64) ** torch.arange(steps)
        return [float(loss) for loss in curvature / 2 * x**2]

    return losses_at


@pytest.mark.parametrize("curvature", [0.3, 1.0, 7.0, 123.4, 4e3])
@pytest.mark.parametrize("start_lr", [10.0, 27.0])
def test_on_a_quadratic_the_rate_is_between_one_and_two_over_the_curvature(curvature: float, start_lr: float) -> None:
    result = halve_until_loss_falls(descent(curvature), start_lr)
    assert 1 / curvature <= result.lr < 2 / curvature
    assert [attempt.lr for attempt in result.tries] == [start_lr / 2**i for i in range(len(result.tries))]
    assert [attempt.diverged for attempt in result.tries] == [True] * (len(result.tries) - 1) + [False]


def test_a_first_rate_that_trains_is_the_result() -> None:
    assert halve_until_loss_falls(descent(0.1), 1.0).lr == 1.0


def test_an_error_is_raised_if_every_rate_diverges() -> None:
    with pytest.raises(NoLearningRate, match=r"31 .*from 1 to 9.3.*e-10") as error:
        halve_until_loss_falls(lambda lr: [1.0, float("nan")], 1.0)
    assert isinstance(error.value, Diverged)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def plain_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def test_the_found_rate_trains_and_the_first_rate_diverges(few_digits: ImageData) -> None:
    recipe = Recipe(epochs=5, batch_size=32, schedule="constant")
    result = find_lr(plain_net(), few_digits, recipe, start_lr=64.0, seed=0)
    assert result.tries[0].diverged
    history = fit(plain_net(), few_digits, Recipe(epochs=8, batch_size=32, lr=result.lr), seed=1)
    assert history[-1].train_accuracy > 0.8


def test_the_search_changes_neither_network_nor_generator_and_is_reproducible(
    few_digits: ImageData, small_net: Net
) -> None:
    module, recipe = small_net(dropout=0.3), Recipe(batch_size=32, dropout=0.3)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.get_rng_state()
    result = find_lr(module, few_digits, recipe, start_lr=8.0, n_images=64, steps=20, seed=3)
    assert isinstance(result, LrFound)
    assert result == find_lr(module, few_digits, recipe, start_lr=8.0, n_images=64, steps=20, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_the_rate_is_found_with_the_factors_of_the_recipe(few_digits: ImageData) -> None:
    """Where the only layer has half of the rate, each rate that is tried does what half of it does without a factor."""
    torch.manual_seed(0)
    module, recipe = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), Recipe(batch_size=32)
    plain = find_lr(module, few_digits, recipe, start_lr=64.0, seed=0)
    halved = find_lr(module, few_digits, replace(recipe, head_lr_factor=0.5), start_lr=128.0, seed=0)
    assert len(plain.tries) > 1
    assert [attempt.last_loss for attempt in halved.tries] == [attempt.last_loss for attempt in plain.tries]
    assert halved.lr == 2 * plain.lr


def test_the_search_leaves_frozen_batch_norm_in_evaluation_mode(few_digits: ImageData) -> None:
    """Its running statistics have no effect in training mode, so the first loss shows in which mode it is."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 10))
    losses = []
    for mean in (0.0, 3.0):
        module[1].running_mean.fill_(mean)
        recipe = Recipe(epochs=1, batch_size=32, lr=0.01, find_lr=True, frozen_stages=1)
        run = Fit(deepcopy(module), few_digits, recipe, seed=0)
        run.step()
        losses.append(run.lrs_found[0].tries[0].first_loss)
    assert losses[0] != losses[1]
