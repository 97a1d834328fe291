"""The task's contract: what is learned, from what data, and how a trial of it is trained and tested."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ...spaces.architectures.budget import Budget
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.search_space.space import Space

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ...models.data.shapes import DataShape
    from ...results.database.records import DatasetRecord
    from ...spaces.architectures.architecture import Architecture
    from ..config.schema import SearchFile


class TrialFit(Protocol):
    """A fit as a trial sees it: an epoch per :meth:`step`, resumable; ``history`` holds dataclasses of figures."""

    @property
    def recipe(self) -> Recipe:
        """How it is trained."""

    @property
    def history(self) -> Sequence[Any]:
        """What each epoch did."""

    @property
    def module(self) -> "nn.Module":
        """The network, the first one where there are several."""

    @property
    def epoch(self) -> int:
        """Epochs done."""

    @property
    def done(self) -> bool:
        """Whether all epochs are done."""

    def step(self) -> Any:
        """Train for one epoch, then validate."""

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed fit needs."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken."""


@dataclass(frozen=True)
class StartMetrics:
    """What a worker measures once, when a fit begins; the values are kept in the store as they are.

    ``augmentation_cost`` is None for a recipe without augmentation. ``lrs_found`` has an entry for each learning rate
    that ``lr = "auto"`` found: one, or one for each fold.
    """

    augmentation_cost: Mapping[str, Any] | None = None
    lrs_found: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class FinalMetrics:
    """What a worker measures once, when a fit is done.

    ``test_accuracy`` is that of the best validation epoch, None where trials are not tested; nothing is selected by it.
    ``predicted`` says how the validation predictions fall over the classes: ``classes`` and ``top_share``.
    """

    test_accuracy: float | None = None
    predicted: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Diagnosis:
    """Why a loss diverged or rose: the metrics of the gradient check, and the first lower rate that trains.

    ``gradients`` is None where the network was too large to check, ``lr`` where no rate trains.
    """

    gradients: Mapping[str, Any] | None
    lr: float | None


class TrialContext(ABC):
    """What a worker keeps from trial to trial: the data, ready for fits on its device.

    ``data.train`` holds the images that trials learn from.
    """

    data: Any
    device: "torch.device"
    input_shape: tuple[int, int, int]

    @abstractmethod
    def fit(self, architecture: "Architecture", recipe: Recipe, seed: int) -> TrialFit:
        """Return a trial's networks before the first epoch."""

    def start_metrics(self, fit: TrialFit) -> StartMetrics:
        """Measure what is reported with the first epoch."""
        from ...models.training.augmentation import augmentation_cost

        cost = augmentation_cost(self.data.train.images, fit.recipe, self.device)
        return StartMetrics(None if cost is None else asdict(cost))

    @abstractmethod
    def final_metrics(self, fit: TrialFit) -> FinalMetrics:
        """Measure what is reported with the last epoch."""

    def diagnose(self, fit: TrialFit, architecture: "Architecture", seed: int) -> Diagnosis | None:
        """Look for the reason why a fit diverged or its loss rose; None where the task has no such check."""
        return None

    @abstractmethod
    def timed_module(self, fit: TrialFit) -> "nn.Module":
        """Return the module whose latency counts; it takes images (B, C, H, W)."""


class Task(ABC):
    """What a search's networks are to learn. It has no state: one of a kind serves every search."""

    name: ClassVar[str]
    recipe: ClassVar[type[Recipe]]

    @abstractmethod
    def check(self, file: "SearchFile") -> None:
        """Raise where the file asks for what this task does not know."""

    @abstractmethod
    def describe(self, file: "SearchFile") -> "DataShape":
        """The shape of a picture, and how many numbers the image network puts out. Nothing is loaded."""

    @abstractmethod
    def remaining_budget(self, budget: Budget, space: Space, recipes: RecipeSpace) -> Budget:
        """Return the architecture's part of the budget; the rest is reserved for the head that the recipe adds."""

    @abstractmethod
    def load(self, file: "SearchFile") -> "tuple[Any, DatasetRecord]":
        """The data, and what the store keeps of them; raises where they cannot be used as the file says."""

    @abstractmethod
    def for_trials(self, data: Any) -> Any:
        """The part of the data that is handed to workers before the search has ended."""

    @abstractmethod
    def trial_context(
        self, data: Any, device: "torch.device", *, precision: str, folds: int | None, fold_seed: int
    ) -> TrialContext:
        """Return a worker's context for ``data``, what :meth:`for_trials` returned.

        Where there are ``folds``, drawn by ``fold_seed``, a trial is a network in each.
        """
