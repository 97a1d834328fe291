"""Classics: the blocks of the networks that papers are measured against, family by family."""

from collections.abc import Sequence

from ..blocks.base import Block
from ..blocks.standard import Conv, GlobalAverage, Inception, Linear, Pool, PyramidPool, Residual, ResponseNorm

Blocks = tuple[Block, ...]

RESNET_STAGES: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
VGG_STAGES: dict[int, tuple[int, ...]] = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
VGG_WIDTHS = (64, 128, 256, 512, 512)

# The six branch widths of each module, from table 1 of Szegedy et al. 2014: 3a, 3b; 4a to 4e; 5a, 5b.
GOOGLENET_STAGES: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)

# Likewise of BN-Inception, from figure 5 of Ioffe and Szegedy 2015: 3a to 3c; 4a to 4e; 5a, 5b. That table prints a
# projection of 128 for 4c and 4d, which contradicts its own 576 outputs; 96, as in the authors' code, agrees.
BN_INCEPTION_STAGES: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((64, 64, 64, 64, 96, 32), (64, 64, 96, 64, 96, 64), (0, 128, 160, 64, 96, 0)),
    (
        (224, 64, 96, 96, 128, 128),
        (192, 96, 128, 96, 128, 128),
        (160, 128, 160, 128, 160, 96),
        (96, 128, 192, 160, 192, 96),
        (0, 128, 192, 192, 256, 0),
    ),
    ((352, 192, 320, 160, 224, 128), (352, 192, 320, 192, 224, 128)),
)


def alexnet() -> Blocks:
    """AlexNet as torchvision has it: one column, narrower (Krizhevsky 2014, arXiv 1404.5997)."""
    return (
        Conv(64, 11, 4, 2, norm=False),
        Pool(3, 2),
        Conv(192, 5, norm=False),
        Pool(3, 2),
        *(Conv(width, norm=False) for width in (384, 256, 256)),
        Pool(3, 2),
        *_fully_connected(),
    )


def alexnet_2012(groups: int) -> Blocks:
    """AlexNet as published, its two columns as ``groups`` 2 (Krizhevsky et al. 2012), or merged into one."""
    return (
        Conv(96, 11, 4, 0, norm=False),
        ResponseNorm(),
        Pool(3, 2),
        Conv(256, 5, groups=groups, norm=False),
        ResponseNorm(),
        Pool(3, 2),
        Conv(384, norm=False),
        *(Conv(width, groups=groups, norm=False) for width in (384, 256)),
        Pool(3, 2),
        *_fully_connected(),
    )


def zfnet() -> Blocks:
    """ZFNet: AlexNet, looking more closely at the start (Zeiler and Fergus 2013, arXiv 1311.2901, figure 3)."""
    return (
        Conv(96, 7, 2, 1, norm=False),
        Pool(3, 2, ceil=True),
        ResponseNorm(),
        Conv(256, 5, 2, 0, norm=False),
        Pool(3, 2, ceil=True),
        ResponseNorm(),
        *(Conv(width, norm=False) for width in (384, 384, 256)),
        Pool(3, 2),
        *_fully_connected(),
    )


def vgg(depth: int, *, norm: bool) -> Blocks:
    """VGG of ``depth`` weighted layers (Simonyan and Zisserman 2014, arXiv 1409.1556).

    With ``norm``, convolutions have no biases: batch norm would undo them. torchvision keeps them, 4,224 in VGG-16.
    """
    stages = [
        (*(Conv(width, norm=norm),) * convs, Pool(2))
        for width, convs in zip(VGG_WIDTHS, VGG_STAGES[depth], strict=True)
    ]
    return (*(block for stage in stages for block in stage), *_fully_connected())


def prelu_net(widths: tuple[int, int, int], convs: int) -> Blocks:
    """The networks of He et al. 2015 (arXiv 1502.01852, table 3): ``convs`` convolutions in each of three stages."""
    stages = [(Conv(width, norm=False, act="prelu"),) * convs for width in widths]
    body: list[Block] = [Conv(96, 7, 2, norm=False, act="prelu")]
    for stage in stages:
        body += [Pool(2), *stage]
    return (*body, PyramidPool((7, 3, 2, 1)), *_fully_connected("prelu"))


