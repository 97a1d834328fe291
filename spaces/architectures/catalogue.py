"""The catalogue: published networks by name, also with some of their layers removed."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial

from ..blocks.base import Block
from ..blocks.layers import Branches, Convolution, FullyConnected, Layer
from ..blocks.standard import Conv, Linear
from ..parameters.lookup import look_up
from .architecture import Architecture
from .modern_networks import (
    REGNETS,
    SHUFFLENET_WIDTHS,
    convnext_tiny,
    densenet_121,
    efficientnet,
    efficientnet_v2_s,
    grouped_resnet_50,
    inception_v3,
    mnasnet,
    mobilenet_v2,
    mobilenet_v3,
    regnet,
    shufflenet_v2,
    squeezenet,
)
from .reference_networks import (
    RESNET_STAGES,
    VGG_STAGES,
    alexnet,
    alexnet_2012,
    bn_inception,
    googlenet,
    googlenet_2014,
    prelu_net,
    resnet,
    resnet_cifar,
    vgg,
    zfnet,
)

BlocksFactory = Callable[[], tuple[Block, ...]]
ArchitectureFactory = Callable[[], Architecture]


def _entry(blocks: BlocksFactory, side: int = 224, classes: int = 1000) -> ArchitectureFactory:
    # built when first used, because building all networks would slow down every import
    return cache(lambda: Architecture((3, side, side), blocks(), classes))


CATALOGUE: dict[str, ArchitectureFactory] = {
    "alexnet": _entry(alexnet),
    "alexnet-2012": _entry(partial(alexnet_2012, groups=2), 227),
    "alexnet-2012-merged": _entry(partial(alexnet_2012, groups=1), 227),
    "zfnet": _entry(zfnet),
    **{f"vgg{depth}": _entry(partial(vgg, depth, norm=False)) for depth in VGG_STAGES},
    **{f"vgg{depth}-bn": _entry(partial(vgg, depth, norm=True)) for depth in VGG_STAGES},
    "googlenet": _entry(googlenet),
    "googlenet-2014": _entry(googlenet_2014),
    "bn-inception": _entry(bn_inception),
    "prelu-net": _entry(partial(prelu_net, (256, 512, 512), 5)),  # model A of 19 layers
    "prelu-net-b": _entry(partial(prelu_net, (256, 512, 512), 6)),
    "prelu-net-c": _entry(partial(prelu_net, (384, 768, 896), 6)),
    **{f"resnet{depth}": _entry(partial(resnet, depth)) for depth in RESNET_STAGES},
    **{f"resnet{depth}-v1": _entry(partial(resnet, depth, stride_first=True)) for depth in (50, 101, 152)},
    **{f"resnet34-{option.lower()}": _entry(partial(resnet, 34, shortcut=option)) for option in "AC"},
    **{f"plain{depth}": _entry(partial(resnet, depth, shortcut="none")) for depth in (18, 34)},
    **{f"resnet{depth}-cifar": _entry(partial(resnet_cifar, depth), 32, 10) for depth in (20, 32, 44, 56, 110)},
    **{
        f"plain{depth}-cifar": _entry(partial(resnet_cifar, depth, shortcut="none"), 32, 10)
        for depth in (20, 32, 44, 56)
    },
    # the names of torchvision
    "mobilenet_v2": _entry(mobilenet_v2),
    **{f"mobilenet_v3_{size}": _entry(partial(mobilenet_v3, size)) for size in ("small", "large")},
    "mnasnet0_5": _entry(partial(mnasnet, 0.5)),
    "mnasnet1_0": _entry(partial(mnasnet, 1.0)),
    "efficientnet_b0": _entry(partial(efficientnet, 1.0)),
    "efficientnet_b1": _entry(partial(efficientnet, 1.1)),
    "efficientnet_v2_s": _entry(efficientnet_v2_s),
    **{f"shufflenet_v2_{scale}": _entry(partial(shufflenet_v2, scale)) for scale in SHUFFLENET_WIDTHS},
    **{f"squeezenet{version}": _entry(partial(squeezenet, version)) for version in ("1_0", "1_1")},
    "densenet121": _entry(densenet_121),
    "resnext50_32x4d": _entry(partial(grouped_resnet_50, 0.5, 32)),
    "wide_resnet50_2": _entry(partial(grouped_resnet_50, 0.5, 1)),
    **{f"regnet_{name}": _entry(partial(regnet, name)) for name in REGNETS},
    "convnext_tiny": _entry(convnext_tiny),
    "inception_v3": _entry(inception_v3, 299),
}


def named(
    name: str,
    *,
    input_shape: Sequence[int] | None = None,
    classes: int | None = None,
    remove: Iterable[int] = (),
) -> Architecture:
    """Return the published architecture called ``name``.

    ``input_shape`` (C, H, W) and ``classes`` replace the published ones. ``remove`` removes layers with weights by
    their number, counted as in the papers: ``remove=(6, 7)`` removes the hidden fully connected layers of AlexNet, so
    that the input of layer 8 is the output of layer 5. Pooling and normalisation stay. Raises ``ValueError`` for an
    unknown name or a layer that cannot be removed, and :class:`ShapeError` if the blocks do not fit together.

    >>> from archsieve.spaces.architectures.cost import cost
    >>> cost(named("alexnet-2012")).params - cost(named("alexnet-2012", remove=(6, 7))).params
    49414144
    """
    whole = look_up(CATALOGUE, name, "network")()
    numbers = tuple(remove)
    if input_shape is None and classes is None and not numbers:
        return whole
    return Architecture(
        whole.input_shape if input_shape is None else tuple(input_shape),  # type: ignore[arg-type]
        remove_layers(whole, numbers, name),
        whole.classes if classes is None else classes,
    )


def remove_layers(architecture: Architecture, remove: Iterable[int], name: str = "the network") -> tuple[Block, ...]:
    """Return the blocks of ``architecture`` without the layers whose numbers are in ``remove``.

    Only a layer that is a separate block can be removed, not one inside a residual or inception block. Raises
    ``ValueError`` for any other number; the message uses ``name``.
    """
    numbers = frozenset(remove)
    removable = _removable(architecture)
    for number in sorted(numbers):
        if number not in removable:
            choices = ", ".join(map(str, removable))
            raise ValueError(
                f"remove takes the numbers of convolutions and fully connected layers that are separate blocks, except "
                f"the last layer, but {name} has no such layer {number}; choose from {choices}"
            )
    removed = {removable[number] for number in numbers}
    return tuple(block for index, block in enumerate(architecture.blocks) if index not in removed)


def _removable(architecture: Architecture) -> dict[int, int]:
    """Map the number of each layer that can be removed to the index of its block."""
    removable: dict[int, int] = {}
    number = 0
    *body, _ = architecture.walk()  # without the head
    for index, (block, _, layers, *_) in enumerate(body):
        number += _count_weighted(layers)
        if isinstance(block, Conv | Linear):
            removable[number] = index
    return removable


def _count_weighted(layers: tuple[Layer, ...]) -> int:
    """Count convolutions and fully connected layers, also inside branches, as the per-layer table numbers them."""
    return sum(
        sum(map(_count_weighted, layer.chains))
        if isinstance(layer, Branches)
        else isinstance(layer, Convolution | FullyConnected)
        for layer in layers
    )
