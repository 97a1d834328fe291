"""The fit of one design by cross-validation: a network for each fold, trained side by side, an epoch per step."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean, stdev
from typing import Any, Generic

from torch import Tensor, nn

from .epoch import EpochResult, best_of
from .loop import D, R, TrainingLoop, on_cpu
from .lr_finder import LrFound

NO_MEANS = ("epoch", "lr", "seconds", "val_accuracy_std")


@dataclass(frozen=True)
class FoldedResult(EpochResult):
    """The means over all folds after one epoch of each; ``seconds`` are their sum.

    ``val_accuracy_std`` is the sample deviation of the folds' validation accuracies.
    """

    val_accuracy_std: float


class FoldedFit(Generic[D, R]):
    """What :class:`~.loop.TrainingLoop` is for one network, for ``fits``, one for each fold.

    An epoch is an epoch in every fold, so a scheduler that stops weak trials early sees the mean over all folds from
    the first epoch on. ``result_type`` is the folds' own, with ``val_accuracy_std``. ``keep_best`` keeps the weights of
    the epoch with the best mean.
    """

    def __init__(self, fits: Sequence[TrainingLoop[D, Any]], result_type: type[R], *, keep_best: bool = False) -> None:
        self.fits = fits
        self.recipe = fits[0].recipe
        self.history: list[R] = []
        self.best_weights: list[dict[str, Tensor]] | None = None
        self._result_type, self._keep_best = result_type, keep_best

    @property
    def module(self) -> nn.Module:
        """The network of the first fold; the others cost the same and take the same time."""
        return self.fits[0].module

    @property
    def lrs_found(self) -> list[LrFound]:
        """The learning rate of each fold, once they have been found."""
        return [found for fit in self.fits for found in fit.lrs_found]

    @property
    def epoch(self) -> int:
        """Epochs done, of every fold."""
        return len(self.history)

    @property
    def done(self) -> bool:
        """Whether all of ``recipe.epochs`` are done."""
        return self.epoch >= self.recipe.epochs

    def step(self) -> R:
        """An epoch in every fold. Raises :class:`~.epoch.Diverged` where one of them does."""
        results = [fit.step() for fit in self.fits]
        averaged = [field.name for field in fields(self._result_type) if field.name not in NO_MEANS]
        result = self._result_type(
            epoch=results[0].epoch,
            lr=results[0].lr,
            seconds=sum(result.seconds for result in results),
            val_accuracy_std=stdev(result.val_accuracy for result in results),  # type: ignore[call-arg]
            **{name: fmean(getattr(result, name) for result in results) for name in averaged},
        )
        self.history.append(result)
        if self._keep_best and best_of(self.history) is result:
            self.best_weights = [on_cpu(fit.kept.state_dict()) for fit in self.fits]
        return result

    def kept_networks(self) -> list[tuple[nn.Module, D]]:
        """The networks that are validated, and the data of each."""
        return [(fit.kept, fit.data) for fit in self.fits]

    def best_networks(self) -> list[tuple[nn.Module, D]]:
        """The networks with their weights of the best epoch, and the data of each; needs ``keep_best``."""
        for fit, weights in zip(self.fits, self.best_weights or [], strict=True):
            fit.module.load_state_dict(weights)
        return [(fit.module, fit.data) for fit in self.fits]

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed fit needs, on the CPU and in plain types."""
        return {
            "fits": [fit.state_dict() for fit in self.fits],
            "history": [asdict(result) for result in self.history],
            "best_weights": on_cpu(self.best_weights),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state`` was taken; ``ValueError`` where it is of another recipe, data or number of folds."""
        saved = state.get("fits", [])
        if len(saved) != len(self.fits):
            raise ValueError(f"a fit of {len(self.fits)} folds does not go on from one of {len(saved) or 'no'} folds")
        for fit, part in zip(self.fits, saved, strict=True):
            fit.load_state_dict(part)
        self.history = [self._result_type(**entry) for entry in state["history"]]
        self.best_weights = on_cpu(state.get("best_weights"))  # zero-shot fits of version 0.1.0 have none
