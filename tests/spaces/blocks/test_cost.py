"""Closed-form costs equal those of the built network: parameters, MACs, and bytes that autograd saves."""

import json
import random
from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from archsieve.models.networks.build import build
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.catalogue import named
from archsieve.spaces.architectures.cost import cost, layer_costs
from archsieve.spaces.blocks.base import Block, ShapeError
from archsieve.spaces.blocks.standard import (
    BLOCKS,
    ChannelShuffle,
    ClassMaps,
    Conv,
    ConvNeXtBlock,
    ConvPool,
    DenseBlock,
    DepthwiseSeparable,
    FactorizedInception,
    Fire,
    FusedInvertedResidual,
    GlobalAverage,
    GroupedBottleneck,
    Inception,
    InvertedResidual,
    Linear,
    Norm,
    Pool,
    PyramidPool,
    Residual,
    ResponseNorm,
    ShuffleUnit,
    SqueezeExcite,
)
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.sampling import sample
from archsieve.spaces.search_space.named import NAMED_SPACES, named_space

ACTS = (
    "relu",
    "relu6",
    "prelu",
    "leaky-relu",
    "elu",
    "gelu",
    "silu",
    "hardswish",
    "hardsigmoid",
    "tanh",
    "sigmoid",
    "none",
)
BOOLEANS = (False, True)


def conv_pool(rng: random.Random) -> Block:
    norm, act = rng.choice(BOOLEANS), rng.choice(ACTS)
    if rng.random() < 0.3:
        padding = rng.choice((None, 0, 1, 2))
        groups = rng.choice((1, 1, 2))
        return Conv(rng.choice((8, 12, 16)), rng.randint(1, 5), rng.choice((1, 2)), padding, groups, norm, act)
    if rng.random() < 0.2:
        return Pool(rng.randint(2, 3), rng.choice((None, 1, 2)), rng.choice((0, 1)), "average", rng.choice(BOOLEANS))
    pool = rng.choice(("max", "average"))
    return ConvPool(rng.randint(4, 24), rng.choice((1, 3, 5)), rng.randint(1, 3), pool, norm, act)


def residual(rng: random.Random) -> Block:
    return Residual(
        4 * rng.randint(2, 8),
        rng.choice(("basic", "bottleneck")),
        rng.choice((1, 1, 2, 3)),
        rng.choice(("A", "B", "C", "none")),
        rng.choice(BOOLEANS),
        rng.choice(BOOLEANS),
        rng.choice(BOOLEANS),
        rng.choice(ACTS),
    )


def inception(rng: random.Random) -> Block:
    widths = tuple(rng.randint(0 if i in (0, 5) else 1, 12) for i in range(6))
    shape = {"branches": widths} if rng.random() < 0.5 else {"width": rng.randint(8, 40)}
    return Inception(
        **shape,
        reduce=rng.choice(BOOLEANS),
        five=rng.choice((3, 5, 7)),
        double=rng.choice(BOOLEANS),
        pool=rng.choice(("max", "average")),
        stride=rng.choice((1, 1, 2)),
        norm=rng.choice(BOOLEANS),
        act=rng.choice(ACTS),
    )


def squeezed(rng: random.Random) -> dict[str, object]:
    """Return width, kernel, stride, squeeze-and-excitation and activation, which several blocks have."""
    return {
        "width": rng.choice((None, 8, 12, 15, 24)),
        "kernel": rng.choice((1, 3, 5, 7)),
        "stride": rng.choice((1, 1, 2, 3)),
        "squeeze": rng.choice((0, 0.25, 0.5)),
        "act": rng.choice(ACTS),
    }


def inverted_residual(rng: random.Random) -> Block:
    kind = rng.choice((InvertedResidual, FusedInvertedResidual))
    form = rng.choice(("input", "expanded"))
    return kind(**squeezed(rng), expansion=rng.choice((0.5, 1, 1.5, 3, 6)), squeeze_form=form)


def depthwise_separable(rng: random.Random) -> Block:
    if rng.random() < 0.3:
        gate = rng.choice(("sigmoid", "hardsigmoid"))
        return SqueezeExcite(rng.choice((0.25, 0.5, 1)), rng.choice(ACTS), gate, rng.choice((1, 8)))
    return DepthwiseSeparable(**squeezed(rng), squeeze_form=rng.choice(("input", "expanded")))


def grouped_bottleneck(rng: random.Random) -> Block:
    groups = {"groups": rng.choice((1, 2, 4))} if rng.random() < 0.5 else {"group_width": rng.choice((2, 4, 8, 64))}
    return GroupedBottleneck(**squeezed(rng), ratio=rng.choice((0.25, 0.5, 1, 2)), **groups)


def convnext(rng: random.Random) -> Block:
    if rng.random() < 0.2:
        return Norm(rng.choice(("batch", "layer")), rng.choice(ACTS))
    size = {name: squeezed(rng)[name] for name in ("width", "kernel", "stride")}
    return ConvNeXtBlock(**size, expansion=rng.choice((0.5, 1, 3, 4)), layer_scale=rng.choice((1e-6, 0.1, 1)))


