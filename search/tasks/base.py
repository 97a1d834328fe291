"""The task's contract: what is learned, from what data, and how a trial of it is trained and tested."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ...spaces.architectures.budget import Budget
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.search_space.space import Space

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from ...models.data.shapes import DataShape
    from ...results.database.reader import Reading
    from ...results.database.records import DatasetRecord
    from ...spaces.architectures.architecture import Architecture
    from ..config.schema import SearchFile
    from ..experiment.experiment import Experiment
    from ..runs.recorder import Recorder
    from ..trials.trainable import Conditions


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


class Bench(ABC):
    """What a worker keeps from trial to trial: the data, ready for fits on its device.

    ``data.train`` holds the pictures that trials learn from.
    """

    data: Any
    device: "torch.device"
    input_shape: tuple[int, int, int]

    @abstractmethod
    def fit(self, architecture: "Architecture", recipe: Recipe, seed: int) -> TrialFit:
        """A trial's networks at the beginning of their training."""

    def began(self, fit: TrialFit) -> dict[str, Any]:
        """What else is told with the first epoch: what the recipe's augmentation costs, where there is one."""
        from ...models.training.augmentation import augmentation_cost

        cost = augmentation_cost(self.data.train.images, fit.recipe, self.device)
        return {} if cost is None else {"augmentation_cost": asdict(cost)}

    @abstractmethod
    def ended(self, fit: TrialFit) -> dict[str, Any]:
        """What else is told with the last: ``test_accuracy`` of the best validation epoch, or None where trials are not
        tested (nothing selects by it), and how ``predicted`` classes are spread.
        """

    def examined(self, fit: TrialFit, architecture: "Architecture", seed: int) -> dict[str, Any]:
        """What else is told of a fit that has diverged, or whose loss rose."""
        return {}

    @abstractmethod
    def timed(self, fit: TrialFit) -> "nn.Module":
        """What latency is measured of: from pictures (B, C, H, W) on."""


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
    def left(self, budget: Budget, space: Space, recipes: RecipeSpace) -> Budget:
        """What of the budget is the architecture's own; the rest is kept for what the recipe puts behind it."""

    @abstractmethod
    def load(self, file: "SearchFile") -> "tuple[Any, DatasetRecord]":
        """The data, and what the store keeps of them; raises where they cannot be used as the file says."""

    @abstractmethod
    def for_trials(self, data: Any) -> Any:
        """The part of the data that is handed to workers before the search has ended."""

    @abstractmethod
    def bench(self, data: Any, conditions: "Conditions", device: "torch.device") -> Bench:
        """A worker's bench, with what :meth:`for_trials` gave."""

    @abstractmethod
    def conclude(self, experiment: "Experiment", data: Any, recorder: "Recorder", folder: "Path") -> None:
        """Do what is done once, on the workers, when all trials have ended, and put it into the store."""

    @abstractmethod
    def concluded(self, experiment: "Experiment", store: "Reading", run_id: int) -> bool:
        """Whether that has been done, or there is nothing to do."""
