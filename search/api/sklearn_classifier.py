"""A search as a classifier of scikit-learn: ``fit`` searches a network for the images and trains it.

Shapes: N images (N, H, W, C) or (N, C, H, W), K classes.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from uuid import uuid4

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from ...results.database.records import Trial
from ...spaces.architectures.budget import Budget
from ...spaces.metrics.registry import Function as Metric
from ...spaces.recipes.recipe import Recipe
from ...spaces.search_space.space import Space
from .model import Model, train
from .searching import DEFAULT_IMAGE_SIZE, SearchFailedError, run_search

if TYPE_CHECKING:
    from torch import Tensor


class ArchitectureSearchClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Search the best network inside ``budget`` for the images given to :meth:`fit`, and train it.

    Images ``X`` are an array (N, H, W, C), (N, C, H, W) or (N, H, W), or a list, array or data frame column of paths of
    image files. Pixels are integers from 0 to 255 or floats in [0, 1]. Labels ``y`` may be of any type.

    Args:
        budget: a ``Budget`` or a mapping such as ``{"params": "60k", "macs": "6M"}``; None for no limit.
        trials: the number of networks to train.
        time_limit: training of networks stops after this time, such as "30m", "2h" or a number of seconds.
        metric: the validation metric that selects: a name such as "f1_macro", or a function of ``(labels, scores)``;
            None for accuracy. It does not change :meth:`score`, which is the accuracy.
        direction: for a function: "maximize" (the default) or "minimize".
        space: the name of a space, or a ``Space`` for the shape and classes of the images; None for "mixed".
        recipe: a ``Recipe``, or a mapping whose lists and ``Range`` values are searched.
        searcher: the name of a searcher; None for "gp".
        image_size: side in pixels to which images are resized and cropped. By default arrays keep their size, and files
            become 64 x 64 pixels.
        val_fraction: the fraction of the images that select the network and calibrate its probabilities.
        seeds: how many times the best network is trained; the best by the metric is kept.
        random_state: an integer for reproducible splits and proposals.
        device: where the best network is trained and predicts: "cpu" or "cuda"; None for a GPU if there is one.
        settings: any other key of a search file, as in ``{"search.scheduler": "asha"}``.
        name: the name of the run; None for a new one.
        runs: the folder for all output, also the results database ``archsieve.db``.

    Attributes:
        classes_: the labels, sorted, in the order of the probabilities (K,).
        model_: the trained network as a ``Model``.
        best_trial_: the trial of the search that it comes from.
        run_: the name of the run in the results database.
        image_shape_: (C, H, W) of an image for the network.
    """

    classes_: np.ndarray
    model_: Model
    best_trial_: Trial
    run_: str
    image_shape_: tuple[int, int, int]

    def __init__(
        self,
        budget: Budget | Mapping[str, Any] | None = None,
        trials: int = 24,
        time_limit: str | float | None = None,
        metric: str | Metric | None = None,
        *,
        direction: Literal["maximize", "minimize"] | None = None,
        space: Space | str | None = None,
        recipe: Recipe | Mapping[str, Any] | None = None,
        searcher: str | None = None,
        image_size: int | None = None,
        val_fraction: float = 0.2,
        seeds: int = 1,
        random_state: Any = 0,
        device: str | None = None,
        settings: Mapping[str, Any] | None = None,
        name: str | None = None,
        runs: str | Path = "runs",
    ) -> None:
        self.budget = budget
        self.trials = trials
        self.time_limit = time_limit
        self.metric = metric
        self.direction = direction
        self.space = space
        self.recipe = recipe
        self.searcher = searcher
        self.image_size = image_size
        self.val_fraction = val_fraction
        self.seeds = seeds
        self.random_state = random_state
        self.device = device
        self.settings = settings
        self.name = name
        self.runs = runs

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - the name of scikit-learn
        """Search and train a network for the images ``X`` (N, ...) with the labels ``y`` (N,).

        Raises ``ValueError`` for images, labels or settings that cannot be used, before any training, and
        :class:`SearchFailedError` if no trial has a result.
        """
        import torch

        from ...models.data.dataset import Source, Split
        from ...models.data.in_memory import in_memory_dataset

        labels = _labels(y)
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y must have at least 2 classes, but has {classes.tolist()}; add images of another class")
        images = _images(X, self.image_size)
        check_consistent_length(images, labels)
        split = Split(images, torch.from_numpy(codes.astype(np.int64)))
        with in_memory_dataset(Source(tuple(map(str, classes)), split)) as data:
            self._search(data)
        self.classes_, self.image_shape_ = classes, self.model_.architecture.input_shape
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the label of each image (N,)."""
        best = self.predict_proba(X).argmax(axis=1)  # first, because it checks that there are classes
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the calibrated probabilities of the classes (N, K), in the order of ``classes_``."""
        check_is_fitted(self, "model_")
        _check_axes(X, self.image_shape_[0])
        probabilities = self.model_.predict_proba(X, device=self._device, resize=self.image_size is not None)
        if hasattr(X, "__len__") and not isinstance(X, str) and len(X) != len(probabilities):
            raise ValueError(
                f"X must hold one image per item, but its {len(X)} items are {len(probabilities)} images; reshape it, "
                "or list the files of a folder"
            )
        return np.asarray(probabilities.numpy())

    @property
    def _device(self) -> str:
        import torch

        return self.device or ("cuda" if torch.cuda.is_available() else "cpu")

    def _search(self, data: str) -> None:
        """Search on the data set ``data`` and train the best network."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        result = run_search(
            data={"name": data, "val_fraction": self.val_fraction, "test_fraction": 0.0, "seed": seed},
            space=self.space,
            budget=self.budget,
            recipe=self.recipe,
            trials=self.trials,
            time_limit=self.time_limit,
            metric=self.metric,
            direction=self.direction,
            searcher=self.searcher,
            seed=seed,
            settings=self.settings,
            name=self.name or f"classifier-{uuid4().hex[:8]}",
            runs=self.runs,
            top=1,
        )
        if not result.best:
            raise SearchFailedError(f"run {result.run!r} has no result: {result.reason}; see {result.report}")
        if not result.complete:
            warnings.warn(f"the search {result.run!r} ended early: {result.reason}; its best is used", stacklevel=3)
        self.run_, self.best_trial_ = result.run, result.best[0]
        self.model_ = train(self.best_trial_, seeds=self.seeds, device=self._device, runs=self.runs)

    def __sklearn_tags__(self) -> Tags:
        """Return what the estimator takes: images and paths, and not tables of features."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array, tags.input_tags.string = False, True, True
        return tags


