"""Image bodies: architectures and backbones that output features (B, F) and, if possible, a feature map (B, C, H, W).

A head that joins images and texts follows the body.
"""

from pathlib import Path

from torch import Tensor, nn

from ...spaces.architectures.architecture import Architecture
from ...spaces.blocks.backbone import Backbone
from ...spaces.constrained.zero_shot_head import last_feature_map, vector_width
from .build import build
from .pretrained import load_weights


class ImageBody(nn.Module):
    """Base class: (B, C, H, W) -> features (B, ``features``) and a feature map with ``map_channels`` channels.

    The map, and ``map_channels``, are None if the body has no map.
    """

    features: int
    map_channels: int | None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError


class ArchitectureBody(ImageBody):
    """A trainable network of an architecture; its features are the F = ``classes`` outputs of its last linear layer.

    The map is the output of the last block that has rows and columns. ``weights`` are those of a backbone in the first
    block, as in :func:`load_backbone_weights`.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        weights: str | Path | None = None,
        dropout: float = 0.0,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        shapes = [placed.out_shape for placed in architecture.walk()]
        # Blocks up to the last one with a map as its output; the blocks after them give vectors.
        self.n_map_blocks = max((n for n, shape in enumerate(shapes, start=1) if len(shape) == 3), default=0)
        self.network = load_backbone_weights(build(architecture, dropout=dropout, seed=seed), architecture, weights)
        self.features = architecture.classes
        self.map_channels = last_feature_map(architecture)[0]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        for block in self.network[: self.n_map_blocks]:
            images = block(images)
        vector = images
        for block in self.network[self.n_map_blocks :]:
            vector = block(vector)
        return vector, images


class VectorBody(ImageBody):
    """The blocks of an architecture after its backbone, for vectors (B, F, 1, 1) of the frozen backbone.

    An architecture without a backbone, for data that are vectors, is complete. ``linear`` leaves all blocks out: the
    features are the vectors themselves.
    """

    map_channels = None

    def __init__(
        self, architecture: Architecture, *, linear: bool = False, dropout: float = 0.0, seed: int | None = None
    ) -> None:
        super().__init__()
        skip = len(list(architecture.walk())) if linear else int(has_backbone(architecture))
        self.network = build(architecture, dropout=dropout, seed=seed, skip=skip)
        self.features = vector_width(architecture) if linear else architecture.classes

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.network(images.flatten(1)), None


class BackboneBody(ImageBody):
    """A backbone, or nothing for data that are vectors, before a :class:`VectorBody`: a complete image network."""

    map_channels = None

    def __init__(self, backbone: nn.Module | None, after: VectorBody) -> None:
        super().__init__()
        self.backbone, self.after, self.features = backbone, after, after.features

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        vector: tuple[Tensor, Tensor | None] = self.after(images if self.backbone is None else self.backbone(images))
        return vector


def has_backbone(architecture: Architecture) -> bool:
    """Return whether ``architecture`` begins with a backbone."""
    return bool(architecture.blocks) and isinstance(architecture.blocks[0], Backbone)


def backbone_of(network: nn.Sequential) -> nn.Module:
    """Return the backbone in ``network``, which ``build`` made of an architecture that begins with one."""
    first: nn.Module = network[0][0]  # type: ignore[index]
    return first


def load_backbone_weights(
    network: nn.Sequential, architecture: Architecture, weights: str | Path | None
) -> nn.Sequential:
    """Load ``weights``, if not None, into the first block of ``network``, a backbone, and return ``network``.

    ``weights`` are those of :func:`~archsieve.models.networks.pretrained.load_weights`.
    """
    if weights is not None:
        (first,) = architecture.blocks[:1]
        assert isinstance(first, Backbone)
        channels, side, _ = first.in_shape
        load_weights(backbone_of(network), first.name, weights, channels, side)
    return network
