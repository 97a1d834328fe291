"""Statements that write one trial: queue, start, record, end. Each function runs in the caller's transaction."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, bindparam, case, delete, func, insert, literal, select, update

from ...spaces.metrics.registry import int8_name
from ...spaces.parameters.lookup import unknown
from . import schema
from .errors import UnknownTrialError
from .fast_sqlite import AnyConnection
from .lease import lock_run, now
from .records import COSTS, FINAL_METRICS, PREDICTIONS, TEST_PREFIX, FailKind, TrialState
from .rows import encode_metric, upsert

_EPOCH_COUNTS = ("epochs_done", "best_epoch")
_t, _a = schema.trial.c, schema.attempt.c
# Every trial runs these statements, most of them at every epoch. They are built once here, which takes a fifth of the
# time, and because fast_sqlite.py compiles a statement once only if it stays the same object.
# Parameter names must not be column names: SQLAlchemy uses those for the new values of an UPDATE.
_where_id = bindparam("where_id", type_=Integer)
_SELECT_PROGRESS = select(_t.state, _t.epochs_done, _t.started_at, _t.run_id).where(_t.trial_id == _where_id)
_UPDATE_TRIAL = update(schema.trial).where(_t.trial_id == _where_id)
_INSERT = {table: insert(table) for table in schema.metadata.tables.values()}
_SELECT_ATTEMPTS = select(schema.attempt).where(_a.trial_id == _where_id)
_SELECT_ATTEMPT_TIMES = select(_a.started_at, _a.ended_at).where(_a.trial_id == _where_id)
_end_time = bindparam("end_time", type_=schema.Utc())
_CLOSE_ATTEMPTS = (
    update(schema.attempt)
    .where(_a.trial_id == _where_id, _a.ended_at.is_(None))
    .values(ended_at=func.coalesce(_end_time, _a.heartbeat_at), outcome=bindparam("new_outcome"))
)
_SELECT_LAST_TRIAL = (
    select(_t.number, _t.trial_id, _t.created_at, _t.fingerprint)
    .where(_t.run_id == bindparam("where_id"))
    .order_by(_t.number.desc())
    .limit(1)
)
_epoch = bindparam("epoch", type_=Integer)
_ADVANCE_EPOCHS_DONE = (
    update(schema.trial)
    .where(_t.trial_id == bindparam("where_id"))
    .values(epochs_done=case((_t.epochs_done < _epoch, _epoch), else_=_t.epochs_done))
)
_UPDATE_HEARTBEAT = (
    update(schema.attempt)
    .where(_a.trial_id == bindparam("where_id"), _a.ended_at.is_(None))
    .values(heartbeat_at=bindparam("heartbeat"))
)


def add_architecture(
    connection: AnyConnection,
    fingerprint: str,
    architecture: Mapping[str, Any],
    cost: Mapping[str, int],
    layers: Sequence[Mapping[str, Any]],
) -> None:
    """Write an architecture and its layers, unless the database has them already."""
    row = {
        "fingerprint": fingerprint,
        "json": dict(architecture),
        "depth": sum(layer["macs"] > 0 for layer in layers),  # layers with multiply-accumulates
        "input_shape": architecture.get("input_shape"),
        **{name: int(cost[name]) for name in COSTS},
    }
    columns = ("name", "kind", "out_shape", "params", "macs", "activations")
    layer_rows = [
        {"fingerprint": fingerprint, "idx": idx, **{name: layer[name] for name in columns}}
        for idx, layer in enumerate(layers)
    ]
    # A new architecture is the only one whose layers are missing.
    if upsert(connection, schema.architecture, [row]):
        upsert(connection, schema.layer, layer_rows)


def queue(
    connection: AnyConnection, run_id: int, row: Mapping[str, Any], device: Mapping[str, int] = MappingProxyType({})
) -> int:
    """Write a trial with the next number of its run and return its id; ``row`` contains ``created_at``.

    The same proposal with the same ``created_at`` is written once.
    """
    lock_run(connection, run_id)  # so that two transactions do not take the same number
    last = connection.execute(_SELECT_LAST_TRIAL, {"where_id": run_id}).first()
    if last is not None and (last.created_at, last.fingerprint) == (row["created_at"], row["fingerprint"]):
        return int(last.trial_id)  # this is a retry: the connection was lost after the first commit
    number = 0 if last is None else last.number + 1
    values = {**row, "run_id": run_id, "number": number, "state": TrialState.QUEUED.value, "epochs_done": 0}
    trial_id = inserted(connection, schema.trial, values)
    # costs on a device are metrics of step 0: the schema of version 0.1.0 has no columns for them
    rows = [{"trial_id": trial_id, "name": name, "step": 0, **encode_metric(n)} for name, n in device.items()]
    if rows:
        upsert(connection, schema.metric, rows)
    return trial_id


def reuse_result(connection: Connection, trial_id: int, source_id: int) -> None:
    """Complete a queued trial with the result of a completed one: its metrics, predictions and proxy scores.

    The latency is not copied, because it belongs to the worker that measured it.
    """
    source = connection.execute(
        select(schema.trial, schema.run.c.name).join(schema.run).where(_t.trial_id == source_id)
    )
    row = source.mappings().one()
    result = {name: row[name] for name in ("seed", "device", "epochs_done", "best_epoch", *FINAL_METRICS)}
    # Nothing is trained: the trial starts and ends now, and its duration is 0 s.
    at = now()
    _update_trial(
        connection,
        trial_id,
        **result,
        state=TrialState.COMPLETED.value,
        source_trial_id=source_id,
        reason=f"trained in run {row['name']!r} as trial {source_id}",
        started_at=at,
        ended_at=at,
        duration_s=0.0,
    )
    c, p = schema.metric.c, schema.proxy_score.c
    curve = select(literal(trial_id), c.name, c.step, c.value, c.special).where(c.trial_id == source_id, c.step > 0)
    connection.execute(insert(schema.metric).from_select([column.name for column in c], curve))
    run_id = connection.scalar(select(_t.run_id).where(_t.trial_id == trial_id))
    e = schema.event.c
    predictions = select(literal(run_id), literal(trial_id), literal(at, e.at.type), e.level, e.kind, e.detail).where(
        e.run_id == row["run_id"], e.trial_id == source_id, e.kind == PREDICTIONS
    )
    columns = ["run_id", "trial_id", "at", "level", "kind", "detail"]
    connection.execute(insert(schema.event).from_select(columns, predictions))
    scores = select(schema.proxy_score).where(p.run_id == row["run_id"], p.fingerprint == row["fingerprint"])
    rows = [{**score, "run_id": run_id} for score in connection.execute(scores).mappings()]
    upsert(connection, schema.proxy_score, rows)


def inserted(connection: AnyConnection, table: Any, row: Mapping[str, Any]) -> int:
    """Insert ``row`` into ``table`` and return its new id."""
    key: Any = connection.execute(_INSERT[table], dict(row)).inserted_primary_key
    return int(key[0])


def start(connection: AnyConnection, trial_id: int, worker: Mapping[str, Any]) -> None:
    """Start an attempt on ``worker`` (device, node, pid), unless an attempt of the same worker is open."""
    progress = _progress(connection, trial_id)
    if progress.state.final:
        raise ValueError(
            f"a trial that is {progress.state} cannot start again, but trial {trial_id} was started; propose a new one"
        )
    attempts = connection.execute(_SELECT_ATTEMPTS, {"where_id": trial_id}).all()
    if any(
        attempt.ended_at is None and (attempt.node, attempt.pid) == (worker["node"], worker["pid"])
        for attempt in attempts
    ):
        return
    # An attempt that is still open belongs to a worker that disappeared.
    _close_attempts(connection, trial_id, "lost", None)
    at = now()
    row = {**worker, "trial_id": trial_id, "attempt": len(attempts), "started_at": at, "heartbeat_at": at}
    connection.execute(_INSERT[schema.attempt], row)
    _update_trial(
        connection,
        trial_id,
        state=TrialState.RUNNING.value,
        device=worker["device"],
        started_at=progress.started_at or at,
        fail_kind=None,  # remove those of an earlier attempt
        reason=None,
    )


def locate(connection: Connection, trial_id: int, worker: Mapping[str, Any]) -> None:
    """Record the worker of the open attempt, which is known only after the worker's first report."""
    if not worker:
        return
    open_attempt = update(schema.attempt).where(_a.trial_id == trial_id, _a.ended_at.is_(None))
    connection.execute(open_attempt.values(**worker))
    if worker.get("device") is not None:
        _update_trial(connection, trial_id, device=worker["device"])


