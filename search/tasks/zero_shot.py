"""The zero-shot task: recognise classes from their texts alone.

Validation and test use classes that no network is trained on.
"""

from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from ...models.process.garbage import resume_collection
from ...results.database.records import DatasetRecord
from ...spaces.architectures.budget import Budget
from ...spaces.metrics.selection import BY_ACCURACY, Selection
from ...spaces.parameters.task_kinds import ZERO_SHOT
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe
from ...spaces.search_space.space import Space
from .base import FinalMetrics, Task, TrialContext, TrialFit
from .zero_shot_checks import check_file, check_texts_fit, check_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ...models.data.class_folds import BackboneInit, ClassFolds
    from ...models.data.shapes import DataShape
    from ...models.data.zero_shot import ZeroShotData
    from ...models.networks.feature_extractors import ImageBody
    from ...models.optimization.custom_parts import CustomParts
    from ...models.ranks.ranks import Ranks
    from ...models.zero_shot.frozen_features import FrozenBackbone
    from ...models.zero_shot.saved_model import AnyFit
    from ...models.zero_shot.trainer import AnyNetwork
    from ...spaces.architectures.architecture import Architecture
    from ...spaces.blocks.base import Block
    from ..config.schema import SearchFile

DEFAULT_FEATURES = 128  # outputs of an image network if the search file has no space.features


