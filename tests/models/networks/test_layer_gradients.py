"""torch's gradient check on every layer and block of the tables, every nonlinearity and every module of this package.

The checks use float64 and points much farther from the kinks of ReLU than the step of the check, 1e-6.
"""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from archsieve.models.networks.build import ACTIVATION_MODULES, build
from archsieve.models.networks.modules import (
    BranchesModule,
    DropConnectLinear,
    GlobalPoolingModule,
    LocalContrastModule,
    PadShortcutModule,
)
from archsieve.models.profiling.backbone_costs import measure_backbone
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.backbone import RepeatChannels, Resize
from archsieve.spaces.blocks.base import Block
from archsieve.spaces.blocks.channel_layers import ChannelShuffle, ClassMaps
from archsieve.spaces.blocks.concatenating import DenseBlock, Fire, ShuffleUnit
from archsieve.spaces.blocks.convnext import ConvNeXtBlock, Norm
from archsieve.spaces.blocks.grouped_bottleneck import GroupedBottleneck
from archsieve.spaces.blocks.inverted_residual import DepthwiseSeparable, FusedInvertedResidual, InvertedResidual
from archsieve.spaces.blocks.layers import (
    LAYERS,
    Act,
    BatchNorm,
    Branches,
    Convolution,
    Flatten,
    FullyConnected,
    GlobalPooling,
    LocalResponse,
    PadShortcut,
    Pooling,
)
from archsieve.spaces.blocks.squeeze_excite import SqueezeExcite
from archsieve.spaces.blocks.standard import (
    BLOCKS,
    Conv,
    ConvPool,
    GlobalAverage,
    Inception,
    Linear,
    LocalContrast,
    Pool,
    PyramidPool,
    Residual,
    ResponseNorm,
)

SHAPE = (4, 6, 6)
MIN_KINK_DISTANCE = 1e-4  # a hundred steps of the check
BACKBONE = "timm:test_resnet"

EXAMPLES: dict[str, list[tuple[Block, ...]]] = {
    "convolution": [(Convolution(4, 3, 2, 1, groups=2, bias=True),)],
    "batch-norm": [(BatchNorm(),), (GlobalPooling(), BatchNorm())],
    "activation": [(Act(name),) for name in ACTIVATION_MODULES],
    "pooling": [(Pooling("max", 3, 2, 1),), (Pooling("average", 2, 2, ceil=True),)],
    "global-pooling": [(GlobalPooling(),)],
    "flatten": [(Flatten(),)],
    "fully-connected": [(Flatten(), FullyConnected(3))],
    "pad-shortcut": [(PadShortcut(6, 2),)],
    "local-response": [(LocalResponse(3),)],
    "branches": [
        (Branches(((Convolution(4, 3, 1, 1),), ()), "add"),),
        (Branches(((Convolution(2),), (Pooling("max", 3, 1),)), "concat"),),
    ],
    "conv": [(Conv(3, act="prelu"),), (Conv(3, norm=False),)],
    "conv-pool": [(ConvPool(3, convs=2),), (ConvPool(3, pool="average"),)],
    "pool": [(Pool(),), (Pool(3, 2, 1, "average"),)],
    "residual": [
        *((Residual(6, stride=2, shortcut=shortcut),) for shortcut in ("A", "B", "C", "none")),
        (Residual(8, "bottleneck"),),
        (Residual(4, preactivation=True),),
    ],
    "inception": [(Inception(8),), (Inception(8, reduce=False),), (Inception(8, double=True, stride=2),)],
    "linear": [(Linear(5, norm=True),), (Linear(5, act="tanh"),)],
    "global-average": [(GlobalAverage(),)],
    "pyramid-pool": [(PyramidPool((2, 1)),)],
    "response-norm": [(ResponseNorm(3),)],
    "local-contrast": [(LocalContrast(3),)],
    "resize": [(Resize(4),), (Resize(9, "bilinear"),)],
    "repeat-channels": [(Convolution(1, 1, bias=True), RepeatChannels(3))],
    "norm": [(Norm(),), (Norm("layer", "gelu"),)],
    "squeeze-excite": [(SqueezeExcite(0.5),), (SqueezeExcite(0.5, "silu", "hardsigmoid"),)],
    "inverted-residual": [
        (InvertedResidual(6, 2, stride=2),),
        (InvertedResidual(4, 2, 5, squeeze=0.5, act="hardswish"),),
    ],
    "fused-inverted-residual": [(FusedInvertedResidual(4, 2),)],
    "depthwise-separable": [(DepthwiseSeparable(6, squeeze=0.5),)],
    "grouped-bottleneck": [(GroupedBottleneck(8, groups=2, squeeze=0.5),)],
    "convnext": [(ConvNeXtBlock(4, 3, 2, layer_scale=0.5),)],
    "channel-shuffle": [(ChannelShuffle(2),)],
    "class-maps": [(ClassMaps(),)],
    "shuffle-unit": [(ShuffleUnit(4),), (ShuffleUnit(8, stride=2),)],
    "fire": [(Fire(8, 0.5),)],
    "dense-block": [(DenseBlock(2, 2, 2),)],
}
MODULES: dict[str, nn.Module] = {
    "branches": BranchesModule([nn.Conv2d(4, 2, 1), nn.Identity()], "concat"),
    "pad-shortcut": PadShortcutModule(4, 7, 2),
    "global-pooling": GlobalPoolingModule(),
    "local-contrast": LocalContrastModule(5),
    "dropconnect": nn.Sequential(nn.Flatten(), DropConnectLinear(144, 4, drop=0.5)),
}