def rewind(connection: Connection, trial_id: int, epoch: int) -> int:
    """Delete the metrics after ``epoch``, whose weights are lost, and return the number of lost epochs."""
    progress = _progress(connection, trial_id)
    if progress.state.final:
        raise ValueError(
            f"a trial that is {progress.state} cannot change, but trial {trial_id} was set back to epoch {epoch}; "
            "set back only trials that have not ended"
        )
    c = schema.metric.c
    connection.execute(delete(schema.metric).where(c.trial_id == trial_id, c.step > epoch))
    _update_trial(connection, trial_id, epochs_done=min(epoch, progress.epochs_done))
    return max(0, progress.epochs_done - epoch)


def interrupt(
    connection: Connection, trial_id: int, outcome: str, fail_kind: FailKind | None, reason: str | None
) -> int:
    """Interrupt a trial, so that it can be resumed; return how many of its attempts ended with ``outcome``."""
    _close_attempts(connection, trial_id, outcome, now())
    end(connection, trial_id, TrialState.INTERRUPTED, reason=reason)
    _update_trial(connection, trial_id, fail_kind=fail_kind and fail_kind.value)
    count = select(func.count()).where(_a.trial_id == trial_id, _a.outcome == outcome)
    return connection.scalar(count) or 0


def record(
    connection: AnyConnection, trial_id: int, epoch: int, metrics: Mapping[str, float], *, beat: bool = True
) -> None:
    """Write the metrics of one epoch, and the heartbeat of its attempt if ``beat``; earlier metrics are replaced."""
    if not connection.execute(_ADVANCE_EPOCHS_DONE, {"where_id": trial_id, "epoch": epoch}).rowcount:
        raise _unknown_trial(trial_id)
    _write_metrics(connection, trial_id, epoch, metrics)
    if beat:
        connection.execute(_UPDATE_HEARTBEAT, {"where_id": trial_id, "heartbeat": now()})


