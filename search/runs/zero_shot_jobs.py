"""Remote jobs of the zero-shot final step: train the chosen design on all seen classes, and evaluate baselines."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..cluster.threads import set_up_worker

if TYPE_CHECKING:
    from ...models.data.class_folds import ClassFolds
    from ...models.data.zero_shot import ZeroShotData
    from ...models.zero_shot.comparison import BaselineInputs, Setting, Vectors


@dataclass(frozen=True)
class JobContext:
    """The inputs that all jobs share.

    Args:
        data: all classes.
        folds: the folds of the seen classes.
        texts: the kinds of text vectors from which each baseline chooses.
        cpus: cores of one job.
        gpus: GPUs of one job, or a fraction of one.
        precision: fp32 or bf16.
        explained: number of unseen classes to explain.
        programme: solve gpr+da by its quadratic programme instead of late fusion.
    """

    data: "ZeroShotData"
    folds: "ClassFolds"
    texts: tuple[str, ...]
    cpus: float
    gpus: float
    precision: str
    explained: int
    programme: bool


def run_part(part: dict[str, Any], context: JobContext) -> Any:
    """Run one remote job: ``{"trial": ...}`` or ``{"baselines": [...]}``."""
    return _model(part["trial"], context) if "trial" in part else _baselines(part["baselines"], context)


def _model(trial: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Train the trial's design again on all seen classes for ``epochs``; return its scores, file and explanations.

    Returns ``{"failed": reason}`` when the training diverges.
    """
    from ...models.training.epoch import Diverged
    from ...models.zero_shot.comparison import metrics_of_scores
    from ...models.zero_shot.saved_model import ZeroShotModel
    from ...models.zero_shot.trainer import score_images
    from ...spaces.architectures.architecture import Architecture
    from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe
    from ..tasks.zero_shot import zero_shot_fit
    from .explanations import evenly_ranked_classes, explanations

    data, device = context.data, set_up_worker(context.cpus, context.gpus)
    architecture, recipe = Architecture.from_json(trial["architecture"]), ZeroShotRecipe.from_json(trial["recipe"])
    # No validation: all seen classes are used for training, so none is left to validate on.
    fit = zero_shot_fit(
        architecture, recipe, data, trial["seed"], device, context.precision, context.folds.start, validate=False
    )
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
    model = ZeroShotModel.of(fit, architecture, trial["gamma"])
    explained = (
        explanations(model, data, evenly_ranked_classes(model, data, context.explained)) if context.explained else []
    )
    return {
        "scores": asdict(scores),
        "model": model.to_bytes(),
        "words": fit.encoder.width,
        "explained": explained,
    }


def _baselines(names: list[str], context: JobContext) -> list[dict[str, Any]]:
    """Return a table row per baseline: choose its setting on the validation classes of the first fold, then test it."""
    from ...models.zero_shot.comparison import pixel_vectors

    set_up_worker(context.cpus, context.gpus)
    fold = context.folds.folds[0]
    vectors, whole_vectors = pixel_vectors(fold), pixel_vectors(context.data)
    entrants = {
        text: (_entrant(fold, vectors, text), _entrant(context.data, whole_vectors, text)) for text in context.texts
    }
    return [_row(name, entrants, context.programme) for name in names]


def _entrant(data: "ZeroShotData", vectors: "Vectors", text: str) -> "BaselineInputs":
    from ...models.zero_shot.comparison import BaselineInputs

    return BaselineInputs.of(data, vectors, text=text)


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
    return ", ".join([f"text={text}", *values, f"calibration={setting.calibration}"])
