"""The fit of one network: an epoch per step, resumable to the bit.

Every draw derives from the seed, so on one CPU with one number of threads the same seed gives the same numbers.
The data lie on the device; a batch is a gather by index, and nothing waits for a GPU but the checks below.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict, replace
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...spaces.recipes.recipe import Recipe
from ..data.dataset import Device, ImageData, Split, in_unit_range
from .augmentation import distort
from .auxiliary_tasks import auxiliary
from .epoch import Diverged, EpochResult, best_of
from .evaluate import Compute, evaluate, measure, predict, predicted
from .lr_finder import LrFound, find_lr, lr_found_from
from .optimizers import lr_at, make_optimizer, set_lr
from .random_state import Streams
from .regularization import ActivationPenalty, shrink
from .weight_averaging import averaging

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
        self.auxiliary = auxiliary(self.module, self.data.train.images[0], recipe, seed)
        self.averaging = averaging(self.module, recipe)
        self.penalty = ActivationPenalty(self.module) if recipe.activation_l1 else None
        trained = self.module if self.auxiliary is None else nn.ModuleList([self.module, self.auxiliary.head])
        self.optimizer = make_optimizer(trained, recipe)
        self.lr_found: LrFound | None = None
        self.history: list[EpochResult] = []
        self.best_weights: dict[str, Tensor] | None = None
        self._keep_best = keep_best
        self._seed = seed
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
    def kept(self) -> nn.Module:
        """The network that is validated and kept: the module, or the average over its weights."""
        return self.averaging.network if self.averaging is not None and self.averaging.begun else self.module

    @property
    def lrs_found(self) -> list[LrFound]:
        """The learning rate that ``recipe.find_lr`` found, once it has."""
        return [] if self.lr_found is None else [self.lr_found]

    @property
    def best(self) -> EpochResult | None:
        """The best epoch so far."""
        return best_of(self.history)

    def step(self) -> EpochResult:
        """Train for one epoch, then validate. Raises :class:`Diverged`; the fit is then of no further use."""
        if self.done:
            raise RuntimeError(f"a fit has {self.recipe.epochs} epochs, and all are done; ask `done` before `step`")
        started = perf_counter()
        if self.recipe.find_lr and self.lr_found is None:
            self.lr_found = self._find_lr()
        with self._streams.layers():
            train_loss, train_accuracy = self._train_epoch()
        if self.averaging is not None:
            self.averaging.after_epoch(self.module, self.epoch + 1)
        val_loss, val_accuracy = measure(self.kept, self.data.val, self.data, self.compute, 2 * self.recipe.batch_size)
        lr = self._lr(len(self._sizes) - 1)
        if not math.isfinite(val_loss):
            raise Diverged(self.epoch + 1, len(self._sizes), lr, f"validation loss is {val_loss}")
        seconds = perf_counter() - started
        result = EpochResult(self.epoch + 1, train_loss, train_accuracy, val_loss, val_accuracy, lr, seconds)
        self._record(result)
        return result

    def predicted(self) -> dict[str, int | float]:
        """How the validation predictions fall over the classes; see :func:`~.predicted.predicted`."""
        return predicted(self.kept, self.data.val, self.data, self.compute, 2 * self.recipe.batch_size)

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
            **self._more_state(),
        }

    def _more_state(self) -> dict[str, Any]:
        """What only some recipes have."""
        more: dict[str, Any] = {}
        if self.auxiliary is not None:
            more["auxiliary"] = on_cpu(self.auxiliary.state_dict())
        if self.averaging is not None:
            more["averaging"] = on_cpu(self.averaging.model.state_dict())
        if self.lr_found is not None:
            more["lr_found"] = asdict(self.lr_found)
        return more

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken; raises ``ValueError`` where it is of another recipe or other data."""
        saved = type(self.recipe).from_json(state["recipe"])  # keys that were not there then have their defaults
        _check_same("recipe", saved.to_json(), self.recipe.to_json())
        _check_same("content_hash of the data", state["content_hash"], self.data.content_hash)
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(deepcopy(state["optimizer"]))  # torch would share its tensors
        self._streams.load_state_dict(state["streams"])
        self.history = [EpochResult(**entry) for entry in state["history"]]
        self.best_weights = on_cpu(state["best_weights"])
        if self.auxiliary is not None:
            self.auxiliary.load_state_dict(state["auxiliary"])
        if self.averaging is not None:
            self.averaging.model.load_state_dict(state["averaging"])
        self.lr_found = lr_found_from(state["lr_found"]) if "lr_found" in state else None

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
        images = self.data.normalise(distort(in_unit_range(batch.images), self.recipe, self._streams.augmentation))
        with self.penalty or nullcontext():
            logits = self._predict(images)
            _check_logits(logits, len(batch), self.data.n_classes)
            loss = F.cross_entropy(logits, batch.labels, label_smoothing=self.recipe.label_smoothing)
            total = loss if self.penalty is None else loss + self.recipe.activation_l1 * self.penalty.value()
        if self.auxiliary is not None:
            aside = self.auxiliary(self._predict, images, self._streams.augmentation)
            total = total + self.recipe.auxiliary_weight * aside
        set_lr(self.optimizer, lr)
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.recipe.l1:
            shrink(self.module, lr * self.recipe.l1)
        if self.averaging is not None:
            self.averaging.after_step(self.module)
        return logits.detach(), loss.detach()

    def _predict(self, images: Tensor) -> Tensor:
        return self.compute.logits(self.module, images)

    def _find_lr(self) -> LrFound:
        return find_lr(
            self.module,
            self.data,
            self.recipe,
            start_lr=self.recipe.lr,
            seed=self._seed,
            device=self.compute.device,
            precision=self.compute.precision,
            channels_last=self.compute.channels_last,
        )

    def _lr(self, step: int) -> float:
        steps = len(self._sizes)
        recipe = replace(self.recipe, lr=self.lr_found.lr) if self.lr_found else self.recipe
        return lr_at(recipe, self.epoch * steps + step, self.recipe.epochs * steps)

    def _check_finite(self, losses: Tensor) -> None:
        broken = (~losses.isfinite()).nonzero()
        if len(broken):
            step = int(broken[0])
            raise Diverged(self.epoch + 1, step + 1, self._lr(step), f"training loss is {float(losses[step])}")

    def _record(self, result: EpochResult) -> None:
        self.history.append(result)
        if self._keep_best and self.best is result:
            self.best_weights = on_cpu(self.kept.state_dict())


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
