"""After a search, from Python: diagnose a network, build an ensemble, and import trials of other tools."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...results.database.records import TEST_PREFIX, Trial
from ...results.database.store import open_store
from ...results.database.url import parse_location, runs_folder
from ...results.query.trial_name import find_trial
from ...spaces.architectures.architecture import Architecture
from ...spaces.metrics.registry import ACCURACY
from ...spaces.metrics.selection import Selection
from .arguments import check_arguments
from .model import location_of
from .results import DATABASE, Trials

if TYPE_CHECKING:
    from optuna import Study
    from ray.tune import ResultGrid

    from ...models.diagnostics.context import Finding
    from ...results.transfer.run_document import RunDocument


@dataclass(frozen=True)
class Member:
    """A trial of an ensemble; its probabilities count ``count`` times, and 0 means that it was not selected.

    ``metric`` is the name of the metric that selected. ``metrics`` are the values of the recorded metrics but the
    accuracy on the validation images, ``test_metrics`` those on the test images, both by the name of the metric.
    """

    trial: int
    count: int
    val_accuracy: float
    test_accuracy: float | None = None
    metric: str = ACCURACY
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    test_metrics: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Ensemble:
    """An ensemble: its members, its accuracies and its other metrics. Its members were selected by ``metric``.

    ``metrics`` and ``test_metrics`` are those of the mean probabilities, as in :class:`Member`.
    ``mean_member_test_accuracy`` is that of the selected members; it and ``test_accuracy`` are None without test
    images.
    """

    members: tuple[Member, ...]
    val_accuracy: float
    test_accuracy: float | None = None
    mean_member_test_accuracy: float | None = None
    metric: str = ACCURACY
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    test_metrics: Mapping[str, float] = field(default_factory=dict, hash=False)


def diagnose(
    trial: Trial | int | str,
    checks: Sequence[str] | None = None,
    *,
    database: str | Path | None = None,
    runs: str | Path | None = None,
) -> "list[Finding]":
    """Check the network of a trial for common faults, as ``archsieve doctor`` does, and return the findings.

    A finding has a ``rating`` ("good", "watch" or "bad"), the ``evidence``, and ``advice``. ``checks`` are names
    such as "gradients"; by default all run. ``trial`` is a trial of :func:`run_search` or :func:`open_results`, or its
    id or RUN:NUMBER in ``database``. Raises ``ValueError`` for an unknown check, and if the data have changed.
    """
    from ..post.diagnose import diagnose_target, target_of_trial

    check_arguments("diagnose", {"runs": runs, "database": database})
    location = location_of(trial, database)
    with open_store(location, read_only=True) as store:
        record = find_trial(store, trial.trial if isinstance(trial, Trial) else trial)
        target = target_of_trial(store, record, runs_folder(location) if runs is None else Path(runs))
    return list(diagnose_target(target, checks))


def ensemble(
    run: str,
    *,
    top: int = 5,
    soup: str | None = None,
    output: str | Path | None = None,
    device: str = "cpu",
    database: str | Path = DATABASE,
    runs: str | Path | None = None,
) -> Ensemble:
    """Select an ensemble from the ``top`` best trials of ``run``, and return its members and accuracies.

    A trial without weights is trained first. Members are selected by the metric of the run on the validation images,
    and the ensemble is tested once. With ``soup``, "uniform" or "greedy", the weights of the members are averaged into
    one network, which is written to ``output``: "uniform" takes all, "greedy" those that do not make it worse. Raises
    ``ValueError`` if the run has fewer than two finished trials, and for a soup of different networks.
    """
    check_arguments("ensemble", locals())
    from ..post.ensemble import ensemble_run

    location = parse_location(database)
    with open_store(location) as store:
        folder = runs_folder(location) if runs is None else Path(runs)
        file = None if output is None else Path(output)
        report = ensemble_run(store, run, folder, top=top, soup=soup, output=file, device=device)
        selection = Selection.from_config(store.run(run).config)
    members = tuple(
        Member(row["trial"], row["count"], row["val_accuracy"], row.get("test_accuracy"), *_metrics_of(row, selection))
        for row in report["members"]
    )
    return Ensemble(
        members,
        report["val_accuracy"],
        report.get("test_accuracy"),
        report.get("mean_member_test_accuracy"),
        *_metrics_of(report, selection),
    )


def _metrics_of(row: Mapping[str, Any], selection: Selection) -> tuple[str, dict[str, float], dict[str, float]]:
    """Return the metric that selected, and the values of the other metrics on the validation and the test images."""
    names = [name for name in selection.recorded if name in row]
    tests = {name: row[TEST_PREFIX + name] for name in names if TEST_PREFIX + name in row}
    return selection.metric, {name: row[name] for name in names}, tests


def import_trials(
    trials: "Study | ResultGrid",
    *,
    data: str,
    name: str | None = None,
    metric: str | Mapping[str, str] = "val_accuracy",
    architecture: Callable[[Mapping[str, Any]], Architecture] | None = None,
    database: str | Path = DATABASE,
) -> Trials:
    """Import an Optuna study, or the results of Ray Tune's ``Tuner.fit``, as the run ``name``, and return its trials.

    * ``data`` is the name of the data set.
    * ``metric`` is what was measured: "val_accuracy", "val_loss", or "test_accuracy", which selects no trial. For Ray
      Tune it may map them to the names that the trials reported, as in ``{"val_accuracy": "acc"}``.
    * ``architecture`` returns the architecture for the parameters of a trial. Without it, each trial needs its
      architecture as JSON: an Optuna trial in the user attribute ``architecture``, Ray Tune in its configuration.

    The default ``name`` is that of the study, or "ray-tune". Raises ``ValueError`` for a study without trials or
    architectures, and ``RunExistsError`` if the database has a run of this name.
    """
    from ...results.transfer.importer import import_documents

    check_arguments("import_trials", {"name": name, "database": database})
    document = _document(trials, data, name, metric, architecture)
    location = parse_location(database)
    with open_store(location, create=True) as store:
        (imported,) = import_documents(store, [document])
        return Trials.of(store.trials(imported), location)


def _document(
    trials: Any, data: str, name: str | None, metric: str | Mapping[str, str], architecture: Any
) -> "RunDocument":
    """Return the trials of another tool as a run document, by the package that their class is of."""
    tool = type(trials).__module__.partition(".")[0]
    if tool == "optuna" and isinstance(metric, str):
        from ..integrations.optuna_study import document_of_study

        return document_of_study(trials, dataset=data, name=name, metric=metric, architecture=architecture)
    if tool == "ray":
        from ..integrations.ray_tune_results import document_of_results

        metrics = {metric: metric} if isinstance(metric, str) else dict(metric)
        return document_of_results(
            trials, dataset=data, name=name or "ray-tune", metrics=metrics, architecture=architecture
        )
    if tool == "optuna":
        raise TypeError(
            f"metric must be the name of one metric for a study, but got {metric!r}; write metric='val_accuracy'"
        )
    raise TypeError(
        "import_trials() takes an optuna.Study or a ray.tune.ResultGrid, but got "
        f"{type(trials).__module__}.{type(trials).__qualname__}; pass the study, or the result of Tuner.fit()"
    )
