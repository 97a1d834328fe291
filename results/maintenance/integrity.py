"""Checking: what must hold of every run in a store, whatever has happened to its drivers, workers and disks."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, and_, exists, func, or_, select

from ..database import lease, schema
from ..database.artifacts import path_of, whats_wrong
from ..database.errors import RefusedError
from ..database.reader import Reading
from ..database.records import FINISHED, IMPORTED, OWN_COSTS, RunStatus, TrialState

ACCURACY = "val_accuracy"
CURVES = (ACCURACY, "val_loss", "train_loss")  # told of every epoch
INVARIANTS = {
    "I1": "every number from 0 to the last is there exactly once",
    "I2": "no trial that completed was trained again",
    "I3": "what runs has a living driver",
    "I4": "a trial's epochs rise from 1 without gaps, to the last one done and its checkpoint; its figures are theirs",
    "I5": "every file that is told of is there and whole, and no other",
    "I6": "the searcher can be rebuilt from the store: every trial is in its space, at its price, inside its budget",
    "file": "the database file is whole",
}
_t, _a, _m, _r = schema.trial.c, schema.attempt.c, schema.metric.c, schema.run.c
_DONE = and_(_t.state.in_(sorted(state.value for state in FINISHED)), _t.epochs_done > 0)


class Broken(NamedTuple):
    """An invariant that does not hold: which one (see ``INVARIANTS``), of which run, the facts and the cure."""

    invariant: str
    run: str
    said: str


def check_store(store: Reading, folder: Path | None, *, deep: bool = False) -> list[Broken]:
    """What is broken in ``store``; its files lie relative to ``folder``, and are read where ``deep``."""
    with store.reading() as connection:
        found = [Broken("file", "", said) for said in _damage(connection, deep)]
        if found:
            return found  # of a damaged file nothing else can be said
        for act in (_numbers, _trained_again, _left_open, _abandoned, _gaps, _without_a_curve, _other_figures, _prices):
            found += act(connection)
        if folder is not None:
            found += _artifacts(connection, folder, deep)
    return found


def _damage(connection: Connection, deep: bool) -> Iterator[str]:
    if connection.dialect.name != "sqlite":
        return
    for (said,) in connection.exec_driver_sql(f"PRAGMA {'integrity' if deep else 'quick'}_check"):
        if said != "ok":
            yield f"{said}; bring back a backup (archsieve db backup makes them)"
    for table, row, *_ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"row {row} of {table} points nowhere; bring back a backup (archsieve db backup makes them)"


def _numbers(connection: Connection) -> Iterator[Broken]:
    """I1. That no number is there twice is the table's own law."""
    counted = select(_r.name, func.count(), func.min(_t.number), func.max(_t.number)).join(schema.trial)
    for run, count, first, last in connection.execute(counted.group_by(_r.name)):
        if (first, last) != (0, count - 1):
            yield Broken("I1", run, f"{count} trials are numbered from {first} to {last}; export what is left")


def _trained_again(connection: Connection) -> Iterator[Broken]:
    """I2: one attempt that completed, and none that began after the end."""
    ended = _t.state == TrialState.COMPLETED.value
    completed = func.count().filter(_a.outcome == TrialState.COMPLETED.value)
    later = func.count().filter(_a.started_at > _t.ended_at)
    joined = select(_r.name, _t.trial_id, completed, later).join_from(schema.run, schema.trial).join(schema.attempt)
    query = joined.where(ended).group_by(_r.name, _t.trial_id).having(or_(completed > 1, later > 0))
    for run, trial, times, after in connection.execute(query):
        yield Broken("I2", run, f"trial {trial} completed {times} times, and was begun {after} times after its end")


def _left_open(connection: Connection) -> Iterator[Broken]:
    """I2: no attempt goes on at a trial that has ended."""
    final = _t.state.in_([state.value for state in TrialState if state.final])
    query = select(_r.name, _t.trial_id).join_from(schema.run, schema.trial).join(schema.attempt)
    for run, trial in connection.execute(query.where(final, _a.ended_at.is_(None)).distinct()):
        yield Broken("I2", run, f"trial {trial} has ended, but an attempt at it has not; do not use its times")


