"""The task of classification: a network learns the classes of pictures, and is tested on other pictures of them."""

from dataclasses import asdict
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ...results.database.records import DatasetRecord
from ...spaces.architectures.budget import Budget
from ...spaces.parameters.task_kinds import CLASSIFICATION
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.search_space.space import Space
from .base import Bench, Task, TrialFit

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from ...models.data.dataset import ImageData
    from ...models.data.shapes import DataShape
    from ...results.database.reader import Reading
    from ...spaces.architectures.architecture import Architecture
    from ..config.schema import DataSection, SearchFile
    from ..experiment.experiment import Experiment
    from ..runs.recorder import Recorder
    from ..trials.trainable import Conditions

ZERO_SHOT_KEYS = ("texts", "unseen_fraction", "seen", "unseen")


class ImageTask(Task):
    """Classification of pictures."""

    name = CLASSIFICATION
    recipe = Recipe

    def check(self, file: "SearchFile") -> None:
        for key in ZERO_SHOT_KEYS:
            if getattr(file.data, key) != type(file.data).model_fields[key].default:
                raise ValueError(
                    f"data.{key} is for classes with texts, but {file.data.name!r} has none; leave it out, or set "
                    "data.texts to a folder of CLASS.txt"
                )
        for key in ("features", "backbone", "weights"):
            if getattr(file.space, key) is not None:
                raise ValueError(f"space.{key} is for zero-shot data: data with texts; leave it out")
        if file.data.name == "digits" and (file.data.path is not None or file.data.download):
            raise ValueError(
                "data.path and data.download are for data in files, but the digits come with "
                "scikit-learn; leave them out"
            )
        if file.zero_shot != type(file.zero_shot)():
            raise ValueError("[zero_shot] is for zero-shot data: data with texts; leave it out")

    def describe(self, file: "SearchFile") -> "DataShape":
        from ...models.data.shapes import describe_data

        return describe_data(file.data.name, path=file.data.path, image_size=file.data.image_size)

    def left(self, budget: Budget, space: Space, recipes: RecipeSpace) -> Budget:
        return budget

    def load(self, file: "SearchFile") -> "tuple[ImageData, DatasetRecord]":
        from ...models.data.folds import check_folds
        from ...models.data.registry import load_data

        section: DataSection = file.data
        data = load_data(section.name, **section.model_dump(exclude={"name", *ZERO_SHOT_KEYS}))
        if file.search.folds is not None:
            check_folds(data, file.search.folds, seed=section.seed)
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

    def for_trials(self, data: Any) -> Any:
        return data

    def bench(self, data: Any, conditions: "Conditions", device: "torch.device") -> Bench:
        return ImageBench(data, conditions, device)

    def conclude(self, experiment: "Experiment", data: Any, recorder: "Recorder", folder: "Path") -> None:
        """Nothing: every trial is tested when it ends."""

    def concluded(self, experiment: "Experiment", store: "Reading", run_id: int) -> bool:
        return True


class ImageBench(Bench):
    """Pictures on a worker's device, in folds where there are any."""

    def __init__(self, data: "ImageData", conditions: "Conditions", device: "torch.device") -> None:
        from ...models.data.folds import cross_folds

        self.conditions, self.device = conditions, device
        self.data = data.to(device)
        self.input_shape = data.input_shape
        drawn = cross_folds(data, conditions.folds, seed=conditions.fold_seed) if conditions.folds else []
        self.folds = [fold.to(device) for fold in drawn]

    def fit(self, architecture: "Architecture", recipe: Recipe, seed: int) -> TrialFit:
        from ...models.data.folds import fold_seed
        from ...models.networks.build import build_for
        from ...models.training.cross_validation import FoldedFit
        from ...models.training.trainer import Fit

        settings: dict[str, Any] = {
            "seed": seed,
            "device": self.device,
            "precision": self.conditions.precision,
            "channels_last": self._channels_last,
            "keep_best": self.data.test is not None,
        }
        if not self.folds:
            return Fit(build_for(architecture, recipe, seed=seed), self.data, recipe, **settings)
        seeds = [fold_seed(seed, fold) for fold in range(len(self.folds))]
        modules = [build_for(architecture, recipe, seed=seed) for seed in seeds]
        return FoldedFit(modules, self.folds, recipe, **settings)

    def began(self, fit: Any) -> dict[str, Any]:
        """The learning rates that were found, too, where the recipe asks for it."""
        told = super().began(fit)
        return {**told, "lrs_found": [asdict(found) for found in fit.lrs_found]} if fit.lrs_found else told

    def examined(self, fit: Any, architecture: "Architecture", seed: int) -> dict[str, Any]:
        """Whether backward is right, and which learning rate trains."""
        from ...models.diagnostics.divergence import examine_divergence
        from ...models.networks.build import build_for

        recipe = fit.recipe
        told = examine_divergence(
            lambda seed: build_for(architecture, recipe, seed=seed),
            self.data,
            recipe,
            seed=seed,
            macs=architecture.cost.macs,
            device=self.device,
            precision=self.conditions.precision,
            channels_last=self._channels_last,
        )
        return {"examined": told}

    def ended(self, fit: Any) -> dict[str, Any]:
        return {"predicted": fit.predicted(), "test_accuracy": self._tested(fit)}

    def _tested(self, fit: Any) -> float | None:
        """The mean over folds."""
        from ...models.training.evaluate import evaluate

        if self.data.test is None or fit.best_weights is None:
            return None
        batch, precision = 2 * fit.recipe.batch_size, self.conditions.precision
        tested = [
            evaluate(
                module,
                self.data.test,
                data,
                self.device,
                batch,
                precision=precision,
                channels_last=self._channels_last,
            )[1]
            for module, data in fit.best_networks()
        ]
        return fmean(tested)

    def timed(self, fit: TrialFit) -> "nn.Module":
        return fit.module

    @property
    def _channels_last(self) -> bool:
        """The layout that convolutions on a GPU are fast in; on a CPU it gains little."""
        return self.device.type == "cuda"
