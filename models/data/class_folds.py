"""Class folds: the training and validation data of a zero-shot search. No unseen class and no test image is in them."""

from dataclasses import dataclass

from torch import Tensor

from ..storage.choice import DEFAULT_CACHE, CacheLocation
from .dataset import Split
from .zero_shot import ZeroShotData, validation_folds


@dataclass(frozen=True)
class BackboneInit:
    """The initial weights of an image network that begins with a backbone.

    ``weights`` are those of ``space.weights`` (None: random weights). ``frozen``: whether these weights stay fixed.
    ``cache`` is where the vectors of a frozen backbone are kept.
    """

    weights: str | None = None
    frozen: bool = False
    cache: CacheLocation = DEFAULT_CACHE


@dataclass(frozen=True, eq=False)
class ClassFolds:
    """One or more folds by class.

    ``single``: a trial trains one network and validates it on the classes of the first fold. Otherwise a trial trains
    one network per fold. ``start`` is sent to the workers together with the data.
    """

    folds: tuple[ZeroShotData, ...]
    single: bool
    start: BackboneInit = BackboneInit()

    @classmethod
    def of(
        cls, data: ZeroShotData, folds: int | None, val_fraction: float, *, seed: int, start: BackboneInit | None = None
    ) -> "ClassFolds":
        """Split the seen classes of ``data`` into ``folds`` folds.

        With ``folds=None`` make one fold that validates on the validation classes of a published split, or else on
        about ``val_fraction`` of the seen classes.
        """
        # One of round(1 / val_fraction) equal folds has about that share of the classes; at least 2 folds, because
        # the network needs classes to train on.
        count = folds or max(2, round(1 / val_fraction))
        return cls(
            tuple(
                validation_folds(
                    data, count, seed=seed, used=None if folds else 1, named=None if folds else data.validation
                )
            ),
            folds is None,
            start or BackboneInit(),
        )

    @property
    def train(self) -> Split:
        """The training images of the first fold."""
        return self.folds[0].train

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return self.folds[0].input_shape

    @property
    def splits(self) -> tuple[Split, ...]:
        """All splits of all folds, fold by fold."""
        return tuple(split for fold in self.folds for split in (fold.train, fold.test_seen, fold.test_unseen))

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise images (B, C, H, W) in [0, 1] with the statistics of the first fold."""
        return self.folds[0].normalise(images)

    @property
    def n_val(self) -> int:
        """Number of validation images of the first fold."""
        return len(self.folds[0].test_seen) + len(self.folds[0].test_unseen)
