"""Checks of a classification search against its data, before a worker gets them."""

from typing import TYPE_CHECKING

from ...spaces.recipes.class_weights import as_text, check_class_names
from ...spaces.recipes.recipe import NONE, Recipe, RecipeSpace

if TYPE_CHECKING:
    from ...models.data.dataset import ImageData
    from ..config.schema import SearchFile


def check_metrics(file: "SearchFile", data: "ImageData") -> None:
    """Raise ``ValueError`` where a metric cannot be computed on the images that it is measured on."""
    from ...models.data.folds import cross_folds
    from ...models.metrics.compute import check_custom_metrics
    from ...models.training.label_weights import class_counts
    from ..config.selecting_metric import selection_of

    selection = selection_of(file)
    selection.check_classes(data.n_classes, multi_label=data.multi_label)
    if not selection.computed:
        return
    folds = cross_folds(data, file.search.folds, seed=file.data.seed) if file.search.folds else []
    # data.val with folds, too: the best trial is trained again on the whole training images
    measured = [("validation", part.val) for part in (data, *folds)]
    for where, split in [*measured, *([("test", data.test)] if data.test is not None else [])]:
        counts = class_counts(split.labels, data.n_classes).tolist()
        selection.check_labels([count > 0 for count in counts], where)
        if data.multi_label:
            full = [name for name, count in zip(data.classes, counts, strict=True) if count == len(split)]
            selection.check_constant(full, where)
        check_custom_metrics(selection.computed, split.labels, data.n_classes, where)


def check_class_weights(file: "SearchFile", data: "ImageData") -> None:
    """Raise ``ValueError`` for a table of class weights that does not name the classes of the data."""
    value = file.recipe.get("class_weights", NONE)
    for option in value if isinstance(value, list) else [value]:
        check_class_names(as_text(option), data.classes)


def check_teachers(file: "SearchFile", data: "ImageData") -> None:
    """Raise ``ValueError`` if a teacher cannot be loaded or has other classes: in a worker each trial would fail."""
    teachers = RecipeSpace.of(teacher=file.recipe.get("teacher", NONE)).ends("teacher")
    for teacher in (name for name in teachers if name != NONE):
        # it imports torchvision, which takes a few seconds that a search without a teacher does not need to wait for
        from ...models.export.teacher import load_teacher

        load_teacher(Recipe(teacher=teacher), data)
