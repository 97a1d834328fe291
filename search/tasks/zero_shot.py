"""The zero-shot task: classes are recognised by their texts alone; validated and tested on classes never trained on."""

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

from ...results.database.records import DatasetRecord
from ...spaces.architectures.budget import Budget
from ...spaces.parameters.task_kinds import ZERO_SHOT
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.recipes.zero_shot_recipe import SENTENCE, ZeroShotRecipe
from ...spaces.search_space.space import Space
from .base import FinalMetrics, Task, TrialContext, TrialFit

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ...models.data.class_folds import ClassFolds, Start
    from ...models.data.shapes import DataShape
    from ...models.data.zero_shot import ZeroShotData
    from ...models.zero_shot.trainer import ZeroShotFit
    from ...spaces.architectures.architecture import Architecture
    from ..config.schema import SearchFile

FEATURES = 128  # of an image network, where the file does not say
LABELLED = "grad_norm"  # the proxy that reads labels


class ZeroShotTask(Task):
    """Pictures of seen classes are trained on; the text of any class predicts what recognises it."""

    name = ZERO_SHOT
    recipe = ZeroShotRecipe

    def check(self, file: "SearchFile") -> None:
        data = file.data
        if data.test_fraction != type(data).model_fields["test_fraction"].default:
            raise ValueError("data.test_fraction: zero-shot data are tested on classes; set data.unseen_fraction")
        if data.limit is not None and data.name != "glyphs":
            raise ValueError("data.limit: of zero-shot data only glyphs can be limited; leave it out")
        _check_proxies(file)
        _check_recipe(file.recipe)
        _check_backbone(file)
        if file.zero_shot.baselines is not None:
            _check_baselines(file.zero_shot.baselines)

    def describe(self, file: "SearchFile") -> "DataShape":
        from ...models.data.shapes import describe_zero_shot

        data = file.data
        shape = describe_zero_shot(data.name, path=data.path, texts=data.texts, image_size=data.image_size)
        return shape._replace(n_classes=file.space.features or FEATURES)

    def remaining_budget(self, budget: Budget, space: Space, recipes: RecipeSpace) -> Budget:
        """The head goes with the image network: of each limit the largest head that the recipe allows is kept."""
        from ...spaces.constrained.graph import Graph
        from ...spaces.constrained.zero_shot_head import largest_head, left_for_image_network

        return left_for_image_network(budget, largest_head(Graph(space), recipes)) if budget.limits() else budget

    def load(self, file: "SearchFile") -> "tuple[Any, DatasetRecord]":
        from ...models.data.class_folds import ClassFolds, Start
        from ...models.data.zero_shot_registry import load_zero_shot
        from ...models.networks.feature_extractors import BackboneBody

        section = file.data
        asked = section.model_dump(exclude={"name", "val_fraction", "test_fraction"})
        data = load_zero_shot(section.name, **asked)
        start = Start(file.space.weights, file.space.frozen and file.space.backbone is not None)
        if isinstance(file.space.backbone, str):
            BackboneBody(
                file.space.backbone, data.input_shape[0], weights=start.weights
            )  # raises where they do not fit
        folds = ClassFolds.of(data, file.search.folds, section.val_fraction, seed=section.seed, start=start)
        return (data, folds), DatasetRecord(
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

    def for_trials(self, data: "tuple[ZeroShotData, ClassFolds]") -> "ClassFolds":
        """The folds: nothing of an unseen class, nor any test picture, reaches a worker while a search goes on."""
        return data[1]

    def trial_context(
        self, data: "ClassFolds", device: "torch.device", *, precision: str, folds: int | None, fold_seed: int
    ) -> TrialContext:
        """The data are in folds by class already."""
        return ZeroShotTrialContext(data, precision, device)


class ZeroShotTrialContext(TrialContext):
    """Folds by class; a trial is validated on the classes of one, or of each."""

    def __init__(self, data: "ClassFolds", precision: str, device: "torch.device") -> None:
        self.data, self.precision, self.device = data, precision, device
        self.input_shape = data.input_shape

    def fit(self, architecture: "Architecture", recipe: Recipe, seed: int) -> TrialFit:
        from ...models.data.folds import fold_seed
        from ...models.training.cross_validation import FoldedFit
        from ...models.zero_shot.trainer import ZeroShotFoldedResult

        assert isinstance(recipe, ZeroShotRecipe)

        def one(data: "ZeroShotData", seed: int) -> "ZeroShotFit":
            return zero_shot_fit(architecture, recipe, data, seed, self.device, self.precision, self.data.start)

        if self.data.single:
            return one(self.data.folds[0], seed)
        fits = [one(data, fold_seed(seed, fold)) for fold, data in enumerate(self.data.folds)]
        return FoldedFit(fits, ZeroShotFoldedResult)

    def final_metrics(self, fit: TrialFit) -> FinalMetrics:
        """Measure nothing: unseen classes are not looked at while searching."""
        return FinalMetrics()

    def timed_module(self, fit: TrialFit) -> "nn.Module":
        """The image network with its head: the text network runs once for a class, never for a picture."""
        from ...models.zero_shot.network import ImageSide, ZeroShotNetwork

        return ImageSide(cast(ZeroShotNetwork, fit.module))


def zero_shot_fit(
    architecture: "Architecture",
    recipe: ZeroShotRecipe,
    data: "ZeroShotData",
    seed: int,
    device: "torch.device",
    precision: str,
    start: "Start",
    *,
    validate: bool = True,
) -> "ZeroShotFit":
    """The fit of one network on the seen classes of ``data``, from scratch or from a backbone's weights."""
    from ...models.networks.feature_extractors import ArchitectureBody, FrozenStartBody
    from ...models.zero_shot.trainer import ZeroShotFit

    body = FrozenStartBody if start.frozen else ArchitectureBody
    return ZeroShotFit(
        body(architecture, weights=start.weights, dropout=recipe.dropout, seed=seed),
        data,
        recipe,
        seed=seed,
        device=device,
        precision=precision,
        channels_last=device.type == "cuda",
        validate=validate,
    )


def _check_recipe(recipe: Mapping[str, Any]) -> None:
    """Raise for what only a worker would run into."""
    if isinstance(recipe.get("filter_size"), Mapping):
        raise ValueError("recipe.filter_size must be odd, which a range is not; give a list, as in [1, 3, 5]")
    texts = recipe.get("text", "")
    if any(str(text).startswith(SENTENCE) for text in (texts if isinstance(texts, list) else [texts])):
        try:
            import sentence_transformers  # noqa: F401
        except ModuleNotFoundError:
            raise ValueError(
                "recipe.text: a sentence encoder needs sentence-transformers, but it is not installed; "
                "pip install 'archsieve[sentence]'"
            ) from None


def _check_backbone(file: "SearchFile") -> None:
    """Raise where a backbone is asked for what it cannot do."""
    space, recipe = file.space, file.recipe
    if space.backbone is None:
        if space.weights is not None:
            raise ValueError("space.weights are a backbone's, but there is no space.backbone; name it")
        return
    if space.name is not None or space.stages is not None:
        raise ValueError("a space is a backbone, a name or stages, but space.backbone is not alone; leave the rest out")
    if space.weights is not None and not isinstance(space.backbone, str):
        raise ValueError("space.weights fit one network, but space.backbone lists several; name one")
    forms = recipe.get("form", "fc")
    if forms not in ("fc", ["fc"]):
        raise ValueError(
            f'recipe.form must be "fc" with a backbone, whose map is not known beforehand, but got {forms!r}'
        )
    if space.frozen and recipe.get("augmentation", "none") != "none":
        raise ValueError(
            "recipe.augmentation changes nothing that a frozen backbone has seen once; leave it out, or set "
            "space.frozen = false"
        )


def _check_proxies(file: "SearchFile") -> None:
    warmup = file.search.warmup
    if LABELLED in (*file.search.proxies, warmup.proxy if warmup else ""):
        raise ValueError(
            f"search.proxies: {LABELLED} scores a classifier by its labels, and an image network has none here; "
            "take synflow, naswot or jacob_cov"
        )


def _check_baselines(names: list[str]) -> None:
    from ...models.zero_shot.baselines import BASELINES
    from ...spaces.parameters.lookup import unknown

    for name in names:
        if name not in BASELINES:
            raise ValueError(f"zero_shot.baselines: {unknown('baseline', name, BASELINES)}")
