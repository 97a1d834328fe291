"""Writes of one trial: queued, started, recorded, ended; each inside the caller's transaction."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, bindparam, case, delete, func, insert, literal, select, update

from ...spaces.parameters.lookup import unknown
from . import schema
from .fast_sqlite import Link
from .lease import lock_run, now
from .records import COSTS, FIGURES, FailKind, TrialState
from .rows import stored, upsert

_COUNTS = ("epochs_done", "best_epoch")
_t, _a = schema.trial.c, schema.attempt.c
# Every trial runs these, most of them at every epoch. Kept by hand: built once they take a fifth of the time, and only
# a statement that stays the same object is compiled once for fast_sqlite.py.
_of = bindparam("of", type_=Integer)
_BEFORE = select(_t.state, _t.epochs_done, _t.started_at).where(_t.trial_id == _of)
_SET = update(schema.trial).where(_t.trial_id == _of)
_ADDED = {table: insert(table) for table in schema.metadata.tables.values()}
_ATTEMPTS = select(schema.attempt).where(_a.trial_id == _of)
_SPANS = select(_a.started_at, _a.ended_at).where(_a.trial_id == _of)
_closed = bindparam("at", type_=schema.Utc())
_CLOSE = (
    update(schema.attempt)
    .where(_a.trial_id == _of, _a.ended_at.is_(None))
    .values(ended_at=func.coalesce(_closed, _a.heartbeat_at), outcome=bindparam("how"))
)
_LAST = (
    select(_t.number, _t.trial_id, _t.created_at, _t.fingerprint)
    .where(_t.run_id == bindparam("of"))
    .order_by(_t.number.desc())
    .limit(1)
)
_epoch = bindparam("epoch", type_=Integer)
_ADVANCE = (
    update(schema.trial)
    .where(_t.trial_id == bindparam("of"))
    .values(epochs_done=case((_t.epochs_done < _epoch, _epoch), else_=_t.epochs_done))
)
_BEAT = (
    update(schema.attempt)
    .where(_a.trial_id == bindparam("of"), _a.ended_at.is_(None))
    .values(heartbeat_at=bindparam("at"))
)


def add_architecture(
    connection: Link,
    fingerprint: str,
    architecture: Mapping[str, Any],
    cost: Mapping[str, int],
    layers: Sequence[Mapping[str, Any]],
) -> None:
    """Write an architecture and its layers, unless they are there."""
    row = {
        "fingerprint": fingerprint,
        "json": dict(architecture),
        "depth": sum(layer["macs"] > 0 for layer in layers),
        "input_shape": architecture.get("input_shape"),
        **{name: int(cost[name]) for name in COSTS},
    }
    columns = ("name", "kind", "out_shape", "params", "macs", "activations")
    listed = [
        {"fingerprint": fingerprint, "idx": idx, **{name: layer[name] for name in columns}}
        for idx, layer in enumerate(layers)
    ]
    if upsert(connection, schema.architecture, [row]):
        upsert(connection, schema.layer, listed)


def queue(connection: Link, run_id: int, row: Mapping[str, Any]) -> int:
    """Write a trial with the next number of its run and return its id; ``row`` says when it was made."""
    lock_run(connection, run_id)
    last = connection.execute(_LAST, {"of": run_id}).first()
    if last is not None and (last.created_at, last.fingerprint) == (row["created_at"], row["fingerprint"]):
        return int(last.trial_id)  # this very proposal: the connection was lost before that was heard of
    number = 0 if last is None else last.number + 1
    values = {**row, "run_id": run_id, "number": number, "state": TrialState.QUEUED.value, "epochs_done": 0}
    return inserted(connection, schema.trial, values)


def link(connection: Connection, trial_id: int, source_id: int) -> None:
    """End a queued trial with the figures of a completed one: its curves, its scores, its accuracies.

    Its latency is not among them: that is of the worker that measured it.
    """
    source = connection.execute(
        select(schema.trial, schema.run.c.name).join(schema.run).where(_t.trial_id == source_id)
    )
    row = source.mappings().one()
    told = {name: row[name] for name in ("seed", "device", "epochs_done", "best_epoch", *FIGURES)}
    at = now()
    _set(
        connection,
        trial_id,
        **told,
        state=TrialState.COMPLETED.value,
        source_trial_id=source_id,
        reason=f"trained in run {row['name']!r} as trial {source_id}",
        started_at=at,
        ended_at=at,
        duration_s=0.0,
    )
    c, p = schema.metric.c, schema.proxy_score.c
    curve = select(literal(trial_id), c.name, c.step, c.value, c.special).where(c.trial_id == source_id)
    connection.execute(insert(schema.metric).from_select([column.name for column in c], curve))
    run_id = connection.scalar(select(_t.run_id).where(_t.trial_id == trial_id))
    scores = select(schema.proxy_score).where(p.run_id == row["run_id"], p.fingerprint == row["fingerprint"])
    rows = [{**score, "run_id": run_id} for score in connection.execute(scores).mappings()]
    upsert(connection, schema.proxy_score, rows)


def inserted(connection: Link, table: Any, row: Mapping[str, Any]) -> int:
    """Insert ``row`` and return the id that it got."""
    key: Any = connection.execute(_ADDED[table], dict(row)).inserted_primary_key
    return int(key[0])


def start(connection: Link, trial_id: int, worker: Mapping[str, Any]) -> None:
    """Begin an attempt by ``worker`` (device, node, pid), unless the same worker's attempt is open."""
    before = _before(connection, trial_id)
    if before.state.final:
        raise ValueError(f"a trial that is {before.state} never runs again, but trial {trial_id} was started")
    attempts = connection.execute(_ATTEMPTS, {"of": trial_id}).all()
    if any(
        attempt.ended_at is None and (attempt.node, attempt.pid) == (worker["node"], worker["pid"])
        for attempt in attempts
    ):
        return
    _close_attempts(connection, trial_id, "lost", None)
    at = now()
    row = {**worker, "trial_id": trial_id, "attempt": len(attempts), "started_at": at, "heartbeat_at": at}
    connection.execute(_ADDED[schema.attempt], row)
    _set(
        connection,
        trial_id,
        state=TrialState.RUNNING.value,
        device=worker["device"],
        started_at=before.started_at or at,
        fail_kind=None,  # of an attempt before
        reason=None,
    )


