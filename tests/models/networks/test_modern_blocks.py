"""Networks of modern blocks train, and their modules compute what the blocks' docstrings say."""

import pytest
import torch
from torch import nn

from archsieve.models.networks.build import build
from archsieve.models.networks.channel_modules import ChannelShuffleModule, LayerNormModule, LayerScaleModule
from archsieve.models.training.trainer import fit
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import (
    ChannelShuffle,
    ClassMaps,
    Conv,
    ConvNeXtBlock,
    DenseBlock,
    DepthwiseSeparable,
    Fire,
    FusedInvertedResidual,
    GlobalAverage,
    GroupedBottleneck,
    InvertedResidual,
    Norm,
    ShuffleUnit,
    SqueezeExcite,
)
from archsieve.spaces.recipes.recipe import Recipe

BODIES = {
    "inverted": (InvertedResidual(12, 3, stride=2, squeeze=0.25), InvertedResidual(act="hardswish"), SqueezeExcite()),
    "fused": (FusedInvertedResidual(12, squeeze=0.25, squeeze_form="expanded"), FusedInvertedResidual(expansion=1)),
    "separable": (DepthwiseSeparable(16, squeeze=0.5), ChannelShuffle(4), DepthwiseSeparable(24, 5, 2)),
    "grouped": (GroupedBottleneck(16, group_width=4, squeeze=0.25), GroupedBottleneck(24, 0.5, 2, stride=2)),
    "convnext": (Norm("layer"), ConvNeXtBlock(kernel=3, layer_scale=0.1), ConvNeXtBlock(16, 3, stride=2)),
    "shuffle": (ShuffleUnit(16, stride=2), ShuffleUnit(), ShuffleUnit()),
    "dense": (DenseBlock(2, 4), DenseBlock(2, 4, stride=2), Norm(act="relu")),
    "fire": (Fire(16), Fire(24)),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_network_of_each_block_learns(name, few_digits):
    end = ClassMaps() if name == "fire" else GlobalAverage()
    network = build(Architecture((1, 8, 8), (Conv(8), *BODIES[name], end), 10), seed=0)
    recipe = Recipe(epochs=10, batch_size=20, optimizer="adam", lr=1e-2, dropout=0.1, activation_l1=1e-6)
    history = fit(network, few_digits, recipe, seed=0)
    assert history[-1].train_loss < 0.95 * history[0].train_loss


def test_squeeze_excite_multiplies_channels_by_a_function_of_their_means():
    block = build(Architecture((8, 5, 5), (SqueezeExcite(0.5),), 10), seed=0)[0]
    first, second = (layer for layer in block.modules() if isinstance(layer, nn.Conv2d))
    x = torch.randn(3, 8, 5, 5)
    hidden = torch.relu(x.mean((2, 3)) @ first.weight[:, :, 0, 0].T + first.bias)
    scales = torch.sigmoid(hidden @ second.weight[:, :, 0, 0].T + second.bias)
    assert torch.allclose(block(x), x * scales[:, :, None, None], atol=1e-6)


def test_an_inverted_residual_adds_its_input_only_where_the_shape_stays():
    for block, adds in (
        (InvertedResidual(), True),
        (InvertedResidual(8, stride=2), False),
        (InvertedResidual(12), False),
    ):
        network = build(Architecture((8, 6, 6), (block,), 10), seed=0)[0].eval()
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.zeros_(layer.weight)  # the last norm makes the main branch zero
        x = torch.randn(2, 8, 6, 6)
        assert torch.equal(network(x), x) is adds


def test_layer_norm_normalises_the_channels_of_each_pixel():
    x = 3 + 2 * torch.randn(2, 16, 4, 5)
    out = LayerNormModule(16)(x)
    assert out.shape == x.shape
    assert torch.allclose(out.mean(1), torch.zeros(2, 4, 5), atol=1e-5)
    assert torch.allclose(out.var(1, unbiased=False), torch.ones(2, 4, 5), atol=1e-4)
    assert torch.allclose(LayerNormModule(16)(x[:, :, 0, 0]), out[:, :, 0, 0])


@pytest.mark.parametrize("groups", [2, 3, 4])
def test_channel_shuffle_is_that_of_torch(groups):
    x = torch.randn(2, 12, 3, 4)
    assert torch.equal(ChannelShuffleModule(groups)(x), nn.ChannelShuffle(groups)(x))


def test_layer_scale_starts_at_its_initial_value():
    x = torch.randn(2, 4, 3, 3)
    assert torch.allclose(LayerScaleModule(4, 0.25)(x), x / 4)
    network = build(Architecture((4, 8, 8), (ConvNeXtBlock(layer_scale=0.5),), 10), seed=0)
    scales = [layer.weight for layer in network.modules() if isinstance(layer, LayerScaleModule)]
    assert [weight.tolist() for weight in scales] == [[[[0.5]]] * 4]
