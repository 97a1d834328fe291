"""Base classes of tasks: what networks learn, from which data, and how a trial is trained and tested."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ...spaces.architectures.budget import Budget
from ...spaces.metrics.selection import BY_ACCURACY, Selection
from ...spaces.recipes.fidelity import Rung
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.search_space.space import Space

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ...models.data.dataset import ImageData
    from ...models.data.shapes import DataShape
    from ...models.data.zero_shot import ZeroShotData
    from ...models.optimization.custom_parts import CustomParts
    from ...models.ranks.ranks import Ranks
    from ...results.database.records import DatasetRecord
    from ...spaces.architectures.architecture import Architecture
    from ..config.schema import DataSection, SearchFile


class TrialFit(Protocol):
    """The training of one trial: one epoch per :meth:`step`; it can be saved and resumed."""

    # a protocol, because the fits of models/ cannot import from search/

    @property
    def recipe(self) -> Recipe:
        """The training recipe."""

    @property
    def history(self) -> Sequence[Any]:
        """The metrics of each finished epoch, as dataclasses."""

    @property
    def module(self) -> "nn.Module":
        """The network; with several folds, the network of the first one."""

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""

    @property
    def done(self) -> bool:
        """Whether all epochs are finished."""

    def step(self) -> Any:
        """Train for one epoch, then validate; return the metrics of the epoch."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed fit needs."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from ``state``, the result of an earlier :meth:`state_dict`."""


@dataclass(frozen=True)
class StartMetrics:
    """Metrics that a worker measures once, at the start of a fit; the store saves the values unchanged.

    ``augmentation_cost`` is None for a recipe without augmentation. ``lrs_found`` has an entry for each learning rate
    that ``lr = "auto"`` found: one, or one for each fold. ``weights`` are the pretrained weights that were loaded:
    ``sha256``, ``tag`` and ``file``, and for image files their ``interpolation`` and ``crop_pct``; None for random
    weights.
    """

    augmentation_cost: Mapping[str, Any] | None = None
    lrs_found: tuple[Mapping[str, Any], ...] = ()
    weights: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class FinalMetrics:
    """Metrics that a worker measures once, at the end of a fit.

    ``test_accuracy`` is the fraction of correct test predictions with the weights of the best validation epoch, or None
    if the trial is not tested; it never selects a trial. ``predicted`` describes the distribution of the validation
    predictions over the classes: ``classes`` and ``top_share``. ``test_metrics`` are the other metrics of the test, by
    name; ``problems`` are sentences on custom metrics that failed there. ``int8`` are the validation metrics of the
    network in int8 by their names without quantisation, where one of them selects trials.
    """

    test_accuracy: float | None = None
    predicted: Mapping[str, Any] | None = None
    test_metrics: Mapping[str, float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    int8: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Diagnosis:
    """Why a loss diverged or rose: the metrics of the gradient check, and the first lower learning rate that works.

    ``gradients`` is None if the network was too large to check, ``lr`` is None if no learning rate works.
    """

    gradients: Mapping[str, Any] | None
    lr: float | None


class TrialContext(ABC):
    """The state that a worker reuses for all its trials: the data on its device.

    ``data.train`` holds the training images; ``input_shape`` is (channels, height, width). ``rungs`` are the lower
    fidelities of each trial, which only classification has.
    """

    data: Any
    device: "torch.device"
    input_shape: tuple[int, int, int]
    rungs: Sequence[Rung] = ()

    @abstractmethod
    def fit(self, architecture: "Architecture", recipe: Recipe, seed: int) -> TrialFit:
        """Return the fit of a trial before its first epoch; ``seed`` initialises the weights."""

    def close(self, fit: TrialFit) -> None:
        """End what a fit runs, such as a thread; called once, when its trial has ended or is interrupted."""
        return  # not abstract: most fits hold nothing else

    def start_metrics(self, fit: TrialFit) -> StartMetrics:
        """Measure the metrics that are reported with the first epoch."""
        from ...models.training.augmentation import augmentation_cost

        cost = augmentation_cost(self.data.train.images, fit.recipe, self.device)
        return StartMetrics(None if cost is None else asdict(cost))

    @abstractmethod
    def final_metrics(self, fit: TrialFit) -> FinalMetrics:
        """Measure the metrics that are reported with the last epoch."""

    def predictions(self, fit: TrialFit) -> Mapping[str, Any] | None:
        """Return the predictions of the validation images at the best epoch so far, as JSON; None if none are kept."""
        return None  # not abstract: only classification stores predictions

    def diagnose(self, fit: TrialFit, architecture: "Architecture", seed: int) -> Diagnosis | None:
        """Search for the reason why a fit diverged or its loss rose; None if the task has no such check."""
        return None  # not abstract: the check is optional

    @abstractmethod
    def timed_module(self, fit: TrialFit) -> "nn.Module":
        """Return the module whose latency is measured; its input is images (B, C, H, W)."""


def data_notes(images: "ImageData | ZeroShotData") -> list[str]:
    """Return what a user should know before a search on ``images``: their notes, and how many files were skipped."""
    notes, skipped = list(images.notes), images.skipped
    if skipped:
        what = "1 image was" if len(skipped) == 1 else f"{len(skipped):,} images were"
        notes.append(f"{what} skipped, because they cannot be decoded; the first error: {skipped[0]}")
    return notes


def check_decoding_keys(data: "DataSection") -> None:
    """Raise ``ValueError`` if ``data`` has keys for decoding files, but its images are not in files."""
    from ...models.data.shapes import WITHOUT_FILES
    from ..config.schema import DECODING_KEYS

    for key in DECODING_KEYS:
        value, field = getattr(data, key), type(data).model_fields[key]
        # the rules of a resumed run are those of its start, for any data
        if data.name in WITHOUT_FILES and value != field.default and key != "decoding_rules":
            raise ValueError(
                f"data.{key} is for data sets of image files, but {data.name!r} has none and {key} is {value!r}; "
                "leave it out"
            )


class Task(ABC):
    """What the networks of a search learn. A task has no state, so all searches share one instance."""

    name: ClassVar[str]
    recipe: ClassVar[type[Recipe]]

    @abstractmethod
    def check(self, file: "SearchFile") -> None:
        """Raise ``ValueError`` if the search file has settings that this task does not support."""

    @abstractmethod
    def describe(self, file: "SearchFile") -> "DataShape":
        """Return the shape of an image and the number of outputs of the image network, without loading the data."""

    @abstractmethod
    def remaining_budget(self, budget: Budget, space: Space, recipes: RecipeSpace) -> Budget:
        """Return the architecture's part of ``budget``; the rest is reserved for the head that the recipe adds."""

    @abstractmethod
    def load(self, file: "SearchFile", *, write: bool = True) -> "tuple[Any, DatasetRecord]":
        """Load the data; return them and their record for the store.

        With ``write`` False no cache file is written, and the
        statistics of images that belong into one are estimated.

        Raises ``ValueError`` if the data do not fit the search file.
        """

    @abstractmethod
    def images(self, data: Any) -> "ImageData | ZeroShotData":
        """Return the images with their notes, from ``data``, the result of :meth:`load`."""

    @abstractmethod
    def for_trials(self, data: Any) -> Any:
        """Return the part of ``data`` that workers receive during the search."""

    @abstractmethod
    def trial_context(
        self,
        data: Any,
        device: "torch.device",
        *,
        precision: str,
        folds: int | None,
        fold_seed: int,
        selection: Selection = BY_ACCURACY,
        weights: str | None = None,
        custom: "CustomParts | None" = None,
        keep_predictions: bool = False,
        ranks: "Ranks | None" = None,
    ) -> TrialContext:
        """Return a worker's context for ``data``, the result of :meth:`for_trials`.

        With ``folds``, which ``fold_seed`` draws, a trial trains one network in each fold. ``selection`` decides which
        metrics are computed, and which epoch is the best. ``weights`` is ``space.weights`` of the search file;
        ``custom`` are the custom parts of the training, if any. With ``keep_predictions``, a task that can keeps the
        predictions of that epoch. With ``ranks``, this process is one of several that train each network together.
        """
