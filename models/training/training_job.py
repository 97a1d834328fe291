"""Training by a function of the user: what the function gets, and the fit that runs it one epoch per step.

Shapes: N images of C channels, H rows and W columns; B images in a batch; K classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from time import perf_counter
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ...spaces.architectures.architecture import Architecture
from ...spaces.metrics.selection import Selection
from ...spaces.parameters.user_code import at_line
from ...spaces.recipes.recipe import Recipe
from ..data.dataset import ImageData, Split, in_unit_range
from ..networks.compute import Compute
from ..optimization.custom_parts import TrainingFunction, function_name
from .epoch import Diverged
from .evaluate import Evaluation, evaluate, evaluate_logits
from .loop import check_same, copy_to_cpu
from .predictions import KeptPredictions, compact, from_state
from .random_state import GlobalGenerators
from .reported_epoch import ReportedEpoch, completed, is_same, read_predictions, read_report, values_of
from .stepped_function import SteppedFunction

MAX_REASON = 400  # characters of the error of a function


class Stateful(Protocol):
    """An object whose state can be saved and restored, such as an optimizer of torch."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors, numbers, texts, lists and dictionaries."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Restore the state."""


Label = int | Tensor


class ImageDataset(Dataset[tuple[Tensor, Label]]):
    """A split as a data set of torch: normalised images (C, H, W), float32, with their class indices.

    Where images have several labels, a label is bool (K,).
    """

    def __init__(self, split: Split, data: ImageData) -> None:
        self._split, self._data = split, data

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> tuple[Tensor, Label]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, Label]]:
        """Return the items of a batch; a ``DataLoader`` calls it instead of taking one item at a time."""
        batch = self._split.take(torch.as_tensor(indices, device=self._split.labels.device))
        labels = batch.labels if batch.multi_label else batch.labels.tolist()
        return list(zip(self._data.normalise(in_unit_range(batch.images)), labels, strict=True))


class TrainingJob:
    """What a training function gets: the network of a trial, its recipe, the data, and how to report.

    Attributes:
        architecture: The architecture, which is inside the budget.
        module: Its network on ``device``, with initial weights that depend on ``seed`` alone. It maps normalised images
            (B, C, H, W) to logits (B, K). Train it in place.
        recipe: The recipe of the trial. Only the keys that the function reads have an effect.
        data: The images; ``data.test`` is None, because test images select nothing.
        device: Where to train.
        seed: The seed of the trial. Torch's global generators are seeded with it.
        precision: "fp32" or "bf16", as the search file asks.
        start_epoch: Number of epochs that an earlier worker has finished; 0 for a new trial.
    """

    def __init__(self, fit: "CustomFit", architecture: Architecture, data: ImageData, seed: int) -> None:
        self._fit = fit
        self.architecture, self.module, self.recipe, self.seed = architecture, fit.module, fit.recipe, seed
        self.data, self.device, self.precision = data, fit.compute.device, fit.compute.precision
        self.start_epoch = fit.epoch

    def epochs(self) -> Iterator[int]:
        """Yield the numbers of the epochs to train, from ``start_epoch + 1`` to ``recipe.epochs``.

        Of a resumed trial it first restores torch's global generators, so that the epochs continue where they ended.
        """
        self._fit.restore_generators()
        yield from range(self.start_epoch + 1, self.recipe.epochs + 1)

    def dataset(self, split: str = "train") -> ImageDataset:
        """Return the split "train" or "val" as a data set for ``torch.utils.data.DataLoader``.

        Its items are on ``device``, so the loader needs no worker processes.
        """
        if split not in ("train", "val"):
            raise ValueError(f"split must be 'train' or 'val', but got {split!r}; test images select nothing")
        return ImageDataset(getattr(self.data, split), self.data)

    def checkpoint(self, **objects: Stateful) -> None:
        """Save the state of these objects with each checkpoint, as in ``job.checkpoint(optimizer=optimizer)``.

        If the trial is resumed, their saved state is restored now. The state of ``module`` is always saved. Call it
        before the first epoch, with every object that has a state: optimizer, schedule, average of weights.
        """
        self._fit.keep(objects)

    def validate(self, module: nn.Module | None = None) -> dict[str, float]:
        """Return loss, accuracy and the metrics of the search for ``module`` on the validation images.

        The names are those that :meth:`report` takes: ``job.report(epoch, **job.validate())``.
        """
        fit = self._fit
        metrics = fit.selection.computed
        found = evaluate(module or self.module, self.data.val, self.data, fit.compute, fit.batch_size, metrics)
        fit.validated = found
        return values_of(found)

    def report(self, epoch: int, *, predictions: Tensor | None = None, **metrics: float) -> None:
        """Report an epoch, counted from 1, with metrics of the validation images.

        ``accuracy`` (0..1) and every metric of the search are required; ``loss``, ``train_loss``, ``train_accuracy``
        and ``lr`` are recorded too. ``predictions`` are the logits (N, K) of the validation images, in their order: a
        required metric that is left out is computed from them. Those of the best epoch are stored with the trial, for
        intervals, paired tests and classes; without them, those of :meth:`validate`, if its metrics are reported.

        The function waits here for the search: it may continue, be resumed later from this epoch, or end here if a
        scheduler stops the trial. Raises ``ValueError`` for a missing, unknown or invalid value, and
        :class:`~.epoch.Diverged` if a loss is not finite.
        """
        self._fit.record(epoch, metrics, predictions)


@dataclass
class _Restored:
    """The part of a checkpoint that waits for the function: states of its objects, and of torch's generators."""

    objects: dict[str, Any] = field(default_factory=dict)
    generators: dict[str, Tensor] = field(default_factory=dict)