def _fully_connected(act: str = "relu") -> Blocks:
    """The two hidden fully connected layers of the years 2012 to 2015."""
    return (Linear(4096, act=act),) * 2


def googlenet() -> Blocks:
    """GoogLeNet as torchvision has it: batch norm, a 3x3 in the 5x5 branch, no auxiliary heads."""
    halve = Pool(3, 2, ceil=True)
    three, four, five = ([Inception(branches=b, five=3) for b in stage] for stage in GOOGLENET_STAGES)
    stem = (Conv(64, 7, 2), halve, Conv(64, 1), Conv(192), halve)
    return (*stem, *three, halve, *four, Pool(2, ceil=True), *five, GlobalAverage())


def googlenet_2014() -> Blocks:
    """GoogLeNet as published, without the auxiliary heads (Szegedy et al. 2014, arXiv 1409.4842)."""
    halve = Pool(3, 2, ceil=True)
    three, four, five = ([Inception(branches=b, norm=False) for b in stage] for stage in GOOGLENET_STAGES)
    stem = (
        Conv(64, 7, 2, norm=False),
        halve,
        ResponseNorm(),
        Conv(64, 1, norm=False),
        Conv(192, norm=False),
        ResponseNorm(),
        halve,
    )
    return (*stem, *three, halve, *four, halve, *five, GlobalAverage())


def bn_inception() -> Blocks:
    """BN-Inception (Ioffe and Szegedy 2015, arXiv 1502.03167, figure 5): each 5x5 becomes two 3x3.

    Modules 3c and 4e halve the picture and pass it through; 5b alone pools the maximum before its projection. The first
    convolution is a plain 7x7; the paper's is separable. No auxiliary heads.
    """
    halve = Pool(3, 2, padding=1)
    stem = (Conv(64, 7, 2), halve, Conv(64, 1), Conv(192), halve)
    modules = [_bn_module(branches) for stage in BN_INCEPTION_STAGES for branches in stage]
    last = Inception(branches=BN_INCEPTION_STAGES[-1][-1], five=3, double=True)
    return (*stem, *modules[:-1], last, GlobalAverage())


def _bn_module(branches: tuple[int, ...]) -> Inception:
    if branches[0]:
        return Inception(branches=branches, five=3, double=True, pool="average")
    return Inception(branches=branches, five=3, double=True, stride=2)


def resnet(depth: int, *, shortcut: str = "B", stride_first: bool = False) -> Blocks:
    """ResNet for 224 pixels, of ``depth`` weighted layers (He et al. 2015, arXiv 1512.03385, table 1)."""
    form, scale = ("bottleneck", 4) if depth >= 50 else ("basic", 1)
    blocks: list[Block] = [Conv(64, 7, 2), Pool(3, 2, padding=1)]
    for stage, times in enumerate(RESNET_STAGES[depth]):
        width = 64 * scale * 2**stage
        for i in range(times):
            stride = 2 if stage and not i else 1
            blocks.append(Residual(width, form, stride, shortcut, stride_first=stride_first))
    return (*blocks, GlobalAverage())


def resnet_cifar(depth: int, *, shortcut: str = "A") -> Blocks:
    """ResNet for 32 pixels, of 6 n + 2 weighted layers (He et al. 2015, section 4.2)."""
    return (Conv(16), *residual_stages((depth - 2) // 6, (16, 32, 64), shortcut), GlobalAverage())


def residual_stages(times: int, widths: Sequence[int], shortcut: str) -> Blocks:
    """``times`` basic blocks of each width; every stage but the first halves the picture."""
    return tuple(
        Residual(width, stride=2 if stage and not i else 1, shortcut=shortcut)
        for stage, width in enumerate(widths)
        for i in range(times)
    )
