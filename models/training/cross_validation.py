"""Cross-validation of one design: one network per fold, all trained one epoch per step."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean, stdev
from typing import Any, Generic

from torch import Tensor, nn

from ...spaces.metrics.selection import BY_ACCURACY, Selection
from .epoch import EpochResult, best_of
from .loop import D, R, TrainingLoop, copy_to_cpu
from .lr_finder import LrFound
from .predictions import KeptPredictions, concatenate, from_state

NOT_AVERAGED = ("epoch", "lr", "seconds", "val_accuracy_std", "metrics")  # fields that are not means over the folds


@dataclass(frozen=True)
class FoldedResult(EpochResult):
    """The means over all folds after one epoch of each; ``seconds`` is their sum.

    ``val_accuracy_std`` is the sample standard deviation of the folds' validation accuracies.
    """

    val_accuracy_std: float


class FoldedFit(Generic[D, R]):
    """Cross-validation with the interface of :class:`~.loop.TrainingLoop`; ``fits`` has one fit per fold.

    One step is an epoch in every fold, so that a scheduler that stops weak trials early sees the mean over all folds
    from the first epoch. ``result_type`` is the result type of the folds with ``val_accuracy_std`` added. With
    ``keep_best`` the weights of the epoch with the best mean are kept, with ``keep_predictions`` the predictions of its
    networks, each for the images of its fold, one fold after another.
    """

    def __init__(
        self,
        fits: Sequence[TrainingLoop[D, Any]],
        result_type: type[R],
        *,
        keep_best: bool = False,
        keep_predictions: bool = False,
        selection: Selection = BY_ACCURACY,
    ) -> None:
        self.fits, self.selection = fits, selection
        self.recipe = fits[0].recipe
        self.history: list[R] = []
        self.best_weights: list[dict[str, Tensor]] | None = None
        self.best_predictions: KeptPredictions | None = None
        self._result_type, self._keep_best, self._keep_predictions = result_type, keep_best, keep_predictions

    @property
    def module(self) -> nn.Module:
        """The network of the first fold; the others have the same cost and latency."""
        return self.fits[0].module

    @property
    def lrs_found(self) -> list[LrFound]:
        """The learning rates found by the folds; empty before the first epoch."""
        return [found for fit in self.fits for found in fit.lrs_found]

    @property
    def epoch(self) -> int:
        """Number of epochs done in every fold."""
        return len(self.history)

    @property
    def done(self) -> bool:
        """Whether the fits of all folds are done; they have the same number of epochs."""
        return self.fits[0].done

    def step(self) -> R:
        """Train one epoch in every fold and return the means. Raises :class:`~.epoch.Diverged` if a fold diverges."""
        results = [fit.step() for fit in self.fits]
        averaged = [field.name for field in fields(self._result_type) if field.name not in NOT_AVERAGED]
        result = self._result_type(
            epoch=results[0].epoch,
            lr=results[0].lr,  # of the first fold: with recipe.find_lr every fold has its own
            seconds=sum(result.seconds for result in results),
            val_accuracy_std=stdev(result.val_accuracy for result in results),  # type: ignore[call-arg]
            metrics={name: fmean(result.metrics[name] for result in results) for name in results[0].metrics},
            **{name: fmean(getattr(result, name) for result in results) for name in averaged},
        )
        self.history.append(result)
        if best_of(self.history, self.selection, self.recipe.float_epochs) is result:
            if self._keep_best:
                self.best_weights = [copy_to_cpu(fit.validated_network.state_dict()) for fit in self.fits]
            if self._keep_predictions:
                parts = [fit.task.last_predictions() for fit in self.fits]
                self.best_predictions = concatenate([part for part in parts if part is not None])
        return result

    def validated_networks(self) -> list[tuple[nn.Module, D]]:
        """Return the networks that are validated, each with its data."""
        return [(fit.validated_network, fit.data) for fit in self.fits]

    def best_networks(self) -> list[tuple[nn.Module, D]]:
        """Return the networks with the weights of the best epoch, each with its data. Requires ``keep_best``."""
        for fit, weights in zip(self.fits, self.best_weights or [], strict=True):
            fit.module.load_state_dict(weights)
        return [(fit.module, fit.data) for fit in self.fits]

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed fit needs, on the CPU and in plain types."""
        return {
            "fits": [fit.state_dict() for fit in self.fits],
            "history": [asdict(result) for result in self.history],
            "best_weights": copy_to_cpu(self.best_weights),
            "best_predictions": None if self.best_predictions is None else self.best_predictions.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state``. Raises ``ValueError`` if it has another recipe, other data or another number of folds."""
        saved = state.get("fits", [])
        if len(saved) != len(self.fits):
            raise ValueError(
                f"a fit of {len(self.fits)} folds must resume from as many folds, but the state has "
                f"{len(saved) or 'no'} folds; use the saved number of folds, or start a new fit"
            )
        for fit, part in zip(self.fits, saved, strict=True):
            fit.load_state_dict(part)
        self.history = [self._result_type(**entry) for entry in state["history"]]
        kept = state.get("best_predictions")
        self.best_predictions = None if kept is None else from_state(kept)
        self.best_weights = copy_to_cpu(state.get("best_weights"))  # zero-shot fits of version 0.1.0 have none
