"""Build networks: one torch module for each layer of an architecture."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from ...spaces.architectures.architecture import Architecture
from ...spaces.blocks import channel_layers, layers
from ...spaces.blocks.backbone import Backbone, RepeatChannels, Resize
from ...spaces.blocks.base import Shape
from ...spaces.blocks.layers import LocalContrast
from ...spaces.parameters.lookup import look_up
from ...spaces.parameters.user_code import PluginError, at_definition
from ...spaces.recipes.recipe import Recipe
from ..process.random_state import seeded
from .backbones import backbone
from .channel_modules import (
    ChannelMeanModule,
    ChannelShuffleModule,
    ChannelSliceModule,
    LayerNormModule,
    LayerScaleModule,
)
from .drop_path import set_drop_path
from .modules import (
    BranchesModule,
    DropConnectLinear,
    GlobalPoolingModule,
    LocalContrastModule,
    PadShortcutModule,
    RepeatChannelsModule,
    ResizeModule,
)

# ReLU may overwrite its input only if the layer before makes a new tensor that no other layer reads.
_NEW_OUTPUT = (layers.Convolution, layers.BatchNorm, layers.FullyConnected, layers.Branches)

ACTIVATION_MODULES: dict[str, Callable[[int], nn.Module]] = {
    "relu": lambda channels: nn.ReLU(),
    "relu6": lambda channels: nn.ReLU6(),
    "prelu": nn.PReLU,
    "leaky-relu": lambda channels: nn.LeakyReLU(0.01),
    "elu": lambda channels: nn.ELU(),
    "gelu": lambda channels: nn.GELU(),
    "silu": lambda channels: nn.SiLU(),
    "hardswish": lambda channels: nn.Hardswish(),
    "hardsigmoid": lambda channels: nn.Hardsigmoid(),
    "tanh": lambda channels: nn.Tanh(),
    "sigmoid": lambda channels: nn.Sigmoid(),
}


def build(
    architecture: Architecture,
    *,
    dropout: float = 0.0,
    dropconnect: float = 0.0,
    init: str = "he",
    seed: int | None = None,
    device: torch.device | str | None = None,
    skip: int = 0,
) -> nn.Sequential:
    """Build the network of ``architecture``: (N, C, H, W) float -> (N, classes) scores.

    Its children are the blocks in order and the head. ``dropout`` is the probability that an input of a fully connected
    layer is dropped, ``dropconnect`` that one of its weights is. ``init`` is a key of ``INITS``. These three belong to
    the recipe and do not change the cost of the network.

    With ``seed`` the weights depend on the seed alone, and torch's global generator is left unchanged.
    ``device="meta"`` builds without allocating memory. The first ``skip`` blocks are left out.
    """
    with seeded(seed), torch.device(device or torch.get_default_device()):
        drop = DropRates(dropout, dropconnect)
        blocks = [_chain(placed.layers, placed.in_shape, drop) for placed in list(architecture.walk())[skip:]]
        network = nn.Sequential(*blocks)
        if str(device) != "meta":  # meta tensors have no values to initialise
            network.apply(look_up(INITS, init, "initialisation"))
    return network


def initialise(module: nn.Module) -> None:
    """Apply He's normal initialisation to weights (variance 2 / fan_in, arXiv 1502.01852), and zero the biases."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def initialise_glorot(module: nn.Module) -> None:
    """Apply Glorot's normal initialisation to weights (variance 2 / (fan_in + fan_out), 2010), and zero the biases."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


INITS: dict[str, Callable[[nn.Module], None]] = {"he": initialise, "glorot": initialise_glorot}


def build_for(architecture: Architecture, recipe: Recipe, *, seed: int) -> nn.Sequential:
    """The network as ``recipe`` trains it."""
    network = build(architecture, dropout=recipe.dropout, dropconnect=recipe.dropconnect, init=recipe.init, seed=seed)
    if recipe.effective.drop_path:
        set_drop_path(network, recipe.drop_path)
    return network


class DropRates(NamedTuple):
    """Probabilities that training drops an input or a weight of a fully connected layer."""

    inputs: float
    weights: float


def _chain(chain: tuple[layers.Layer, ...], shape: Shape, drop: DropRates) -> nn.Sequential:
    modules: list[nn.Module] = []
    before: layers.Layer | None = None
    for layer in chain:
        if drop.inputs and isinstance(layer, layers.FullyConnected):
            modules.append(nn.Dropout(drop.inputs))
        module = (
            _custom_module(layer, shape)
            if isinstance(layer, layers.ModuleLayer)
            else _MODULES[type(layer)](layer, shape, drop)
        )
        if isinstance(module, nn.ReLU):
            module.inplace = isinstance(before, _NEW_OUTPUT)  # saves the memory of one feature map
        modules.append(module)
        before = layer
        shape = layer.out_shape(shape)
    return nn.Sequential(*modules)


def _custom_module(layer: layers.ModuleLayer, shape: Shape) -> nn.Module:
    """Return the module of a custom block; raise :class:`PluginError` if it is not the one whose cost was measured."""
    module: nn.Module = layer.module(shape)
    n_params, counted = sum(parameter.numel() for parameter in module.parameters()), layer.cost(shape).params
    if n_params != counted:
        raise PluginError(
            f"module() of block {layer.kind!r} must return the same module for the same fields and input, but made "
            f"{counted:,} parameters when its cost was measured and {n_params:,} now"
            f"{at_definition(type(layer).module)}; use no random numbers and no global values for its layers"
        )
    return module


def _convolution(layer: layers.Convolution, shape: Shape, drop: DropRates) -> nn.Module:
    return nn.Conv2d(
        shape[0], layer.width, layer.kernel, layer.stride, layer.padding, groups=layer.groups, bias=layer.bias
    )


def _batch_norm(layer: layers.BatchNorm, shape: Shape, drop: DropRates) -> nn.Module:
    return nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0])


def _act(layer: layers.Act, shape: Shape, drop: DropRates) -> nn.Module:
    return ACTIVATION_MODULES[layer.name](shape[0])


def _pooling(layer: layers.Pooling, shape: Shape, drop: DropRates) -> nn.Module:
    module = nn.MaxPool2d if layer.mode == "max" else nn.AvgPool2d
    return module(layer.kernel, layer.stride, layer.padding, ceil_mode=layer.ceil)


def _fully_connected(layer: layers.FullyConnected, shape: Shape, drop: DropRates) -> nn.Module:
    if drop.weights:
        return DropConnectLinear(shape[0], layer.width, bias=layer.bias, drop=drop.weights)
    return nn.Linear(shape[0], layer.width, bias=layer.bias)


def _branches(layer: layers.Branches, shape: Shape, drop: DropRates) -> nn.Module:
    return BranchesModule([_chain(chain, shape, drop) for chain in layer.chains], layer.join)


_MODULES: dict[type[layers.Layer], Callable[[Any, Shape, DropRates], nn.Module]] = {
    layers.Convolution: _convolution,
    layers.BatchNorm: _batch_norm,
    channel_layers.LinearNorm: _batch_norm,
    channel_layers.LayerNorm: lambda layer, shape, drop: LayerNormModule(shape[0]),
    channel_layers.LayerScale: lambda layer, shape, drop: LayerScaleModule(shape[0], layer.initial),
    channel_layers.ChannelMean: lambda layer, shape, drop: ChannelMeanModule(),
    channel_layers.ChannelSlice: lambda layer, shape, drop: ChannelSliceModule(layer.start, layer.width),
    channel_layers.ChannelShuffle: lambda layer, shape, drop: ChannelShuffleModule(layer.groups),
    # both only mark where the classifier is a convolution
    channel_layers.ClassMaps: lambda layer, shape, drop: nn.Identity(),
    channel_layers.MapsToImage: lambda layer, shape, drop: nn.Identity(),
    layers.Act: _act,
    layers.Pooling: _pooling,
    layers.GlobalPooling: lambda layer, shape, drop: GlobalPoolingModule(),
    layers.Flatten: lambda layer, shape, drop: nn.Flatten(),
    layers.FullyConnected: _fully_connected,
    layers.PadShortcut: lambda layer, shape, drop: PadShortcutModule(shape[0], layer.width, layer.stride),
    layers.LocalResponse: lambda layer, shape, drop: nn.LocalResponseNorm(layer.size),
    layers.Branches: _branches,
    LocalContrast: lambda layer, shape, drop: LocalContrastModule(layer.kernel),
    Backbone: lambda layer, shape, drop: backbone(layer.name, classes=0, in_channels=shape[0], image_size=shape[1]),
    Resize: lambda layer, shape, drop: ResizeModule(layer.size, layer.interpolation),
    RepeatChannels: lambda layer, shape, drop: RepeatChannelsModule(layer.times),
}