class ZeroShotTask(Task):
    """Zero-shot classification: train on images of seen classes; predict a classifier for any class from its text."""

    name = ZERO_SHOT
    recipe = ZeroShotRecipe

    def check(self, file: "SearchFile") -> None:
        check_file(file)

    def describe(self, file: "SearchFile") -> "DataShape":
        from ...models.data.shapes import describe_zero_shot

        data = file.data
        shape = describe_zero_shot(data.name, path=data.path, texts=data.texts, image_size=data.image_size)
        # the image network ends in features, not in classes: the head compares them with the text of each class
        return shape._replace(n_classes=file.space.features or DEFAULT_FEATURES)

    def remaining_budget(self, budget: Budget, space: Space, recipes: RecipeSpace) -> Budget:
        """Return ``budget`` less the largest head that the recipe allows, because the head runs with each image."""
        from ...spaces.constrained.graph import Graph
        from ...spaces.constrained.zero_shot_head import image_network_budget, largest_head

        # without limits nothing has to be reserved, and building the graph takes time
        return image_network_budget(budget, largest_head(Graph(space), recipes)) if budget.has_limits else budget

    def load(self, file: "SearchFile", *, write: bool = True) -> "tuple[Any, DatasetRecord]":
        from ...models.data.class_folds import BackboneInit, ClassFolds
        from ...models.data.zero_shot_registry import load_zero_shot
        from ...models.storage.choice import CacheLocation

        resume_collection()  # all that is large is imported
        section = file.data
        options = section.model_dump(exclude={"name", "val_fraction", "test_fraction", "storage", "cache"})
        data = load_zero_shot(section.name, **options)
        # frozen is true by default, but without a backbone there is nothing to freeze
        start = BackboneInit(
            file.space.weights,
            file.space.frozen and file.space.backbone is not None,
            CacheLocation(section.cache, write),
        )
        check_texts_fit(data.texts, file.recipe)
        check_weights(file.space, data.input_shape)
        folds = ClassFolds.of(data, file.search.folds, section.val_fraction, seed=section.seed, start=start)
        return (data, folds), DatasetRecord(
            # the folds are a part of the hash: other validation classes are other data for warm starts and the cache
            content_hash=sha256("".join(part.content_hash for part in (data, *folds.folds)).encode()).hexdigest(),
            name=data.name,
            n_train=len(folds.train),
            n_val=folds.n_val,
            n_test=len(data.test_seen) + len(data.test_unseen),
            n_classes=len(data.classes),
            class_names=data.classes,
            input_shape=data.input_shape,
            split_seed=section.seed,
        )

    def images(self, data: "tuple[ZeroShotData, ClassFolds]") -> "ZeroShotData":
        return data[0]

    def for_trials(self, data: "tuple[ZeroShotData, ClassFolds]") -> "ClassFolds":
        """Return the folds alone: no unseen class and no test image may reach a worker during the search."""
        return data[1]

    def trial_context(
        self,
        data: "ClassFolds",
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
        """Return a worker's context; ``data`` already has its folds, and H selects in every zero-shot search."""
        assert ranks is None or ranks.size == 1, "a search with several ranks is refused before"
        return ZeroShotTrialContext(data, precision, device)


class ZeroShotTrialContext(TrialContext):
    """Folds by class on a worker; a trial is validated on the classes of the first fold, or of each fold."""

    def __init__(self, data: "ClassFolds", precision: str, device: "torch.device") -> None:
        self.data, self.precision, self.device = data, precision, device
        self.input_shape = data.input_shape
        # frozen backbones with the folds as their vectors: those with pretrained weights, and that of each fit
        self._pretrained: dict[Block, tuple[FrozenBackbone, tuple[ZeroShotData, ...]]] = {}
        self._of_fit: WeakKeyDictionary[nn.Module, tuple[Architecture, FrozenBackbone]] = WeakKeyDictionary()

    def fit(self, architecture: "Architecture", recipe: Recipe, seed: int) -> TrialFit:
        from ...models.data.folds import fold_seed
        from ...models.training.cross_validation import FoldedFit
        from ...models.zero_shot.trainer import ZeroShotFoldedResult

        assert isinstance(recipe, ZeroShotRecipe)
        backbone, folds = self._folds(architecture, seed)

        def fit_fold(data: "ZeroShotData", seed: int) -> "AnyFit":
            return zero_shot_fit(architecture, recipe, data, seed, self.device, self.precision, self.data.start)

        if self.data.single:
            fit: TrialFit = fit_fold(folds[0], seed)
        else:
            # a seed for each fold: with the same seed all folds would start with the same weights
            fits = [fit_fold(data, fold_seed(seed, fold)) for fold, data in enumerate(folds)]
            fit = FoldedFit(cast(Any, fits), ZeroShotFoldedResult)  # closed forms have the same interface
        if backbone is not None:
            self._of_fit[fit.module] = architecture, backbone
        return fit

    def _folds(
        self, architecture: "Architecture", seed: int
    ) -> "tuple[FrozenBackbone | None, tuple[ZeroShotData, ...]]":
        """Return the folds; with a frozen backbone its vectors are their images, computed once for all trials."""
        start = self.data.start
        if not start.frozen:
            return None, self.data.folds
        first = architecture.blocks[0]
        if first in self._pretrained:
            return self._pretrained[first]
        vectors = frozen_vectors(architecture, self.data.folds, seed, self.device, self.precision, start)
        if start.weights is not None:  # random weights depend on the seed of the trial
            self._pretrained[first] = vectors
        return vectors

    def final_metrics(self, fit: TrialFit) -> FinalMetrics:
        """Return no metrics: unseen classes are tested once, after the search, with the chosen trial only."""
        return FinalMetrics()

    def timed_module(self, fit: TrialFit) -> "nn.Module":
        """Return the image network with its head; the text network runs once for each class, not for each image."""
        from ...models.zero_shot.network import ImageSide
        from ...models.zero_shot.saved_model import with_backbone

        network = cast("AnyNetwork", fit.module)
        if fit.module in self._of_fit:  # the fit is trained on vectors, but a prediction starts with an image
            architecture, backbone = self._of_fit[fit.module]
            network = with_backbone(network, architecture, backbone.module)
        return ImageSide(network)


def zero_shot_fit(
    architecture: "Architecture",
    recipe: ZeroShotRecipe,
    data: "ZeroShotData",
    seed: int,
    device: "torch.device",
    precision: str,
    start: "BackboneInit",
    *,
    validate: bool = True,
) -> "AnyFit":
    """Return the fit of one network on the seen classes of ``data``.

    With a frozen backbone in ``start`` the images of ``data`` are its vectors (:func:`frozen_vectors`). Otherwise
    ``start`` decides whether the network begins with random weights or with those of a backbone. ``precision`` is
    ``"fp32"`` or ``"bf16"``. ``validate`` is False for the final training on all seen classes.
    """
    from ...models.networks.feature_extractors import ArchitectureBody, VectorBody
    from ...models.zero_shot.frozen_features import normalised_for_weights
    from ...models.zero_shot.linear_fit import ClosedFormFit, LinearFit
    from ...models.zero_shot.trainer import ZeroShotFit

    body: ImageBody
    if start.frozen or recipe.is_linear:
        body = VectorBody(architecture, linear=recipe.is_linear, dropout=recipe.dropout, seed=seed)
    else:
        body = ArchitectureBody(architecture, weights=start.weights, dropout=recipe.dropout, seed=seed)
        data = normalised_for_weights(data, architecture, body.network, start.weights)
    kind = ClosedFormFit if recipe.is_closed else LinearFit if recipe.is_linear else ZeroShotFit
    return kind(
        body,
        data,
        recipe,
        seed=seed,
        device=device,
        precision=precision,
        channels_last=device.type == "cuda",  # the fastest layout for convolutions on a GPU
        validate=validate,
    )


def frozen_vectors(
    architecture: "Architecture",
    parts: "tuple[ZeroShotData, ...]",
    seed: int,
    device: "torch.device",
    precision: str,
    start: "BackboneInit",
) -> "tuple[FrozenBackbone, tuple[ZeroShotData, ...]]":
    """Return the backbone of ``architecture`` with the weights of ``start``, and ``parts`` with its vectors as images.

    ``seed`` is for random weights. The vectors of pretrained weights are kept in the cache folder.
    """
    from ...models.networks.compute import Compute
    from ...models.zero_shot.frozen_features import FrozenBackbone

    compute = Compute(device, precision, channels_last=device.type == "cuda")
    backbone = FrozenBackbone.of(architecture, start.weights, parts[0], seed=seed)
    return backbone, backbone.data_of_all(parts, compute=compute, cache=start.cache)