class CustomFit:
    """The training of one network by a function of the user, with the interface of :class:`~.loop.TrainingLoop`.

    ``best_weights`` is a copy of the weights of the best epoch by ``selection``, on the CPU, and with
    ``keep_predictions``, ``best_predictions`` are its predictions if the function gives them. Call :meth:`close` at
    the end: the function may wait for a step that never comes.
    """

    lrs_found: tuple[Any, ...] = ()
    validated: Evaluation | None = None  # the last one since the report before

    def __init__(
        self,
        function: TrainingFunction,
        module: nn.Module,
        architecture: Architecture,
        data: ImageData,
        recipe: Recipe,
        compute: Compute,
        *,
        seed: int,
        selection: Selection,
        keep_predictions: bool = False,
    ) -> None:
        self.recipe, self.compute, self.selection = recipe, compute, selection
        self.data, self.module = data.to(compute.device), compute.place(module)
        # Twice the batch size of training, because evaluation stores no activations for a backward pass.
        self.batch_size = 2 * recipe.batch_size
        self.history: list[ReportedEpoch] = []
        self.best_weights: dict[str, Tensor] | None = None
        self.best_predictions: KeptPredictions | None = None
        self._keep_predictions = keep_predictions
        self._function, self._architecture, self._seed = function, architecture, seed
        self._n_params = _n_params(module)
        self._objects: dict[str, Stateful] = {}
        self._restored = _Restored()
        self._generators = GlobalGenerators(seed, compute.device)
        self._started = perf_counter()
        self._running: SteppedFunction | None = None

    @property
    def epoch(self) -> int:
        """Number of epochs that were reported."""
        return len(self.history)

    @property
    def done(self) -> bool:
        """Whether all epochs of the recipe were reported, or the function has returned."""
        return self.epoch >= self.recipe.epochs or (self._running is not None and self._running.returned)

    @property
    def best(self) -> ReportedEpoch | None:
        """The best epoch so far by the selecting metric, then the loss, then the first; None before the first."""
        return max(self.history, key=lambda result: result.rank(self.selection), default=None)

    def step(self) -> ReportedEpoch | None:
        """Run the function until it reports the next epoch; None if it returns instead, which ends the trial early.

        Raises :class:`~.epoch.Diverged` for a loss that is not finite, ``ValueError`` for a wrong report and for an
        exception of the function, with its line.
        """
        if self._running is None:
            job = TrainingJob(self, self._architecture, replace(self.data, test=None), self._seed)
            self._running = SteppedFunction(lambda: self._function(job))
        reported, self._started = self.epoch, perf_counter()
        with self._generators.used():
            self._advance(self._running)
        if self._running.returned:
            self._check_end(self._running.result)
        return self.history[-1] if self.epoch > reported else None

    def record(self, epoch: int, metrics: Mapping[str, Any], predictions: Any = None) -> None:
        """Check and keep the report of an epoch; wait for the next step unless it is the last epoch."""
        assert self._running is not None
        if self.epoch >= self.recipe.epochs or epoch != self.epoch + 1 or type(epoch) is not int:
            expected = self.epoch + 1 if self.epoch < self.recipe.epochs else "no other one"
            raise ValueError(
                f"epochs must be reported once and in order, from 1 to {self.recipe.epochs}, but after "
                f"{self.epoch} the next one is {epoch!r}, not {expected}; loop over job.epochs()"
            )
        if (n_params := _n_params(self.module)) != self._n_params:
            raise ValueError(
                f"job.module must keep its number of parameters, which the budget limits, but {self._n_params:,} "
                f"became {n_params:,}; train it in place, and choose its layers in the space"
            )
        evaluation = None if predictions is None else self._evaluated(epoch, predictions)
        metrics = metrics if evaluation is None else completed(metrics, values_of(evaluation), self.selection)
        result = read_report(epoch, metrics, self.selection, perf_counter() - self._started)
        self.history.append(result)
        if self.best is result:
            self.best_weights = copy_to_cpu(self.module.state_dict())
            self.best_predictions = self._compact(evaluation or self.validated, result)
        self.validated = None
        if self.epoch < self.recipe.epochs:  # after the last epoch the function runs to its end
            self._running.pause()

    def _evaluated(self, epoch: int, predictions: Any) -> Evaluation:
        labels = self.data.val.labels
        logits = read_predictions(epoch, predictions, labels, self.data.n_classes)
        return evaluate_logits(logits, labels, self.selection.computed)

    def _compact(self, evaluation: Evaluation | None, result: ReportedEpoch) -> KeptPredictions | None:
        """Return the predictions of ``evaluation``; None if it is another one than the function has reported."""
        if not self._keep_predictions or evaluation is None or evaluation.logits is None:
            return None
        pairs = [(evaluation.accuracy, result.val_accuracy)]
        pairs += [(value, result.metrics[name]) for name, value in evaluation.metrics.items()]
        is_reported = all(is_same(reported, value) for value, reported in pairs)
        return compact(evaluation.logits, self.data.val.labels) if is_reported else None

    def keep(self, objects: Mapping[str, Stateful]) -> None:
        """Keep the state of ``objects`` in checkpoints, and restore it if this fit is resumed."""
        for name, one in objects.items():
            if not hasattr(one, "state_dict") or not hasattr(one, "load_state_dict"):
                raise ValueError(
                    f"checkpoint() takes objects with state_dict() and load_state_dict(), but {name} is a "
                    f"{type(one).__name__}; write a class with these methods"
                )
            self._objects[name] = one
            if name in self._restored.objects:
                one.load_state_dict(self._restored.objects.pop(name))

    def restore_generators(self) -> None:
        """Set torch's global generators to their state in the checkpoint that was loaded, if there is one."""
        self._generators.set(self._restored.generators)
        self._restored.generators = {}

    def validated_networks(self) -> list[tuple[nn.Module, ImageData]]:
        """Return the network with its data, as a list of one."""
        return [(self.module, self.data)]

    def best_networks(self) -> list[tuple[nn.Module, ImageData]]:
        """Return the network with the weights of the best epoch, with its data, as a list of one."""
        assert self.best_weights is not None
        self.module.load_state_dict(self.best_weights)
        return [(self.module, self.data)]

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state that a resumed fit needs, on the CPU. The function must wait in a report."""
        state = {
            "recipe": self.recipe.to_json(),
            "content_hash": self.data.content_hash,
            "history": [asdict(result) for result in self.history],
            "module": self.module.state_dict(),
            "best_weights": self.best_weights,
            "best_predictions": None if self.best_predictions is None else self.best_predictions.state_dict(),
            # objects that the function has not asked for again keep the state that was loaded
            "objects": self._restored.objects | {name: one.state_dict() for name, one in self._objects.items()},
            "generators": self._generators.states,
        }
        copied: dict[str, Any] = copy_to_cpu(state)
        return copied

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state`` before the first step. Raises ``ValueError`` if it has another recipe or other data."""
        saved = type(self.recipe).from_json(state["recipe"])
        check_same("recipe", saved.to_json(), self.recipe.to_json())
        check_same("content_hash of the data", state["content_hash"], self.data.content_hash)
        objects, generators = deepcopy(state["objects"]), dict(state["generators"])
        self.module.load_state_dict(state["module"])
        self.history = [ReportedEpoch(**entry) for entry in state["history"]]
        self.best_weights = copy_to_cpu(state["best_weights"])
        kept = state.get("best_predictions")  # a checkpoint of an earlier version has none
        self.best_predictions = None if kept is None else from_state(kept)
        self._restored = _Restored(objects, generators)

    def close(self) -> None:
        """End the function where it waits."""
        if self._running is not None:
            self._running.end()

    def _advance(self, running: SteppedFunction) -> None:
        try:
            running.advance()
        except (Diverged, torch.OutOfMemoryError, MemoryError, OSError):
            raise  # failures of their own kinds
        except BaseException as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
            line = at_line(error, folder=False)  # without the folder, so that equal reasons of workers are counted
            raise ValueError(
                f"the training function {function_name(self._function)} must train without an error, but raised "
                f"{reason}{line}; correct it"
            ) from error

    def _check_end(self, result: Any) -> None:
        name = f"the training function {function_name(self._function)}"
        if result is not None:
            raise ValueError(
                f"{name} must return None, but returned {type(result).__name__} {str(result)[:60]}; pass metrics to "
                "job.report(epoch, accuracy=...)"
            )
        if not self.history:
            raise ValueError(
                f"{name} must report each epoch, but returned without a report; call job.report(epoch, accuracy=...)"
            )


def _n_params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
