"""The fit of one zero-shot design in several folds by class: a model for each, trained side by side."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe
from ..data.zero_shot import ZeroShotData
from .network import ZeroShotNetwork
from .trainer import ZeroShotFit, ZeroShotResult

MEANS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_roc_auc", "val_h", "gamma")


@dataclass(frozen=True)
class ZeroShotFoldedResult(ZeroShotResult):
    """The means over all folds after one epoch of each; ``seconds`` are their sum.

    ``val_accuracy_std`` is the sample deviation of the folds' calibrated H.
    """

    val_accuracy_std: float


class ZeroShotFoldedFit:
    """What :class:`~.zero_shot_fit.ZeroShotFit` is for one fold, for several: an epoch is an epoch in each."""

    def __init__(
        self, make: Callable[[ZeroShotData, int], ZeroShotFit], folds: Sequence[ZeroShotData], recipe: ZeroShotRecipe
    ) -> None:
        self.recipe = recipe
        self.fits = [make(data, fold) for fold, data in enumerate(folds)]
        self.history: list[ZeroShotFoldedResult] = []

    @property
    def module(self) -> ZeroShotNetwork:
        """The network of the first fold."""
        return self.fits[0].module

    @property
    def epoch(self) -> int:
        """Epochs done, of every fold."""
        return len(self.history)

    @property
    def done(self) -> bool:
        """Whether all of ``recipe.epochs`` are done."""
        return self.epoch >= self.recipe.epochs

    def step(self) -> ZeroShotFoldedResult:
        """An epoch in every fold. Raises :class:`~.epoch.Diverged` where one of them does."""
        results = [fit.step() for fit in self.fits]
        result = ZeroShotFoldedResult(
            epoch=results[0].epoch,
            lr=results[0].lr,
            seconds=sum(result.seconds for result in results),
            val_accuracy_std=stdev(result.val_accuracy for result in results),
            **{name: fmean(getattr(result, name) for result in results) for name in MEANS},
        )
        self.history.append(result)
        return result

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed fit needs, on the CPU and in plain types."""
        return {
            "fits": [fit.state_dict() for fit in self.fits],
            "history": [asdict(result) for result in self.history],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken; ``ValueError`` where it is of another recipe, data or number of folds."""
        saved = state.get("fits", [])
        if len(saved) != len(self.fits):
            raise ValueError(f"a fit of {len(self.fits)} folds does not go on from one of {len(saved) or 'no'} folds")
        for fit, part in zip(self.fits, saved, strict=True):
            fit.load_state_dict(part)
        self.history = [ZeroShotFoldedResult(**entry) for entry in state["history"]]
