"""The fit of one network: an epoch per step, resumable to the bit.

Every draw derives from the seed, so on one CPU with one number of threads the same seed gives the same numbers.
The data lie on the device; a batch is a gather by index, and nothing waits for a GPU but the checks below.
"""

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..spaces.recipe import Recipe
from .augmentation import augment
from .epoch import Diverged, EpochResult, best_of
from .evaluate import Compute, evaluate, measure, predict
from .image_data import Device, ImageData, Split, in_unit_range
from .optimizers import lr_at, make_optimizer, set_lr
from .randomness import Streams

__all__ = ["Diverged", "EpochResult", "Fit", "batch_sizes", "evaluate", "fit", "predict"]

CHECK_EVERY = 32  # steps: looking at a loss makes the CPU wait for a GPU


class Fit:
    """One network being trained by a recipe, an epoch per :meth:`step`.

    ``module`` is trained in place, moved to ``device``. ``keep_best`` keeps a copy of the weights of the best epoch in
    ``best_weights`` (on the CPU). Raises ``ValueError`` where the recipe cannot train the module.
    """

    def __init__(
        self,
        module: nn.Module,
        data: ImageData,
        recipe: Recipe,
        *,
        seed: int,
        device: Device = "cpu",
        precision: str = "fp32",
        channels_last: bool = False,
        keep_best: bool = False,
    ) -> None:
        self.recipe = recipe
        self.compute = Compute(torch.device(device), precision, channels_last)
        self.data = data.to(device)
        self.module = self.compute.place(module)
        self.optimizer = make_optimizer(self.module, recipe)
        self.history: list[EpochResult] = []
        self.best_weights: dict[str, Tensor] | None = None
        self._keep_best = keep_best
        self._streams = Streams(seed, self.compute.device)
        self._sizes = batch_sizes(len(data.train), recipe.batch_size)
        _check_batch_norm(module, min(self._sizes))

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    @property
    def done(self) -> bool:
        """Whether all of ``recipe.epochs`` are done."""
        return self.epoch >= self.recipe.epochs

    @property
    def best(self) -> EpochResult | None:
        """The best epoch so far."""
        return best_of(self.history)

    def step(self) -> EpochResult:
        """Train for one epoch, then validate. Raises :class:`Diverged`; the fit is then of no further use."""
        if self.done:
            raise RuntimeError(f"a fit has {self.recipe.epochs} epochs, and all are done; ask `done` before `step`")
        started = perf_counter()
        with self._streams.layers():
            train_loss, train_accuracy = self._train_epoch()
        val_loss, val_accuracy = measure(
            self.module, self.data.val, self.data, self.compute, 2 * self.recipe.batch_size
        )
        lr = self._lr(len(self._sizes) - 1)
        if not math.isfinite(val_loss):
            raise Diverged(self.epoch + 1, len(self._sizes), lr, f"validation loss is {val_loss}")
        seconds = perf_counter() - started
        result = EpochResult(self.epoch + 1, train_loss, train_accuracy, val_loss, val_accuracy, lr, seconds)
        self._record(result)
        return result

    def best_networks(self) -> list[tuple[nn.Module, ImageData]]:
        """The network with its weights of the best epoch, and the data it knows; needs ``keep_best``."""
        assert self.best_weights is not None
        self.module.load_state_dict(self.best_weights)
        return [(self.module, self.data)]

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed fit needs, copied to the CPU; only plain types, so that ``torch.load`` is safe."""
        return {
            "recipe": self.recipe.to_json(),
            "content_hash": self.data.content_hash,
            "history": [asdict(result) for result in self.history],
            "module": on_cpu(self.module.state_dict()),
            "optimizer": on_cpu(self.optimizer.state_dict()),
            "streams": on_cpu(self._streams.state_dict()),
            "best_weights": on_cpu(self.best_weights),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken; raises ``ValueError`` where it is of another recipe or other data."""
        _check_same("recipe", state["recipe"], self.recipe.to_json())
        _check_same("content_hash of the data", state["content_hash"], self.data.content_hash)
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(deepcopy(state["optimizer"]))  # torch would share its tensors
        self._streams.load_state_dict(state["streams"])
        self.history = [EpochResult(**entry) for entry in state["history"]]
        self.best_weights = on_cpu(state["best_weights"])

    def _train_epoch(self) -> tuple[float, float]:
        self.module.train()
        device, train = self.compute.device, self.data.train
        order = torch.randperm(len(train), generator=self._streams.shuffle).to(device, non_blocking=True)
        losses = torch.zeros(len(self._sizes), device=device)
        hits = torch.zeros((), dtype=torch.int64, device=device)
        for i, index in enumerate(torch.split(order, self._sizes)):
            batch = train.take(index)
            logits, losses[i] = self._train_batch(batch, self._lr(i))
            hits += (logits.argmax(1) == batch.labels).sum()
            if (i + 1) % CHECK_EVERY == 0:
                self._check_finite(losses)
        self._check_finite(losses)
        loss = torch.tensor(self._sizes).double() @ losses.cpu().double() / len(train)
        return float(loss), int(hits) / len(train)

    def _train_batch(self, batch: Split, lr: float) -> tuple[Tensor, Tensor]:
        images = augment(in_unit_range(batch.images), self.recipe.augmentation, self._streams.augmentation)
        logits = self.compute.logits(self.module, self.data.normalise(images))
        _check_logits(logits, len(batch), self.data.n_classes)
        loss = F.cross_entropy(logits, batch.labels, label_smoothing=self.recipe.label_smoothing)
        set_lr(self.optimizer, lr)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return logits.detach(), loss.detach()

    def _lr(self, step: int) -> float:
        steps = len(self._sizes)
        return lr_at(self.recipe, self.epoch * steps + step, self.recipe.epochs * steps)

    def _check_finite(self, losses: Tensor) -> None:
        broken = (~losses.isfinite()).nonzero()
        if len(broken):
            step = int(broken[0])
            raise Diverged(self.epoch + 1, step + 1, self._lr(step), f"training loss is {float(losses[step])}")

    def _record(self, result: EpochResult) -> None:
        self.history.append(result)
        if self._keep_best and self.best is result:
            self.best_weights = on_cpu(self.module.state_dict())


