"""Spaces by name: the default space "mixed", and a space around each family of published networks."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..architectures.architecture import check_input_shape
from ..architectures.catalogue import CATALOGUE, named
from ..architectures.reference_networks import GOOGLENET_STAGES, VGG_WIDTHS
from ..blocks.standard import Conv, ConvPool, GlobalAverage, Inception, Linear, Pool, Residual, ResponseNorm
from ..parameters.domains import choice, repeat
from ..parameters.lookup import look_up
from .image_sizes import with_image_sizes
from .modern_spaces import MIN_LAST_SIDE, InputShape, Templates, convnext_space, mobile_space, regnet_space
from .space import Space, Template
from .stages import stage


def mixed(input_shape: InputShape) -> Templates:
    """Return a stem and three stages of conv-pool, residual or inception stacks with free depth, width and kernel.

    For images larger than 64 pixels the stem divides the side by 4. The first stages then halve the side, as long as
    at least 4 x 4 pixels remain; the others keep it.
    """
    side = min(input_shape[1:])
    stem: Templates = (Conv(choice(16, 24, 32)),)
    if side > 64:
        stem, side = (Conv(choice(16, 32, 64), 7, 2), Pool(3, 2, padding=1)), side // 4
    # the largest number of halvings, at most one per stage, with side // 2**halvings >= MIN_LAST_SIDE
    halvings = min(3, max(0, (side // MIN_LAST_SIDE).bit_length() - 1))
    widths = ((16, 24, 32, 48, 64), (24, 32, 48, 64, 96), (32, 48, 64, 96, 128))
    stages = (
        stage(("conv-pool", "residual", "inception"), (1, 2, 3), width, (3, 5), halve=number < halvings)
        for number, width in enumerate(widths)
    )
    return (*stem, *stages, GlobalAverage())


def alexnet_space(input_shape: InputShape) -> Templates:
    """Return the space around AlexNet: kernels, widths, groups, response norms, and optional layers 3, 4, 6 and 7.

    The optional layers are those of the published experiments in which layers are removed.
    """
    norm = choice((), ResponseNorm())
    groups = choice(1, 2)
    hidden = choice((), Linear(choice(1024, 2048, 4096)))
    return (
        Conv(choice(48, 64, 96), choice(7, 11), 4, choice(0, 2), norm=False),
        norm,
        Pool(3, 2),
        Conv(choice(128, 192, 256), choice(3, 5), groups=groups, norm=False),
        norm,
        Pool(3, 2),
        choice((), Conv(choice(192, 256, 384), norm=False)),
        choice((), Conv(choice(192, 256, 384), groups=groups, norm=False)),
        Conv(choice(128, 256), groups=groups, norm=False),
        Pool(3, 2),
        hidden,
        hidden,
    )


def vgg_space(input_shape: InputShape) -> Templates:
    """Return the space around VGG: five stages of 3x3 convolutions, with or without batch norm, and the last blocks.

    The last blocks are a global average, or one or two hidden fully connected layers.
    """
    end = choice(GlobalAverage(), repeat(Linear(choice(512, 1024, 4096)), choice(1, 2)))
    return choice(_vgg_stages(norm=False), _vgg_stages(norm=True)), end


def _vgg_stages(*, norm: bool) -> Templates:
    return tuple(
        ConvPool(choice(width // 4, width // 2, width), convs=choice(1, 2, 3, 4), norm=norm) for width in VGG_WIDTHS
    )


def inception_space(input_shape: InputShape) -> Templates:
    """Return the space around GoogLeNet: each module at a quarter, half or all of its width, most of them optional."""
    halve = Pool(3, 2, ceil=True)
    three, four, five = (_modules(stage) for stage in GOOGLENET_STAGES)
    stem = (Conv(choice(16, 32, 64), 7, 2), halve, Conv(choice(16, 32, 64), 1), Conv(choice(48, 96, 192)), halve)
    return (*stem, *three, halve, *four, Pool(2, ceil=True), *five, GlobalAverage())


def _modules(widths: Sequence[tuple[int, ...]]) -> Templates:
    """Return the modules of one stage; all but the first are optional."""
    first, *others = (
        Inception(branches=choice(*(tuple(w // part for w in module) for part in (4, 2, 1))), five=choice(3, 5))
        for module in widths
    )
    return (first, *(choice((), module) for module in others))


def resnet_space(input_shape: InputShape) -> Templates:
    """Return the space around the ResNets for 224 pixels: form, depth, width and shortcut of each of four stages."""
    depths = ((1, 2, 3), (1, 2, 3, 4, 8), (1, 2, 3, 6, 23, 36), (1, 2, 3))
    stages = (
        choice(
            _residual_stage("basic", (16 * 2**number, 32 * 2**number, 64 * 2**number), depth, halve=number > 0),
            _residual_stage("bottleneck", (64 * 2**number, 128 * 2**number, 256 * 2**number), depth, halve=number > 0),
        )
        for number, depth in enumerate(depths)
    )
    return (Conv(choice(16, 32, 64), 7, 2), Pool(3, 2, padding=1), *stages, GlobalAverage())


def cifar_resnet_space(input_shape: InputShape) -> Templates:
    """Return the space around the ResNets for 32 pixels: depth, width and shortcut of each of three stages."""
    stages = (
        _residual_stage("basic", tuple(width * 2**number for width in (8, 16, 32, 64)), _CIFAR_DEPTHS, halve=number > 0)
        for number in range(3)
    )
    return (Conv(choice(8, 16, 32)), *stages, GlobalAverage())


_CIFAR_DEPTHS = (1, 2, 3, 5, 7, 9, 18)  # 3 to 18 blocks a stage are the published ResNets of 20 to 110 layers


def _residual_stage(form: str, widths: Sequence[int], depths: Sequence[int], *, halve: bool) -> Template:
    # the published networks with shortcut "A", and those without shortcuts, have basic blocks only
    shortcuts = ("A", "B", "C", "none") if form == "basic" else ("B", "C")
    block = Residual(choice(*widths), form, shortcut=choice(*shortcuts))
    return repeat(block, choice(*depths), first={"stride": 2} if halve else {})


class NamedSpace(NamedTuple):
    """An entry of :data:`NAMED_SPACES`: a function from input shape to templates, default input shape and classes."""

    blocks: Callable[[InputShape], Templates]
    input_shape: InputShape
    classes: int


NAMED_SPACES: dict[str, NamedSpace] = {
    "mixed": NamedSpace(mixed, (1, 8, 8), 10),
    "alexnet-space": NamedSpace(alexnet_space, (3, 227, 227), 1000),
    "vgg-space": NamedSpace(vgg_space, (3, 224, 224), 1000),
    "inception-space": NamedSpace(inception_space, (3, 224, 224), 1000),
    "resnet-space": NamedSpace(resnet_space, (3, 224, 224), 1000),
    "cifar-resnet-space": NamedSpace(cifar_resnet_space, (3, 32, 32), 10),
    "mobile-space": NamedSpace(mobile_space, (3, 224, 224), 1000),
    "regnet-space": NamedSpace(regnet_space, (3, 224, 224), 1000),
    "convnext-space": NamedSpace(convnext_space, (3, 224, 224), 1000),
}


def named_space(
    name: str,
    *,
    input_shape: Sequence[int] | None = None,
    classes: int | None = None,
    image_size: int | Sequence[int] | None = None,
) -> Space:
    """Return the space called ``name``.

    ``input_shape`` (C, H, W) and ``classes`` replace the defaults of the space. The name of a network of the catalogue
    gives the space that contains only this network. With ``image_size`` the images are resized in the network to one of
    these sides in pixels. Raises ``ValueError`` for an unknown name.
    """
    entry = look_up({**NAMED_SPACES, **CATALOGUE}, name, "space")
    if not isinstance(entry, NamedSpace):  # a network of the catalogue: its blocks do not depend on the image
        published = named(name)
        entry = NamedSpace(
            lambda shape: named(name, input_shape=shape).blocks, published.input_shape, published.classes
        )
    shape = entry.input_shape if input_shape is None else check_input_shape(input_shape)
    blocks = with_image_sizes(entry.blocks, shape, image_size)
    return Space(shape, blocks, entry.classes if classes is None else classes, name)
