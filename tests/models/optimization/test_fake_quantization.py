"""Quantisation-aware training: the rounded pass is that of simulated int8, and the weights themselves stay float32."""

import pytest
import torch
from torch import nn

from archsieve.models.data.registry import load_data
from archsieve.models.networks.build import build
from archsieve.models.optimization.fake_quantization import FakeQuantization
from archsieve.models.quantization.rounding import in_int8, input_ranges
from archsieve.models.training.epoch import best_of
from archsieve.models.training.trainer import Fit
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.residual import Residual
from archsieve.spaces.blocks.standard import Conv, GlobalAverage
from archsieve.spaces.recipes.recipe import Recipe

SMALL = Architecture((1, 8, 8), (Conv(8), Residual(16), GlobalAverage()), 10)


def test_the_pass_is_that_of_simulated_int8_and_gradients_reach_the_weights():
    network = build(SMALL).eval()
    images = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.3
    with torch.inference_mode(), in_int8(network, input_ranges(network, images)):
        # each layer of in_int8 has the ranges of exact inputs, so only the first layer is compared
        expected = network[0](images)
        exact_after = network(images)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with FakeQuantization(network):
        first, scores = network[0](images), network(images)
        assert list(network.state_dict()) == list(before)
    assert torch.allclose(first, expected, atol=1e-6)
    assert not torch.equal(first, network[0](images))
    assert (scores - exact_after).abs().max() < 0.05 * exact_after.abs().max()
    scores.square().sum().backward()
    gradients = [weight.grad for weight in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() and gradient.any() for gradient in gradients)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_weights_are_restored_after_an_error():
    layer = nn.Linear(4, 2)
    with FakeQuantization(layer), pytest.raises(RuntimeError):
        layer(torch.ones(1, 5))
    assert layer.weight is next(layer.parameters())
    assert not layer._forward_hooks


def test_only_the_last_epochs_are_rounded_and_a_resumed_fit_is_the_same():
    data = load_data("digits", limit=120)

    def fit(**keys):
        return Fit(build(SMALL), data, Recipe(epochs=3, batch_size=32, **keys), seed=1)

    torch.manual_seed(0)
    exact = fit()
    state = exact.network.state_dict()
    rounded, resumed = fit(qat_epochs=2), fit(qat_epochs=2)
    for one in (rounded, resumed):
        one.network.load_state_dict(state)
    assert exact.step() == rounded.step()
    resumed.load_state_dict(rounded.state_dict())
    assert exact.step() != rounded.step() == resumed.step()
    assert rounded.step() == resumed.step()
    assert rounded.best.epoch in (2, 3)
    assert best_of(rounded.history[:1], after=1).epoch == 1  # a trial that a scheduler stopped
    head = Recipe(train="head", qat_epochs=2)  # its body does not change
    assert head.effective.qat_epochs == 0
