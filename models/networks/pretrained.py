"""Pretrained networks: networks of timm and torchvision with published weights, or with the weights of a file."""

import warnings
from collections.abc import Set
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

import torch
from torch import Tensor, nn

from ...spaces.architectures.architecture import Architecture
from ...spaces.blocks.backbone import Backbone
from ...spaces.networks.networks_space import network_name
from ...spaces.networks.patterns import PRETRAINED
from ...spaces.networks.table import network_table
from ...spaces.recipes.recipe import Recipe
from ..process.random_state import seeded
from .backbones import backbone, published_input, size_argument, timm_config
from .build import build_for
from .preprocessing import Preprocessing, published_preprocessing
from .weight_files import find_weights, read_weights

NOT_IN_OLD_FILES = "num_batches_tracked"  # a counter that batch norm with a momentum does not use
AUXILIARY_HEADS = ("aux", "AuxLogits")  # of torchvision's GoogLeNet and Inception; they exist in training only


@dataclass(frozen=True)
class LoadedWeights:
    """Weights that were loaded: the SHA-256 of their file (None if the file is unknown), their tag, and the file."""

    sha256: str | None
    tag: str | None
    file: str


@dataclass(frozen=True)
class PretrainedNetwork:
    """A network with its head: ``module`` maps normalised images (N, C, H, W) to scores (N, classes).

    ``weights`` is None for random weights.
    """

    module: nn.Module
    preprocessing: Preprocessing
    weights: LoadedWeights | None


def pretrained_network(
    name: str,
    classes: int | None,
    *,
    in_channels: int = 3,
    image_size: int | None = None,
    weights: str | Path | None = PRETRAINED,
    seed: int | None = None,
) -> PretrainedNetwork:
    """Build the network ``name`` of timm or torchvision with ``weights`` and a head for ``classes`` classes.

    With ``classes`` the module is the network without its classifier and a new linear layer, as ``build`` makes it for
    an architecture: its children are "0" and "1". None keeps the published classifier with its weights. ``image_size``
    is that of square images; None is the published size. ``weights`` are :data:`PRETRAINED`, a folder with a file
    NAME.safetensors or NAME.pth, such a file, or None for random weights. With ``seed`` the random weights depend on
    the seed alone.

    Raises ``ValueError`` for an unknown name, and for weights that are missing or do not fit.
    """
    with seeded(seed):
        kept = None if classes is None else 0
        network = backbone(name, classes=kept, in_channels=in_channels, image_size=image_size)
        module = network if classes is None else _with_head(network, name, classes, in_channels, image_size)
    loaded = None if weights is None else load_weights(network, name, weights, in_channels, image_size)
    preprocessing = published_preprocessing(name, network, image_size).for_channels(in_channels)
    return PretrainedNetwork(module, preprocessing, loaded)


def build_pretrained(
    architecture: Architecture, recipe: Recipe, *, seed: int, weights: str | None
) -> tuple[nn.Sequential, LoadedWeights | None]:
    """Build the network as ``recipe`` trains it, with ``weights`` in its network of timm or torchvision.

    ``weights`` are those of :func:`pretrained_network`; None, and an architecture without such a network, keep the
    random weights. Returns the network and what was loaded.
    """
    module = build_for(architecture, recipe, seed=seed)
    if weights is None:
        return module, None
    # the children of the module are the blocks, and their children the layers
    for placed, block in zip(architecture.walk(), module, strict=True):
        for position, layer in enumerate(placed.layers):
            if isinstance(layer, Backbone):
                channels, side, _ = layer.in_shape
                network = block[position]  # type: ignore[index]
                return module, load_weights(network, layer.name, weights, channels, side)
    return module, None


def weights_digest(architecture: Architecture, weights: str) -> str | None:
    """Return the SHA-256 of the file that :func:`build_pretrained` loads from the folder or file ``weights``.

    None if the architecture has no network of timm or torchvision, or if there is no such file.
    """
    name = network_name(architecture)
    try:
        return None if name is None else _digest(find_weights(name, Path(weights)))
    except (ValueError, OSError):
        return None


