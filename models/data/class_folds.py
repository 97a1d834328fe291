"""Class folds: what a zero-shot search trains and validates on. Nothing of a test is in them."""

from dataclasses import dataclass

from torch import Tensor

from .dataset import Split
from .zero_shot import ZeroShotData, validation_folds


@dataclass(frozen=True)
class Start:
    """What image networks begin with that begin with a backbone: its ``weights``, a file, and whether they stay."""

    weights: str | None = None
    frozen: bool = False


@dataclass(frozen=True, eq=False)
class ClassFolds:
    """One fold by class, or several; ``single`` where a trial is one network, validated on the first fold's classes.

    ``start`` goes with them to the workers.
    """

    folds: tuple[ZeroShotData, ...]
    single: bool
    start: Start = Start()

    @classmethod
    def of(
        cls, data: ZeroShotData, folds: int | None, val_fraction: float, *, seed: int, start: Start | None = None
    ) -> "ClassFolds":
        """The seen classes of ``data`` in ``folds`` folds; without, one fold whose share is about ``val_fraction``."""
        count = folds or max(2, round(1 / val_fraction))
        return cls(
            tuple(validation_folds(data, count, seed=seed, used=None if folds else 1)), folds is None, start or Start()
        )

    @property
    def train(self) -> Split:
        """The training pictures of the first fold."""
        return self.folds[0].train

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one picture."""
        return self.folds[0].input_shape

    @property
    def splits(self) -> tuple[Split, ...]:
        """All pictures, fold by fold."""
        return tuple(split for fold in self.folds for split in (fold.train, fold.test_seen, fold.test_unseen))

    def normalise(self, images: Tensor) -> Tensor:
        """Pictures (B, C, H, W) in [0, 1] as the first fold has them."""
        return self.folds[0].normalise(images)

    @property
    def n_val(self) -> int:
        """How many pictures the first fold is validated on."""
        return len(self.folds[0].test_seen) + len(self.folds[0].test_unseen)
