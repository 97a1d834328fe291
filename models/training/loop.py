"""The training loop: one network, an epoch per step, resumable to the bit; what it learns is a task of its own.

Every draw derives from the seed, so on one CPU with one number of threads the same seed gives the same numbers.
The data are on the device; a batch is a gather by index, and only the checks below wait for a GPU.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import torch
from torch import Generator, Tensor, nn

from ...spaces.recipes.recipe import Recipe
from ..data.dataset import ImageData, Split
from ..data.zero_shot import ZeroShotData
from ..networks.compute import Compute
from .epoch import Diverged, EpochResult, Validation, best_of
from .lr_finder import LrFound, lr_found_from
from .optimizers import lr_at, make_optimizer
from .random_state import Streams
from .regularization import shrink
from .steps import batch_sizes, train_steps
from .weight_averaging import averaging

CHECK_EVERY = 32  # steps: reading a loss makes the CPU wait for a GPU

D = TypeVar("D", bound=ImageData | ZeroShotData)
R = TypeVar("R", bound=EpochResult)


@dataclass(frozen=True, eq=False)
class BatchLoss:
    """The loss of one batch: what is minimised, with its graph; what is reported, and how many images are right.

    ``minimised`` is ``loss`` with penalties and auxiliary tasks. ``loss`` and ``hits`` are scalars on the device.
    """

    minimised: Tensor
    loss: Tensor
    hits: Tensor

    def backward(self) -> None:
        """Add the gradient to that of each parameter."""
        self.minimised.backward()  # type: ignore[no-untyped-call]


class TrainingTask(ABC, Generic[D, R]):
    """What a :class:`TrainingLoop` trains: a network, its data, the loss of a batch, and the validation.

    ``train`` are the training images on the device. ``heads`` are trained with the network and exist in training alone,
    by their keys in a checkpoint. ``validated`` False says that :meth:`validate` has no data to measure on: its loss is
    then not a number without any divergence.
    """

    module: nn.Module
    data: D
    train: Split
    compute: Compute
    heads: Mapping[str, nn.Module] = MappingProxyType({})
    validated: bool = True
    result_type: type[R]

    @abstractmethod
    def batch_loss(self, index: Tensor, augmentation: Generator) -> BatchLoss:
        """The loss of the training images at ``index`` (B,), with changes drawn from ``augmentation``."""

    @abstractmethod
    def validate(self, network: nn.Module) -> Validation:
        """Measure ``network``, the module or an average over its weights; the fields go into the result."""


class TrainingLoop(Generic[D, R]):
    """A network being trained by a recipe, an epoch per :meth:`step`.

    ``keep_best`` keeps a copy of the weights of the best epoch in ``best_weights`` (on the CPU). ``find_lr`` is called
    before the first epoch where the peak learning rate is to be found.
    """

    def __init__(
        self,
        task: TrainingTask[D, R],
        recipe: Recipe,
        *,
        seed: int,
        keep_best: bool = False,
        find_lr: Callable[[], LrFound] | None = None,
    ) -> None:
        self.task, self.recipe = task, recipe
        self.averaging = averaging(task.module, recipe)
        self.optimizer = make_optimizer(nn.ModuleList([task.module, *task.heads.values()]), recipe)
        self.lr_found: LrFound | None = None
        self.history: list[R] = []
        self.best_weights: dict[str, Tensor] | None = None
        self._keep_best, self._find_lr = keep_best, find_lr
        self._streams = Streams(seed, task.compute.device)
        self._sizes = batch_sizes(len(task.train), recipe.batch_size)

    @property
    def module(self) -> nn.Module:
        """The network that is trained."""
        return self.task.module

    @property
    def data(self) -> D:
        """What it is trained on."""
        return self.task.data

    @property
    def compute(self) -> Compute:
        """Where it is trained."""
        return self.task.compute

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
    def best(self) -> R | None:
        """The best epoch so far."""
        return best_of(self.history)

    def step(self) -> R:
        """Train for one epoch, then validate. Raises :class:`Diverged`; the fit is then of no further use."""
        if self.done:
            raise RuntimeError(f"a fit has {self.recipe.epochs} epochs, and all are done; ask `done` before `step`")
        started = perf_counter()
        if self._find_lr is not None and self.lr_found is None:
            self.lr_found = self._find_lr()
        with self._streams.layers():
            train_loss, train_accuracy = self._train_epoch()
        if self.averaging is not None:
            self.averaging.after_epoch(self.module, self.epoch + 1)
        result = self.task.result_type(
            epoch=self.epoch + 1,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            **asdict(self._validated()),
            lr=self._lr(len(self._sizes) - 1),
            seconds=perf_counter() - started,
        )
        self._record(result)
        return result

    def kept_networks(self) -> list[tuple[nn.Module, D]]:
        """The network that is validated, and its data; a list, as of a fit in folds."""
        return [(self.kept, self.data)]

    def best_networks(self) -> list[tuple[nn.Module, D]]:
        """The network with its weights of the best epoch, and its data; needs ``keep_best``."""
        assert self.best_weights is not None
        self.module.load_state_dict(self.best_weights)
        return [(self.module, self.data)]

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed fit needs, copied to the CPU; only plain types, so that ``torch.load`` is safe."""
        state = {
            "recipe": self.recipe.to_json(),
            "content_hash": self.data.content_hash,
            "history": [asdict(result) for result in self.history],
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "streams": self._streams.state_dict(),
            "best_weights": self.best_weights,
            **{name: head.state_dict() for name, head in self.task.heads.items()},
        }
        if self.averaging is not None:
            state["averaging"] = self.averaging.model.state_dict()
        if self.lr_found is not None:
            state["lr_found"] = asdict(self.lr_found)
        copied: dict[str, Any] = on_cpu(state)
        return copied

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state`` was taken; raises ``ValueError`` where it is of another recipe or other data."""
        saved = type(self.recipe).from_json(state["recipe"])  # keys that were not there then have their defaults
        _check_same("recipe", saved.to_json(), self.recipe.to_json())
        _check_same("content_hash of the data", state["content_hash"], self.data.content_hash)
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(deepcopy(state["optimizer"]))  # torch would share its tensors
        self._streams.load_state_dict(state["streams"])
        self.history = [self.task.result_type(**entry) for entry in state["history"]]
        self.best_weights = on_cpu(state.get("best_weights"))  # zero-shot fits of version 0.1.0 have none
        for name, head in self.task.heads.items():
            head.load_state_dict(state[name])
        if self.averaging is not None:
            self.averaging.model.load_state_dict(state["averaging"])
        self.lr_found = lr_found_from(state["lr_found"]) if "lr_found" in state else None

    def _train_epoch(self) -> tuple[float, float]:
        """Mean loss and accuracy over the batches of an epoch, while the weights move."""
        self.module.train()
        device, n = self.compute.device, len(self.task.train)
        order = torch.randperm(n, generator=self._streams.shuffle).to(device, non_blocking=True)
        losses = torch.zeros(len(self._sizes), device=device)
        hits = torch.zeros((), dtype=torch.int64, device=device)
        batches = torch.split(order, self._sizes)
        steps = train_steps(batches, self._batch_loss, self.optimizer, lr_at=self._lr, after_step=self._after_step)
        for i, batch in enumerate(steps):
            losses[i] = batch.loss
            hits += batch.hits
            if (i + 1) % CHECK_EVERY == 0:
                self._check_finite(losses)
        self._check_finite(losses)
        loss = torch.tensor(self._sizes).double() @ losses.cpu().double() / n
        return float(loss), int(hits) / n

    def _batch_loss(self, index: Tensor) -> BatchLoss:
        return self.task.batch_loss(index, self._streams.augmentation)

    def _after_step(self, step: int) -> None:
        if self.recipe.l1:
            shrink(self.module, self._lr(step) * self.recipe.l1)
        if self.averaging is not None:
            self.averaging.after_step(self.module)

    def _validated(self) -> Validation:
        found = self.task.validate(self.kept)
        if self.task.validated and not math.isfinite(found.val_loss):
            step = len(self._sizes)
            raise Diverged(self.epoch + 1, step, self._lr(step - 1), f"validation loss is {found.val_loss}")
        return found

    def _lr(self, step: int) -> float:
        steps = len(self._sizes)
        recipe = replace(self.recipe, lr=self.lr_found.lr) if self.lr_found else self.recipe
        return lr_at(recipe, self.epoch * steps + step, self.recipe.epochs * steps)

    def _check_finite(self, losses: Tensor) -> None:
        broken = (~losses.isfinite()).nonzero()
        if len(broken):
            step = int(broken[0])
            raise Diverged(self.epoch + 1, step + 1, self._lr(step), f"training loss is {float(losses[step])}")

    def _record(self, result: R) -> None:
        self.history.append(result)
        if self._keep_best and self.best is result:
            self.best_weights = on_cpu(self.kept.state_dict())


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
