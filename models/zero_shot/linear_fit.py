"""Training of linear zero-shot networks on vectors: closed forms in one step, bilinear forms by gradient descent.

Shapes: N training vectors of S seen classes.
"""

from collections.abc import Mapping
from dataclasses import asdict
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe
from ..data.dataset import Device
from ..data.text_features import Encoder
from ..data.zero_shot import ZeroShotData
from ..networks.compute import Compute
from ..networks.feature_extractors import ImageBody
from ..process.random_state import seeded
from ..storage.images import batches_of
from ..training.evaluate import evaluating
from ..training.loop import BatchLoss, check_same, copy_to_cpu
from .baselines_bilinear import bilinear_losses
from .baselines_closed_form import TrainingData, eszsl_map, ridge_map, text_basis
from .linear_network import LinearNetwork
from .trainer import (
    SeenClassesFit,
    SeenClassesTraining,
    ZeroShotResult,
    ZeroShotValidation,
    seen_texts,
    validation_of,
)

BATCH_SIZE = 1024  # vectors that are embedded together


class LinearTraining(SeenClassesTraining[LinearNetwork]):
    """Training of a bilinear form: the loss of each image is over all seen classes."""

    def __init__(
        self,
        body: ImageBody,
        data: ZeroShotData,
        recipe: ZeroShotRecipe,
        compute: Compute,
        seed: int,
        has_validation_data: bool,
    ) -> None:
        self.recipe, self.data, self.compute, self.has_validation_data = recipe, data, compute, has_validation_data
        self.encoder, self.module, self._texts = _linear_network(body, data, recipe, compute, seed)
        self.train = data.train.to(compute.device)
        self._labels = torch.searchsorted(data.seen, data.train.labels).to(compute.device)
        self._loss = bilinear_losses(len(data.seen))[recipe.form]

    def batch_loss(self, index: Tensor, augmentation: Generator) -> BatchLoss:
        embedded = self.compute.logits(self.module.embed, self.train.images[index])
        scores, labels = self.module.products(embedded, self.module.classifiers(self._texts)), self._labels[index]
        loss = self._loss(scores, labels)
        return BatchLoss(loss, loss.detach(), (scores.detach().argmax(1) == labels).sum())

    def validate(self, network: nn.Module) -> ZeroShotValidation:
        set_scale(self.module, self.data, self._texts)
        return super().validate(network)


class LinearFit(SeenClassesFit[LinearNetwork]):
    """Training of one bilinear form."""

    training = LinearTraining


class ClosedFormFit:
    """The fit of ridge or eszsl, with the interface of a training loop: its only epoch solves the closed form."""

    def __init__(
        self,
        body: ImageBody,
        data: ZeroShotData,
        recipe: ZeroShotRecipe,
        *,
        seed: int,
        device: Device = "cpu",
        precision: str = "fp32",
        channels_last: bool = False,
        validate: bool = True,
    ) -> None:
        self.recipe, self.data, self.has_validation_data = recipe, data, validate
        self.compute = Compute(torch.device(device), precision, channels_last)
        self.encoder, self.network, self._texts = _linear_network(body, data, recipe, self.compute, seed)
        self.network.requires_grad_(False)
        self.history: list[ZeroShotResult] = []
        self.lrs_found: list[Any] = []

    @property
    def module(self) -> nn.Module:
        """The network."""
        return self.network

    @property
    def epoch(self) -> int:
        """Number of finished epochs, 0 or 1."""
        return len(self.history)

    @property
    def done(self) -> bool:
        """Whether the closed form is solved."""
        return bool(self.history)

    def step(self) -> ZeroShotResult:
        """Solve the closed form, validate, and return the result."""
        started, data = perf_counter(), self.data
        vectors = torch.cat([self.network.body(part)[0] for part in batches_of(data.train.images, BATCH_SIZE)])
        labels = torch.searchsorted(data.seen, data.train.labels)
        training = TrainingData(vectors.cpu().double().numpy(), labels.numpy(), self._texts.cpu().double().numpy())
        weight = (
            ridge_map(training, self.recipe.text_ridge)
            if self.recipe.form == "ridge"
            else eszsl_map(training, self.recipe.image_ridge, self.recipe.text_ridge)
        )  # (p, F)
        if self.network.basis is not None:
            weight = self.network.basis.cpu().double().numpy().T @ weight
        self.network.map.weight.copy_(torch.from_numpy(weight.T.copy()))
        scores = set_scale(self.network, data, self._texts).cpu()
        validation = (
            validation_of(self.network, data, self.encoder, self.compute)
            if self.has_validation_data
            else ZeroShotValidation()
        )
        result = ZeroShotResult(
            epoch=1,
            train_loss=float(F.cross_entropy(scores, labels)),
            train_accuracy=float((scores.argmax(1) == labels).double().mean()),
            **vars(validation),
            lr=0.0,  # a closed form has none
            seconds=perf_counter() - started,
        )
        self.history.append(result)
        return result

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed fit needs, on the CPU and in plain types."""
        state = {
            "recipe": self.recipe.to_json(),
            "content_hash": self.data.content_hash,
            "history": [asdict(result) for result in self.history],
            "module": self.network.state_dict(),
        }
        copied: dict[str, Any] = copy_to_cpu(state)
        return copied

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore ``state``. Raises ``ValueError`` if it has another recipe or other data."""
        check_same("recipe", ZeroShotRecipe.from_json(state["recipe"]).to_json(), self.recipe.to_json())
        check_same("content_hash of the data", state["content_hash"], self.data.content_hash)
        self.network.load_state_dict(state["module"])
        self.history = [ZeroShotResult(**entry) for entry in state["history"]]


@torch.inference_mode()
def set_scale(network: LinearNetwork, data: ZeroShotData, texts: Tensor) -> Tensor:
    """Set the scale of ``network`` to the deviation of the scores of training images; return these scores (N, S)."""
    with evaluating(network):
        classifiers = network.classifiers(texts)
        parts = batches_of(data.train.images, BATCH_SIZE)
        products = torch.cat([network.products(network.embed(part.to(texts.device)), classifiers) for part in parts])
    # scores are equal as long as W is zero
    network.scale.copy_(products.std().clamp(min=1e-12))
    return products / network.scale


def _linear_network(
    body: ImageBody, data: ZeroShotData, recipe: ZeroShotRecipe, compute: Compute, seed: int
) -> tuple[Encoder, LinearNetwork, Tensor]:
    """Return the text encoder, the network with its means, and the texts of the seen classes (S, p) on the device."""
    encoder, texts = seen_texts(data, recipe)
    is_centred = recipe.form != "eszsl"
    text_mean = texts.double().mean(0) if is_centred else torch.zeros(encoder.width, dtype=torch.float64)
    basis = text_basis((texts.double() - text_mean).numpy())
    with seeded(seed):
        network = LinearNetwork(body, encoder.width, recipe, rank=None if basis is None else basis.shape[1])
    compute.place(network)
    with torch.no_grad():
        network.text_mean.copy_(text_mean)
        if basis is not None and network.basis is not None:
            network.basis.copy_(torch.from_numpy(basis))
        parts = [body(part.to(compute.device))[0] for part in batches_of(data.train.images, BATCH_SIZE)]
        network.image_mean.copy_(torch.cat(parts).double().mean(0))
    return encoder, network, texts.to(compute.device)