def _with_head(network: nn.Module, name: str, classes: int, in_channels: int, image_size: int | None) -> nn.Module:
    published = network_table().get(name)
    features = published.features if published else _features(network, in_channels, image_size)
    linear = nn.Linear(features, classes)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.Sequential(network), nn.Sequential(linear))


def _features(network: nn.Module, in_channels: int, image_size: int | None) -> int:
    """Return the number of outputs of ``network``, which is run on one image of zeros."""
    side = image_size or published_input(network)[1]
    with torch.no_grad():
        features: int = network.eval()(torch.zeros(1, in_channels, side, side)).shape[1]
    network.train()
    return features


def load_weights(
    network: nn.Module, name: str, weights: str | Path, in_channels: int = 3, image_size: int | None = None
) -> LoadedWeights:
    """Load ``weights`` of ``name`` into ``network``, which may lack its classifier; return what was loaded.

    Raises ``ValueError`` if there are no such weights, if they need code to be read, or are of another network.
    """
    if str(weights) == PRETRAINED:
        state, loaded = _published(name, in_channels, image_size)
    else:
        file = find_weights(name, Path(weights))
        state = read_weights(file)
        loaded = LoadedWeights(_digest(file), None, str(file))
        state = _adapted(name, state, loaded.file, in_channels, image_size)
    wanted = network.state_dict()
    fitting = {key: value for key, value in state.items() if key in wanted and value.shape == wanted[key].shape}
    missing = sorted(key for key in set(wanted) - set(fitting) if not key.endswith(NOT_IN_OLD_FILES))
    if missing:
        raise _wrong_weights(name, loaded.file, f"{len(missing)} of {len(wanted)} tensors are missing: {missing[0]}")
    if extra := _not_of(name, set(state) - set(wanted)):
        raise _wrong_weights(name, loaded.file, f"{len(extra)} of its tensors are not in the network: {extra[0]}")
    wanted.update(fitting)  # not the tensors alone: torchvision's MnasNet needs the versions that state_dict() has
    network.load_state_dict(wanted)
    return loaded


def _not_of(name: str, keys: Set[str]) -> list[str]:
    """Return those of ``keys`` that even the complete network ``name`` does not have: they are of a deeper network."""
    if not keys:
        return []
    complete = backbone(name, device="meta").state_dict()  # with its classifier
    return sorted(key for key in keys if key not in complete and not key.startswith(AUXILIARY_HEADS))


def _published(name: str, in_channels: int, image_size: int | None) -> tuple[dict[str, Tensor], LoadedWeights]:
    from .published_weights import published_weights

    state, tag, file = published_weights(name, in_channels, image_size)
    return state, LoadedWeights(_digest(Path(file)) if Path(file).is_file() else None, tag, file)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return file_digest(content, "sha256").hexdigest()


def _adapted(
    name: str, state: dict[str, Tensor], file: str, in_channels: int, image_size: int | None
) -> dict[str, Tensor]:
    """Return the tensors of a complete network that timm makes of ``state``, for other channels and image sizes.

    timm loads a network with the classes of the file strictly: any missing or unexpected tensor is an error.
    """
    source, _, architecture = name.partition(":")
    if source != "timm":
        return state
    import timm

    config = timm_config(architecture)
    classifier = config.classifier[0] if isinstance(config.classifier, tuple | list) else config.classifier
    bias = state.get(f"{classifier}.bias")
    if bias is None:  # without its classifier: there is nothing to adapt but the channels
        return state
    overlay = {"state_dict": state, "num_classes": len(bias), "label_offset": 0, "custom_load": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            full = timm.create_model(
                architecture,
                pretrained=True,
                pretrained_cfg_overlay=overlay,
                num_classes=len(bias),
                in_chans=in_channels,
                **size_argument(architecture, image_size),
            )
    except (RuntimeError, KeyError, AttributeError, ValueError) as error:
        raise _wrong_weights(name, file, str(error).strip().splitlines()[-1].strip()) from None
    return full.state_dict()


def _wrong_weights(name: str, file: str, difference: str) -> ValueError:
    return ValueError(
        f"weights must fit the network, but {file} does not fit {name}: {difference[:200]}; give the weights of this "
        "network"
    )
