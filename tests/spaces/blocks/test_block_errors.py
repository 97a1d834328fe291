"""Blocks refuse values that they cannot use, with the nearest values that they can."""

import pytest

from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.base import ShapeError, nearest_divisors
from archsieve.spaces.blocks.standard import (
    ChannelShuffle,
    ClassMaps,
    Conv,
    ConvNeXtBlock,
    DenseBlock,
    DepthwiseSeparable,
    FactorizedInception,
    Fire,
    FusedInvertedResidual,
    GlobalAverage,
    GroupedBottleneck,
    InvertedResidual,
    Linear,
    Norm,
    Residual,
    ShuffleUnit,
    SqueezeExcite,
)


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (lambda: InvertedResidual(16, kernel=4), r"inverted-residual: kernel .*odd.* 4; use 3 or 5$"),
        (lambda: DepthwiseSeparable(16, kernel=0), r"depthwise-separable: kernel .*odd.* 0; use 1$"),
        (lambda: ConvNeXtBlock(16, kernel=8), r"convnext: kernel .* 8; use 7 or 9$"),
        (lambda: InvertedResidual(16, expansion=0), r"inverted-residual: expansion .*above 0.* 0; use 1\b"),
        (lambda: FusedInvertedResidual(16, expansion=-2), r"expansion .*above 0.* -2; use 1\b"),
        (lambda: InvertedResidual(16, expansion=True), r"expansion .*above 0.* True$"),
        (lambda: InvertedResidual(0), r"inverted-residual: width .*at least 1.* 0$"),
        (lambda: InvertedResidual(16, squeeze=1.5), r"squeeze .* 0 .* 1.* 1\.5$"),
        (lambda: InvertedResidual(16, squeeze_form="output"), r"squeeze_form .*input, expanded.*'output'$"),
        (lambda: InvertedResidual(16, act="relu7"), r"act .*relu6.*'relu7'$"),
        (lambda: SqueezeExcite(0), r"squeeze-excite: ratio .*above 0.* 0$"),
        (lambda: SqueezeExcite(gate="relu"), r"gate .*sigmoid, hardsigmoid.*'relu'$"),
        (lambda: GroupedBottleneck(16, groups=0), r"groups .*at least 1.* 0$"),
        (lambda: ConvNeXtBlock(16, layer_scale=0), r"layer_scale .*above 0.* 0$"),
        (lambda: Norm("group"), r"norm .*batch, layer.*'group'$"),
        (lambda: DenseBlock(layers=0), r"layers .*at least 1.* 0$"),
        (lambda: FactorizedInception("f"), r"form .*a, b, c, d, e.*'f'$"),
        (lambda: FactorizedInception("a"), r"width in the forms a and c.*form='a'"),
        (lambda: FactorizedInception("b", 8), r"width in the forms a and c.*form='b'"),
    ],
)
def test_a_value_that_breaks_its_constraint_is_refused(make, pattern):
    with pytest.raises(ValueError, match=pattern):
        make()


@pytest.mark.parametrize(
    ("block", "pattern"),
    [
        (GroupedBottleneck(48, groups=5), r"groups 5 with 48 channels; use 4 or 6$"),
        (GroupedBottleneck(48, group_width=10), r"group_width 10 with 48 channels; use 8 or 12$"),
        (GroupedBottleneck(48, groups=2, group_width=8), r"groups=2, group_width=8"),
        (ChannelShuffle(3), r"groups 3 with 16 channels; use 2 or 4$"),
        (Conv(24, groups=3), r"groups 3 with 16 channels in and 24 out; .*such as 2 or 4$"),
        (InvertedResidual(8, squeeze=0.01), r"squeeze ratio 0\.01 of 16 channels; use 0\.0625 or more$"),
        (SqueezeExcite(0.02), r"squeeze ratio 0\.02 of 16 channels; use 0\.0625 or more$"),
        (Fire(16, squeeze=0.01), r"squeeze ratio 0\.01 of 16 channels; use 0\.0625 or more$"),
        (InvertedResidual(8, expansion=0.01), r"expansion 0\.01 of 16 channels; use 0\.0625 or more$"),
        (Fire(15), r"even.*15; use 14 or 16$"),
        (ShuffleUnit(1), r"even.* 1; use 2$"),
    ],
    ids=lambda value: value.kind if hasattr(value, "kind") else "",
)
def test_a_value_that_does_not_suit_the_input_is_refused(block, pattern):
    with pytest.raises(ShapeError, match=rf"^block 2 \({block.kind}\): .*{pattern}"):
        Architecture((3, 8, 8), (Conv(16), block), 10)


@pytest.mark.parametrize(
    "block",
    [
        *(InvertedResidual(8), FusedInvertedResidual(8), DepthwiseSeparable(8), GroupedBottleneck(8), ConvNeXtBlock(8)),
        *(ShuffleUnit(8), DenseBlock(), SqueezeExcite(), ChannelShuffle(), ClassMaps(), Residual(8)),
    ],
    ids=lambda block: block.kind,
)
def test_a_block_for_images_refuses_a_vector(block):
    with pytest.raises(ShapeError, match=rf"block 3 \({block.kind}\): .*image.*vector \(16,\)"):
        Architecture((3, 8, 8), (Conv(16), GlobalAverage(), block), 10)


def test_only_the_head_follows_class_maps():
    with pytest.raises(ShapeError, match=r"block 3 \(conv\): .*class maps \(16, 8, 8, 1\)"):
        Architecture((3, 8, 8), (Conv(16), ClassMaps(), Conv(8)), 10)
    with pytest.raises(ShapeError, match=r"block 3 \(residual\): .*class maps \(16, 8, 8, 1\)"):
        Architecture((3, 8, 8), (Conv(16), ClassMaps(), Residual(8)), 10)


@pytest.mark.parametrize("block", [Linear(8), Linear(8, norm=True, act="none")])
def test_a_linear_block_after_class_maps_drops_no_norm_or_nonlinearity(block):
    with pytest.raises(ShapeError, match=r"block 3 \(linear\): .*Linear\(8, act=.none.\)"):
        Architecture((3, 8, 8), (Conv(16), ClassMaps(), block), 10)


@pytest.mark.parametrize(
    ("number", "wanted", "text"),
    [(48, 5, "4 or 6"), (7, 3, "1 or 7"), (12, 12, "12"), (12, 99, "12")],
)
def test_nearest_divisors_are_those_below_and_above(number, wanted, text):
    assert nearest_divisors(number, wanted) == text


def test_without_a_width_a_block_keeps_the_channels():
    blocks = (InvertedResidual(), FusedInvertedResidual(), DepthwiseSeparable(), GroupedBottleneck(), ConvNeXtBlock())
    *placed, _ = Architecture((3, 8, 8), (Conv(16), *blocks, ShuffleUnit()), 10).walk()
    assert {one.out_shape for one in placed} == {(16, 8, 8)}


def test_two_ways_to_write_one_network_have_one_fingerprint():
    def fingerprint(*blocks):
        return Architecture((3, 8, 8), (Conv(16), *blocks), 10).fingerprint

    assert fingerprint(InvertedResidual(16, 6)) == fingerprint(InvertedResidual(None, 6.0))
    assert fingerprint(GroupedBottleneck(groups=2)) == fingerprint(GroupedBottleneck(16, group_width=8))
    assert fingerprint(InvertedResidual(expansion=2)) != fingerprint(InvertedResidual(expansion=3))
