"""The final step of a zero-shot search: the chosen design refitted on all seen classes, and tested once.

Until here nobody has looked at an unseen class. What was learned of the design (its recipe, how many epochs, the
calibration) comes from validation classes; the baselines choose their settings on the same ones.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...results.database.artifacts import keep_file
from ...results.database.records import Trial
from ...results.database.zero_shot_records import EXPLAINED, MEASURES, MODEL, NOT_TESTED, TESTED, settled, table_of
from ...spaces.architectures.architecture import Architecture
from ...spaces.constrained.zero_shot_head import last_map, zero_shot_cost
from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe, recorded_recipe
from ..cluster.remote_jobs import run_remote_jobs
from .zero_shot_jobs import Work, run_part

if TYPE_CHECKING:
    from ...models.data.class_folds import ClassFolds
    from ...models.data.zero_shot import ZeroShotData
    from ...results.database.reader import Reading
    from ...results.database.store import Store
    from ..experiment.experiment import Experiment
    from .recorder import Recorder


def finalize_zero_shot(
    experiment: "Experiment", data: "tuple[ZeroShotData, ClassFolds]", recorder: "Recorder", folder: Path
) -> None:
    """Put the table, the explanations and the model of the run's best trial into the store, unless they are there."""
    store, run_id, (whole, folds) = recorder.store, recorder.run_id, data
    best = store.history(run_id).best(experiment.budget)
    before = table_of(store, run_id)
    if best is None or (before is not None and before["trial"] == best.trial):
        return
    count = len(_names(experiment))
    recorder.say(f"training trial {best.trial} anew on all seen classes, and {count} baselines beside it")
    found = _found(experiment, whole, folds, best, recorder)
    if found is None:
        return
    model, *rows = found
    if "failed" in model:
        store.add_event(run_id, "warning", NOT_TESTED, {"trial": best.trial, "reason": model["failed"]}, best.trial)
        return
    uri = f"{folder.name}/model-{best.trial}.safetensors"
    keep_file(store, best.trial, MODEL, folder.parent, uri, model["model"])
    order = _names(experiment)
    listed = sorted((row for part in rows for row in part), key=lambda row: order.index(row["method"]))
    store.add_event(run_id, "info", EXPLAINED, {"trial": best.trial, "classes": model["explained"]}, best.trial)
    store.add_event(
        run_id, "info", TESTED, _detail(best, whole, model, listed, uri, _earlier(store, run_id)), best.trial
    )


def is_zero_shot_final(experiment: "Experiment", store: "Reading", run_id: int) -> bool:
    """Whether the best trial of the run has been tested, or there is none to test."""
    best = store.history(run_id).best(experiment.budget)
    return best is None or settled(store, run_id, best)


def _found(
    experiment: "Experiment", data: "ZeroShotData", folds: "ClassFolds", best: Trial, recorder: "Recorder"
) -> list[Any] | None:
    """The results of the remote jobs, the model first, then the baselines; None when the run was stopped meanwhile."""
    resources, asked = experiment.file.resources, experiment.file.zero_shot
    assert best.best_epoch is not None
    gamma = dict(recorder.store.curve(best.trial)["gamma"])[best.best_epoch]
    told = {"architecture": best.architecture, "recipe": best.recipe, "seed": best.seed}
    names = _names(experiment)
    # late fusion needs what its two parts have learned: one worker has all three
    lectures = [name for name in names if name in ("gpr", "da", "gpr+da")]
    parts: list[dict[str, Any]] = [{"trial": {**told, "epochs": best.best_epoch, "gamma": gamma}}]
    parts += [{"baselines": some} for some in (lectures, [n for n in names if n not in lectures]) if some]
    work = Work(
        data,
        folds,
        experiment.recipes.ends("text"),
        resources.cpus_per_trial,
        resources.gpus,
        resources.precision,
        asked.explained,
        asked.programme,
    )

    return run_remote_jobs(run_part, parts, work, resources, go_on=recorder.control.go_on)


def _names(experiment: "Experiment") -> list[str]:
    """The baselines of the table, in its order."""
    from ...models.zero_shot.baselines import BASELINES

    asked = experiment.file.zero_shot.baselines
    return list(BASELINES) if asked is None else asked


def _detail(
    best: Trial, data: "ZeroShotData", model: dict[str, Any], rows: list[dict[str, Any]], uri: str, earlier: list[int]
) -> dict[str, Any]:
    """The table as the store keeps it: the model's row first, then the baselines'; costs, and what was tested on."""
    setting = f"validated H {best.val_accuracy:.4f}, {best.best_epoch} epochs on all seen classes"
    own = {"method": f"trial {best.trial}", "source": "the chosen design", "setting": setting, **model["scores"]}
    recipe, architecture = recorded_recipe(best.recipe), Architecture.from_json(best.architecture)
    assert isinstance(recipe, ZeroShotRecipe)
    return {
        "trial": best.trial,
        "model": uri,
        "earlier": earlier,
        "rows": [own, *rows],
        "measures": MEASURES,
        "costs": costs(architecture, recipe, model["words"]),
        "words": model["words"],
        "seen": len(data.seen),
        "unseen": len(data.unseen),
        "train": len(data.train),
        "test_seen": len(data.test_seen),
        "test_unseen": len(data.test_unseen),
    }


def _earlier(store: "Store", run_id: int) -> list[int]:
    """The trials of the run that were tested before, when it had fewer."""
    return [event["detail"]["trial"] for event in store.events(run_id, TESTED)]


def costs(architecture: Architecture, recipe: ZeroShotRecipe, words: int) -> list[dict[str, Any]]:
    """What the parts of a model cost, for texts of ``words`` entries: the first two are what the budget limits."""
    price = architecture.cost
    part = zero_shot_cost(recipe, words, architecture.classes, last_map(architecture))
    return [
        {"part": "image network", "params": price.params, "macs": price.macs, "runs": "once for an image"},
        {"part": "image head", "params": part.image.params, "macs": part.image.macs, "runs": "once for an image"},
        {"part": "text network", "params": part.text.params, "macs": part.text.macs, "runs": "once for a class"},
        {"part": "a class", "params": part.per_class.params, "macs": part.per_class.macs, "runs": "once for an image"},
    ]
