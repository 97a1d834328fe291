"""The blocks of published reference networks, by family: AlexNet, VGG, GoogLeNet, ResNet and others."""

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

# The same for BN-Inception, from figure 5 of Ioffe and Szegedy 2015: 3a to 3c; 4a to 4e; 5a, 5b. The paper prints a
# projection of 128 for 4c and 4d, which contradicts its own 576 output channels; 96, as in the authors' code, agrees.
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
    """Return AlexNet as in torchvision: one column with narrower layers (Krizhevsky 2014, arXiv 1404.5997)."""
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
    """Return AlexNet as published (Krizhevsky et al. 2012): two columns with ``groups`` 2, one column with 1."""
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
    """Return ZFNet: AlexNet with smaller kernels and strides at the start.

    Source: Zeiler and Fergus 2013, arXiv 1311.2901, figure 3.
    """
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
    """Return VGG with ``depth`` weighted layers (Simonyan and Zisserman 2014, arXiv 1409.1556).

    With ``norm`` the convolutions have no biases, because batch norm cancels them. torchvision has these biases: 4,224
    in VGG-16.
    """
    stages = [
        (*(Conv(width, norm=norm),) * convs, Pool(2))
        for width, convs in zip(VGG_WIDTHS, VGG_STAGES[depth], strict=True)
    ]
    return (*(block for stage in stages for block in stage), *_fully_connected())


def prelu_net(widths: tuple[int, int, int], convs: int) -> Blocks:
    """Return a network of He et al. 2015 (arXiv 1502.01852, table 3): three stages of ``convs`` convolutions."""
    stages = [(Conv(width, norm=False, act="prelu"),) * convs for width in widths]
    body: list[Block] = [Conv(96, 7, 2, norm=False, act="prelu")]
    for stage in stages:
        body += [Pool(2), *stage]
    return (*body, PyramidPool((7, 3, 2, 1)), *_fully_connected("prelu"))


def _fully_connected(act: str = "relu") -> Blocks:
    """Return the two hidden fully connected layers that networks of the years 2012 to 2015 share."""
    return (Linear(4096, act=act),) * 2


def googlenet() -> Blocks:
    """Return GoogLeNet as in torchvision: batch norm, a 3x3 kernel in the 5x5 branch, no auxiliary heads."""
    halve = Pool(3, 2, ceil=True)
    three, four, five = ([Inception(branches=b, five=3) for b in stage] for stage in GOOGLENET_STAGES)
    stem = (Conv(64, 7, 2), halve, Conv(64, 1), Conv(192), halve)
    return (*stem, *three, halve, *four, Pool(2, ceil=True), *five, GlobalAverage())


def googlenet_2014() -> Blocks:
    """Return GoogLeNet as published, without the auxiliary heads (Szegedy et al. 2014, arXiv 1409.4842)."""
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
    """Return BN-Inception (Ioffe and Szegedy 2015, arXiv 1502.03167, figure 5): two 3x3 instead of each 5x5.

    Modules 3c and 4e halve the image size and have no projection after their pooling; only 5b has max pooling before
    its projection. The first convolution is a plain 7x7; in the paper it is separable. There are no auxiliary heads.
    """
    halve = Pool(3, 2, padding=1)
    stem = (Conv(64, 7, 2), halve, Conv(64, 1), Conv(192), halve)
    modules = [_bn_module(branches) for stage in BN_INCEPTION_STAGES for branches in stage]
    last = Inception(branches=BN_INCEPTION_STAGES[-1][-1], five=3, double=True)
    return (*stem, *modules[:-1], last, GlobalAverage())


def _bn_module(branches: tuple[int, ...]) -> Inception:
    # the modules without a 1x1 branch, 3c and 4e, are those with stride 2
    if branches[0]:
        return Inception(branches=branches, five=3, double=True, pool="average")
    return Inception(branches=branches, five=3, double=True, stride=2)


def resnet(depth: int, *, shortcut: str = "B", stride_first: bool = False) -> Blocks:
    """Return ResNet for 224 pixels with ``depth`` weighted layers (He et al. 2015, arXiv 1512.03385, table 1)."""
    form, scale = ("bottleneck", 4) if depth >= 50 else ("basic", 1)
    blocks: list[Block] = [Conv(64, 7, 2), Pool(3, 2, padding=1)]
    for stage, times in enumerate(RESNET_STAGES[depth]):
        width = 64 * scale * 2**stage
        for i in range(times):
            stride = 2 if stage and not i else 1  # the max pooling before has halved the input of the first stage
            blocks.append(Residual(width, form, stride, shortcut, stride_first=stride_first))
    return (*blocks, GlobalAverage())


def resnet_cifar(depth: int, *, shortcut: str = "A") -> Blocks:
    """Return ResNet for 32 pixels with ``depth`` = 6 n + 2 weighted layers (He et al. 2015, section 4.2)."""
    return (Conv(16), *residual_stages((depth - 2) // 6, (16, 32, 64), shortcut), GlobalAverage())


def residual_stages(times: int, widths: Sequence[int], shortcut: str) -> Blocks:
    """Return a stage of ``times`` basic blocks for each width; every stage except the first halves the image size."""
    return tuple(
        Residual(width, stride=2 if stage and not i else 1, shortcut=shortcut)
        for stage, width in enumerate(widths)
        for i in range(times)
    )
