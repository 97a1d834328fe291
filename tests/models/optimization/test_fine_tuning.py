"""Fine-tuning: which tensors change in which epochs, learning rates of layers, adapters, clipping."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from archsieve.models.data.dataset import ImageData
from archsieve.models.networks.adapters import adapters_of, add_adapters, merged
from archsieve.models.networks.build import build_for
from archsieve.models.optimization.fine_tuning import lr_scales
from archsieve.models.optimization.optimizers import make_optimizer, set_lr
from archsieve.models.training.trainer import Fit
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, GlobalAverage, Linear
from archsieve.spaces.recipes.recipe import Recipe

NETWORK = Architecture((1, 8, 8), (Conv(8), Conv(12), GlobalAverage(), Linear(16)), 10)
CHILDREN = ("0.", "1.", "3.", "4.")  # the children of the network that have tensors; the head is the last
BASE = Recipe(epochs=3, batch_size=32, lr=0.05)


def network(recipe: Recipe = BASE) -> nn.Sequential:
    return build_for(NETWORK, recipe, seed=0)


def fit(data: ImageData, **keys: object) -> Fit:
    recipe = Recipe(**{**BASE.to_json(), **keys})
    return Fit(network(recipe), data, recipe, seed=0)


def state(run: Fit) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in run.network.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[bool]:
    """For each child whether any of its tensors differs."""
    return [
        any(not torch.equal(before[name], after[name]) for name in before if name.startswith(child))
        for child in CHILDREN
    ]


def test_head_then_all_trains_the_head_alone_in_its_first_epochs(few_digits: ImageData) -> None:
    run = fit(few_digits, train="head-then-all", head_epochs=2)
    states = [state(run)]
    while not run.done:
        run.step()
        states.append(state(run))
    changes = [changed(before, after) for before, after in pairwise(states)]
    assert changes == [[False, False, False, True]] * 2 + [[True] * 4]


def test_the_last_epoch_trains_all(few_digits: ImageData) -> None:
    run = fit(few_digits, train="head-then-all", head_epochs=9)
    run.step(), run.step()
    before = state(run)
    run.step()
    assert changed(before, state(run)) == [True] * 4


@pytest.mark.parametrize(("count", "trained"), [(1, [False, True, True, True]), (9, [False, False, False, True])])
def test_frozen_stages_keep_weights_and_statistics(few_digits: ImageData, count: int, trained: list[bool]) -> None:
    run = fit(few_digits, frozen_stages=count)
    before = state(run)
    run.step()
    assert changed(before, state(run)) == trained


def test_each_layer_has_its_learning_rate() -> None:
    recipe, module = Recipe(layer_lr_decay=0.5, head_lr_factor=3.0), network()
    scales = lr_scales(module, recipe)
    layers = [next(iter(module[int(child[0])].parameters())) for child in CHILDREN]
    assert [scales[id(weight)] for weight in layers] == [0.125, 0.25, 0.5, 3.0]
    optimizer = make_optimizer(module, recipe)
    set_lr(optimizer, 0.2)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert set(rates) == {id(p) for p in module.parameters()}
    assert [rates[id(weight)] for weight in layers] == pytest.approx([0.025, 0.05, 0.1, 0.6])
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, recipe.weight_decay}


def test_the_default_has_two_groups_without_factors() -> None:
    groups = make_optimizer(network(), Recipe()).param_groups
    assert len(groups) == 2
    assert not any("lr_scale" in group for group in groups)


def test_the_norm_of_a_clipped_gradient_is_at_most_the_limit(few_digits: ImageData) -> None:
    keys = {"batch_size": 200, "epochs": 1, "momentum": 0.0, "weight_decay": 0.0, "lr": 1.0, "schedule": "constant"}
    moves = []
    for limit in (0.0, 0.01):
        run = fit(few_digits, **keys, clip_grad_norm=limit)
        before = [p.detach().clone() for p in run.module.parameters()]
        run.step()
        squares = [(p.detach() - old).square().sum() for p, old in zip(run.module.parameters(), before, strict=True)]
        moves.append(float(torch.stack(squares).sum().sqrt()))
    assert moves[0] > 0.05
    assert moves[1] == pytest.approx(0.01, rel=1e-2)


def test_adapters_are_trained_and_merged(few_digits: ImageData) -> None:
    run = fit(few_digits, adapter="lora", lora_rank=2, epochs=6, lr=0.01)
    plain = network().state_dict()
    before = state(run)
    assert list(before) == list(plain)
    assert all(torch.equal(before[name], plain[name]) for name in plain)  # an untrained adapter changes nothing
    frozen = [name for name in plain if not name.endswith("weight") and name[:2] != CHILDREN[-1]]
    while not run.done:
        run.step()
    after = state(run)
    assert all(torch.equal(after[name], plain[name]) for name in frozen)  # biases and norms
    for name in ("0.0.weight", "1.0.weight", "3.0.weight"):
        assert torch.linalg.matrix_rank((after[name] - plain[name]).flatten(1)) == 2
    assert run.history[-1].train_loss < run.history[0].train_loss
    images = few_digits.normalise(few_digits.val.images)
    whole = run.network
    torch.testing.assert_close(whole.eval()(images), run.module.eval()(images))
    assert adapters_of(whole) == []
    assert merged(whole) is whole


def test_an_adapter_has_at_most_the_rank_of_its_weight(few_digits: ImageData) -> None:
    run = fit(few_digits, adapter="lora", lora_rank=100)
    assert [adapter.rank for adapter in adapters_of(run.module)] == [8, 12, 12]


def test_a_merged_layer_has_its_tensors_in_their_order() -> None:
    layers = pytest.importorskip("timm.layers")
    module = nn.Sequential(layers.ScaledStdConv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    names = list(module.state_dict())
    assert "0.gain" in names
    add_adapters(module, module[2], rank=2, alpha=1.0, seed=0)
    assert list(merged(module).state_dict()) == names


@pytest.mark.parametrize(
    "keys", [{"train": "head"}, {"train": "head-then-all"}, {"frozen_stages": 1}, {"adapter": "lora"}]
)
def test_a_network_without_a_head_is_refused(few_digits: ImageData, keys: dict[str, object]) -> None:
    module = nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten())
    with pytest.raises(ValueError, match=r"Conv2d.*recipe\.train"):
        Fit(module, few_digits, Recipe(**keys), seed=0)  # type: ignore[arg-type]