def fit(
    module: nn.Module,
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int,
    device: Device = "cpu",
    precision: str = "fp32",
    channels_last: bool = False,
    on_epoch: Callable[[EpochResult], None] = lambda result: None,
) -> list[EpochResult]:
    """Train ``module`` in place for all epochs and return what each did; ``on_epoch`` hears of each as it ends."""
    run = Fit(module, data, recipe, seed=seed, device=device, precision=precision, channels_last=channels_last)
    while not run.done:
        on_epoch(run.step())
    return run.history


def batch_sizes(n: int, batch_size: int) -> list[int]:
    """The sizes of an epoch's batches; a last batch of one image joins the one before it.

    >>> batch_sizes(10, 4), batch_sizes(9, 4)
    ([4, 4, 2], [4, 5])
    """
    sizes = [batch_size] * (n // batch_size) + ([n % batch_size] if n % batch_size else [])
    if len(sizes) > 1 and sizes[-1] == 1 < batch_size:
        return [*sizes[:-2], batch_size + 1]
    return sizes


def _check_batch_norm(module: nn.Module, smallest: int) -> None:
    if smallest == 1 and any(isinstance(layer, _BatchNorm) for layer in module.modules()):
        raise ValueError(
            "batch norm needs two images per batch at least, but the smallest batch has one; "
            "raise recipe.batch_size, add training images, or build without batch norm"
        )


def _check_logits(logits: Tensor, n_images: int, n_classes: int) -> None:
    if logits.shape != (n_images, n_classes):
        raise ValueError(
            f"a network must give logits ({n_images}, {n_classes}) for {n_images} images of {n_classes} classes, but "
            f"gave {tuple(logits.shape)}; build it for the data's input_shape and n_classes"
        )


def _check_same(what: str, saved: object, present: object) -> None:
    if saved != present:
        raise ValueError(
            f"a fit resumes under the {what} it was saved with, {saved}, but now it is {present}; "
            "resume with what it was, or start a new fit"
        )


def on_cpu(value: Any) -> Any:
    """Copies of all tensors in nested dictionaries and lists, on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: on_cpu(entry) for key, entry in value.items()}
    return [on_cpu(entry) for entry in value] if isinstance(value, list) else value
