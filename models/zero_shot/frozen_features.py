"""Vectors of a frozen backbone: computed once for all images, kept in the cache folder, and used instead of images.

Shapes: images (N, C, H, W), vectors (N, F).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor, nn

from ...spaces.architectures.architecture import Architecture
from ...spaces.blocks.backbone import Backbone
from ..data.dataset import Split
from ..data.zero_shot import ZeroShotData
from ..networks.build import build
from ..networks.compute import CPU, Compute
from ..networks.feature_extractors import backbone_of, load_backbone_weights
from ..networks.preprocessing import published_preprocessing
from ..storage.choice import DEFAULT_CACHE, CacheLocation
from ..storage.images import Images, RowsOf, batches_of
from ..storage.tensor_file import cached_tensors
from ..training.evaluate import score_in_batches
from ..training.head_features import layer_settings, weights_digest

BATCH_SIZE = 64  # not that of the recipe, so that the last bits of vectors do not depend on it
FORMAT = "zero-shot vectors 1"  # a change of how vectors are computed increments it
VECTORS = "vectors"  # the name of the tensor in a cache file


@dataclass(frozen=True, eq=False)
class FrozenBackbone:
    """A backbone that is not trained: ``module`` maps normalised images (B, C, H, W) to vectors (B, F).

    ``mean`` and ``std`` (C,) normalise its images. ``is_pretrained`` is False for random weights, whose vectors are
    not worth a cache file.
    """

    module: nn.Module
    mean: Tensor
    std: Tensor
    is_pretrained: bool

    @classmethod
    def of(
        cls, architecture: Architecture, weights: str | Path | None, data: ZeroShotData, *, seed: int = 0
    ) -> "FrozenBackbone":
        """Return the backbone at the start of ``architecture``, with ``weights``, or random ones by ``seed``.

        Raises ``ValueError`` if the weights are missing or do not fit.
        """
        network = load_backbone_weights(build(architecture, seed=seed), architecture, weights)
        own = normalised_for_weights(data, architecture, network, weights)
        module = network[0].requires_grad_(False).eval()
        return cls(module, own.mean, own.std, weights is not None)

    def data_of(
        self, data: ZeroShotData, *, compute: Compute = CPU, cache: CacheLocation = DEFAULT_CACHE
    ) -> ZeroShotData:
        """Return ``data`` with vectors, float32 (N, F, 1, 1), in place of images; mean 0 and deviation 1 keep them."""
        return self.data_of_all((data,), compute=compute, cache=cache)[0]

    def data_of_all(
        self, parts: tuple[ZeroShotData, ...], *, compute: Compute = CPU, cache: CacheLocation = DEFAULT_CACHE
    ) -> tuple[ZeroShotData, ...]:
        """Return the same for several data sets; images that some of them share are computed once."""
        module = compute.place(self.module)
        network_key = self._network_key(compute)
        known: dict[int, Tensor] = {}

        def of_all(images: Images) -> Tensor:
            return self._cached(images, module, network_key, compute, cache)

        changed = []
        for data in parts:
            splits = [_with_vectors(part, known, of_all) for part in (data.train, data.test_seen, data.test_unseen)]
            width = splits[0].images.shape[1]
            digest = sha256(f"{data.content_hash} {network_key}".encode()).hexdigest()
            changed.append(
                replace(
                    data,
                    train=splits[0],
                    test_seen=splits[1],
                    test_unseen=splits[2],
                    mean=torch.zeros(width),
                    std=torch.ones(width),
                    content_hash=digest,
                )
            )
        return tuple(changed)

    def _network_key(self, compute: Compute) -> str:
        """Return the sha256 of everything that vectors depend on, apart from the images."""
        tensors = [*self.module.parameters(), *self.module.buffers()]
        about = [
            FORMAT,
            self.mean.tolist(),
            self.std.tolist(),
            compute.precision,
            compute.device.type,
            layer_settings(self.module.modules()),
        ]
        return sha256(f"{json.dumps(about)} {weights_digest(self.module, tensors)}".encode()).hexdigest()

    def _cached(
        self, images: Images, module: nn.Module, network_key: str, compute: Compute, cache: CacheLocation
    ) -> Tensor:
        mean, std = (values.to(compute.device).view(-1, 1, 1) for values in (self.mean, self.std))

        def vectors() -> dict[str, Tensor]:
            computed = score_in_batches(
                lambda batch: compute.logits(module, (batch - mean) / std).flatten(1).cpu(),
                module,
                images,
                compute,
                BATCH_SIZE,
            )
            return {VECTORS: computed.clone()}

        if not self.is_pretrained:
            return vectors()[VECTORS]
        key = sha256(f"{network_key} {_pixel_digest(images)}".encode()).hexdigest()
        return cached_tensors(f"{key[:32]}.features", cache, vectors)[VECTORS]


def normalised_for_weights(
    data: ZeroShotData, architecture: Architecture, network: nn.Sequential, weights: str | Path | None
) -> ZeroShotData:
    """Return ``data`` with the mean and deviation that the weights of the backbone in ``network`` were trained with.

    Data for random weights, or without a backbone, keep the statistics of their training images.
    """
    if weights is None or not isinstance(first := architecture.blocks[0], Backbone):
        return data
    published = published_preprocessing(first.name, backbone_of(network)).for_channels(data.input_shape[0])
    return replace(data, mean=torch.tensor(published.mean), std=torch.tensor(published.std))


def _with_vectors(split: Split, known: dict[int, Tensor], of_all: Callable[[Images], Tensor]) -> Split:
    return replace(split, images=_vectors(split.images, known, of_all)[:, :, None, None])


def _vectors(images: Images, known: dict[int, Tensor], of_all: Callable[[Images], Tensor]) -> Tensor:
    """Return the vectors (N, F) of ``images``; those of a view are taken from the vectors of all its images.

    ``known`` has the vectors of all images that were met before, by the identity of their storage: folds are views of
    the same images.
    """
    if isinstance(images, RowsOf):
        return _vectors(images.images, known, of_all)[images.rows.cpu()]
    if id(images) not in known:
        known[id(images)] = of_all(images)
    return known[id(images)]


def _pixel_digest(images: Images) -> str:
    digest = sha256(f"{images.dtype} {tuple(images.shape)}".encode())
    for batch in batches_of(images, 1024):
        digest.update(batch.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
