"""Custom modules as blocks: what is measured is never less than what the module takes."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

import archsieve as av
from archsieve.models.networks.build import build
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.layers import Act, Convolution
from archsieve.spaces.parameters.user_code import PluginError

SHAPE = (3, 16, 16)


class Attention(nn.Module):
    """Self-attention over the positions, without projections."""

    def forward(self, x):
        flat = x.flatten(2).transpose(1, 2)
        return torch.nn.functional.scaled_dot_product_attention(flat, flat, flat).transpose(1, 2).reshape(x.shape)


class Mistake(nn.Module):
    def forward(self, x):
        return x * undefined_name  # noqa: F821


class Reading(nn.Module):
    def forward(self, x):
        return x * x.sum().item()


def frozen(channels):
    return nn.Conv2d(channels, 100, 3, padding=1).requires_grad_(False)


MODULES = {
    "gelu": lambda channels: nn.GELU(),
    "tanh": lambda channels: nn.Tanh(),
    "pool": lambda channels: nn.MaxPool2d(2),
    "both": lambda channels: nn.Sequential(nn.Conv2d(channels, 32, 3, padding=1), nn.BatchNorm2d(32), nn.GELU()),
    "frozen": frozen,
    "attention": lambda channels: Attention(),
    "mistake": lambda channels: Mistake(),
    "reading": lambda channels: Reading(),
    "misfit": lambda channels: nn.Conv2d(channels + 1, 4, 3),
    "builder": lambda channels: {}["boom"],
}


@dataclass(frozen=True)
class Custom(av.ModuleBlock):
    """The module of that name."""

    name: str

    kind = "test-custom"

    def module(self, in_shape):
        return MODULES[self.name](in_shape[0])


def saved_bytes(network, batch):
    """Return the bytes that training saves for the backward pass, each storage once, parameters left out."""
    own = {p.untyped_storage().data_ptr() for p in (*network.parameters(), *network.buffers())}
    saved = {}

    def pack(tensor):
        saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network.train()(batch).sum().backward()
    return sum(t.untyped_storage().nbytes() for place, t in saved.items() if place not in own)


@pytest.mark.parametrize("name", ["gelu", "tanh", "pool", "both"])
def test_the_predicted_memory_is_at_least_what_training_saves(name):
    blocks = [part for _ in range(3) for part in (Convolution(32, 3, padding=1), Custom(name))]
    architecture = av.Architecture(SHAPE, (*blocks, av.GlobalAverage()), 10)
    network, batch = build(architecture, seed=0), torch.rand(4, *SHAPE)
    assert architecture.cost.kept_bytes * 4 >= saved_bytes(network, batch)
    assert architecture.cost.params == sum(p.numel() for p in network.parameters())


def test_a_custom_activation_is_predicted_like_the_one_of_the_package():
    def of(block):
        return av.Architecture(SHAPE, (Convolution(32, 3, padding=1), block, av.GlobalAverage()), 10).cost.kept_bytes

    assert of(Act("gelu")) <= of(Custom("gelu")) <= 1.5 * of(Act("gelu"))


def test_frozen_parameters_and_attention_count():
    network = av.Architecture(SHAPE, (Custom("frozen"), Custom("attention"), av.GlobalAverage()), 10)
    convolution, products = 100 * 3 * 9, 2 * 256 * 256 * 100  # scores, then weighted values, over 16 x 16 positions
    assert cost(network).params == convolution + 100 + 100 * 10 + 10
    assert cost(network).macs == convolution * 256 + products + 100 * 10


def test_a_mistake_in_a_module_is_an_error_and_a_misfit_is_left_out():
    space = av.Space(SHAPE, [av.choice(av.Conv(8), Custom("misfit")), av.GlobalAverage()], classes=10)
    assert int(av.count(space)) == 1
    for name, message in (
        ("mistake", r"test-custom.*undefined_name.*test_module_block\.py:\d+"),
        ("reading", "test-custom.*values of its tensors"),
        ("builder", r"test-custom.*KeyError.*test_module_block\.py:\d+"),
    ):
        space = av.Space(SHAPE, [av.choice(av.Conv(8), Custom(name)), av.GlobalAverage()], classes=10)
        with pytest.raises(PluginError, match=message):
            av.count(space)


def test_a_block_that_makes_another_module_each_time_is_refused_when_it_is_built():
    made = []

    @av.register_block("test-changing")
    @dataclass(frozen=True)
    class Changing(av.ModuleBlock):
        def module(self, in_shape):
            made.append(in_shape)
            return nn.Conv2d(in_shape[0], 4 + len(made), 1)

    network = av.Architecture(SHAPE, (Changing(), av.GlobalAverage()), 10)
    with pytest.raises(PluginError, match=r"'test-changing'.*20 parameters.*24 now at .*test_module_block\.py:\d+"):
        build(network)
