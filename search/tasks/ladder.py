"""Trials on a ladder of fidelities: the data of each rung, which all trials of a worker share."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...spaces.recipes.fidelity import Rung

if TYPE_CHECKING:
    from ...models.data.dataset import ImageData
    from ...models.training.ladder import LadderFit
    from ...spaces.architectures.architecture import Architecture


class Ladder:
    """The data of each rung, made when a trial first needs them."""

    def __init__(self, rungs: Sequence[Rung], data: "ImageData") -> None:
        self._rungs, self._data = tuple(rungs), data
        self._at: dict[Rung, ImageData] = {}

    def fit(
        self, architecture: "Architecture", fit_of: "Callable[[Architecture, ImageData, bool], Any]"
    ) -> "LadderFit":
        """Return the training of ``architecture``.

        ``fit_of`` returns the training of an architecture on some data, and whether they are the whole ones.
        """
        from ...models.training.ladder import LadderFit

        channels, side, _ = self._data.input_shape

        def make(rung: Rung | None) -> Any:
            if rung is None:
                return fit_of(architecture, self._data, True)
            size = rung.size(side)
            smaller = architecture if size == side else replace(architecture, input_shape=(channels, size, size))
            return fit_of(smaller, self._of(rung), False)

        return LadderFit(self._rungs, side, make)

    def _of(self, rung: Rung) -> "ImageData":
        from ...models.data.fidelity import at_fidelity

        if rung not in self._at:
            self._at[rung] = at_fidelity(self._data, rung)
        return self._at[rung]


def check_share(rungs: Sequence[Rung], data: "ImageData", batch_size: int) -> None:
    """Raise ``ValueError`` if a rung has fewer training images than one batch."""
    from ...models.data.fidelity import share_of

    for number, rung in enumerate(rungs):
        count = len(share_of(data.train.labels, rung.data_share))
        if count < batch_size:
            raise ValueError(
                f"search.fidelity.{number}.data_share must give at least one batch of recipe.batch_size images, but "
                f"{rung.data_share:g} of {len(data.train):,} training images are {count:,}, and a batch has "
                f"{batch_size:,}; raise data_share, or lower recipe.batch_size"
            )
