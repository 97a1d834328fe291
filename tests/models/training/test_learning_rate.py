"""The rule for the learning rate: on a quadratic it is known what it must find."""

import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn

from archsieve.models.data.registry import ImageData
from archsieve.models.training.epoch import Diverged
from archsieve.models.training.lr_finder import LrFound, NoLearningRate, find_lr, first_that_falls
from archsieve.models.training.trainer import fit
from archsieve.spaces.recipes.recipe import Recipe

Net = Callable[..., nn.Sequential]


def descent(curvature: float, steps: int = 50) -> Callable[[float], list[float]]:
    """The losses of gradient descent on curvature x**2 / 2 from x = 1."""

    def losses_at(lr: float) -> list[float]:
        x = torch.tensor(1 - lr * curvature, dtype=torch.float64) ** torch.arange(steps)
        return [float(loss) for loss in curvature / 2 * x**2]

    return losses_at


@pytest.mark.parametrize("curvature", [0.3, 1.0, 7.0, 123.4, 4e3])
@pytest.mark.parametrize("start_lr", [10.0, 27.0])
def test_on_a_quadratic_it_is_within_a_factor_two_below_two_over_the_curvature(
    curvature: float, start_lr: float
) -> None:
    found = first_that_falls(descent(curvature), start_lr)
    assert 1 / curvature <= found.lr < 2 / curvature
    assert [tried.lr for tried in found.tries] == [start_lr / 2**i for i in range(len(found.tries))]
    assert [tried.diverged for tried in found.tries] == [True] * (len(found.tries) - 1) + [False]


def test_a_rate_that_trains_at_once_is_kept() -> None:
    assert first_that_falls(descent(0.1), 1.0).lr == 1.0


def test_where_every_rate_diverges_it_says_so() -> None:
    with pytest.raises(NoLearningRate, match=r"none of 31 from 1 to 9.3.*e-10 does") as caught:
        first_that_falls(lambda lr: [1.0, float("nan")], 1.0)
    assert isinstance(caught.value, Diverged)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def plain_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def test_what_is_found_trains_and_what_was_refused_does_not(few_digits: ImageData) -> None:
    recipe = Recipe(epochs=5, batch_size=32, schedule="constant")
    found = find_lr(plain_net(), few_digits, recipe, start_lr=64.0, seed=0)
    assert found.tries[0].diverged
    history = fit(plain_net(), few_digits, Recipe(epochs=8, batch_size=32, lr=found.lr), seed=1)
    assert history[-1].train_accuracy > 0.8


def test_it_leaves_the_network_and_the_generator_alone_and_repeats(few_digits: ImageData, small_net: Net) -> None:
    module, recipe = small_net(dropout=0.3), Recipe(batch_size=32, dropout=0.3)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    place = torch.get_rng_state()
    found = find_lr(module, few_digits, recipe, start_lr=8.0, n_images=64, steps=20, seed=3)
    assert isinstance(found, LrFound)
    assert found == find_lr(module, few_digits, recipe, start_lr=8.0, n_images=64, steps=20, seed=3)
    assert torch.equal(place, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
