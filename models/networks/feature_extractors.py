"""Image bodies: any architecture or backbone as features (B, F) and, where there is one, a feature map (B, C, H, W)."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ...spaces.architectures.architecture import Architecture
from ...spaces.blocks.backbone import Backbone
from ...spaces.constrained.zero_shot_head import last_map
from .backbones import backbone
from .build import build


class ImageBody(nn.Module):
    """(B, C, H, W) -> features (B, ``features``) and a map with ``map_channels`` channels, None where there is none."""

    features: int
    map_channels: int | None
    fixed = False  # whether a part in front keeps its weights, so that its outputs are computed once for all epochs

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError

    def fixed_outputs(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the fixed part puts out; all of the body where there is none."""
        found: tuple[Tensor, Tensor | None] = self(images)
        return found

    def finish(self, features: Tensor, feature_map: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What the body makes of :meth:`fixed_outputs`."""
        return features, feature_map


class ArchitectureBody(ImageBody):
    """A network of the spaces, all of it trained; its features are its last linear layer's F = ``classes`` outputs.

    The map is what the last block puts out that still has rows and columns. ``weights`` are those of a backbone that it
    begins with, as in :class:`BackboneBody`.
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
        self.cut = max((place for place, shape in enumerate(shapes, start=1) if len(shape) == 3), default=0)
        self.network = with_weights(build(architecture, dropout=dropout, seed=seed), architecture, weights)
        self.features = architecture.classes
        self.map_channels = last_map(architecture)[0]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        for block in self.network[: self.cut]:
            images = block(images)
        vector = images
        for block in self.network[self.cut :]:
            vector = block(vector)
        return vector, images


class BackboneBody(ImageBody):
    """A network of timm or torchvision without its classifier, with the weights of a file; a map where timm tells one.

    ``weights`` is a state dict of torch.save, read without running any code in it; None leaves random weights.
    """

    def __init__(self, name: str, in_channels: int, *, weights: str | Path | None = None) -> None:
        super().__init__()
        self.network = backbone(name, classes=0, in_channels=in_channels)
        if weights is not None:
            _load(self.network, name, Path(weights))
        self.has_map = hasattr(self.network, "forward_features") and hasattr(self.network, "forward_head")
        with torch.no_grad():
            vector, feature_map = self.eval()(torch.zeros(1, in_channels, 64, 64))
        self.features = vector.shape[1]
        self.map_channels = feature_map.shape[1] if feature_map is not None else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        if not self.has_map:
            return self.network(images), None
        feature_map = self.network.forward_features(images)  # type: ignore[operator]
        vector = self.network.forward_head(feature_map)  # type: ignore[operator]
        return vector, feature_map if feature_map.dim() == 4 else None


class FrozenStartBody(ImageBody):
    """An architecture that begins with a backbone: the backbone stays as it is, what follows is trained.

    ``weights`` are the backbone's, as in :class:`BackboneBody`. Its children have the names of an
    :class:`ArchitectureBody`, which a finished model is read into.
    """

    fixed = True
    map_channels = None

    def __init__(
        self,
        architecture: Architecture,
        *,
        weights: str | Path | None = None,
        dropout: float = 0.0,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.network = with_weights(build(architecture, dropout=dropout, seed=seed), architecture, weights)
        self.network[0].requires_grad_(False).eval()
        self.features = architecture.classes

    def train(self, mode: bool = True) -> "FrozenStartBody":
        """Batch normalisation keeps its statistics: the backbone stays in evaluation mode."""
        super().train(mode)
        self.network[0].eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.finish(*self.fixed_outputs(images))

    def fixed_outputs(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        with torch.no_grad():
            return self.network[0](images), None

    def finish(self, features: Tensor, feature_map: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return self.network[1:](features), None


class FrozenBody(ImageBody):
    """A body whose weights stay as they are, so that its outputs are computed once for all epochs."""

    fixed = True

    def __init__(self, body: ImageBody) -> None:
        super().__init__()
        self.body = body.requires_grad_(False).eval()
        self.features, self.map_channels = body.features, body.map_channels

    def train(self, mode: bool = True) -> "FrozenBody":
        """Batch normalisation keeps its statistics: the body stays in evaluation mode."""
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        with torch.no_grad():
            found: tuple[Tensor, Tensor | None] = self.body(images)
        return found


def with_weights(network: nn.Sequential, architecture: Architecture, weights: str | Path | None) -> nn.Sequential:
    """``network`` with ``weights`` in its first block, a backbone; as it is where there are none."""
    if weights is not None:
        (first,) = architecture.blocks[:1]
        assert isinstance(first, Backbone)
        _load(network[0][0], first.name, Path(weights))  # type: ignore[index]
    return network


def _load(network: nn.Module, name: str, path: Path) -> None:
    """Weights of ``path`` into ``network``; a classifier in the file is passed over."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"a backbone's weights are a file of torch.save, but there is no {path}") from None
    wanted = network.state_dict()
    kept = {key: value for key, value in state.items() if key in wanted and value.shape == wanted[key].shape}
    if missing := sorted(set(wanted) - set(kept)):
        raise ValueError(
            f"weights must fit the network, but {path} lacks {len(missing)} of the {len(wanted)} tensors of {name}, "
            f"the first is {missing[0]}; save them from the same network"
        )
    network.load_state_dict(kept)
