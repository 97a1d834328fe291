"""The fit of one zero-shot model: an epoch per step, validated on classes it is not trained on, resumable.

Every draw derives from the seed, as in an ordinary fit. A frozen body or backbone sees each training image once.
"""

import math
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe
from ..data.dataset import Device, Split, in_unit_range
from ..data.text_features import Encoder, fit_text
from ..data.zero_shot import ZeroShotData
from ..networks.feature_extractors import ImageBody
from ..training.augmentation import distort
from ..training.epoch import Diverged, EpochResult
from ..training.evaluate import Compute
from ..training.optimizers import lr_at, make_optimizer, set_lr
from ..training.random_state import Streams
from ..training.trainer import batch_sizes, on_cpu
from .metrics import class_accuracy, harmonic, roc_aucs, seen_unseen_curve
from .network import ZeroShotNetwork, batch_loss


@dataclass(frozen=True)
class ZeroShotResult(EpochResult):
    """One epoch. ``val_accuracy`` is H at the calibration ``gamma`` that is best on the validation classes.

    ``val_loss`` is the mean of -log p(own class) among all classes, seen and unseen pictures weighing the same.
    ``val_roc_auc``: the unseen classes' mean, other unseen classes' pictures the negatives. ``val_h``: without gamma.
    ``train_accuracy`` counts among the classes of the minibatch.
    """

    val_roc_auc: float
    val_h: float
    gamma: float


