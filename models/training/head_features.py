"""Features of a frozen network: computed once for all images of a data set, and kept for every training of a head.

Shapes: images (N, C, H, W), features (N, F): the input of the head, the last linear layer of a network.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...spaces.recipes.recipe import Recipe
from ..data.dataset import ImageData, Split
from ..networks.build import INITS
from ..networks.compute import Compute
from ..networks.depth import head_of, inputs_of
from ..process.random_state import seeded
from ..storage.images import Images
from ..storage.tensor_file import cached_tensors
from .evaluate import score_in_batches

BATCH_SIZE = 64  # not that of the recipe, so that the last bits of features do not depend on it
FORMAT = "features 1"  # a change of how features are computed increments it
SPLITS = ("train", "val", "test")
# layers that change nothing outside of training; their place in a network depends on the recipe
TRAINING_ONLY = ("Dropout", "StochasticDepth", "DropPath", "Identity", "Sequential")


@dataclass(frozen=True, eq=False)
class FeatureData(ImageData):
    """Features in place of images; mean 0 and deviation 1 would keep them, so they are not normalised."""

    def normalise(self, images: Tensor) -> Tensor:
        """Return the features as they are."""
        return images


def head_data(network: nn.Module, data: ImageData, compute: Compute) -> ImageData:
    """Return ``data`` with features, float32 (N, F, 1, 1), in place of images.

    ``network`` is on the device of ``compute``. The file in the cache folder is shared by all runs and workers; its
    name depends on the weights and layers below the head, the content and the normalisation of the images, the
    precision and the kind of device. Raises ``ValueError`` for a network without a head.
    """
    key = _key(network, data, compute)
    features = cached_tensors(f"{key[:32]}.features", data.cache, lambda: _features(network, data, compute))
    train, val = _split(data.train, features["train"]), _split(data.val, features["val"])
    test = None if data.test is None else _split(data.test, features["test"])
    width = features["train"].shape[1]
    digest = sha256(f"{data.content_hash} {key}".encode()).hexdigest()
    mean, std = torch.zeros(width), torch.ones(width)
    kept = {one.name: getattr(data, one.name) for one in fields(data)}
    new = {"train": train, "val": val, "test": test, "mean": mean, "std": std, "content_hash": digest}
    return FeatureData(**kept | new).to(compute.device)


def head_network(network: nn.Module, recipe: Recipe, seed: int) -> nn.Sequential:
    """Return the network of features (N, F, 1, 1) that ends in the head of ``network``, which is shared, not copied.

    The head gets new weights by ``seed``, so that they do not depend on what was drawn for the body.
    """
    head, drop = head_of(network), [FeatureDropout(recipe.dropout)] if recipe.dropout else []
    with seeded(seed):
        head.apply(INITS[recipe.init])
    return nn.Sequential(nn.Flatten(), *drop, head)


class FeatureDropout(nn.Module):
    """Dropout by 16 random bits for each feature: the probability is rounded to a multiple of 2**-16.

    Of a head on features, dropout would take most of the time. On a CPU this takes a fifth of the time of uniform
    draws, which take a quarter of that of ``nn.Dropout``.
    """

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None)
        # four numbers of 16 bits from each word, uniform from -2**15 to 2**15 - 1
        draws = words.view(torch.int16)[: x.numel()].view(x.shape)
        kept = draws >= min(round(self.drop * 2**16), 2**16 - 1) - 2**15
        return x * kept / (1 - self.drop)

    def extra_repr(self) -> str:
        return f"drop={self.drop}"


def _split(split: Split, features: Tensor) -> Split:
    return replace(split, images=features[:, :, None, None])


def _features(network: nn.Module, data: ImageData, compute: Compute) -> dict[str, Tensor]:
    moved = data.to(compute.device)
    head = head_of(network)
    _check(network, head, moved, compute)
    with inputs_of(head) as captured:

        def score(images: Tensor) -> Tensor:
            compute.logits(network, moved.normalise(images))
            return captured.pop().float().cpu()

        def of(images: Images) -> Tensor:
            return score_in_batches(score, network, images, compute, BATCH_SIZE)

        return {part: of(split.images).clone() for part in SPLITS if (split := getattr(moved, part)) is not None}


def _check(network: nn.Module, head: nn.Linear, data: ImageData, compute: Compute) -> None:
    """Raise ``ValueError`` unless the scores of ``network`` are the outputs of its head."""
    with inputs_of(head) as inputs:
        scores = score_in_batches(
            lambda images: compute.logits(network, data.normalise(images)), network, data.train.images[:2], compute, 2
        )
    shapes = [tuple(x.shape) for x in inputs]
    with torch.inference_mode():
        outputs = [F.linear(x.float(), head.weight, head.bias) for x in inputs if x.dim() == 2]
    if len(outputs) != 1 or not torch.allclose(outputs[0], scores, rtol=0.1, atol=0.1):
        raise ValueError(
            "recipe.train = 'head' needs a network whose scores are the output of its last linear layer for one vector "
            f"of each image, but that layer got inputs of the shapes {shapes} for 2 images, or its output is changed "
            "afterwards; set recipe.train to 'all'"
        )


def _key(network: nn.Module, data: ImageData, compute: Compute) -> str:
    """Return the sha256 of everything that the features depend on."""
    head = head_of(network)
    of_head = set(map(id, head.parameters()))
    layers = _layers(network)
    body = [tensor for tensor in _tensors(layers) if id(tensor) not in of_head]
    # the lengths, because a part of a data set may have the hash of the whole
    images = [data.content_hash, [len(split) for split in data.splits], data.mean.tolist(), data.std.tolist()]
    below = [layer for layer in layers if layer is not head]
    about = [FORMAT, images, compute.precision, compute.device.type, layer_settings(below)]
    return sha256(f"{json.dumps(about)} {weights_digest(network, body)}".encode()).hexdigest()


def weights_digest(network: nn.Module, tensors: Sequence[Tensor]) -> str:
    """Return the sha256 of ``tensors`` of ``network``; it is kept until one of them changes.

    A worker trains many heads of one network, and the digest of its weights takes as long as some epochs of a head.
    """
    # torch counts the changes of a tensor in place
    versions = [(id(tensor), tensor.data_ptr(), tensor._version) for tensor in tensors]
    if network in _digests and _digests[network][0] == versions:
        return _digests[network][1]
    digest = sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    _digests[network] = versions, digest.hexdigest()
    return digest.hexdigest()


_digests: WeakKeyDictionary[nn.Module, tuple[list[tuple[int, int, int]], str]] = WeakKeyDictionary()


def _layers(network: nn.Module) -> list[nn.Module]:
    """Return what ``network.modules()`` yields, in a tenth of its time: a worker trains many heads of one network."""
    layers: dict[int, nn.Module] = {}
    waiting = [network]
    while waiting:
        layer = waiting.pop()
        if id(layer) not in layers:
            layers[id(layer)] = layer
            waiting += [child for child in reversed(layer._modules.values()) if child is not None]
    return list(layers.values())


def _tensors(layers: Sequence[nn.Module]) -> list[Tensor]:
    """Return parameters, then buffers, by order and not by name: dropout layers shift the names."""
    found: dict[int, Tensor] = {}
    for name in ("_parameters", "_buffers"):
        for layer in layers:
            found.update((id(tensor), tensor) for tensor in getattr(layer, name).values() if tensor is not None)
    return list(found.values())


def layer_settings(layers: Iterable[nn.Module]) -> list[str]:
    """Return the kinds and settings of ``layers``, without those that only training uses."""
    return [
        f"{type(layer).__name__} {sorted(_settings(layer))}"
        for layer in layers
        if not type(layer).__name__.startswith(TRAINING_ONLY)
    ]


def _settings(layer: nn.Module) -> Iterable[tuple[str, str]]:
    """Yield the names and values of the plain attributes of a layer, such as a stride or a size of images."""
    for name, value in vars(layer).items():
        if name[:1] != "_" and name != "training" and isinstance(value, str | int | float | tuple | list):
            yield name, repr(value)
