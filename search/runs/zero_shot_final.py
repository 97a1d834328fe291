"""The final step of a zero-shot search: train the chosen design again on all seen classes, and test it once.

No step before this one uses an unseen class. The recipe, the number of epochs and the calibration of the design were
chosen on validation classes, and the baselines choose their settings on the same classes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...results.database.artifacts import write_artifact
from ...results.database.records import Trial
from ...results.database.zero_shot_records import (
    BACKBONE_VECTORS,
    COMBINATION,
    EXPLAINED,
    FEATURE_VECTORS,
    METRIC_NOTES,
    MODEL,
    MODEL_TESTED,
    NOT_TESTED,
    PIXEL_VECTORS,
    TESTED,
    is_tested,
    latest_test_table,
    model_test,
)
from ...spaces.architectures.architecture import Architecture
from ...spaces.constrained.zero_shot_head import head_cost
from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe, recipe_from_json
from ..cluster.errors import ResourceError
from ..cluster.remote_jobs import run_remote_jobs
from .zero_shot_combination import combination_part
from .zero_shot_context import JobContext
from .zero_shot_jobs import run_part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...models.data.class_folds import ClassFolds
    from ...models.data.zero_shot import ZeroShotData
    from ...results.database.reader import StoreReader
    from ...results.database.store import Store
    from ..experiment.experiment import Experiment
    from .recorder import Recorder


def finalize_zero_shot(
    experiment: "Experiment", data: "tuple[ZeroShotData, ClassFolds]", recorder: "Recorder", folder: Path
) -> None:
    """Write the table, the explanations and the model of the run's best trial to the store, unless it has them.

    Args:
        experiment: the zero-shot experiment.
        data: all classes, and the folds of the seen classes.
        recorder: the recorder of the run; its trials have ended.
        folder: the folder of the run, for the model file.
    """
    store, run_id, (whole, folds) = recorder.store, recorder.run_id, data
    best = store.history(run_id).best(experiment.budget)
    table = latest_test_table(store, run_id)
    # A resumed run repeats the step only when its new trials have a better design.
    if best is None or (table is not None and table["trial"] == best.trial):
        return
    test = model_test(store, run_id, best.trial)  # a driver that died while baselines ran has this event
    if test is None:
        test = _test_model(experiment, whole, folds, best, recorder, folder)
    if test is None:
        return
    combined = _combination(experiment, whole, folds, best, recorder, folder)
    rows = None if combined is None else _run_baselines(experiment, whole, folds, best, recorder)
    if combined is None or rows is None:
        return
    rows = [*combined, *rows]
    earlier = _tested_trials(store, run_id)
    detail = _detail(best, whole, test, rows, earlier, has_backbone=experiment.file.space.backbone is not None)
    store.add_event(run_id, "info", TESTED, detail, best.trial)


def _test_model(
    experiment: "Experiment", data: "ZeroShotData", folds: "ClassFolds", best: Trial, recorder: "Recorder", folder: Path
) -> "Mapping[str, Any] | None":
    """Train the chosen design again and test it; store its model, explanations and results before any baseline runs.

    Returns the stored results: ``trial``, ``model`` (the path of its file), ``scores``, ``words`` and ``classes``. None
    when the run was stopped or the training diverged.
    """
    store, run_id = recorder.store, recorder.run_id
    recorder.show_activity(f"training the design of trial {best.trial} again on all seen classes")
    assert best.best_epoch is not None
    # The calibration that was best on validation classes, at the best epoch. Test classes must not choose it.
    gamma = dict(store.curve(best.trial)["gamma"])[best.best_epoch]
    part = {"trial": {"recipe": best.recipe, "epochs": best.best_epoch, "gamma": gamma}}
    results = _run_jobs([part], experiment, data, folds, best, recorder)
    if results is None:
        return None
    (model,) = results
    if "failed" in model:
        store.add_event(run_id, "warning", NOT_TESTED, {"trial": best.trial, "reason": model["failed"]}, best.trial)
        return None
    uri = f"{folder.name}/model-{best.trial}.safetensors"
    write_artifact(store, best.trial, MODEL, folder.parent, uri, model["model"])
    store.add_event(run_id, "info", EXPLAINED, {"trial": best.trial, "classes": model["explained"]}, best.trial)
    # last, because it marks the model as stored: a driver that dies before it repeats this step
    test = {"trial": best.trial, "model": uri, **{key: model[key] for key in ("scores", "words", "classes")}}
    store.add_event(run_id, "info", MODEL_TESTED, test, best.trial)
    return test


def _combination(
    experiment: "Experiment",
    data: "ZeroShotData",
    folds: "ClassFolds",
    best: Trial,
    recorder: "Recorder",
    folder: Path,
) -> list[dict[str, Any]] | None:
    """Return the row of the combination, if the search file asks for one; None when the run was stopped.

    Its model is written to ``combination-TRIAL.safetensors``, with the best trial in its name.
    """
    count = experiment.file.zero_shot.combine
    if count is None:
        return []
    store = recorder.store
    part = combination_part(store.history(recorder.run_id), experiment.budget, count)
    recorder.show_activity(f"training {len(part['combine'])} designs for their combination")
    try:
        results = _run_jobs([part], experiment, data, folds, best, recorder)
    except ResourceError as error:  # as for baselines: the model of the best trial is stored
        return [{"method": "combination", "failed": str(error)}]
    if results is None:
        return None
    (combined,) = results
    if "model" in combined:
        uri = f"{folder.name}/combination-{best.trial}.safetensors"
        write_artifact(store, best.trial, COMBINATION, folder.parent, uri, combined["model"])
        combined["row"]["model"] = uri
    return [combined["row"]]


def _run_baselines(
    experiment: "Experiment", data: "ZeroShotData", folds: "ClassFolds", best: Trial, recorder: "Recorder"
) -> list[dict[str, Any]] | None:
    """Return the rows of the baselines in the order of the table; None when the run was stopped.

    A baseline that failed has a ``failed`` reason in place of its results.
    """
    names = _names(experiment)
    if not names:
        return []
    recorder.show_activity(f"testing {len(names)} baselines for comparison")
    # One job for these three: late fusion (gpr+da) needs the fitted models of the other two.
    fusion = [name for name in names if name in ("gpr", "da", "gpr+da")]
    groups = [some for some in (fusion, [name for name in names if name not in fusion]) if some]
    try:
        parts = _run_jobs([{"baselines": some} for some in groups], experiment, data, folds, best, recorder)
    except ResourceError as error:  # the model is stored, and a worker without memory must not repeat its training
        return [{"method": name, "failed": str(error)} for name in names]
    if parts is None:
        return None
    return sorted((row for part in parts for row in part), key=lambda row: names.index(row["method"]))


def is_zero_shot_final(experiment: "Experiment", store: "StoreReader", run_id: int) -> bool:
    """Return whether the best trial of the run has been tested; True for a run without one."""
    best = store.history(run_id).best(experiment.budget)
    return best is None or is_tested(store, run_id, best)


def _run_jobs(
    parts: list[dict[str, Any]],
    experiment: "Experiment",
    data: "ZeroShotData",
    folds: "ClassFolds",
    best: Trial,
    recorder: "Recorder",
) -> list[Any] | None:
    """Return the results of the remote jobs ``parts``; None when the run was stopped."""
    resources, settings = experiment.file.resources, experiment.file.zero_shot
    context = JobContext(
        data,
        folds,
        experiment.recipes.ends("text"),
        resources.cpus_per_trial,
        resources.gpus,
        resources.precision,
        settings.explained,
        settings.programme,
        best.architecture,
        best.seed,
    )
    return run_remote_jobs(run_part, parts, context, resources, should_continue=recorder.control.should_continue)


def _names(experiment: "Experiment") -> list[str]:
    """Return the names of the baselines in the order of the table."""
    from ...models.zero_shot.baselines import BASELINES

    names = experiment.file.zero_shot.baselines
    return list(BASELINES) if names is None else names


def _detail(
    best: Trial,
    data: "ZeroShotData",
    test: "Mapping[str, Any]",
    rows: list[dict[str, Any]],
    earlier: list[int],
    *,
    has_backbone: bool,
) -> dict[str, Any]:
    """Return the table for the store: the rows of the model and the baselines, the costs, and the test data's sizes."""
    setting = f"validated H {best.val_accuracy:.4f}, {best.best_epoch} epochs on all seen classes"
    own = {"method": f"trial {best.trial}", "source": "the chosen design", "setting": setting, **test["scores"]}
    recipe, architecture = recipe_from_json(best.recipe), Architecture.from_json(best.architecture)
    assert isinstance(recipe, ZeroShotRecipe)
    return {
        "trial": best.trial,
        "model": test["model"],
        "earlier": earlier,
        "rows": [own, *(row for row in rows if "failed" not in row)],
        "failed": [row for row in rows if "failed" in row],
        "vectors": BACKBONE_VECTORS if has_backbone else FEATURE_VECTORS if data.has_vectors else PIXEL_VECTORS,
        "measures": METRIC_NOTES,
        "classes": test["classes"],
        "costs": costs(architecture, recipe, test["words"]),
        "words": test["words"],
        "seen": len(data.seen),
        "unseen": len(data.unseen),
        "train": len(data.train),
        "test_seen": len(data.test_seen),
        "test_unseen": len(data.test_unseen),
    }


def _tested_trials(store: "Store", run_id: int) -> list[int]:
    """Return the trials of the run that were tested earlier, before it got more trials."""
    return [event["detail"]["trial"] for event in store.events(run_id, TESTED)]


def costs(architecture: Architecture, recipe: ZeroShotRecipe, words: int) -> list[dict[str, Any]]:
    """Return the cost of each part of a model, for text vectors with ``words`` entries.

    The budget limits the first two parts, the image network and its head.
    """
    network = architecture.cost
    part = head_cost(recipe, words, architecture)
    return [
        {"part": "image network", "params": network.params, "macs": network.macs, "runs": "once for an image"},
        {"part": "image head", "params": part.image.params, "macs": part.image.macs, "runs": "once for an image"},
        {"part": "text network", "params": part.text.params, "macs": part.text.macs, "runs": "once for a class"},
        {"part": "a class", "params": part.per_class.params, "macs": part.per_class.macs, "runs": "once for an image"},
    ]
