"""Errands of a zero-shot conclusion: the chosen design on all seen classes, and the baselines; on workers."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..cluster.remote_jobs import settle

if TYPE_CHECKING:
    from ...models.data.class_folds import ClassFolds
    from ...models.data.zero_shot import ZeroShotData
    from ...models.zero_shot.comparison import Entrant, Setting, Vectors


@dataclass(frozen=True)
class Work:
    """What all errands share. ``texts`` are the kinds that baselines choose among; ``explained`` how many classes."""

    data: "ZeroShotData"
    folds: "ClassFolds"
    texts: tuple[str, ...]
    cpus: float
    gpus: float
    precision: str
    explained: int
    programme: bool


def run_part(part: dict[str, Any], work: Work) -> Any:
    """One errand: ``{"trial": ...}`` or ``{"baselines": [...]}``."""
    return _model(part["trial"], work) if "trial" in part else _baselines(part["baselines"], work)


def _model(trial: dict[str, Any], work: Work) -> dict[str, Any]:
    """The trial's design trained anew on all seen classes for ``epochs``, tested, saved and explained."""
    from ...models.training.epoch import Diverged
    from ...models.zero_shot.comparison import scored
    from ...models.zero_shot.saved_model import ZeroShotModel
    from ...models.zero_shot.trainer import score_images
    from ...spaces.architectures.architecture import Architecture
    from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe
    from ..tasks.zero_shot import zero_shot_fit
    from .explanations import explanations, spread_classes

    data, device = work.data, settle(work.cpus, work.gpus)
    architecture, recipe = Architecture.from_json(trial["architecture"]), ZeroShotRecipe.from_json(trial["recipe"])
    fit = zero_shot_fit(
        architecture, recipe, data, trial["seed"], device, work.precision, work.folds.start, validate=False
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
    figures = scored(data, seen, unseen, recipe.calibration, trial["gamma"])
    model = ZeroShotModel.of(fit, architecture, trial["gamma"])
    explained = explanations(model, data, spread_classes(model, data, work.explained)) if work.explained else []
    return {
        "scores": asdict(figures),
        "model": model.to_bytes(),
        "words": fit.encoder.width,
        "explained": explained,
    }


def _baselines(names: list[str], work: Work) -> list[dict[str, Any]]:
    """A row for each baseline: its setting chosen on the validation classes of the first fold, then tested."""
    from ...models.zero_shot.comparison import pixel_vectors

    settle(work.cpus, work.gpus)
    fold = work.folds.folds[0]
    vectors, whole_vectors = pixel_vectors(fold), pixel_vectors(work.data)
    entrants = {text: (_entrant(fold, vectors, text), _entrant(work.data, whole_vectors, text)) for text in work.texts}
    return [_row(name, entrants, work.programme) for name in names]


def _entrant(data: "ZeroShotData", vectors: "Vectors", text: str) -> "Entrant":
    from ...models.zero_shot.comparison import Entrant

    return Entrant.of(data, vectors, text=text)


def _row(name: str, entrants: "dict[str, tuple[Entrant, Entrant]]", programme: bool) -> dict[str, Any]:
    from ...models.zero_shot.baselines import BASELINES
    from ...models.zero_shot.comparison import choose_setting, evaluated

    fixed = {"programme": True} if programme and name == "gpr+da" else {}
    settings = {text: choose_setting(name, fold, **fixed) for text, (fold, _) in entrants.items()}
    text = max(settings, key=lambda kind: (settings[kind].h, settings[kind].roc_unseen))
    figures = evaluated(name, entrants[text][1], settings[text])
    return {
        "method": name,
        "source": BASELINES[name].source,
        "setting": _words(settings[text], text),
        "val_h": settings[text].h,
        "val_roc_auc": settings[text].roc_unseen,
        **asdict(figures),
    }


def _words(setting: "Setting", text: str) -> str:
    values = [f"{name}={value:g}" for name, value in setting.values.items()]
    return ", ".join([f"text={text}", *values, f"calibration={setting.calibration}"])
