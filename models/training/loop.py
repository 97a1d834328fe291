"""The training loop of one network: one epoch per step, resumable with bit-identical results.

A :class:`TrainingTask` defines the data, the loss and the validation. All random draws derive from the seed: on the
same CPU with the same number of threads the same seed gives the same numbers.

The data are on the device, and a batch is selected by index. During an epoch only the checks for finite losses make the
CPU wait for a GPU.
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

from ...spaces.metrics.selection import BY_ACCURACY, Selection
from ...spaces.recipes.recipe import Recipe
from ..data.dataset import ImageData, Split
from ..data.zero_shot import ZeroShotData
from ..networks.compute import Compute
from ..optimization.custom_parts import BUILT_IN, CustomParts
from ..optimization.optimizers import lr_at, make_optimizer
from ..optimization.regularization import l1_proximal_step
from ..optimization.steps import batch_sizes, train_steps
from ..optimization.weight_averaging import make_averaging
from ..ranks.ranks import SINGLE, Ranks
from .augmentation import epoch_images
from .epoch import Diverged, EpochResult, Validation, best_of
from .lr_finder import LrFound, lr_found_from
from .predictions import KeptPredictions, from_state
from .random_state import Streams

CHECK_EVERY_STEPS = 32  # not at every step, because reading a loss makes the CPU wait for a GPU

D = TypeVar("D", bound=ImageData | ZeroShotData)
R = TypeVar("R", bound=EpochResult)


@dataclass(frozen=True, eq=False)
class BatchLoss:
    """The loss of one batch.

    ``minimised`` is the loss with penalties and auxiliary tasks, with its graph. ``loss`` is the reported loss, without
    them. ``hits`` is the number of correctly classified images. All are scalars on the device.
    """

    minimised: Tensor
    loss: Tensor
    hits: Tensor

    def backward(self) -> None:
        """Add the gradient of ``minimised`` to that of each parameter."""
        self.minimised.backward()  # type: ignore[no-untyped-call]

    def scaled(self, weight: float) -> "BatchLoss":
        """Return the losses times ``weight``, the fraction of a global batch that they are the mean of."""
        if weight == 1:
            return self
        return replace(self, minimised=self.minimised * weight, loss=self.loss * weight)


class TrainingTask(ABC, Generic[D, R]):
    """The task of a :class:`TrainingLoop`: a network, its data, the loss of a batch, and the validation.

    ``train``: the training images on the device, as crops of the present epoch if the recipe has them. ``heads``:
    modules that are trained with the network and exist during training only, by their keys in a checkpoint.
    ``has_validation_data`` is False if :meth:`validate` has nothing to measure: its loss is then NaN, which is not a
    divergence. ``last_logits`` (N, K) are those of the last :meth:`validate`, for a task that keeps predictions.
    """

    module: nn.Module
    data: D
    train: Split
    compute: Compute
    heads: Mapping[str, nn.Module] = MappingProxyType({})
    has_validation_data: bool = True
    last_logits: Tensor | None = None
    result_type: type[R]

    def start_epoch(self, epoch: int) -> None:
        """Prepare the module, which is in training mode, for ``epoch``, counted from 0."""
        return  # not abstract: most tasks train the same in every epoch

    @abstractmethod
    def batch_loss(self, index: Tensor, augmentation: Generator) -> BatchLoss:
        """Return the loss of the training images at ``index`` (B,), with random changes drawn from ``augmentation``."""

    def order(self, shuffle: Generator) -> Tensor:
        """Return the order of the training images in the next epoch, int64 (N,) on the CPU, drawn from ``shuffle``."""
        return torch.randperm(len(self.train), generator=shuffle)

    @abstractmethod
    def validate(self, network: nn.Module) -> Validation:
        """Evaluate ``network``, the module or an average of its weights, and return fields of the result."""

    def last_predictions(self) -> KeptPredictions | None:
        """Return the predictions of the last :meth:`validate`; None for a task that keeps none."""
        return None  # not abstract: only classification keeps predictions


class TrainingLoop(Generic[D, R]):
    """Train a network by a recipe, one epoch per :meth:`step`.

    With ``keep_best``, ``best_weights`` is a copy of the weights of the best epoch, on the CPU, and with
    ``keep_predictions``, ``best_predictions`` are its predictions; ``selection`` decides which epoch is the best.
    ``find_lr``, if given, is called before the first epoch and returns the peak learning rate.

    Several ``ranks`` each run such a loop at the same time with the same arguments. The batch size of the recipe is
    that of all ranks together, and every rank has the same weights and the same history. Raises ``ValueError`` if the
    ranks have different data, or too few images for them.
    """

    def __init__(
        self,
        task: TrainingTask[D, R],
        recipe: Recipe,
        *,
        seed: int,
        keep_best: bool = False,
        keep_predictions: bool = False,
        find_lr: Callable[[], LrFound] | None = None,
        selection: Selection = BY_ACCURACY,
        custom: CustomParts = BUILT_IN,
        ranks: Ranks = SINGLE,
    ) -> None:
        self.task, self.recipe, self.selection, self.ranks = task, recipe, selection, ranks
        ranks.check_same("content_hash of the data", task.data.content_hash)
        ranks.copy_from_first((task.module, *task.heads.values()))
        self.averaging = make_averaging(task.module, recipe)
        self.optimizer = make_optimizer(task.module, recipe, list(task.heads.values()), custom)
        self.lr_found: LrFound | None = None
        self.history: list[R] = []
        self.best_weights: dict[str, Tensor] | None = None
        self.best_predictions: KeptPredictions | None = None
        self._keep_best, self._keep_predictions, self._find_lr = keep_best, keep_predictions, find_lr
        self._seed, self._streams = seed, Streams(seed, task.compute.device)
        self._train = task.train
        self._sizes = batch_sizes(len(task.train), recipe.batch_size, ranks.smallest_batch)
        if ranks.size > 1 and self.smallest_batch < ranks.smallest_batch:
            raise ValueError(
                f"a batch needs at least two images for each of the {ranks.size} ranks, but the smallest batch has "
                f"{self.smallest_batch}; raise recipe.batch_size, or use fewer GPUs for a trial"
            )

    @property
    def module(self) -> nn.Module:
        """The network that is trained, without averaging."""
        return self.task.module

    @property
    def data(self) -> D:
        """The data of the task."""
        return self.task.data

    @property
    def compute(self) -> Compute:
        """Device, precision and memory layout of the training."""
        return self.task.compute

    @property
    def smallest_batch(self) -> int:
        """Number of images of the smallest batch of an epoch."""
        return min(self._sizes)

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return len(self.history)

    @property
    def done(self) -> bool:
        """Whether all of ``recipe.epochs`` are done."""
        return self.epoch >= self.recipe.epochs

    @property
    def validated_network(self) -> nn.Module:
        """The network that is validated and stored: the module, or the average of its weights once there is one."""
        return self.averaging.network if self.averaging is not None and self.averaging.has_average else self.module

    @property
    def lrs_found(self) -> list[LrFound]:
        """The learning rate found by ``recipe.find_lr``, as a list; empty before the search."""
        return [] if self.lr_found is None else [self.lr_found]

    @property
    def best(self) -> R | None:
        """The best epoch so far; None before the first."""
        return best_of(self.history, self.selection, self.recipe.float_epochs)

    def step(self) -> R:
        """Train one epoch, then validate, and return the result.

        Raises :class:`Diverged` if a loss is not finite (the fit cannot continue), and ``RuntimeError`` if all epochs
        are done.
        """
        if self.done:
            raise RuntimeError(
                f"step must not be called after the last epoch, but all {self.recipe.epochs} epochs are done; "
                "check `done` before `step`"
            )
        started = perf_counter()
        self.task.last_logits = None  # a training epoch needs the memory
        if self._find_lr is not None and self.lr_found is None:
            self.lr_found = self.ranks.same_on_all(self._find_lr)
        self._streams.start_epoch(self._seed, self.ranks.rank, self.epoch)
        with self._streams.layers(), self.ranks.batch_norm(self.module):
            train_loss, train_accuracy = self._train_epoch()
        self.ranks.average_statistics(self.module)
        if self.averaging is not None:
            self.averaging.after_epoch(self.module, self.epoch + 1)
            self.ranks.average_statistics(self.averaging.model)
        result = self.task.result_type(
            epoch=self.epoch + 1,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            **vars(self._validate()),
            lr=self._lr(len(self._sizes) - 1),
            seconds=perf_counter() - started,
        )
        self._record(result)
        return result

    def validated_networks(self) -> list[tuple[nn.Module, D]]:
        """Return the network that is validated, with its data, as a list of one: cross-validation returns several."""
        return [(self.validated_network, self.data)]

    def best_networks(self) -> list[tuple[nn.Module, D]]:
        """Return the network with the weights of the best epoch, with its data, as a list. Requires ``keep_best``."""
        assert self.best_weights is not None
        self.module.load_state_dict(self.best_weights)
        return [(self.module, self.data)]

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state that a resumed fit needs, on the CPU.

        It contains plain types only, so that ``torch.load`` can read it without running code.
        """
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
        if self.best_predictions is not None:
            state["best_predictions"] = self.best_predictions.state_dict()
        if self.lr_found is not None:
            state["lr_found"] = asdict(self.lr_found)
        copied: dict[str, Any] = copy_to_cpu(state)
        return copied

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state``. Raises ``ValueError`` if it has another recipe or other data."""
        saved = type(self.recipe).from_json(state["recipe"])  # adds the defaults of keys that are newer than the state
        check_same("recipe", saved.to_json(), self.recipe.to_json())
        check_same("content_hash of the data", state["content_hash"], self.data.content_hash)
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(deepcopy(state["optimizer"]))  # torch would share the tensors of the state
        self._streams.load_state_dict(state["streams"])
        self.history = [self.task.result_type(**entry) for entry in state["history"]]
        self.best_weights = copy_to_cpu(state.get("best_weights"))  # zero-shot fits of version 0.1.0 have none
        # checkpoints of version 0.1.0 have no predictions: there are some again after the next best epoch
        kept = state.get("best_predictions")
        self.best_predictions = None if kept is None else from_state(kept)
        for name, head in self.task.heads.items():
            head.load_state_dict(state[name])
        if self.averaging is not None:
            self.averaging.model.load_state_dict(state["averaging"])
        self.lr_found = lr_found_from(state["lr_found"]) if "lr_found" in state else None

    def _train_epoch(self) -> tuple[float, float]:
        """Train one epoch and return mean loss and accuracy over its images, measured while the weights change."""
        self.module.train()
        self.task.start_epoch(self.epoch)
        device, n = self.compute.device, len(self.task.train)
        order = self.task.order(self._streams.shuffle).to(device, non_blocking=True)
        # Losses and hits stay on the device during the epoch, because reading them would make the CPU wait.
        losses = torch.zeros(len(self._sizes), device=device)
        hits = torch.zeros((), dtype=torch.int64, device=device)
        batches = [self.ranks.share(batch) for batch in torch.split(order, self._sizes)]
        weights = iter([len(batch) / size for batch, size in zip(batches, self._sizes, strict=True)])
        self.task.train = epoch_images(self._train, self.recipe, self._streams.augmentation)
        self.task.train.prefetch(batches)
        steps = train_steps(
            batches,
            lambda index: self.task.batch_loss(index, self._streams.augmentation).scaled(next(weights)),
            self.optimizer,
            lr_at=self._lr,
            max_grad_norm=self.recipe.clip_grad_norm,
            after_backward=self._sum_gradients,
            after_step=self._after_step,
        )
        for i, batch in enumerate(steps):
            losses[i] = batch.loss
            hits += batch.hits
            if (i + 1) % CHECK_EVERY_STEPS == 0:
                self._check_finite(self.ranks.sum(losses))
        losses, hits = self.ranks.sum(losses), self.ranks.sum(hits)
        self._check_finite(losses)
        # Weighted by batch size: the last batch may be smaller or larger than the others.
        loss = torch.tensor(self._sizes).double() @ losses.cpu().double() / n
        return float(loss), int(hits) / n

    def _sum_gradients(self) -> None:
        self.ranks.sum_gradients(p for group in self.optimizer.param_groups for p in group["params"])

    def _after_step(self, step: int) -> None:
        if self.recipe.l1:
            l1_proximal_step(self.module, self.optimizer, self.recipe.l1)
        if self.averaging is not None:
            self.averaging.after_step(self.module)

    def _validate(self) -> Validation:
        validation = self.task.validate(self.validated_network)
        if self.task.has_validation_data and not math.isfinite(validation.val_loss):
            step = len(self._sizes)
            raise Diverged(self.epoch + 1, step, self._lr(step - 1), f"validation loss is {validation.val_loss}")
        return validation

    def _lr(self, step: int) -> float:
        """Return the learning rate of ``step``, counted from 0 in the current epoch."""
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
        if (self._keep_best or self._keep_predictions) and self.best is result:
            if self._keep_best:
                self.best_weights = copy_to_cpu(self.validated_network.state_dict())
            if self._keep_predictions:
                self.best_predictions = self.task.last_predictions()


def check_same(name: str, saved: object, current: object) -> None:
    """Raise ``ValueError`` if a fit would resume with another value of ``name`` than it was saved with."""
    if saved != current:
        raise ValueError(
            f"a fit must resume with the {name} it was saved with, {saved}, but got {current}; "
            "use the saved one, or start a new fit"
        )


def copy_to_cpu(value: Any) -> Any:
    """Return ``value`` with copies on the CPU of all tensors in nested dictionaries and lists."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: copy_to_cpu(entry) for key, entry in value.items()}
    return [copy_to_cpu(entry) for entry in value] if isinstance(value, list) else value
