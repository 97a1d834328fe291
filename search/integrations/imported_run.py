"""Foreign trials: what another tool has finished, as a run that the database takes in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from ... import __version__
from ...results.database.records import COSTS, FIGURES, IMPORTED, FailKind, RunStatus, TrialState
from ...results.database.rows import stored
from ...results.database.run_name import check_run_name
from ...results.transfer.run_document import TABLES, Document, plain
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.cost import cost, layer_costs
from ...spaces.parameters.lookup import unknown
from ...spaces.recipes.recipe import Recipe

UNKNOWN_SEED = -1
Params = Mapping[str, Any]


@dataclass(frozen=True)
class ForeignTrial:
    """A trial of another tool: what it was given, what it came to, and its curve, step by step.

    ``figures`` and the figures of ``curve`` are named as the database does: see ``FIGURES``.
    """

    params: Params
    state: TrialState
    figures: Mapping[str, float]
    curve: Sequence[tuple[int, Mapping[str, float]]] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = None
    architecture: Any = field(default=None, hash=False)  # JSON, where the trial itself says it


@dataclass(frozen=True)
class Origin:
    """Where foreign trials come from: the tool, how it searched, and on what data.

    ``architecture`` makes a trial's network of what it was given; left out, the trial has to say it itself, as JSON
    under ``architecture``. Data are known by their name alone, so nothing trained elsewhere is linked to these trials.
    """

    tool: str
    searcher: str
    dataset: str
    architecture: Callable[[Params], Architecture] | None = None


def document_of(name: str, trials: Sequence[ForeignTrial], origin: Origin) -> Document:
    """The run ``name`` of ``trials``, to be brought in by :func:`~archsieve.results.transfer.importer.bring_in`.

    Raises ``ValueError`` where there are no trials, or one has no architecture that can be read.
    """
    if not trials:
        raise ValueError(f"{origin.tool} has no finished trial to bring in; let it finish one first")
    tables: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}
    content_hash = sha256(f"known by name: {origin.dataset}".encode()).hexdigest()
    tables["dataset"].append({"content_hash": content_hash, "name": origin.dataset})
    began = min((trial.started_at for trial in trials if trial.started_at), default=datetime.now(UTC))
    tables["run"].append(
        {
            **{"run_id": 1, "name": check_run_name(name), "status": RunStatus.FINISHED.value, "seed": UNKNOWN_SEED},
            **{"config": {IMPORTED: origin.tool}, "searcher": origin.searcher, "dataset_hash": content_hash},
            **{"version": __version__, "created_at": plain(began), "finished_at": plain(_last(trials) or began)},
        }
    )
    known: set[str] = set()
    for number, trial in enumerate(trials):
        found = _architecture(trial, number, origin)
        if found.fingerprint not in known:
            known.add(found.fingerprint)
            _add_architecture(tables, found)
        _add_trial(tables, number, trial, found, began)
    return Document(tables)


def _last(trials: Sequence[ForeignTrial]) -> datetime | None:
    return max((trial.ended_at for trial in trials if trial.ended_at), default=None)


def _architecture(trial: ForeignTrial, number: int, origin: Origin) -> Architecture:
    if origin.architecture is not None:
        return origin.architecture(trial.params)
    if trial.architecture is None:
        raise ValueError(
            f"trial {number} does not say its architecture; give architecture=, a function that makes it of the "
            f"trial's parameters ({', '.join(map(str, trial.params)) or 'it has none'})"
        )
    return Architecture.from_json(trial.architecture)


def _prices(architecture: Architecture) -> dict[str, int]:
    price = cost(architecture, Recipe().batch_size)
    return {name: getattr(price, name) for name in COSTS}


def _add_architecture(tables: dict[str, list[dict[str, Any]]], architecture: Architecture) -> None:
    layers = [layer.to_json() for layer in layer_costs(architecture)]
    tables["architecture"].append(
        {
            **{"fingerprint": architecture.fingerprint, "json": architecture.to_json(), **_prices(architecture)},
            **{"depth": sum(layer["macs"] > 0 for layer in layers), "input_shape": list(architecture.input_shape)},
        }
    )
    for idx, layer in enumerate(layers):
        columns = ("name", "kind", "out_shape", "params", "macs", "activations")
        told = {name: layer[name] for name in columns}
        tables["layer"].append({"fingerprint": architecture.fingerprint, "idx": idx, **told})


def _add_trial(
    tables: dict[str, list[dict[str, Any]]],
    number: int,
    trial: ForeignTrial,
    architecture: Architecture,
    began: datetime,
) -> None:
    for name in (*trial.figures, *(name for _, figures in trial.curve for name in figures)):
        if name not in FIGURES:
            raise ValueError(unknown("figure", name, FIGURES))
    failed = trial.state is TrialState.FAILED
    spent = (trial.ended_at - trial.started_at).total_seconds() if trial.ended_at and trial.started_at else None
    tables["trial"].append(
        {
            **{"trial_id": number, "run_id": 1, "number": number, "state": trial.state.value, "choices": {}},
            **{"recipe": {key: value for key, value in trial.params.items() if key != "architecture"}},
            **{"fingerprint": architecture.fingerprint, "seed": UNKNOWN_SEED, **_prices(architecture)},
            **{"epochs_done": len(trial.curve), "best_epoch": _best_epoch(trial), **trial.figures},
            **{"fail_kind": FailKind.USER_ERROR.value if failed else None, "reason": trial.reason},
            **{"created_at": plain(trial.started_at or began), "started_at": plain(trial.started_at)},
            **{"ended_at": plain(trial.ended_at), "duration_s": spent},
        }
    )
    for step, figures in trial.curve:
        rows = ({"trial_id": number, "name": name, "step": step, **stored(value)} for name, value in figures.items())
        tables["metric"].extend(rows)


def _best_epoch(trial: ForeignTrial) -> int | None:
    """The step whose validation accuracy is the trial's."""
    wanted = trial.figures.get("val_accuracy")
    if wanted is None:
        return None
    return next((step for step, figures in trial.curve if figures.get("val_accuracy") == wanted), None)