def record_test(connection: AnyConnection, trial_id: int, best_epoch: int, metrics: Mapping[str, float]) -> None:
    """Write the metrics of the test, measured with the weights of ``best_epoch``; earlier ones are replaced."""
    _write_metrics(connection, trial_id, best_epoch, {TEST_PREFIX + name: value for name, value in metrics.items()})


def record_int8(connection: AnyConnection, trial_id: int, best_epoch: int, metrics: Mapping[str, float]) -> None:
    """Write the metrics of the network in int8, by their names without quantisation; earlier ones are replaced."""
    _write_metrics(connection, trial_id, best_epoch, {int8_name(name): value for name, value in metrics.items()})


def _write_metrics(connection: AnyConnection, trial_id: int, step: int, metrics: Mapping[str, float]) -> None:
    rows = [
        {"trial_id": trial_id, "name": name, "step": step, **encode_metric(value)} for name, value in metrics.items()
    ]
    upsert(connection, schema.metric, rows, update=("value", "special"))


def end(
    connection: AnyConnection,
    trial_id: int,
    state: TrialState,
    *,
    fail_kind: FailKind | None = None,
    reason: str | None = None,
    summary: Mapping[str, Any] | None = None,
    predictions: Mapping[str, Any] | None = None,
) -> None:
    """End a trial, or add to the summary of one that ended in the same state. Predictions are stored with its end."""
    _check_end(state, fail_kind)
    values = _summary_columns(summary or {})
    progress = _progress(connection, trial_id)
    if progress.state.final and progress.state is not state:
        raise ValueError(
            f"a trial that is {progress.state} cannot change, but trial {trial_id} was set to {state}; "
            "end each trial once"
        )
    if not progress.state.final:
        _close_attempts(connection, trial_id, state.value, now())
        # An interrupted trial has not ended, because it can be resumed.
        values["ended_at"] = now() if state.final else None
        values["duration_s"] = _duration_s(connection, trial_id)
        values |= {"state": state.value, "fail_kind": fail_kind and fail_kind.value, "reason": reason}
        if predictions is not None:
            event = {"level": "info", "kind": PREDICTIONS, "detail": dict(predictions), "at": now()}
            inserted(connection, schema.event, {**event, "run_id": progress.run_id, "trial_id": trial_id})
    if values:
        _update_trial(connection, trial_id, **values)