def _abandoned(connection: Connection) -> Iterator[Broken]:
    """I3. Whether a driver on another machine lives, only its heartbeat tells."""
    asker = {**lease.this_process(), "pid": None}  # the check is not a driver, whoever runs it
    running = func.count().filter(_t.state == TrialState.RUNNING.value)
    query = select(_r.run_id, _r.name, _r.status, running).join_from(schema.run, schema.trial, isouter=True)
    for run_id, run, status, count in connection.execute(query.group_by(_r.run_id, _r.name, _r.status)):
        if status != RunStatus.RUNNING.value and not count:
            continue
        holder = lease.holder(connection, run_id)
        if holder is None or lease.lives(holder, asker) is False:
            who = "nobody" if holder is None else f"process {holder.pid} on {holder.host}, which has ended"
            yield Broken("I3", run, f"it and {count} trials run, driven by {who}; go on with: archsieve resume {run}")


def _gaps(connection: Connection) -> Iterator[Broken]:
    """I4, as far as the store alone can tell."""
    counted = (
        select(_m.trial_id, _m.name, func.count().label("n"), func.min(_m.step).label("first"))
        .add_columns(func.max(_m.step).label("last"))
        .where(_m.name.in_(CURVES))
        .group_by(_m.trial_id, _m.name)
        .subquery()
    )
    c = counted.c
    wrong = or_(c.first != 1, c.n != c.last, and_(_t.epochs_done != c.last, _t.fail_kind.is_(None)))
    query = select(_r.name, _t.trial_id, c.name, c.n, c.first, c.last, _t.epochs_done)
    joined = query.join_from(schema.run, schema.trial).join(counted, c.trial_id == _t.trial_id)
    for run, trial, name, n, first, last, done in connection.execute(joined.where(wrong)):
        yield Broken("I4", run, f"trial {trial} has {n} epochs of {name}, from {first} to {last}, and {done} are done")


def _without_a_curve(connection: Connection) -> Iterator[Broken]:
    """I4: epochs that are done have been told of."""
    told = exists().where(_m.trial_id == _t.trial_id, _m.name == ACCURACY)
    query = select(_r.name, _t.trial_id, _t.epochs_done).join_from(schema.run, schema.trial)
    for run, trial, done in connection.execute(query.where(_DONE, ~told)):
        yield Broken("I4", run, f"trial {trial} has done {done} epochs, but no {ACCURACY} of them is there")


def _other_figures(connection: Connection) -> Iterator[Broken]:
    """I4: what a trial came to is what its best epoch says; of a curve that was brought in, whoever made it answers."""
    query = (
        select(_r.name, _r.config, _t.trial_id, _t.val_accuracy, _t.best_epoch, _m.value)
        .join_from(schema.run, schema.trial)
        .join(
            schema.metric, and_(_m.trial_id == _t.trial_id, _m.name == ACCURACY, _m.step == _t.best_epoch), isouter=True
        )
        .where(_DONE, or_(_m.value.is_(None), _t.val_accuracy.is_(None), _t.val_accuracy != _m.value))
    )
    for run, config, trial, accuracy, best, value in connection.execute(query):
        if IMPORTED not in config:
            said = f"trial {trial} has {ACCURACY} {accuracy}, but its best epoch, {best}, has {value}"
            yield Broken("I4", run, f"{said}; do not use its figures")


def _prices(connection: Connection) -> Iterator[Broken]:
    """I6: a trial costs what its architecture costs."""
    architecture = schema.architecture.c
    differ = or_(*(_t[name] != architecture[name] for name in OWN_COSTS))
    query = select(_r.name, _t.trial_id).join_from(schema.run, schema.trial)
    joined = query.join(schema.architecture, architecture.fingerprint == _t.fingerprint)
    for run, trial in connection.execute(joined.where(differ)):
        yield Broken("I6", run, f"trial {trial} has other costs than the row of its architecture; bring back a backup")


def _artifacts(connection: Connection, folder: Path, deep: bool) -> Iterator[Broken]:
    """I5: the files that the store tells of."""
    c = schema.artifact.c
    query = select(_r.name, _t.trial_id, c.uri, c.bytes, c.sha256).join_from(schema.run, schema.trial)
    for run, trial, uri, size, digest in connection.execute(query.join(schema.artifact)):
        try:
            wrong = whats_wrong(path_of(folder, uri), size, digest, deep=deep)
        except RefusedError as error:
            yield Broken("I5", run, f"trial {trial}: {error}")
            continue
        if wrong:
            yield Broken("I5", run, f"{folder / uri} of trial {trial} {wrong}; train it again, or bring the file back")
