"""The fit of one design by cross-validation: a network for each fold, trained side by side, an epoch per step."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from torch import Tensor, nn

from ...spaces.recipes.recipe import Recipe
from ..data.dataset import Device, ImageData
from ..data.folds import fold_seed
from .epoch import EpochResult, best_of
from .lr_finder import LrFound
from .trainer import Fit, on_cpu

MEANS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


@dataclass(frozen=True)
class FoldedResult(EpochResult):
    """The means over all folds after one epoch of each; ``seconds`` are their sum.

    ``val_accuracy_std`` is the sample deviation of the folds' validation accuracies.
    """

    val_accuracy_std: float


class FoldedFit:
    """What :class:`~.train.Fit` is for one network, for ``modules``, one for each of ``folds``.

    An epoch is an epoch in every fold, so whoever stops weak trials early sees the mean over all folds from the first
    epoch on. ``keep_best`` keeps the weights of the epoch with the best mean.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        folds: Sequence[ImageData],
        recipe: Recipe,
        *,
        seed: int,
        device: Device = "cpu",
        precision: str = "fp32",
        channels_last: bool = False,
        keep_best: bool = False,
    ) -> None:
        self.recipe = recipe
        self.fits = [
            Fit(
                module,
                data,
                recipe,
                seed=fold_seed(seed, fold),
                device=device,
                precision=precision,
                channels_last=channels_last,
            )
            for fold, (module, data) in enumerate(zip(modules, folds, strict=True))
        ]
        self.history: list[FoldedResult] = []
        self.best_weights: list[dict[str, Tensor]] | None = None
        self._keep_best = keep_best

    @property
    def module(self) -> nn.Module:
        """The network of the first fold; the others cost the same and take the same time."""
        return self.fits[0].module

    @property
    def lrs_found(self) -> list[LrFound]:
        """The learning rate of each fold, once they have been found."""
        return [found for fit in self.fits for found in fit.lrs_found]

    def predicted(self) -> dict[str, int | float]:
        """How the predictions fall over the classes in the fold where they are the most uneven."""
        return max((fit.predicted() for fit in self.fits), key=lambda told: told["top_share"])

    @property
    def epoch(self) -> int:
        """Epochs done, of every fold."""
        return len(self.history)

    @property
    def done(self) -> bool:
        """Whether all of ``recipe.epochs`` are done."""
        return self.epoch >= self.recipe.epochs

    def step(self) -> FoldedResult:
        """An epoch in every fold. Raises :class:`~.epoch.Diverged` where one of them does."""
        results = [fit.step() for fit in self.fits]
        means = {name: fmean(getattr(result, name) for result in results) for name in MEANS}
        result = FoldedResult(
            epoch=results[0].epoch,
            **means,
            lr=results[0].lr,
            seconds=sum(result.seconds for result in results),
            val_accuracy_std=stdev(result.val_accuracy for result in results),
        )
        self.history.append(result)
        if self._keep_best and best_of(self.history) is result:
            self.best_weights = [on_cpu(fit.kept.state_dict()) for fit in self.fits]
        return result

    def best_networks(self) -> list[tuple[nn.Module, ImageData]]:
        """The networks with their weights of the best epoch, and the data each knows; needs ``keep_best``."""
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
        """Go on where ``state`` was taken; ``ValueError`` where it is of another recipe, data or number of folds."""
        saved = state.get("fits", [])
        if len(saved) != len(self.fits):
            raise ValueError(f"a fit of {len(self.fits)} folds does not go on from one of {len(saved) or 'no'} folds")
        for fit, part in zip(self.fits, saved, strict=True):
            fit.load_state_dict(part)
        self.history = [FoldedResult(**entry) for entry in state["history"]]
        self.best_weights = on_cpu(state["best_weights"])
