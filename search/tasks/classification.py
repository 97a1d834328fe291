"""The classification task: a network learns the classes of images, and is tested on other images of these classes.

An image has one class, or any number of classes where the labels of the data say so.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ...models.process.garbage import resume_collection
from ...results.database.records import DatasetRecord
from ...spaces.architectures.budget import Budget
from ...spaces.architectures.cost import layer_costs
from ...spaces.blocks.backbone import Backbone
from ...spaces.metrics.registry import ACCURACY
from ...spaces.metrics.selection import BY_ACCURACY, Selection
from ...spaces.parameters.task_kinds import CLASSIFICATION
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.search_space.space import Space
from .base import Diagnosis, FinalMetrics, StartMetrics, Task, TrialContext, TrialFit, check_decoding_keys
from .classification_checks import check_class_weights, check_metrics, check_teachers
from .decoding_progress import DecodingProgress
from .ladder import Ladder, check_share
from .network_weights import check_available, check_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ...models.data.dataset import ImageData
    from ...models.data.shapes import DataShape
    from ...models.networks.pretrained import LoadedWeights
    from ...models.optimization.custom_parts import CustomParts
    from ...models.ranks.ranks import Ranks
    from ...spaces.architectures.architecture import Architecture
    from ..config.schema import DataSection, SearchFile

ZERO_SHOT_KEYS = ("texts", "unseen_fraction", "seen", "unseen", "class_split")


class ImageTask(Task):
    """Classification of images."""

    name = CLASSIFICATION
    recipe = Recipe

    def check(self, file: "SearchFile") -> None:
        # an error, not a warning: an ignored key would give a search that the user did not ask for
        for key in ZERO_SHOT_KEYS:
            if getattr(file.data, key) != type(file.data).model_fields[key].default:
                raise ValueError(
                    f"data.{key} needs classes with texts, but {file.data.name!r} has none; leave it out, or set "
                    "data.texts to a folder with a file CLASS.txt for each class"
                )
        if file.space.features is not None:
            raise ValueError(
                f"space.features needs zero-shot data, but {file.data.name!r} has no texts; leave it out, or set "
                "data.texts"
            )
        check_weights(file.space)
        check_decoding_keys(file.data)
        if file.data.name == "digits" and (file.data.path is not None or file.data.download):
            raise ValueError(
                "data.path and data.download are for data in files, but the digits come with "
                "scikit-learn; leave them out"
            )
        if file.zero_shot != type(file.zero_shot)():
            raise ValueError(
                f"[zero_shot] needs zero-shot data, but {file.data.name!r} has no texts; leave it out, or set "
                "data.texts"
            )

    def describe(self, file: "SearchFile") -> "DataShape":
        from ...models.data.shapes import describe_data

        data = file.data
        return describe_data(
            data.name,
            path=data.path,
            image_size=data.image_size,
            columns=data.columns,
            nested=data.nested,
            label_separator=data.label_separator,
        )

    def remaining_budget(self, budget: Budget, space: Space, recipes: RecipeSpace) -> Budget:
        return budget  # the classifier's head is a part of the architecture

    def load(self, file: "SearchFile", *, write: bool = True) -> "tuple[ImageData, DatasetRecord]":
        # imported here and below, because torch takes seconds to import and the check of a search file needs none
        from ...models.data.folds import check_folds
        from ...models.data.registry import load_data
        from ...models.storage.choice import StorageOptions

        resume_collection()  # all that is large is imported
        section: DataSection = file.data
        options = section.model_dump(exclude={"name", "storage", "cache", *ZERO_SHOT_KEYS})
        storage = StorageOptions(section.storage, section.cache, write, DecodingProgress())
        data = load_data(section.name, **options, storage=storage)
        if file.search.folds is not None:  # before Ray starts: in a worker each trial would fail
            check_folds(data, file.search.folds, seed=section.seed)
        check_metrics(file, data)
        check_class_weights(file, data)
        check_teachers(file, data)
        check_share(file.search.rungs, data, RecipeSpace.of(**file.recipe).largest("batch_size"))
        check_available(file.space)
        return data, DatasetRecord(
            content_hash=data.content_hash,
            name=data.name,
            n_train=len(data.train),
            n_val=len(data.val),
            n_test=len(data.test) if data.test is not None else None,
            n_classes=data.n_classes,
            class_names=data.classes,
            input_shape=data.input_shape,
            split_seed=section.seed,
        )

    def images(self, data: "ImageData") -> "ImageData":
        return data

    def for_trials(self, data: Any) -> Any:
        return data

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
        return ImageTrialContext(
            data,
            device,
            precision=precision,
            folds=folds,
            fold_seed=fold_seed,
            selection=selection,
            weights=weights,
            custom=custom,
            keep_predictions=keep_predictions,
            ranks=ranks,
        )


class ImageTrialContext(TrialContext):
    """The images on a worker's device; with folds, each fold too. ``weights`` are those of pretrained networks."""

    def __init__(
        self,
        data: "ImageData",
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
    ) -> None:
        from ...models.export.teacher import Teachers
        from ...models.networks.compute import Compute
        from ...models.optimization.custom_parts import BUILT_IN
        from ...models.ranks.ranks import SINGLE

        self.ranks = ranks or SINGLE
        self.device, self.selection, self.weights, self.custom = device, selection, weights, custom or BUILT_IN
        self.keep_predictions = keep_predictions
        self._ladder: Ladder | None = None
        self.loaded: LoadedWeights | None = None  # of the newest fit
        self._kept: tuple[tuple[Any, ...], nn.Module] | None = None
        # convolutions on a GPU are fastest in the channels-last layout; on a CPU it gains little
        self.compute = Compute(device, precision, channels_last=device.type == "cuda")
        self._base, self._decoding, self._n_folds, self._fold_seed = data, data.decoding, folds, fold_seed
        self.data = data.to(device)
        self.teachers = Teachers(self.data)
        self.input_shape = data.input_shape
        self.folds = self._folds_of(data)

    def _folds_of(self, data: "ImageData") -> "list[ImageData]":
        from ...models.data.folds import cross_folds

        folds = cross_folds(data, self._n_folds, seed=self._fold_seed) if self._n_folds else []
        return [fold.to(self.device) for fold in folds]

    def _decode_for(self, architecture: "Architecture") -> None:
        """Set the images to those that the network is trained on; those of the newest network are kept."""
        from ...models.data.normalisation import decoded, decoding_for

        decoding = decoding_for(self._base, architecture)
        if decoding != self._decoding:
            self.data, self.folds = self._base, []  # frees the memory of the images before
            data = decoded(self._base, decoding)
            self.data, self.folds, self._decoding = data.to(self.device), self._folds_of(data), decoding

    def _network(self, architecture: "Architecture", recipe: Recipe, seed: int) -> "nn.Module":
        """Return the network of a trial with its weights.

        The newest pretrained network whose head alone was trained is kept: its body has not changed, and a fit of a
        head draws the first weights of the head itself. A custom training function may change any weight. Layers
        between the pretrained network and the head have random weights, which must be those of the trial's own seed.
        """
        from ...models.networks.pretrained import build_pretrained

        weighted = [layer.kind for layer in layer_costs(architecture) if layer.params]
        drawn = () if weighted[:-1] == [Backbone.kind] else (seed, recipe.init)
        key = (architecture, recipe.dropconnect, *drawn)
        trains_head = recipe.train == "head" and self.custom.function is None
        is_kept = trains_head and self.weights is not None and not self.folds
        if not is_kept or self._kept is None or self._kept[0] != key:
            self._kept = None  # frees its memory before the next network needs it
            network, self.loaded = build_pretrained(architecture, recipe, seed=seed, weights=self.weights)
            if not is_kept:
                return network
            self._kept = key, network
        return self._kept[1]

    def fit(self, architecture: "Architecture", recipe: Recipe, seed: int) -> TrialFit:
        from ...models.data.folds import fold_seed
        from ...models.data.normalisation import normalised_for
        from ...models.training.cross_validation import FoldedFit, FoldedResult
        from ...models.training.retrain import fit_for

        self._decode_for(architecture)
        teacher = self.teachers.of(recipe)
        self._architecture = architecture

        def fit_of(architecture: "Architecture", data: "ImageData", seed: int, keep: Mapping[str, bool]) -> Any:
            return fit_for(
                self._network(architecture, recipe, seed),
                architecture,
                normalised_for(data, architecture),
                recipe,
                self.compute,
                seed=seed,
                **keep,
                selection=self.selection,
                custom=self.custom,
                teacher=teacher,
                ranks=self.ranks,
            )

        # only the test and int8 need the weights of the best epoch, and the first rank alone measures them
        keep_best = self.ranks.rank == 0 and (self.data.test is not None or self.selection.in_int8)
        kept = {"keep_best": keep_best, "keep_predictions": self.keep_predictions}
        if self.rungs:
            if self._ladder is None:
                self._ladder = Ladder(self.rungs, self.data)
            none = dict.fromkeys(kept, False)  # an epoch on a rung is never the best one
            return self._ladder.fit(
                architecture, lambda network, data, whole: fit_of(network, data, seed, kept if whole else none)
            )
        if not self.folds:
            whole: TrialFit = fit_of(architecture, self.data, seed, kept)
            return whole
        # FoldedFit keeps the best weights: the best epoch is that of the mean over folds
        each = {**kept, "keep_best": False}
        folds = [fit_of(architecture, data, fold_seed(seed, fold), each) for fold, data in enumerate(self.folds)]
        return FoldedFit(folds, FoldedResult, **kept, selection=self.selection)

    def predictions(self, fit: Any) -> Mapping[str, Any] | None:
        from ...results.database.prediction_records import LabelPredictions, Predictions

        kept = fit.best_predictions
        if kept is None:
            return None
        columns = {name: value.numpy() for name, value in vars(kept).items() if not isinstance(value, int)}
        if "classes" not in columns:
            return LabelPredictions(kept.n_images, kept.n_classes, **columns).to_json()
        columns["classes"] = columns["classes"] if kept.classes.shape[1] else None
        columns["probabilities"] = kept.log_probabilities.double().exp().numpy()
        del columns["log_probabilities"]
        return Predictions(kept.n_images, kept.n_classes, **columns).to_json()

    def close(self, fit: Any) -> None:
        """End the thread of a custom training function, which may wait for its next epoch."""
        if self.custom.function is not None:
            fit.close()

    def start_metrics(self, fit: Any) -> StartMetrics:
        """Add the learning rates that the finder found, if the recipe has ``lr = "auto"``, and the loaded weights.

        A custom training function augments and searches by itself, or not at all.
        """
        loaded = None if self.loaded is None else asdict(self.loaded)
        if loaded is not None and self._decoding is not None:
            loaded |= {"interpolation": self._decoding.interpolation, "crop_pct": self._decoding.crop_pct}
        if self.custom.function is not None:
            return StartMetrics(weights=loaded)
        found = tuple(asdict(result) for result in fit.lrs_found)
        return replace(super().start_metrics(fit), lrs_found=found, weights=loaded)

    def diagnose(self, fit: Any, architecture: "Architecture", seed: int) -> Diagnosis | None:
        """Check the gradients of the backward pass, and search for a learning rate that works.

        None with a custom training: the check uses the built-in one, and would explain another training.
        """
        if self.custom.is_custom:
            return None
        from ...models.data.normalisation import normalised_for
        from ...models.diagnostics.divergence import diagnose_divergence
        from ...models.networks.pretrained import build_pretrained

        recipe = fit.recipe
        report = diagnose_divergence(
            lambda seed: build_pretrained(architecture, recipe, seed=seed, weights=self.weights)[0],
            normalised_for(self.data, architecture),
            recipe,
            seed=seed,
            macs=architecture.cost.macs,
            compute=self.compute,
        )
        return Diagnosis(report.gradients, report.lr)

    def final_metrics(self, fit: Any) -> FinalMetrics:
        from ...models.training.evaluate import worst_spread

        # first the predictions, then the test: the test loads the weights of the best epoch into the networks.
        # Twice the batch size of training, because evaluation stores no activations for a backward pass.
        spread = worst_spread(fit.validated_networks(), self.compute, 2 * fit.recipe.batch_size)
        return replace(self._test(fit), predicted=asdict(spread), int8=self._in_int8(fit))

    def _in_int8(self, fit: Any) -> Mapping[str, float]:
        """Return the validation metrics of the best epoch in int8, with folds their means; empty if none selects.

        The test has loaded the weights of the best epoch already, or it is done here.
        """
        from ...models.data.normalisation import normalised_for
        from ...models.quantization.validation import int8_metrics

        if not self.selection.in_int8 or fit.best_weights is None:
            return {}
        fit.best_networks()
        names = (ACCURACY, *self.selection.computed)
        rows = []
        for one, data in zip(fit.fits if self.folds else [fit], self.folds or [self.data], strict=True):
            network = one.network if self.custom.function is None else one.module
            rows.append(int8_metrics(network, normalised_for(data, self._architecture), names))
        return {name: fmean(row[name] for row in rows) for name in names}

    def _test(self, fit: Any) -> FinalMetrics:
        """Return the test accuracy and the other metrics of the test, with folds their means; empty without test."""
        from ...models.training.evaluate import evaluate_on_test

        if self.data.test is None or fit.best_weights is None:
            return FinalMetrics()
        names = self.selection.on_test(self.data.n_classes, multi_label=self.data.multi_label)
        batch = 2 * fit.recipe.batch_size
        tests = [evaluate_on_test(module, data, self.compute, batch, names) for module, data in fit.best_networks()]
        # a network whose loss is not finite has no metrics, and a custom metric may fail
        measured = [name for name in names if all(name in test.metrics for test in tests)]
        metrics = {name: fmean(test.metrics[name] for test in tests) for name in measured}
        problems = tuple(dict.fromkeys(problem for test in tests for problem in test.problems))
        return FinalMetrics(fmean(test.accuracy for test in tests), test_metrics=metrics, problems=problems)

    def timed_module(self, fit: Any) -> "nn.Module":
        first = fit.fits[0] if self.folds else fit
        network: nn.Module = first.network if self.custom.function is None else first.module
        return network