def _labels(y: Any) -> np.ndarray:
    """Return the labels (N,); raise ``ValueError`` for regression targets, several columns, or none."""
    if y is None:
        raise ValueError("this classifier requires y to be passed, but the target y is None; pass one label per image")
    labels = column_or_1d(y, warn=True)
    check_classification_targets(labels)
    return np.asarray(labels)


def _images(X: Any, image_size: int | None) -> "Tensor":  # noqa: N803
    """Return the images to search on as a tensor (N, C, H, W)."""
    import torch

    from ...models.export.image_input import ImageInput, channels_first, image_items, resized, to_pixels
    from ...models.image_files.decoding_rules import Decoding

    items = image_items(X)
    if not isinstance(items, torch.Tensor):
        size = image_size or DEFAULT_IMAGE_SIZE
        files = ImageInput((3, size, size), Decoding(size))
        batches = list(files.batches(items, batch_size=256, resize=image_size is not None))
        return torch.cat(batches) if batches else torch.empty(0, 3, size, size, dtype=torch.uint8)
    channels = _n_channels(tuple(items.shape))
    pixels = to_pixels(channels_first(items, (channels, 0, 0)))
    return pixels if image_size is None else resized(pixels, Decoding(image_size, channels))


def _check_axes(X: Any, channels: int) -> None:  # noqa: N803
    """Raise ``ValueError`` for an array of other axes or channels than those of ``fit``."""
    import torch

    from ...models.export.image_input import image_items

    items = image_items(X)
    if not isinstance(items, torch.Tensor):
        return
    shape = tuple(items.shape)
    has_channels = len(shape) == 4 and channels in (shape[1], shape[3])  # known here, so no axis is ambiguous
    if not has_channels and _n_channels(shape) != channels:
        raise ValueError(f"X must have {channels} channels, as in fit, but has the shape {shape}; convert it")


def _n_channels(shape: tuple[int, ...]) -> int:
    """Return the number of channels of images (N, H, W), (N, H, W, C) or (N, C, H, W)."""
    if len(shape) == 3:
        return 1
    if len(shape) != 4:
        raise ValueError(
            f"X must be images (N, H, W), (N, H, W, C) or (N, C, H, W), but got an array of shape {shape}; "
            "reshape it, as in X.reshape(-1, 8, 8)"
        )
    likely = {size for size in (shape[1], shape[3]) if size in (1, 3)}
    if len(likely) == 1 or shape[1] != shape[3]:
        return likely.pop() if len(likely) == 1 else min(shape[1], shape[3])
    raise ValueError(f"X must have its channels on the second or the last axis, but {shape} may be both; transpose it")
