"""RAM and flash in closed form: by hand, against ExecuTorch and BakeNN, layer by layer, and part by part."""

import itertools
import random

import pytest

from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.cost import layer_costs
from archsieve.spaces.architectures.device_cost import (
    PRECISIONS,
    device_cost,
    flash_bytes,
    input_bytes,
    layer_ram_bytes,
    part_cost,
    ram_bytes,
)
from archsieve.spaces.architectures.runtimes import INPUT, UnknownLayerError
from archsieve.spaces.blocks.standard import (
    Conv,
    ConvNeXtBlock,
    ConvPool,
    DenseBlock,
    DepthwiseSeparable,
    GlobalAverage,
    Inception,
    InvertedResidual,
    Linear,
    LocalContrast,
    Norm,
    Pool,
    PyramidPool,
    Residual,
    ResponseNorm,
    ShuffleUnit,
)
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.sampling import sample
from archsieve.spaces.search_space.named import NAMED_SPACES, named_space
from archsieve.spaces.search_space.space import Space

QUICK = ("mixed", "inception-space", "mobile-space")  # the graphs of the other spaces take seconds
SMALL = (Conv(16), ConvPool(32), Residual(24), Conv(96))


def network(*blocks, shape=(3, 8, 8), classes=10):
    return Architecture(shape, blocks, classes)


def test_chain_peaks_at_the_largest_input_and_output():
    one = network(Conv(16), Conv(4), Pool(2), GlobalAverage())
    # the second convolution reads 16 channels and writes 4: relu is part of the kernel, the norm is folded
    assert ram_bytes(one, "int8") == (16 + 4) * 64
    # in float32 relu of 16 channels reads one tensor and writes another
    assert ram_bytes(one, "float32") == 2 * 16 * 64 * 4
    weights = 3 * 16 * 9 + 16 * 4 * 9 + 4 * 10
    assert flash_bytes(one, "int8") == weights + 12 * (16 + 4 + 10)
    assert flash_bytes(one, "float32") == 4 * (weights + 16 + 4 + 10)


def test_residual_block_keeps_its_input_until_the_sum():
    one = network(Conv(16), Residual(16), GlobalAverage())
    # the sum reads the input of the block and the output of the branch, and writes a third tensor
    assert ram_bytes(one, "int8") == 3 * 16 * 64


def test_inception_block_keeps_the_outputs_of_earlier_branches():
    one = network(Conv(16), Inception(branches=(4, 6, 8, 2, 4, 4)), GlobalAverage())
    # the concatenation: all outputs and their joined copy; the last branch: input, outputs, pooled and projected
    assert ram_bytes(one, "int8") == max(2 * 20, 16 + (4 + 8 + 4) + 16, (4 + 8 + 4) + 16 + 4) * 64


def test_depthwise_block_peaks_between_its_expanded_tensors():
    one = network(InvertedResidual(8, expansion=4), GlobalAverage())
    assert ram_bytes(one, "int8") == 2 * 12 * 64
    wide = network(DepthwiseSeparable(30), GlobalAverage())
    assert ram_bytes(wide, "int8") == (3 + 30) * 64


# The largest sum of live tensors in the plan of ExecuTorch 1.5.1 and the bytes of its constants, and the same of
# BakeNN 1.0.0, as benchmarks/device_memory.py measures them; None where BakeNN does not know a layer.
MEASURED = [
    (network(*SMALL, shape=(1, 8, 8)), (67632, 215752), (3072, 56424)),
    (network(Conv(16), Inception(16), Pool(2, mode="average"), Linear(20, act="gelu")), (21584, 26044), None),
    (
        network(Conv(8), Residual(16, stride=2, shortcut="A"), Residual(16, preactivation=True), GlobalAverage()),
        (4096, 34280),
        None,
    ),
    (network(Conv(8), Residual(16, shortcut="A", act="silu"), DenseBlock(2, 4), GlobalAverage()), (15360, 23464), None),
    (
        network(InvertedResidual(8, 2, squeeze=0.5, act="hardswish"), DepthwiseSeparable(16), GlobalAverage()),
        (8192, 2264),
        (1536, 2272),
    ),
    (network(Conv(8, act="prelu"), ShuffleUnit(8), ConvNeXtBlock(8), Norm("layer")), (22576, 25736), None),
    (network(Conv(8), ResponseNorm(), PyramidPool((2, 1)), Linear(12, norm=True)), (7168, 3384), None),
    (
        network(Conv(8, act="relu6"), Conv(8, 1, act="silu"), InvertedResidual(squeeze=0.5, squeeze_form="expanded")),
        (26816, 36424),
        (6704, 11840),
    ),
    (
        network(Conv(12, groups=3), Pool(3, 2, padding=1), Conv(8, act="sigmoid"), Linear(30)),
        (16000, 20688),
        (960, 6088),
    ),
]


@pytest.mark.parametrize(("architecture", "executorch", "bakenn"), MEASURED)
def test_equals_the_plans_of_runtimes(architecture, executorch, bakenn):
    assert device_cost(architecture, "float32") == executorch
    if bakenn is not None:
        assert device_cost(architecture, "int8") == bakenn


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMED_SPACES]
)
def test_is_the_maximum_and_the_sum_over_parts(name):
    """Between two blocks exactly one tensor is alive, which the budget of a space relies on."""
    drawn = sample(ConstrainedSpace(named_space(name, input_shape=(3, 64, 64))), 3, random.Random(0))
    for architecture, precision in itertools.product(drawn, PRECISIONS):
        canonical = architecture.canonical()
        assert device_cost(canonical, precision) == device_cost(architecture, precision)
        for cut in (architecture, canonical):
            writer, ram, flash = INPUT, 0, 0
            for placed in cut.walk():
                cost, writer = part_cost(placed.layers, placed.in_shape, precision, writer)
                ram, flash = max(ram, cost.ram_bytes), flash + cost.flash_bytes
            assert (ram, flash) == device_cost(architecture, precision)
        by_layer = layer_ram_bytes(architecture, precision)
        assert max(by_layer) == device_cost(architecture, precision).ram_bytes
        assert len(by_layer) == len(layer_costs(architecture))


def test_norm_is_folded_across_blocks():
    chain = Residual(16, shortcut="none", preactivation=True)
    folded = network(Conv(16, norm=False, act="none"), chain)
    # the first norm of the block directly follows a convolution, as the norms of all convolutions do
    assert 0 in layer_ram_bytes(folded, "int8")[:2]
    apart = network(Conv(16, norm=False, act="relu"), chain)
    assert flash_bytes(apart, "int8") == flash_bytes(folded, "int8") + 16 * 13


def test_image_counts_as_a_tensor():
    assert input_bytes((3, 32, 32), "int8") == 3 * 32 * 32
    assert input_bytes((3, 32, 32), "float32") == 4 * 3 * 32 * 32
    assert ram_bytes(network(Linear(4), shape=(3, 32, 32)), "int8") == 3 * 32 * 32 + 4


def test_layer_without_rule_is_named():
    one = network(Conv(8), LocalContrast(3))
    with pytest.raises(UnknownLayerError, match="'local-contrast'"):
        ram_bytes(one)
    with pytest.raises(UnknownLayerError, match="'local-contrast'"):
        ConstrainedSpace(Space(one.input_shape, one.blocks, one.classes), Budget(flash="1MB"))


def test_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"'int4'; .*float32, int8"):
        ram_bytes(network(Conv(8)), "int4")
