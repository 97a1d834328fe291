"""Remote jobs of the zero-shot final step: train the chosen design on all seen classes, and evaluate baselines."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...spaces.parameters.user_code import first_line
from ..cluster.threads import set_up_worker
from .zero_shot_combination import combine
from .zero_shot_context import JobContext

if TYPE_CHECKING:
    import torch

    from ...models.data.zero_shot import ZeroShotData
    from ...models.zero_shot.comparison import BaselineInputs, Setting, Vectors
    from ...models.zero_shot.saved_model import ZeroShotModel


def run_part(part: dict[str, Any], context: JobContext) -> Any:
    """Run one remote job: ``{"trial": ...}``, ``{"combine": [...]}`` or ``{"baselines": [...]}``."""
    if "combine" in part:
        return combine(part["combine"], context)
    return _model(part["trial"], context) if "trial" in part else _baselines(part["baselines"], context)


def _model(trial: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Train the trial's design again on all seen classes for ``epochs``; return its scores, file and explanations.

    Returns ``{"failed": reason}`` when the training diverges.
    """
    from ...models.training.epoch import Diverged
    from ...models.zero_shot.comparison import metrics_of_scores
    from ...models.zero_shot.metrics import class_rows
    from ...models.zero_shot.saved_model import ZeroShotModel
    from ...models.zero_shot.trainer import calibrated, score_images
    from ...spaces.architectures.architecture import Architecture
    from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe
    from ..tasks.zero_shot import frozen_vectors, zero_shot_fit

    data, start, device = context.data, context.folds.start, set_up_worker(context.cpus, context.gpus)
    architecture, recipe = Architecture.from_json(context.architecture), ZeroShotRecipe.from_json(trial["recipe"])
    backbone = None
    if start.frozen:
        backbone, (data,) = frozen_vectors(architecture, (data,), context.seed, device, context.precision, start)
    # No validation: all seen classes are used for training, so none is left to validate on.
    fit = zero_shot_fit(architecture, recipe, data, context.seed, device, context.precision, start, validate=False)
    try:
        while fit.epoch < trial["epochs"]:
            fit.step()
    except Diverged as error:
        return {"failed": str(error)}
    encoded = fit.encoder(data.classes, data.texts)
    seen, unseen = (
        score_images(fit.network, data, part, encoded, fit.compute) for part in (data.test_seen, data.test_unseen)
    )
    scores = metrics_of_scores(data, seen, unseen, recipe.calibration, trial["gamma"])
    of_images = ZeroShotModel.of(fit, architecture, trial["gamma"], backbone)
    model = ZeroShotModel.of(fit, architecture, trial["gamma"])  # of vectors, if there is a frozen backbone
    explained = _explained(model, data, context) if context.explained else []
    return {
        "scores": asdict(scores),
        "model": of_images.to_bytes(),
        "words": fit.encoder.width,
        "classes": class_rows(
            calibrated(unseen, recipe.calibration), data.test_unseen.labels, data.unseen, data.classes
        ),
        "explained": explained,
    }


def _explained(model: "ZeroShotModel", data: "ZeroShotData", context: JobContext) -> list[dict[str, Any]]:
    """Return the explanations; ``data`` are vectors if ``model`` starts after a frozen backbone."""
    from ...models.zero_shot.explain import embeddings
    from .explanations import evenly_ranked_classes, explanations

    embedded = embeddings(model, data)
    classes = evenly_ranked_classes(model, data, embedded, context.explained)
    return explanations(model, context.data, classes, embedded)  # the page shows images, not vectors


def _baselines(names: list[str], context: JobContext) -> list[dict[str, Any]]:
    """Return a table row per baseline: choose its setting on the validation classes of the first fold, then test it.

    A baseline that fails has the row ``{"method": name, "failed": reason}``, so that the others are tested.
    """
    device = set_up_worker(context.cpus, context.gpus)
    rows: list[dict[str, Any]] = []
    try:
        entrants = _entrants(context, device)
    except Exception as error:
        return [_failed(name, error) for name in names]
    for name in names:
        try:
            rows.append(_row(name, entrants, context.programme))
        except Exception as error:
            rows.append(_failed(name, error))
    return rows


def _failed(name: str, error: Exception) -> dict[str, Any]:
    return {"method": name, "failed": f"{type(error).__name__}: {first_line(error)[:300]}"}


def _entrants(context: JobContext, device: "torch.device") -> "dict[str, tuple[BaselineInputs, BaselineInputs]]":
    """Return what baselines learn from, by kind of text: the first fold, and all seen classes.

    Their vectors are those of the backbone of the chosen design, or else principal components of the pixels.
    """
    from ...models.networks.feature_extractors import has_backbone
    from ...models.zero_shot.comparison import BaselineInputs, image_vectors, pixel_vectors
    from ...spaces.architectures.architecture import Architecture
    from ..tasks.zero_shot import frozen_vectors

    architecture, start = Architecture.from_json(context.architecture), context.folds.start
    parts: tuple[ZeroShotData, ...] = (context.folds.folds[0], context.data)
    vectors: list[Vectors] = [image_vectors, image_vectors]
    if has_backbone(architecture):
        _, parts = frozen_vectors(architecture, parts, context.seed, device, context.precision, start)
    elif not context.data.has_vectors:
        vectors = [pixel_vectors(part) for part in parts]
    return {
        text: (BaselineInputs.of(parts[0], vectors[0], text=text), BaselineInputs.of(parts[1], vectors[1], text=text))
        for text in context.texts
    }


def _row(name: str, entrants: "dict[str, tuple[BaselineInputs, BaselineInputs]]", programme: bool) -> dict[str, Any]:
    from ...models.zero_shot.baselines import BASELINES
    from ...models.zero_shot.comparison import choose_setting, evaluate_baseline

    fixed = {"programme": True} if programme and name == "gpr+da" else {}
    # The kind of text is a part of the setting: the best one on validation classes, by harmonic mean, then ROC AUC.
    settings = {text: choose_setting(name, fold, **fixed) for text, (fold, _) in entrants.items()}
    text = max(settings, key=lambda kind: (settings[kind].h, settings[kind].roc_unseen))
    scores = evaluate_baseline(name, entrants[text][1], settings[text])
    return {
        "method": name,
        "source": BASELINES[name].source,
        "setting": _describe_setting(settings[text], text),
        "val_h": settings[text].h,
        "val_roc_auc": settings[text].roc_unseen,
        **asdict(scores),
    }


def _describe_setting(setting: "Setting", text: str) -> str:
    values = [f"{name}={value:g}" for name, value in setting.values.items()]
    extended = [f"grid of {name} extended" for name in setting.extended]
    return ", ".join([f"text={text}", *values, f"calibration={setting.calibration}", *extended])