class ZeroShotFit:
    """One model being trained by a recipe on the seen classes of ``data``, an epoch per :meth:`step`.

    The text encoder is fitted on the seen classes alone. ``validate`` False leaves the other classes unread, and gives
    epochs without a score: for the last fit, on all seen classes.
    """

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
        self.recipe, self.data, self.validate = recipe, data, validate
        self.compute = Compute(torch.device(device), precision, channels_last)
        self.encoder: Encoder = fit_text(recipe.text, *_told(data, data.seen))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = ZeroShotNetwork(body, self.encoder.width, recipe)
        self.module = self.compute.place(network)
        self.optimizer = make_optimizer(self.module, recipe)
        self.history: list[ZeroShotResult] = []
        self._streams = Streams(seed, self.compute.device)
        self._sizes = batch_sizes(len(data.train), recipe.batch_size)
        self._train = data.train.to(self.compute.device)
        self._texts = torch.zeros(len(data.classes), self.encoder.width)
        self._texts[data.seen] = self.encoder(*_told(data, data.seen))
        self._texts = self._texts.to(self.compute.device)
        self._cached = self._body_outputs(data.train.images) if body.fixed else None

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    @property
    def done(self) -> bool:
        """Whether all of ``recipe.epochs`` are done."""
        return self.epoch >= self.recipe.epochs

    def step(self) -> ZeroShotResult:
        """Train for one epoch, then validate. Raises :class:`Diverged`; the fit is then of no further use."""
        started = perf_counter()
        with self._streams.layers():
            loss, accuracy = self._train_epoch()
        lr = self._lr(len(self._sizes) - 1)
        found = self._validated() if self.validate else {}
        if not math.isfinite(found.get("val_loss", 0.0)):
            raise Diverged(self.epoch + 1, len(self._sizes), lr, f"validation loss is {found['val_loss']}")
        nothing = dict.fromkeys(("val_loss", "val_accuracy", "val_roc_auc", "val_h", "gamma"), math.nan)
        result = ZeroShotResult(
            epoch=self.epoch + 1,
            train_loss=loss,
            train_accuracy=accuracy,
            lr=lr,
            seconds=perf_counter() - started,
            **{**nothing, **found},
        )
        self.history.append(result)
        return result

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed fit needs, copied to the CPU, in plain types."""
        return {
            "recipe": self.recipe.to_json(),
            "content_hash": self.data.content_hash,
            "history": [asdict(result) for result in self.history],
            "module": on_cpu(self.module.state_dict()),
            "optimizer": on_cpu(self.optimizer.state_dict()),
            "streams": on_cpu(self._streams.state_dict()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken; raises ``ValueError`` where it is of another recipe or other data."""
        if (state["recipe"], state["content_hash"]) != (self.recipe.to_json(), self.data.content_hash):
            raise ValueError("a fit resumes under the recipe and the data it was saved with, but they have changed")
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(on_cpu(state["optimizer"]))
        self._streams.load_state_dict(state["streams"])
        self.history = [ZeroShotResult(**entry) for entry in state["history"]]

    def _train_epoch(self) -> tuple[float, float]:
        self.module.train()
        order = torch.randperm(len(self._train), generator=self._streams.shuffle).to(self.compute.device)
        losses, hits = torch.zeros(len(self._sizes)), 0
        for i, index in enumerate(torch.split(order, self._sizes)):
            set_lr(self.optimizer, self._lr(i))
            loss, right = self._train_batch(index)
            losses[i], hits = float(loss), hits + right
            if not math.isfinite(losses[i]):
                raise Diverged(self.epoch + 1, i + 1, self._lr(i), f"training loss is {float(losses[i])}")
        mean = torch.tensor(self._sizes).double() @ losses.double() / len(self._train)
        return float(mean), hits / len(self._train)

    def _train_batch(self, index: Tensor) -> tuple[Tensor, int]:
        labels = self._train.labels[index]
        embedded = self._embedded(index)
        loss, hits = batch_loss(self.module, embedded, labels, self._texts)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach(), int(hits)

    def _embedded(self, index: Tensor) -> Tensor:
        """g_v of training pictures: augmented anew, or from what a frozen body said of them once."""
        if self._cached is not None:
            features, feature_map = self._cached
            chosen = features[index], feature_map[index] if feature_map is not None else None
            return self.module.from_body(*self.module.body.finish(*chosen))
        images = in_unit_range(self._train.images[index])
        images = distort(images, self.recipe, self._streams.augmentation)
        return self.compute.logits(self.module.embed, self.data.normalise(images))

    @torch.no_grad()
    def _body_outputs(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        parts = [
            self.module.body.fixed_outputs(self.data.normalise(in_unit_range(part.to(self.compute.device))))
            for part in torch.split(images, 2 * self.recipe.batch_size)
        ]
        maps = [part[1] for part in parts if part[1] is not None]
        return torch.cat([part[0] for part in parts]), torch.cat(maps) if maps and self.recipe.has_filters else None

    def _validated(self) -> dict[str, float]:
        data = self.data
        encoded = self.encoder(data.classes, data.texts)
        seen, unseen = (
            score_images(self.module, data, split, encoded, self.compute, 2 * self.recipe.batch_size)
            for split in (data.test_seen, data.test_unseen)
        )
        labels = data.test_seen.labels, data.test_unseen.labels
        every = torch.cat([data.seen, data.unseen])
        curve = seen_unseen_curve(torch.cat([seen, unseen]), torch.cat(labels), data.seen, data.unseen)
        gamma, best_h = curve.best
        u, s = class_accuracy(unseen, labels[1], every), class_accuracy(seen, labels[0], every)
        losses = [
            torch.nn.functional.cross_entropy(scores, own) for scores, own in zip((seen, unseen), labels, strict=True)
        ]
        told = calibrated(unseen, self.recipe.calibration)
        return {
            "val_loss": float(sum(losses)) / 2,
            "val_accuracy": best_h,
            "val_roc_auc": float(roc_aucs(told, labels[1], data.unseen).mean()),
            "val_h": harmonic(u, s),
            "gamma": gamma,
        }

    def _lr(self, step: int) -> float:
        steps = len(self._sizes)
        return lr_at(self.recipe, self.epoch * steps + step, self.recipe.epochs * steps)


@torch.inference_mode()
def score_images(
    network: ZeroShotNetwork, data: ZeroShotData, split: Split, encoded: Tensor, compute: Compute, batch_size: int = 512
) -> Tensor:
    """Scores (N, C) of a split's images against encoded texts (C, p), on the CPU; the network is left in its mode."""
    was_training = network.training
    network.eval()
    try:
        classifiers = network.classifiers(encoded.to(compute.device))
        batches = (in_unit_range(part.to(compute.device)) for part in torch.split(split.images, batch_size))
        return torch.cat(
            [network.compare(compute.logits(network.embed, data.normalise(b)), classifiers).cpu() for b in batches]
        )
    finally:
        network.train(was_training)


def calibrated(scores: Tensor, calibration: str) -> Tensor:
    """Scores (N, C) as the recipe's calibration has them: ``posterior`` is log p(class | image) among the C."""
    return scores.log_softmax(1) if calibration == "posterior" else scores


def _told(data: ZeroShotData, classes: Tensor) -> tuple[list[str], list[str]]:
    """Names and texts of ``classes``."""
    return [data.classes[k] for k in classes.tolist()], data.texts_of(classes)
