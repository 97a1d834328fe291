"""The blocks of published networks since 2016, by family: MobileNet, EfficientNet, RegNet, ConvNeXt and others.

All of them have the parameters and multiply-accumulates of torchvision's networks of the same name.
"""

from dataclasses import replace

from ..blocks.base import Block
from ..blocks.squeeze_excite import divisible
from ..blocks.standard import (
    ClassMaps,
    Conv,
    ConvNeXtBlock,
    DenseBlock,
    FactorizedInception,
    Fire,
    FusedInvertedResidual,
    GlobalAverage,
    GroupedBottleneck,
    InvertedResidual,
    Linear,
    Norm,
    Pool,
    ShuffleUnit,
)
from .reference_networks import RESNET_STAGES, Blocks

# (expansion, width, blocks, stride) of each stage: table 2 of Sandler et al. 2018
MOBILENET_V2_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
# (kernel, expanded width, width, squeeze-and-excitation, act, stride) of each block: tables 1 and 2 of Howard et al.
# 2019, arXiv 1905.02244
MOBILENET_V3_BLOCKS: dict[str, tuple[tuple[int, int, int, bool, str, int], ...]] = {
    "large": (
        (3, 16, 16, False, "relu", 1),
        (3, 64, 24, False, "relu", 2),
        (3, 72, 24, False, "relu", 1),
        (5, 72, 40, True, "relu", 2),
        (5, 120, 40, True, "relu", 1),
        (5, 120, 40, True, "relu", 1),
        (3, 240, 80, False, "hardswish", 2),
        (3, 200, 80, False, "hardswish", 1),
        (3, 184, 80, False, "hardswish", 1),
        (3, 184, 80, False, "hardswish", 1),
        (3, 480, 112, True, "hardswish", 1),
        (3, 672, 112, True, "hardswish", 1),
        (5, 672, 160, True, "hardswish", 2),
        (5, 960, 160, True, "hardswish", 1),
        (5, 960, 160, True, "hardswish", 1),
    ),
    "small": (
        (3, 16, 16, True, "relu", 2),
        (3, 72, 24, False, "relu", 2),
        (3, 88, 24, False, "relu", 1),
        (5, 96, 40, True, "hardswish", 2),
        (5, 240, 40, True, "hardswish", 1),
        (5, 240, 40, True, "hardswish", 1),
        (5, 120, 48, True, "hardswish", 1),
        (5, 144, 48, True, "hardswish", 1),
        (5, 288, 96, True, "hardswish", 2),
        (5, 576, 96, True, "hardswish", 1),
        (5, 576, 96, True, "hardswish", 1),
    ),
}
MOBILENET_V3_LAST = {"large": (960, 1280), "small": (576, 1024)}  # widths of the last convolution and linear layer
# (kernel, expansion, width, blocks, stride): figure 7 of Tan et al. 2018, arXiv 1807.11626
MNASNET_STAGES = (
    (3, 3, 24, 3, 2),
    (5, 3, 40, 3, 2),
    (5, 6, 80, 3, 2),
    (3, 6, 96, 2, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)
# (kernel, expansion, width, blocks, stride): table 1 of Tan and Le 2019, arXiv 1905.11946
EFFICIENTNET_STAGES = (
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (5, 6, 40, 2, 2),
    (3, 6, 80, 3, 2),
    (5, 6, 112, 3, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)
# (fused, expansion, width, blocks, stride): table 4 of Tan and Le 2021, arXiv 2104.00298
EFFICIENTNET_V2_S_STAGES = (
    (True, 1, 24, 2, 1),
    (True, 4, 48, 4, 2),
    (True, 4, 64, 4, 2),
    (False, 4, 128, 6, 2),
    (False, 6, 160, 9, 1),
    (False, 6, 256, 15, 2),
)
# widths of the three stages and of the last convolution: table 5 of Ma et al. 2018, arXiv 1807.11164
SHUFFLENET_WIDTHS = {"x0_5": (48, 96, 192, 1024), "x1_0": (116, 232, 464, 1024)}
SHUFFLENET_DEPTHS = (4, 8, 4)
# (width, blocks) of the four stages and the width of a group: Radosavovic et al. 2020, arXiv 2003.13678
REGNETS: dict[str, tuple[tuple[tuple[int, int], ...], int]] = {
    "x_400mf": (((32, 1), (64, 2), (160, 7), (400, 12)), 16),
    "y_400mf": (((48, 1), (104, 3), (208, 6), (440, 6)), 8),
}
CONVNEXT_TINY_STAGES = ((96, 3), (192, 3), (384, 9), (768, 3))  # Liu et al. 2022, arXiv 2201.03545, section 3.1
DENSENET_121_LAYERS = (6, 12, 24, 16)  # table 1 of Huang et al. 2016


def mobilenet_v2() -> Blocks:
    """Return MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381)."""
    blocks: list[Block] = [Conv(32, 3, 2, act="relu6")]
    for expansion, width, times, stride in MOBILENET_V2_STAGES:
        first = InvertedResidual(width, expansion, stride=stride)
        blocks += [first, *(InvertedResidual(width, expansion),) * (times - 1)]
    return (*blocks, Conv(1280, 1, act="relu6"), GlobalAverage())


def mobilenet_v3(size: str) -> Blocks:
    """Return MobileNetV3 ``size``, "small" or "large" (Howard et al. 2019, arXiv 1905.02244)."""
    blocks: list[Block] = [Conv(16, 3, 2, act="hardswish")]
    channels = 16
    for kernel, expanded, width, squeeze, act, stride in MOBILENET_V3_BLOCKS[size]:
        block = InvertedResidual(width, expanded / channels, kernel, stride, act=act)
        blocks.append(replace(block, squeeze=0.25, squeeze_form="expanded") if squeeze else block)
        channels = width
    convolution, linear = MOBILENET_V3_LAST[size]
    return (*blocks, Conv(convolution, 1, act="hardswish"), GlobalAverage(), Linear(linear, act="hardswish"))


def mnasnet(scale: float) -> Blocks:
    """Return MnasNet-B1 with ``scale`` times its widths (Tan et al. 2018, arXiv 1807.11626)."""
    # without expansion, so that the first block is a depthwise-separable convolution with a linear end
    blocks: list[Block] = [Conv(divisible(32 * scale), 3, 2), InvertedResidual(divisible(16 * scale), 1, act="relu")]
    for kernel, expansion, width, times, stride in MNASNET_STAGES:
        for i in range(times):
            step = 1 if i else stride
            blocks.append(InvertedResidual(divisible(width * scale), expansion, kernel, step, act="relu"))
    return (*blocks, Conv(1280, 1), GlobalAverage())


def efficientnet(depth: float) -> Blocks:
    """Return EfficientNet with the widths of B0 and B1 and ``depth`` times its blocks per stage, rounded up."""
    blocks: list[Block] = [Conv(32, 3, 2, act="silu")]
    for kernel, expansion, width, times, stride in EFFICIENTNET_STAGES:
        first = InvertedResidual(width, expansion, kernel, stride, 0.25, act="silu")
        other = InvertedResidual(width, expansion, kernel, 1, 0.25, act="silu")
        blocks += [first, *(other,) * (-int(-times * depth // 1) - 1)]
    return (*blocks, Conv(1280, 1, act="silu"), GlobalAverage())


def efficientnet_v2_s() -> Blocks:
    """Return EfficientNetV2-S (Tan and Le 2021, arXiv 2104.00298): fused inverted residuals in the first stages."""
    blocks: list[Block] = [Conv(24, 3, 2, act="silu")]
    for fused, expansion, width, times, stride in EFFICIENTNET_V2_S_STAGES:
        for i in range(times):
            step = 1 if i else stride
            blocks.append(
                FusedInvertedResidual(width, expansion, 3, step)
                if fused
                else InvertedResidual(width, expansion, 3, step, 0.25, act="silu")
            )
    return (*blocks, Conv(1280, 1, act="silu"), GlobalAverage())


def shufflenet_v2(scale: str) -> Blocks:
    """Return ShuffleNetV2 of ``scale``, "x0_5" or "x1_0" (Ma et al. 2018, arXiv 1807.11164)."""
    *widths, last = SHUFFLENET_WIDTHS[scale]
    stages = [
        (ShuffleUnit(width, stride=2), *(ShuffleUnit(width),) * (times - 1))
        for width, times in zip(widths, SHUFFLENET_DEPTHS, strict=True)
    ]
    stem = (Conv(24, 3, 2), Pool(3, 2, padding=1))
    return (*stem, *(unit for stage in stages for unit in stage), Conv(last, 1), GlobalAverage())


def squeezenet(version: str) -> Blocks:
    """Return SqueezeNet ``version``, "1_0" or "1_1" (Iandola et al. 2016, arXiv 1602.07360)."""
    halve = Pool(3, 2, ceil=True)
    a, b, c, d = (Fire(width, norm=False) for width in (128, 256, 384, 512))
    if version == "1_0":
        return (Conv(96, 7, 2, 0, norm=False), halve, a, a, b, halve, b, c, c, d, halve, d, ClassMaps())
    return (Conv(64, 3, 2, 0, norm=False), halve, a, a, halve, b, b, halve, c, c, d, d, ClassMaps())


def densenet_121() -> Blocks:
    """Return DenseNet-121 (Huang et al. 2016, arXiv 1608.06993, table 1)."""
    stages = (
        DenseBlock(layers, growth=32, stride=2 if number else 1) for number, layers in enumerate(DENSENET_121_LAYERS)
    )
    return (Conv(64, 7, 2), Pool(3, 2, padding=1), *stages, Norm(act="relu"), GlobalAverage())


def grouped_resnet_50(ratio: float, groups: int) -> Blocks:
    """Return ResNet-50 with grouped bottlenecks.

    ResNeXt-50 32x4d (Xie et al. 2016, arXiv 1611.05431) has ``ratio`` 1/2 and 32 groups, Wide ResNet-50-2 (Zagoruyko
    and Komodakis 2016, arXiv 1605.07146) has ``ratio`` 1/2 and no groups.
    """
    blocks: list[Block] = [Conv(64, 7, 2), Pool(3, 2, padding=1)]
    for stage, times in enumerate(RESNET_STAGES[50]):
        first = GroupedBottleneck(256 * 2**stage, ratio, groups, stride=2 if stage else 1)
        blocks += [first, *(GroupedBottleneck(256 * 2**stage, ratio, groups),) * (times - 1)]
    return (*blocks, GlobalAverage())


def regnet(name: str) -> Blocks:
    """Return the RegNet ``name``, a key of :data:`REGNETS`; RegNet Y has squeeze-and-excitation."""
    stages, group_width = REGNETS[name]
    squeeze = 0.25 if name.startswith("y") else 0
    blocks: list[Block] = [Conv(32, 3, 2)]
    for width, times in stages:
        first, other = (
            GroupedBottleneck(width, group_width=group_width, stride=stride, squeeze=squeeze) for stride in (2, 1)
        )
        blocks += [first, *(other,) * (times - 1)]
    return (*blocks, GlobalAverage())


def convnext_tiny() -> Blocks:
    """Return ConvNeXt-T (Liu et al. 2022, arXiv 2201.03545)."""
    blocks: list[Block] = [Conv(96, 4, 4, 0, norm=False, act="none"), Norm("layer")]
    for stage, (width, times) in enumerate(CONVNEXT_TINY_STAGES):
        blocks += [ConvNeXtBlock(width, stride=2 if stage else 1), *(ConvNeXtBlock(width),) * (times - 1)]
    return (*blocks, GlobalAverage(), Norm("layer"))


def inception_v3() -> Blocks:
    """Return InceptionV3 for 299 pixels, without the auxiliary head (Szegedy et al. 2015, arXiv 1512.00567)."""
    stem = (
        Conv(32, 3, 2, 0),
        Conv(32, 3, padding=0),
        Conv(64),
        Pool(3, 2),
        Conv(80, 1),
        Conv(192, 3, padding=0),
        Pool(3, 2),
    )
    first = [FactorizedInception("a", width) for width in (32, 64, 64)]
    second = [FactorizedInception("c", width) for width in (128, 160, 160, 192)]
    modules = (*first, FactorizedInception("b"), *second, FactorizedInception("d"))
    return (*stem, *modules, *(FactorizedInception("e"),) * 2, GlobalAverage())