def interrupt_all(connection: Connection, run_id: int, outcome: str = TrialState.INTERRUPTED.value) -> None:
    """Interrupt all running trials of a run; their attempts end at the time of their last heartbeat.

    ``outcome`` is the outcome of the attempts: "interrupted" if their driver ended them, "lost" if it died.
    """
    running = select(_t.trial_id).where(_t.run_id == run_id, _t.state == TrialState.RUNNING.value)
    for trial_id in list(connection.scalars(running)):
        # The time at which the driver ended is not known; the last heartbeat is the best estimate.
        _close_attempts(connection, trial_id, outcome, None)
        end(connection, trial_id, TrialState.INTERRUPTED, reason="the process that drove its run ended")


def _check_end(state: TrialState, fail_kind: FailKind | None) -> None:
    if state in (TrialState.QUEUED, TrialState.RUNNING):
        raise ValueError(
            f"a trial must end completed, stopped_early, failed or interrupted, but got {state}; use one of these"
        )
    if (state is TrialState.FAILED) != (fail_kind is not None):
        raise ValueError(
            f"a failed trial, and no other, must have a fail_kind, but got {state} with fail_kind={fail_kind}"
        )


def _summary_columns(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of ``summary``.

    Values that are not finite become NULL, because NaN must not rank as the best value.
    """
    values: dict[str, Any] = {}
    for name, value in summary.items():
        if name not in _EPOCH_COUNTS + FINAL_METRICS:
            raise ValueError(unknown("summary key", name, _EPOCH_COUNTS + FINAL_METRICS))
        finite = value is not None and math.isfinite(value)
        if finite and name.endswith("_accuracy") and not 0 <= value <= 1:
            raise ValueError(f"{name} must be a fraction in [0, 1], but got {value}; divide percentages by 100")
        values[name] = (int(value) if name in _EPOCH_COUNTS else float(value)) if finite else None
    return values


class _Progress(NamedTuple):
    state: TrialState
    epochs_done: int
    started_at: datetime | None
    run_id: int


def _progress(connection: AnyConnection, trial_id: int) -> _Progress:
    row = connection.execute(_SELECT_PROGRESS, {"where_id": trial_id}).first()
    if row is None:
        raise _unknown_trial(trial_id)
    return _Progress(TrialState(row.state), row.epochs_done, row.started_at, row.run_id)


def _unknown_trial(trial_id: int) -> UnknownTrialError:
    return UnknownTrialError(f"no trial has the id {trial_id}; propose it first")


def _update_trial(connection: AnyConnection, trial_id: int, **values: Any) -> None:
    connection.execute(_UPDATE_TRIAL, {"where_id": trial_id, **values})


def _close_attempts(connection: AnyConnection, trial_id: int, outcome: str, at: datetime | None) -> None:
    """End the open attempts of a trial at ``at``, or at the time of their last heartbeat if it is None."""
    connection.execute(_CLOSE_ATTEMPTS, {"where_id": trial_id, "end_time": at, "new_outcome": outcome})


def _duration_s(connection: AnyConnection, trial_id: int) -> float | None:
    """Return the total duration of all attempts in seconds, or None if there was no attempt."""
    times = connection.execute(_SELECT_ATTEMPT_TIMES, {"where_id": trial_id}).all()
    return sum((ended_at - started_at).total_seconds() for started_at, ended_at in times) if times else None
