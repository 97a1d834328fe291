"""Imported runs: finished trials of another tool, converted to a run document for the database."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from ... import __version__
from ...results.database.records import COSTS, FINAL_METRICS, IMPORTED, FailKind, RunStatus, TrialState
from ...results.database.rows import encode_metric
from ...results.database.run_name import check_run_name
from ...results.transfer.run_document import TABLES, RunDocument, to_json_value
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.cost import cost, layer_costs
from ...spaces.metrics.selection import BY_ACCURACY, Selection
from ...spaces.parameters.lookup import unknown
from ...spaces.recipes.recipe import Recipe

UNKNOWN_SEED = -1  # other tools have no seed for each trial, and no search file has a negative one
Params = Mapping[str, Any]


@dataclass(frozen=True)
class ImportedTrial:
    """A trial of another tool: its parameters, its metrics, and its learning curve as (step, metrics).

    The names in ``metrics`` and in the metrics of ``curve`` are those of the database: see ``FINAL_METRICS``. Any other
    name is a metric that the run has recorded.
    """

    params: Params
    state: TrialState
    metrics: Mapping[str, float]
    curve: Sequence[tuple[int, Mapping[str, float]]] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = None
    architecture: Any = field(default=None, hash=False)  # JSON, if the trial has it


@dataclass(frozen=True)
class Origin:
    """The origin of imported trials: the tool, its searcher, and the name of the data set.

    ``architecture`` is a function that returns the architecture for a trial's parameters; without it, each trial must
    have its architecture as JSON. ``selection`` is the metric that ranks the trials. Only the name of the data is
    known, not their content, so other runs neither reuse nor learn from these trials.
    """

    tool: str
    searcher: str
    dataset: str
    architecture: Callable[[Params], Architecture] | None = None
    selection: Selection = BY_ACCURACY

    @property
    def config(self) -> dict[str, Any]:
        """The settings of the run, which are those of no search file."""
        if self.selection == BY_ACCURACY:
            return {IMPORTED: self.tool}
        return {IMPORTED: self.tool, "search": self.selection.to_json()}


def document_of(name: str, trials: Sequence[ImportedTrial], origin: Origin) -> RunDocument:
    """Return ``trials`` as the run document ``name``.

    :func:`~archsieve.results.transfer.importer.import_documents` writes it to a database. Raises ``ValueError`` if
    there are no trials, or the architecture of a trial is missing or cannot be read.
    """
    if not trials:
        raise ValueError(f"an import needs at least one trial, but {origin.tool} has none; finish a trial first")
    tables: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}
    # a hash of the name with a prefix, so that it never equals the content hash of real data
    content_hash = sha256(f"known by name: {origin.dataset}".encode()).hexdigest()
    tables["dataset"].append({"content_hash": content_hash, "name": origin.dataset})
    run_start = min((trial.started_at for trial in trials if trial.started_at), default=datetime.now(UTC))
    tables["run"].append(
        {
            **{"run_id": 1, "name": check_run_name(name), "status": RunStatus.FINISHED.value, "seed": UNKNOWN_SEED},
            **{"config": origin.config, "searcher": origin.searcher, "dataset_hash": content_hash},
            **{
                "version": __version__,
                "created_at": to_json_value(run_start),
                "finished_at": to_json_value(_last(trials) or run_start),
            },
        }
    )
    fingerprints: set[str] = set()
    for number, trial in enumerate(trials):
        architecture = _architecture(trial, number, origin)
        # several trials may share an architecture, which has one row
        if architecture.fingerprint not in fingerprints:
            fingerprints.add(architecture.fingerprint)
            _add_architecture(tables, architecture)
        _add_trial(tables, number, _with_step(trial), architecture, run_start, origin.selection)
    return RunDocument(tables)


def _last(trials: Sequence[ImportedTrial]) -> datetime | None:
    """Return the end of the last trial."""
    return max((trial.ended_at for trial in trials if trial.ended_at), default=None)


def _architecture(trial: ImportedTrial, number: int, origin: Origin) -> Architecture:
    """Return the architecture of a trial; ``number`` is only for the error message."""
    if origin.architecture is not None:
        return origin.architecture(trial.params)
    if trial.architecture is None:
        raise ValueError(
            f"each trial must have its architecture as JSON, but trial {number} has none; pass architecture=, a "
            "function that returns the architecture for the trial's parameters "
            f"({', '.join(map(str, trial.params)) or 'it has none'})"
        )
    return Architecture.from_json(trial.architecture)


def _costs(architecture: Architecture) -> dict[str, int]:
    """Return the costs by name; memory is for the default batch size, because that of the other tool is unknown."""
    costs = cost(architecture, Recipe().batch_size)
    return {name: getattr(costs, name) for name in COSTS}


def _add_architecture(tables: dict[str, list[dict[str, Any]]], architecture: Architecture) -> None:
    layers = [layer.to_json() for layer in layer_costs(architecture)]
    tables["architecture"].append(
        {
            **{"fingerprint": architecture.fingerprint, "json": architecture.to_json(), **_costs(architecture)},
            **{"depth": sum(layer["macs"] > 0 for layer in layers), "input_shape": list(architecture.input_shape)},
        }
    )
    for idx, layer in enumerate(layers):
        columns = ("name", "kind", "out_shape", "params", "macs", "activations")
        row = {name: layer[name] for name in columns}
        tables["layer"].append({"fingerprint": architecture.fingerprint, "idx": idx, **row})


def _add_trial(
    tables: dict[str, list[dict[str, Any]]],
    number: int,
    trial: ImportedTrial,
    architecture: Architecture,
    run_start: datetime,
    selection: Selection,
) -> None:
    known = (*FINAL_METRICS, *selection.recorded)
    for name in (*trial.metrics, *(name for _, metrics in trial.curve for name in metrics)):
        if name not in known:
            raise ValueError(unknown("metric", name, known))
    failed = trial.state is TrialState.FAILED
    duration = (trial.ended_at - trial.started_at).total_seconds() if trial.ended_at and trial.started_at else None
    tables["trial"].append(
        {
            **{"trial_id": number, "run_id": 1, "number": number, "state": trial.state.value, "choices": {}},
            # the architecture has its own table; all other parameters count as the recipe, so that queries find them
            **{"recipe": {key: value for key, value in trial.params.items() if key != "architecture"}},
            **{"fingerprint": architecture.fingerprint, "seed": UNKNOWN_SEED, **_costs(architecture)},
            **{"epochs_done": len(trial.curve), "best_epoch": _best_epoch(trial, selection)},
            **{name: value for name, value in trial.metrics.items() if name in FINAL_METRICS},
            # the other tool does not classify failures, and all of them were raised by the user's objective
            **{"fail_kind": FailKind.USER_ERROR.value if failed else None, "reason": trial.reason},
            **{
                "created_at": to_json_value(trial.started_at or run_start),
                "started_at": to_json_value(trial.started_at),
            },
            **{"ended_at": to_json_value(trial.ended_at), "duration_s": duration},
        }
    )
    for step, metrics in trial.curve:
        rows = (
            {"trial_id": number, "name": name, "step": step, **encode_metric(value)} for name, value in metrics.items()
        )
        tables["metric"].extend(rows)


def _with_step(trial: ImportedTrial) -> ImportedTrial:
    """Return the trial with its recorded metrics at a step: a metric that is no column of a trial needs one."""
    others = {name: value for name, value in trial.metrics.items() if name not in FINAL_METRICS}
    return trial if trial.curve or not others else replace(trial, curve=[(1, others)])


def _best_epoch(trial: ImportedTrial, selection: Selection) -> int | None:
    """Return the first step whose selecting metric equals that of the trial, or None."""
    value = trial.metrics.get(selection.stored_name)
    if value is None:
        return None
    return next((step for step, metrics in trial.curve if metrics.get(selection.stored_name) == value), None)
