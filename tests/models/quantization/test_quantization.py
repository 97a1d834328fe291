"""int8: batch norms are folded without a change, rounding is undone, and torchao's networks predict as float32 does."""

import importlib.util
from copy import deepcopy

import pytest
import torch
from torch import nn

from archsieve.models.data.registry import load_data
from archsieve.models.metrics.label_losses import agreement
from archsieve.models.networks.build import build
from archsieve.models.quantization.folding import folded
from archsieve.models.quantization.int8 import calibration_images, drawn, extreme_images, quantized, scores_of
from archsieve.models.quantization.packages import require
from archsieve.models.quantization.rounding import in_int8, input_ranges, rounded_weight, weighted_layers
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, GlobalAverage, Inception, Linear, Residual

NETWORK = Architecture((2, 8, 8), (Conv(8), Residual(8), Inception(16), Linear(6)), 5)


def network_and_images(architecture=NETWORK, n=32):
    """Return a network whose norms have statistics, as after training, and random images."""
    network = build(architecture, seed=3)
    images = torch.rand(n, *architecture.input_shape, generator=torch.Generator().manual_seed(0))
    network.train()(images)
    return network.eval(), images


@torch.inference_mode()
def test_folding_removes_batch_norms_and_changes_no_score():
    network, images = network_and_images()
    before = deepcopy(network.state_dict())
    smaller = folded(network)
    assert sum(isinstance(one, nn.BatchNorm2d | nn.BatchNorm1d) for one in network.modules()) > 3
    assert not any(isinstance(one, nn.BatchNorm2d | nn.BatchNorm1d) for one in smaller.modules())
    assert torch.allclose(smaller(images), network(images), atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@torch.no_grad()
def test_rounding_changes_scores_a_little_and_is_undone():
    network, images = network_and_images()
    exact = network(images)
    ranges = input_ranges(network, images)
    assert list(ranges) == list(weighted_layers(network))
    assert all(low <= 0 <= high for low, high in ranges.values())
    with in_int8(network, ranges):
        rounded = network(images)
        weight = next(iter(weighted_layers(network).values())).weight
        assert len(weight[0].unique()) <= 255
    assert 0 < float((rounded - exact).abs().max()) < 0.1 * float(exact.abs().max())
    assert torch.equal(network(images), exact)


def test_each_output_channel_has_its_own_scale():
    weight = torch.tensor([[1.0, 0.5, -1.0], [1e-3, 4e-4, 2e-4], [0.0, 0.0, 0.0]])
    rounded = rounded_weight(weight)
    assert torch.allclose(rounded, weight, atol=0, rtol=0.02)
    assert (rounded - weight).abs().amax(1).tolist() <= [0.5 / 127, 0.5e-3 / 127, 0.0]


def test_calibration_images_are_training_images_and_always_the_same():
    data = load_data("digits", limit=60)
    first = drawn(data.train.images, 20)
    assert torch.equal(first, drawn(data.train.images, 20))
    rows = {one.numpy().tobytes() for one in data.train.images}
    assert all(one.numpy().tobytes() in rows for one in first)
    assert len(calibration_images(data, 10_000)) == len(data.train)


@torch.inference_mode()
def test_extreme_images_give_the_ranges_of_all():
    network, images = network_and_images(n=200)
    few = extreme_images(network, images)
    assert len(few) < 80
    some, every = input_ranges(network, few), input_ranges(network, images)
    assert [some[name] for name in every] == [pytest.approx(ends, rel=1e-5) for ends in every.values()]


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torchao" else find_spec(name))
    with pytest.raises(ValueError, match=r"int8 needs .*torchao is not installed.*'archsieve\[devices\]'"):
        require("int8", ("torch", "torchao"), "devices")
    network, images = network_and_images()
    with pytest.raises(ValueError, match=r"archsieve\[devices\]"):
        quantized(network, images)


def test_scores_and_agreement_are_those_of_all_images_at_once():
    network, images = network_and_images()
    with torch.inference_mode():
        exact = network(images / 2)
    assert torch.allclose(scores_of(network, images, lambda part: part / 2, len(images) - 1), exact, atol=1e-6)
    flipped = exact.clone()
    flipped[0, exact[0].argmin()] = exact.max().abs() + 1
    assert agreement(exact, flipped, multi_label=False) == pytest.approx(1 - 1 / len(images))
    flipped = torch.ones_like(exact)  # the same order with other labels: they agree in no label set
    assert agreement(-flipped, flipped, multi_label=True) == 0.0


@pytest.mark.slow  # the packages take half a minute of imports; the tests above check what they get
def test_torchao_quantises_any_number_of_images():
    pytest.importorskip("torchao")
    pytest.importorskip("executorch")
    network, images = network_and_images(Architecture((2, 8, 8), (Conv(8), Residual(8), GlobalAverage()), 5))
    with torch.inference_mode():
        exact = network(images)
    int8 = quantized(network, images)
    for n in (1, 2, 32):
        scores = scores_of(int8, images[:n])
        assert scores.shape == (n, 5)
        assert 0 < float((scores - exact[:n]).abs().max()) < 0.1 * float(exact.abs().max())
    assert torch.equal(scores_of(int8, images, batch_size=31), scores_of(int8, images))
