"""Image bodies: architectures and backbones that output features (B, F) and, if possible, a feature map (B, C, H, W).

A head that joins images and texts follows the body.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from ...spaces.architectures.architecture import Architecture
from ...spaces.blocks.backbone import Backbone
from ...spaces.constrained.zero_shot_head import last_feature_map
from .backbones import backbone
from .build import build


class ImageBody(nn.Module):
    """Base class: (B, C, H, W) -> features (B, ``features``) and a feature map with ``map_channels`` channels.

    The map, and ``map_channels``, are None if the body has no map. ``fixed``: whether the first part of the body is
    frozen; its outputs are then computed once for all epochs.
    """

    features: int
    map_channels: int | None
    fixed = False

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError

    def frozen_outputs(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the outputs of the frozen part; without a frozen part, the outputs of the whole body."""
        outputs: tuple[Tensor, Tensor | None] = self(images)
        return outputs

    def finish(self, features: Tensor, feature_map: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Compute the outputs of the body from those of :meth:`frozen_outputs`."""
        return features, feature_map


class ArchitectureBody(ImageBody):
    """A trainable network of an architecture; its features are the F = ``classes`` outputs of its last linear layer.

    The map is the output of the last block that has rows and columns. ``weights`` are those of a backbone in the first
    block, as in :class:`BackboneBody`.
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


class BackboneBody(ImageBody):
    """A network of timm or torchvision without its classifier; it has a map if timm's interface gives one.

    ``weights`` is the path of a state dict written by torch.save; it is read without running code from the file. None
    keeps random weights. Raises ``ValueError`` if the file is missing or does not fit.
    """

    def __init__(self, name: str, in_channels: int, *, weights: str | Path | None = None) -> None:
        super().__init__()
        self.network = backbone(name, classes=0, in_channels=in_channels)
        if weights is not None:
            _load_state_dict(self.network, name, Path(weights))
        self.has_map = hasattr(self.network, "forward_features") and hasattr(self.network, "forward_head")
        # The sizes are measured on a small image, because torchvision does not record them.
        with torch.no_grad():
            vector, feature_map = self.eval()(torch.zeros(1, in_channels, 64, 64))
        self.features = vector.shape[1]
        self.map_channels = feature_map.shape[1] if feature_map is not None else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        if not self.has_map:
            return self.network(images), None
        feature_map = self.network.forward_features(images)  # type: ignore[operator]
        vector = self.network.forward_head(feature_map)  # type: ignore[operator]
        return vector, feature_map if feature_map.dim() == 4 else None  # transformers give tokens (B, L, C)


class FrozenBackboneBody(ImageBody):
    """An architecture that begins with a backbone: the backbone is frozen, the other blocks are trained.

    ``weights`` are the backbone's, as in :class:`BackboneBody`. Its children have the same names as those of an
    :class:`ArchitectureBody`, because a finished model is loaded into one.
    """

    fixed = True
    map_channels = None  # the frozen outputs are vectors

    def __init__(
        self,
        architecture: Architecture,
        *,
        weights: str | Path | None = None,
        dropout: float = 0.0,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.network = load_backbone_weights(build(architecture, dropout=dropout, seed=seed), architecture, weights)
        self.network[0].requires_grad_(False).eval()
        self.features = architecture.classes

    def train(self, mode: bool = True) -> "FrozenBackboneBody":
        """Set the mode, but keep the backbone in evaluation mode, so that its batch norm keeps its statistics."""
        super().train(mode)
        self.network[0].eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.finish(*self.frozen_outputs(images))

    def frozen_outputs(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        with torch.no_grad():
            return self.network[0](images), None

    def finish(self, features: Tensor, feature_map: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return self.network[1:](features), None


class FrozenBody(ImageBody):
    """A body with frozen weights; its outputs are computed once for all epochs."""

    fixed = True

    def __init__(self, body: ImageBody) -> None:
        super().__init__()
        self.body = body.requires_grad_(False).eval()
        self.features, self.map_channels = body.features, body.map_channels

    def train(self, mode: bool = True) -> "FrozenBody":
        """Set the mode, but keep the body in evaluation mode, so that its batch norm keeps its statistics."""
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        with torch.no_grad():
            outputs: tuple[Tensor, Tensor | None] = self.body(images)
        return outputs


def load_backbone_weights(
    network: nn.Sequential, architecture: Architecture, weights: str | Path | None
) -> nn.Sequential:
    """Load ``weights``, if not None, into the first block of ``network``, a backbone, and return ``network``."""
    if weights is not None:
        (first,) = architecture.blocks[:1]
        assert isinstance(first, Backbone)
        _load_state_dict(network[0][0], first.name, Path(weights))  # type: ignore[index]
    return network


def _load_state_dict(network: nn.Module, name: str, path: Path) -> None:
    """Load the weights in ``path`` into ``network``; other tensors in the file, such as a classifier, are ignored."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(
            f"the weights of a backbone must be a file of torch.save, but there is no {path}; check the path"
        ) from None
    wanted = network.state_dict()
    fitting = {key: value for key, value in state.items() if key in wanted and value.shape == wanted[key].shape}
    if missing := sorted(set(wanted) - set(fitting)):
        raise ValueError(
            f"weights must fit the network, but {path} lacks {len(missing)} of the {len(wanted)} tensors of {name}, "
            f"the first is {missing[0]}; save them from the same network"
        )
    network.load_state_dict(fitting)