def images(*shape: int) -> Tensor:
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def gradients_agree(module: nn.Module, x: Tensor, *, fast: bool = False) -> bool:
    """Return whether backward agrees with central differences, for the input and every parameter.

    ``fast`` compares along random directions instead of every entry.
    """
    named = {name: weights for name, weights in module.named_parameters() if weights.requires_grad}

    def call(inputs: Tensor, *values: Tensor) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(0)  # every call draws the same masks
            return functional_call(module, dict(zip(named, values, strict=True)), (inputs,))

    agrees: bool = torch.autograd.gradcheck(call, (x.requires_grad_(), *named.values()), fast_mode=fast)
    return agrees


def distance_to_kinks(module: nn.Module, x: Tensor) -> float:
    """Return the smallest distance of an input of any ReLU from 0."""
    relu_inputs = [torch.tensor(torch.inf)]
    relus = [layer for layer in module.modules() if isinstance(layer, nn.ReLU)]
    handles = [
        relu.register_forward_pre_hook(lambda layer, inputs: relu_inputs.append(inputs[0].detach().clone()))
        for relu in relus
    ]
    module(x)
    for handle in handles:
        handle.remove()
    return min(float(inputs.abs().min()) for inputs in relu_inputs)


def test_every_layer_and_block_has_an_example() -> None:
    # the modules of Inception V3 are hundreds of channels wide, and have only convolutions and pooling; a network is a
    # backbone, which has a test of its own, after the layers resize and repeat-channels
    assert {*LAYERS, *BLOCKS} == {*EXAMPLES, "backbone", "network", "factorized-inception"}
    assert all(chain[-1].kind == kind for kind, chains in EXAMPLES.items() for chain in chains)


@pytest.mark.parametrize(
    "blocks",
    [pytest.param(chain, id=f"{kind}-{n}") for kind, chains in EXAMPLES.items() for n, chain in enumerate(chains)],
)
def test_backward_of_layers_and_blocks(blocks: tuple[Block, ...]) -> None:
    network = build(Architecture(SHAPE, blocks, 3), seed=0).double()
    assert distance_to_kinks(network, images(*SHAPE)) > MIN_KINK_DISTANCE
    assert gradients_agree(network, images(*SHAPE), fast=True)


@pytest.mark.parametrize("name", MODULES)
def test_backward_of_modules(name: str) -> None:
    assert gradients_agree(MODULES[name].double().train(), images(*SHAPE))


def test_backward_of_a_backbone() -> None:
    network = build(Architecture((3, 32, 32), (measure_backbone(BACKBONE, (3, 32, 32)),), 3), seed=0).double()
    for weights in network[0].parameters():
        weights.requires_grad_(False)  # hundreds of tensors take too long; the input and the head are checked
    assert gradients_agree(network.eval(), images(3, 32, 32), fast=True)