def locate(connection: Connection, trial_id: int, worker: Mapping[str, Any]) -> None:
    """Say where the open attempt runs, which is known only when its worker has reported."""
    if not worker:
        return
    open_ = update(schema.attempt).where(_a.trial_id == trial_id, _a.ended_at.is_(None))
    connection.execute(open_.values(**worker))
    if worker.get("device") is not None:
        _set(connection, trial_id, device=worker["device"])


def rewind(connection: Connection, trial_id: int, epoch: int) -> int:
    """Forget the epochs after ``epoch``, whose weights are lost, and return how many there were."""
    before = _before(connection, trial_id)
    if before.state.final:
        raise ValueError(f"a trial that is {before.state} stays so, but trial {trial_id} was to go back")
    c = schema.metric.c
    connection.execute(delete(schema.metric).where(c.trial_id == trial_id, c.step > epoch))
    _set(connection, trial_id, epochs_done=min(epoch, before.epochs_done))
    return max(0, before.epochs_done - epoch)


def interrupt(
    connection: Connection, trial_id: int, outcome: str, fail_kind: FailKind | None, reason: str | None
) -> int:
    """Set a trial aside, to be gone on with; return how many of its attempts have come to ``outcome``."""
    _close_attempts(connection, trial_id, outcome, now())
    end(connection, trial_id, TrialState.INTERRUPTED, reason=reason)
    _set(connection, trial_id, fail_kind=fail_kind and fail_kind.value)
    same = select(func.count()).where(_a.trial_id == trial_id, _a.outcome == outcome)
    return connection.scalar(same) or 0