def concatenating(rng: random.Random) -> Block:
    if rng.random() < 0.2:
        return ChannelShuffle(rng.choice((1, 2, 4)))
    if rng.random() < 0.3:
        return Fire(2 * rng.randint(1, 12), rng.choice((0.25, 0.5, 1)), rng.choice(BOOLEANS), rng.choice(ACTS))
    if rng.random() < 0.3:
        return DenseBlock(
            rng.randint(1, 4), rng.randint(1, 12), rng.randint(1, 4), rng.choice((1, 2)), rng.choice(ACTS)
        )
    width = rng.choice((None, 8, 16, 22))
    return ShuffleUnit(width, rng.choice((1, 3, 5)), rng.choice((1, 1, 2)), rng.choice(ACTS))


def factorized_inception(rng: random.Random) -> Block:
    form = rng.choice("abcde")
    return FactorizedInception(form, rng.randint(1, 40) if form in "ac" else None)


RANDOM_BLOCKS: dict[str, Callable[[random.Random], Block]] = {
    "conv-pool": conv_pool,
    "residual": residual,
    "inception": inception,
    "inverted-residual": inverted_residual,
    "depthwise-separable": depthwise_separable,
    "grouped-bottleneck": grouped_bottleneck,
    "convnext": convnext,
    "concatenating": concatenating,
    "factorized-inception": factorized_inception,
}
LAST_BLOCKS = (
    *((), (GlobalAverage(),), (Linear(20),), (Linear(12, norm=True, act="prelu"),), (ResponseNorm(3),)),
    *((ClassMaps(),), (GlobalAverage(), Norm("layer"))),
)


def draw(kind: str, rng: random.Random) -> Architecture:
    """Draw a random architecture of one kind; draw again if its blocks do not fit together."""
    while True:
        height, width = rng.randint(8, 33), rng.randint(8, 33)
        body = [RANDOM_BLOCKS[kind](rng) for _ in range(rng.randint(1, 4))]
        try:
            input_shape = (rng.randint(1, 4), height, width)
            return Architecture(input_shape, (*body, *rng.choice(LAST_BLOCKS)), rng.randint(2, 20))
        except ShapeError:
            continue


def assert_exact(architecture: Architecture) -> None:
    expected = cost(architecture)
    network = build(architecture, device="meta")
    with FlopCounterMode(display=False) as counter:
        scores = network(torch.empty(3, *architecture.input_shape, device="meta"))
    assert scores.shape == (3, architecture.classes)
    assert sum(p.numel() for p in network.parameters()) == expected.params, architecture
    assert counter.get_total_flops() == 3 * expected.flops, architecture
    assert sum(row.params for row in layer_costs(architecture)) == expected.params
    assert sum(row.macs for row in layer_costs(architecture)) == expected.macs


