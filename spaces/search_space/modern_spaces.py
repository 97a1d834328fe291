"""Spaces around networks since 2018: inverted residuals, RegNets and ConvNeXts."""

from ..blocks.base import Block
from ..blocks.standard import (
    Conv,
    ConvNeXtBlock,
    GlobalAverage,
    GroupedBottleneck,
    InvertedResidual,
    Linear,
    Norm,
)
from ..parameters.domains import choice, repeat
from .space import Template

Templates = tuple[Template, ...]
InputShape = tuple[int, int, int]

MIN_LAST_SIDE = 4  # pixels: an image is halved only as long as at least this side remains

# widths, squeeze-and-excitation and nonlinearity of each stage, as in MobileNetV3 and Once-for-all
MOBILE_STAGES: tuple[tuple[tuple[int, ...], float, str], ...] = (
    ((16, 24, 32), 0, "relu"),
    ((32, 40, 48), 0.25, "relu"),
    ((64, 80, 96), 0, "hardswish"),
    ((96, 112, 128), 0.25, "hardswish"),
    ((128, 160, 192), 0.25, "hardswish"),
)
# widths and depths of each stage of the RegNets
REGNET_STAGES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((24, 32, 48, 64, 80), (1, 2, 3)),
    ((48, 64, 80, 96, 104, 128, 144, 168), (1, 2, 3, 4, 5)),
    ((96, 112, 128, 160, 192, 208, 240, 288, 320), (1, 2, 4, 6, 7, 8, 10, 12)),
    ((240, 288, 320, 368, 400, 440, 512, 576), (1, 2, 4, 6, 8, 10, 12)),
)
REGNET_GROUP_WIDTHS = (8, 16, 24)
# widths and depths of each stage of the ConvNeXts; the stem has the width of the first one
CONVNEXT_STAGES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((40, 48, 64, 80, 96), (1, 2, 3)),
    ((80, 96, 128, 160, 192), (1, 2, 3)),
    ((160, 192, 256, 320, 384), (2, 3, 6, 9, 12)),
    ((320, 384, 512, 640, 768), (1, 2, 3)),
)


def mobile_space(input_shape: InputShape) -> Templates:
    """Return the space around MobileNetV3 that Once-for-all and MCUNet search.

    Five stages of one to four inverted residuals with a free width. Each block has its own kernel of 3, 5 or 7 pixels
    and its own expansion of 3, 4 or 6 (Cai et al. 2019, arXiv 1908.09791; Lin et al. 2020, arXiv 2007.10319). Small
    images are halved fewer times: the first blocks keep their size.
    """
    stem, first, second, third, last = strides(input_shape, 5)
    stages = [
        template
        for (widths, squeeze, act), stride in zip(MOBILE_STAGES, (first, second, third, 1, last), strict=True)
        for template in _mobile_stage(widths, squeeze, act, stride)
    ]
    classifier = choice((), Linear(choice(640, 1280), act="hardswish"))
    return (
        Conv(choice(16, 24, 32), 3, stem, act="hardswish"),
        InvertedResidual(16, 1, act="relu"),
        *stages,
        Conv(choice(320, 640, 960), 1, act="hardswish"),
        GlobalAverage(),
        classifier,
    )


def _mobile_stage(widths: tuple[int, ...], squeeze: float, act: str, stride: int) -> Templates:
    def block(width: object, step: int) -> Block:
        kernel, expansion = choice(3, 5, 7), choice(3, 4, 6)
        form = "expanded" if squeeze else "input"  # without squeeze-and-excitation the default, which is not printed
        return InvertedResidual(width, expansion, kernel, step, squeeze, form, act)  # type: ignore[arg-type]

    return (block(choice(*widths), stride), repeat(block(None, 1), choice(0, 1, 2, 3), each=True))


def regnet_space(input_shape: InputShape) -> Templates:
    """Return the space around RegNet X and Y: group width, squeeze-and-excitation, and depth and width of four stages.

    Group width and squeeze-and-excitation are the same in the whole network, as in Radosavovic et al. 2020 (arXiv
    2003.13678). Widths that a group width does not divide are not in the space.
    """
    stem, *steps = strides(input_shape, 1 + len(REGNET_STAGES))
    bodies = [
        tuple(
            repeat(
                GroupedBottleneck(choice(*_multiples(widths, group_width)), group_width=group_width, squeeze=squeeze),
                choice(*depths),
                first={"stride": stride},
            )
            for (widths, depths), stride in zip(REGNET_STAGES, steps, strict=True)
        )
        for squeeze in (0, 0.25)
        for group_width in REGNET_GROUP_WIDTHS
    ]
    return (Conv(32, 3, stem), choice(*bodies), GlobalAverage())


def _multiples(widths: tuple[int, ...], group_width: int) -> tuple[int, ...]:
    return tuple(width for width in widths if width % group_width == 0)


def convnext_space(input_shape: InputShape) -> Templates:
    """Return the space around ConvNeXt-T: depth, width, kernel and expansion of each of four stages.

    Source: Liu et al. 2022, arXiv 2201.03545. The stem divides the side of large images by 4, that of small ones by 2.
    """
    channels, height, width = input_shape
    patch = 4 if min(height, width) > 64 else 2
    (stem_widths, stem_depths), *others = CONVNEXT_STAGES
    steps = strides((channels, height // patch, width // patch), len(others))
    stages = (
        repeat(_convnext(choice(*widths)), choice(*depths), first={"stride": stride})
        for (widths, depths), stride in zip(others, steps, strict=True)
    )
    stem = (Conv(choice(*stem_widths), patch, patch, 0, norm=False, act="none"), Norm("layer"))
    # without a width of its own, the first stage has that of the stem
    return (*stem, repeat(_convnext(None), choice(*stem_depths)), *stages, GlobalAverage(), Norm("layer"))


def _convnext(width: object) -> Block:
    return ConvNeXtBlock(width, choice(3, 5, 7), choice(2, 3, 4))  # type: ignore[arg-type]


def strides(input_shape: InputShape, places: int) -> list[int]:
    """Return a stride of 1 or 2 for each of ``places``: the last ones halve the image as often as it is large enough.

    >>> strides((3, 224, 224), 5), strides((3, 32, 32), 5)
    ([2, 2, 2, 2, 2], [1, 1, 2, 2, 2])
    """
    halvings = max(0, (min(input_shape[1:]) // MIN_LAST_SIDE).bit_length() - 1)
    return [2 if place >= places - halvings else 1 for place in range(places)]