def record(connection: Link, trial_id: int, epoch: int, metrics: Mapping[str, float], *, beat: bool = True) -> None:
    """Write the figures of one epoch, and with ``beat`` a sign of life; earlier figures of the epoch are replaced."""
    if not connection.execute(_ADVANCE, {"of": trial_id, "epoch": epoch}).rowcount:
        raise _unknown_trial(trial_id)
    rows = [{"trial_id": trial_id, "name": name, "step": epoch, **stored(value)} for name, value in metrics.items()]
    upsert(connection, schema.metric, rows, update=("value", "special"))
    if beat:
        connection.execute(_BEAT, {"of": trial_id, "at": now()})


def end(
    connection: Link,
    trial_id: int,
    state: TrialState,
    *,
    fail_kind: FailKind | None = None,
    reason: str | None = None,
    summary: Mapping[str, Any] | None = None,
) -> None:
    """End a trial, or add to the summary of one that ended in the same state."""
    _check_end(state, fail_kind)
    values = _checked(summary or {})
    before = _before(connection, trial_id)
    if before.state.final and before.state is not state:
        raise ValueError(f"a trial that is {before.state} stays so, but trial {trial_id} was to become {state}")
    if not before.state.final:
        _close_attempts(connection, trial_id, state.value, now())
        values["ended_at"] = now() if state.final else None
        values["duration_s"] = _duration_s(connection, trial_id)
        values |= {"state": state.value, "fail_kind": fail_kind and fail_kind.value, "reason": reason}
    if values:
        _set(connection, trial_id, **values)


def interrupt_all(connection: Connection, run_id: int, outcome: str = TrialState.INTERRUPTED.value) -> None:
    """Make the running trials of a run interrupted; their attempts ended with their last sign of life.

    ``outcome`` is that of the attempts: interrupted by a driver that ended them, lost with one that is gone.
    """
    running = select(_t.trial_id).where(_t.run_id == run_id, _t.state == TrialState.RUNNING.value)
    for trial_id in list(connection.scalars(running)):
        _close_attempts(connection, trial_id, outcome, None)
        end(connection, trial_id, TrialState.INTERRUPTED, reason="the process that drove its run ended")


def _check_end(state: TrialState, fail_kind: FailKind | None) -> None:
    if state in (TrialState.QUEUED, TrialState.RUNNING):
        raise ValueError(f"a trial ends completed, stopped_early, failed or interrupted, but got {state}")
    if (state is TrialState.FAILED) != (fail_kind is not None):
        raise ValueError(f"a failed trial, and no other, has a fail_kind, but got {state} with fail_kind={fail_kind}")


def _checked(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of ``summary``; what is not finite is NULL, for NaN must never look like the best."""
    values: dict[str, Any] = {}
    for name, value in summary.items():
        if name not in _COUNTS + FIGURES:
            raise ValueError(unknown("summary key", name, _COUNTS + FIGURES))
        finite = value is not None and math.isfinite(value)
        if finite and name.endswith("_accuracy") and not 0 <= value <= 1:
            raise ValueError(f"{name} must be a fraction in [0, 1], but got {value}; divide percentages by 100")
        values[name] = (int(value) if name in _COUNTS else float(value)) if finite else None
    return values


class _Before(NamedTuple):
    state: TrialState
    epochs_done: int
    started_at: datetime | None


def _before(connection: Link, trial_id: int) -> _Before:
    row = connection.execute(_BEFORE, {"of": trial_id}).first()
    if row is None:
        raise _unknown_trial(trial_id)
    return _Before(TrialState(row.state), row.epochs_done, row.started_at)


def _unknown_trial(trial_id: int) -> ValueError:
    return ValueError(f"no trial has the id {trial_id}; propose it first")


def _set(connection: Link, trial_id: int, **values: Any) -> None:
    connection.execute(_SET, {"of": trial_id, **values})


def _close_attempts(connection: Link, trial_id: int, outcome: str, at: datetime | None) -> None:
    """End the open attempts at ``at``, or with their last sign of life."""
    connection.execute(_CLOSE, {"of": trial_id, "at": at, "how": outcome})


def _duration_s(connection: Link, trial_id: int) -> float | None:
    spans = connection.execute(_SPANS, {"of": trial_id}).all()
    return sum((end - begin).total_seconds() for begin, end in spans) if spans else None