@pytest.mark.parametrize("kind", RANDOM_BLOCKS)
@pytest.mark.parametrize("count", [50, pytest.param(200, marks=pytest.mark.slow)])
def test_costs_of_random_networks_are_exact(kind, count):
    rng = random.Random(f"200 {kind}")
    # the modules of InceptionV3 are large, and have one free width only
    for _ in range(count if kind != "factorized-inception" else count // 5):
        assert_exact(draw(kind, rng))


def test_random_networks_have_every_built_in_block():
    drawn = {block.kind for kind in RANDOM_BLOCKS for i in range(60) for block in draw(kind, random.Random(i)).blocks}
    measured_elsewhere = {"backbone", "network", "resize", "repeat-channels", "local-contrast"}
    built_in = {kind for kind, block in BLOCKS.items() if block.__module__.startswith("archsieve.")}
    assert drawn >= built_in - measured_elsewhere - {"pyramid-pool"}


def test_a_drawn_network_survives_json_and_its_canonical_form():
    rng = random.Random("json")
    for kind in RANDOM_BLOCKS:
        for _ in range(10):
            architecture = draw(kind, rng)
            assert Architecture.from_json(json.loads(json.dumps(architecture.to_json()))) == architecture
            canonical = Architecture.from_json(json.loads(json.dumps(architecture.canonical().to_json())))
            assert canonical.fingerprint == architecture.fingerprint
            assert canonical.cost == architecture.cost


@pytest.mark.parametrize("name", sorted(NAMED_SPACES))
def test_costs_of_random_architectures_of_named_spaces_are_exact(name):
    rng = random.Random(f"points of {name}")
    for architecture in sample(ConstrainedSpace(named_space(name)), 8, rng):
        assert_exact(architecture)


@pytest.mark.slow
@pytest.mark.parametrize("kind", RANDOM_BLOCKS)
def test_costs_of_1000_random_networks_are_exact(kind):
    rng = random.Random(f"1000 {kind}")
    for _ in range(1000):
        assert_exact(draw(kind, rng))


@pytest.mark.parametrize(
    "name",
    [
        *("alexnet-2012", "zfnet", "googlenet", "googlenet-2014", "bn-inception", "prelu-net", "resnet34-a"),
        *("mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "shufflenet_v2_x0_5", "squeezenet1_1"),
        *("densenet121", "resnext50_32x4d", "regnet_y_400mf", "convnext_tiny", "inception_v3"),
    ],
)
def test_costs_of_published_networks_are_exact(name):
    assert_exact(named(name))


def test_activations_count_the_outputs_of_convolutions_and_linear_layers():
    architecture = Architecture((3, 8, 8), (Conv(4), Residual(8, stride=2), GlobalAverage()), 5)
    assert cost(architecture).activations == 4 * 64 + 3 * (8 * 16) + 5


def bytes_saved_by_autograd(architecture: Architecture, batch: int = 8) -> float:
    """Return the bytes that autograd saves for the backward pass of one image: distinct storages, no parameters."""
    network = build(architecture, seed=0)
    parameters = {p.untyped_storage().data_ptr() for p in network.parameters()}
    saved = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            saved[storage.data_ptr()] = tensor  # the reference keeps the memory from being used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        scores = network(torch.randn(batch, *architecture.input_shape))
        torch.nn.functional.cross_entropy(scores, torch.zeros(batch, dtype=torch.long))
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values()) / batch


@pytest.mark.parametrize(
    "blocks",
    [
        (Conv(16), ConvPool(32), GlobalAverage()),
        (ConvPool(16, convs=2, pool="average"), ConvPool(24, 5, norm=False)),
        (Conv(16), Residual(32), Residual(32, stride=2), Residual(64, "bottleneck"), GlobalAverage()),
        (Residual(16, shortcut="A"), Residual(32, stride=2, shortcut="A")),
        (Residual(16, preactivation=True), Residual(32, stride=2, preactivation=True)),
        (Conv(16, norm=False), Residual(32, norm=False, shortcut="C"), Residual(32, shortcut="none")),
        (Inception(32), Inception(branches=(8, 8, 8, 8, 8, 8), five=3), Pool(3, 2, ceil=True), Linear(64)),
        (Inception(32, double=True, pool="average"), Inception(branches=(0, 8, 16, 8, 8, 0), stride=2)),
        (Conv(16, act="prelu"), Conv(16, act="gelu"), Conv(16, norm=False), Linear(32, norm=True)),
        (Conv(16, norm=False), ResponseNorm(), Conv(16), Pool(2), Conv(16), PyramidPool((4, 2, 1)), Linear(16)),
        (Conv(16), InvertedResidual(16), InvertedResidual(24, 3, stride=2, act="hardswish"), InvertedResidual(24, 1)),
        (Conv(16), *(InvertedResidual(squeeze=0.25, squeeze_form=form) for form in ("input", "expanded"))),
        (Conv(16), FusedInvertedResidual(), FusedInvertedResidual(24, stride=2), FusedInvertedResidual(expansion=1)),
        (Conv(16), DepthwiseSeparable(24, stride=2, squeeze=0.5, act="relu6"), DepthwiseSeparable(), SqueezeExcite()),
        (Conv(16), GroupedBottleneck(32, groups=4), GroupedBottleneck(48, group_width=8, stride=2, squeeze=0.25)),
        (Conv(16, 2, 2, 0, norm=False, act="none"), Norm("layer"), ConvNeXtBlock(), ConvNeXtBlock(32, 3, stride=2)),
        (Conv(16), Pool(2), ShuffleUnit(32, stride=2), ShuffleUnit(), ShuffleUnit(), Conv(64, 1), GlobalAverage()),
        (Conv(16), Fire(32), Fire(32, norm=False), Fire(48), ClassMaps()),
        (Conv(16), Pool(2), DenseBlock(4), DenseBlock(4, stride=2), Norm(act="relu"), GlobalAverage()),
        (Conv(16), FactorizedInception("a", 16), FactorizedInception("b"), FactorizedInception("c", 32)),
        (Conv(16), FactorizedInception("d"), FactorizedInception("e"), Conv(16, 1)),
    ],
    ids=lambda blocks: "+".join(block.kind for block in blocks),
)
def test_kept_bytes_are_what_autograd_saves(blocks):
    architecture = Architecture((3, 32, 32), blocks, 10)
    assert cost(architecture).kept_bytes == pytest.approx(bytes_saved_by_autograd(architecture), rel=0.1)


@pytest.mark.parametrize("name", ["resnet20-cifar", "plain20-cifar"])
def test_kept_bytes_of_published_networks(name):
    assert cost(named(name)).kept_bytes == pytest.approx(bytes_saved_by_autograd(named(name)), rel=0.1)


def test_memory_is_parameter_states_plus_saved_bytes():
    expected = cost(named("resnet20-cifar"), batch_size=32)
    assert expected.memory_bytes == 12 * expected.params + 32 * expected.kept_bytes
