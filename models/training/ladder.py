"""The training of one network up a ladder of fidelities, with the interface of a single training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ...spaces.recipes.fidelity import CARRIED, DATA_SHARE, FIDELITY, IMAGE_SIZE, Rung, rung_at
from ...spaces.recipes.recipe import Recipe
from ..data.dataset import ImageData
from .epoch import EpochResult
from .lr_finder import LrFound
from .predictions import KeptPredictions
from .trainer import Fit


class LadderFit:
    """Train on the data of each rung in turn, then on all data; see :class:`~.loop.TrainingLoop`.

    ``make`` returns the training at a rung before its first epoch; None is the whole fidelity. A rung continues with
    the weights, the optimizer and the random state of the previous one. Where the shapes of weights depend on the size
    of the images, those that fit are carried over and the optimizer starts again. ``side`` is that of whole images.

    The metrics of an epoch name its fidelity. The best epoch and its weights are those of whole epochs only.
    """

    def __init__(self, rungs: Sequence[Rung], side: int, make: Callable[[Rung | None], Fit]) -> None:
        self._rungs, self._side, self._make = tuple(rungs), side, make
        self._position = 0
        self._fit = make(self._rung)
        self._carried: float | None = None  # share of the weights that the next epoch starts with

    @property
    def _rung(self) -> Rung | None:
        return self._rungs[self._position] if self._position < len(self._rungs) else None

    @property
    def recipe(self) -> Recipe:
        """The training recipe."""
        return self._fit.recipe

    @property
    def history(self) -> list[EpochResult]:
        """The result of each epoch done."""
        return self._fit.history

    @property
    def module(self) -> nn.Module:
        """The network that is trained, at the image size of the rung."""
        return self._fit.module

    @property
    def network(self) -> nn.Module:
        """The network for images of the whole size, for its latency: below this size with its first weights."""
        rung = self._rung
        return (self._fit if rung is None or rung.size(self._side) == self._side else self._make(None)).network

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return self._fit.epoch

    @property
    def done(self) -> bool:
        """Whether all epochs are done."""
        return self._fit.done

    @property
    def best_weights(self) -> dict[str, Tensor] | None:
        """The weights of the best whole epoch; None before the first one."""
        return self._fit.best_weights

    @property
    def best_predictions(self) -> KeptPredictions | None:
        """The predictions of the best whole epoch; None before the first one."""
        return self._fit.best_predictions

    @property
    def lrs_found(self) -> list[LrFound]:
        """The learning rate that was found, on the data of the first rung."""
        return self._fit.lrs_found

    def step(self) -> EpochResult:
        """Train one epoch, then validate; the metrics of the result name the fidelity."""
        if not self.done and rung_at(self._rungs, self.epoch + 1) != self._position:
            self._climb(rung_at(self._rungs, self.epoch + 1))
        result = self._fit.step()
        named = replace(result, metrics={**result.metrics, **self._fidelity()})
        self._carried = None
        self._fit.history[-1] = named
        return named

    def _climb(self, position: int) -> None:
        """Continue the training with the data of the rung at ``position``."""
        state, self._position = self._fit.state_dict(), position
        self._fit = self._make(self._rung)
        own = self._fit.state_dict()
        weights, others = state["module"], own["module"]
        fitting = {name for name, value in others.items() if weights[name].shape == value.shape}
        if fitting == others.keys():
            self._fit.load_state_dict(state)
        else:
            parts = ("optimizer", "averaging", *self._fit.task.heads)  # their shapes are those of the weights
            kept = {name: weights[name] if name in fitting else value for name, value in others.items()}
            self._fit.load_state_dict({**state, "module": kept, **{name: own[name] for name in parts if name in own}})
        total = sum(value.numel() for value in others.values())
        self._carried = sum(others[name].numel() for name in fitting) / total

    def _fidelity(self) -> Mapping[str, float]:
        rung = self._rung
        carried = {} if self._carried is None else {CARRIED: self._carried}
        if rung is None:
            return {FIDELITY: 1.0, DATA_SHARE: 1.0, IMAGE_SIZE: float(self._side), **carried}
        cost, size = rung.relative_cost(self._side), float(rung.size(self._side))
        return {FIDELITY: cost, DATA_SHARE: rung.data_share, IMAGE_SIZE: size, **carried}

    def validated_networks(self) -> list[tuple[nn.Module, ImageData]]:
        """Return the network that is validated, with its data."""
        return self._fit.validated_networks()

    def best_networks(self) -> list[tuple[nn.Module, ImageData]]:
        """Return the network with the weights of the best whole epoch, with its data."""
        return self._fit.best_networks()

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed training needs; the rung follows from the number of epochs."""
        return self._fit.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state``, at the rung of its last epoch."""
        position = rung_at(self._rungs, max(1, len(state["history"])))
        if position != self._position:
            self._position = position
            self._fit = self._make(self._rung)
        self._fit.load_state_dict(state)
