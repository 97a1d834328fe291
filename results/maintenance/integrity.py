"""Integrity check: invariants that every run in a database must meet, also after crashes of drivers and workers."""

from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, and_, exists, func, or_, select

from ...spaces.metrics.registry import VAL_ACCURACY
from ...spaces.recipes.fidelity import FIDELITY
from ..database import lease, schema
from ..database.artifacts import artifact_path, file_problem
from ..database.errors import RefusedError, restore_advice
from ..database.reader import StoreReader
from ..database.records import FINISHED, IMPORTED, OWN_COSTS, RunStatus, TrialState

CURVES = (VAL_ACCURACY, "val_loss", "train_loss")  # metrics that every epoch has
INVARIANTS = {
    "I1": "the trials of a run are numbered from 0 without gaps or duplicates",
    "I2": "no completed trial was trained again",
    "I3": "every running run and trial has a living driver",
    "I4": "a trial has metrics for every epoch from 1 to the last one, its checkpoint is of that epoch, and its result "
    "is that of its best epoch",
    "I5": "every recorded file exists and is unchanged, and there are no other files",
    "I6": "the searcher can be rebuilt from the database: every trial is in the search space, has the cost of its "
    "architecture, and meets the budget",
    "file": "the database file is not damaged",
}
_t, _a, _m, _r = schema.trial.c, schema.attempt.c, schema.metric.c, schema.run.c
_HAS_RESULT = and_(_t.state.in_(sorted(state.value for state in FINISHED)), _t.epochs_done > 0)


class Violation(NamedTuple):
    """A violated invariant: its key in ``INVARIANTS``, the run's name, and a message with the values and a fix."""

    invariant: str
    run: str
    message: str


def check_store(
    store: StoreReader, folder: Path | None, *, deep: bool = False, elsewhere: Container[str] = ()
) -> list[Violation]:
    """Return all violations of the invariants in ``store``.

    ``folder`` contains the artifact files; they are not checked if it is None, nor for the runs whose names are in
    ``elsewhere``, and their content is read only if ``deep``. ``deep`` also makes SQLite check every row.
    """
    with store.read_transaction() as connection:
        violations = [Violation("file", "", message) for message in _damage(connection, deep)]
        if violations:
            return violations  # the rows of a damaged file are not reliable, so the other checks would mislead
        checks = (
            *(_check_numbers, _check_trained_again, _check_open_attempts, _check_drivers, _check_epochs),
            *(_check_missing_curves, _check_results, _check_costs),
        )
        for check in checks:
            violations += check(connection)
        if folder is not None:
            artifacts = _check_artifacts(connection, folder, deep)
            violations += [violation for violation in artifacts if violation.run not in elsewhere]
    return violations


def _damage(connection: Connection, deep: bool) -> Iterator[str]:
    """Yield messages of SQLite's own checks; PostgreSQL enforces its constraints itself."""
    if connection.dialect.name != "sqlite":
        return
    restore = restore_advice(connection.engine.url.database)
    # quick_check is faster, because it does not compare the indexes with their tables.
    for (message,) in connection.exec_driver_sql(f"PRAGMA {'integrity' if deep else 'quick'}_check"):
        if message != "ok":
            yield f"{message}; {restore}"
    for table, row, *_ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"row {row} of {table} refers to a missing row; {restore}"


def _check_numbers(connection: Connection) -> Iterator[Violation]:
    """Check I1. A unique constraint of the table prevents duplicates, so count, minimum and maximum are sufficient."""
    query = select(_r.name, func.count(), func.min(_t.number), func.max(_t.number)).join(schema.trial)
    for run, count, first, last in connection.execute(query.group_by(_r.name)):
        if (first, last) != (0, count - 1):
            yield Violation(
                "I1", run, f"{count} trials are numbered from {first} to {last}; export the remaining trials"
            )


def _check_trained_again(connection: Connection) -> Iterator[Violation]:
    """Check I2: a completed trial has one completed attempt, and no attempt after it.

    The order is that of the numbers of attempts. Their times say nothing: the clock may have been set back.
    """
    is_completed = _t.state == TrialState.COMPLETED.value
    completed = func.count().filter(_a.outcome == TrialState.COMPLETED.value)
    other = schema.attempt.alias()
    of_completed = select(func.min(other.c.attempt)).where(
        other.c.trial_id == _t.trial_id, other.c.outcome == TrialState.COMPLETED.value
    )
    later = func.count().filter(_a.attempt > of_completed.correlate(schema.trial).scalar_subquery())
    joined = select(_r.name, _t.trial_id, completed, later).join_from(schema.run, schema.trial).join(schema.attempt)
    query = joined.where(is_completed).group_by(_r.name, _t.trial_id).having(or_(completed > 1, later > 0))
    for run, trial, times, after in connection.execute(query):
        yield Violation("I2", run, f"trial {trial} completed {times} times and was started {after} times after its end")


def _check_open_attempts(connection: Connection) -> Iterator[Violation]:
    """Check I2: a trial that has ended has no open attempt."""
    final = _t.state.in_([state.value for state in TrialState if state.final])
    query = select(_r.name, _t.trial_id).join_from(schema.run, schema.trial).join(schema.attempt)
    for run, trial in connection.execute(query.where(final, _a.ended_at.is_(None)).distinct()):
        yield Violation("I2", run, f"trial {trial} has ended, but one of its attempts is open; do not use its times")


def _check_drivers(connection: Connection) -> Iterator[Violation]:
    """Check I3. A driver on another machine counts as alive unless it is known to be dead (see ``lease.is_alive``)."""
    # pid None: the check may run in the process that drives the run, and that driver is alive.
    asker = {**lease.this_process(), "pid": None}
    running = func.count().filter(_t.state == TrialState.RUNNING.value)
    # An outer join, because a run without trials needs a driver too.
    query = select(_r.run_id, _r.name, _r.status, running).join_from(schema.run, schema.trial, isouter=True)
    for run_id, run, status, count in connection.execute(query.group_by(_r.run_id, _r.name, _r.status)):
        if status != RunStatus.RUNNING.value and not count:
            continue
        holder = lease.holder(connection, run_id)
        if holder is None or lease.is_alive(holder, asker) is False:
            driver = "no process" if holder is None else f"process {holder.pid} on {holder.host}, which has ended"
            yield Violation(
                "I3", run, f"the run and {count} trials are running, driven by {driver}; use: archsieve resume {run}"
            )


def _check_epochs(connection: Connection) -> Iterator[Violation]:
    """Check I4 without the checkpoints: each curve has the steps 1, 2, ... up to ``epochs_done``."""
    curves = (
        select(_m.trial_id, _m.name, func.count().label("n"), func.min(_m.step).label("first"))
        .add_columns(func.max(_m.step).label("last"))
        .where(_m.name.in_(CURVES))
        .group_by(_m.trial_id, _m.name)
        .subquery()
    )
    c = curves.c
    # epochs_done is compared only for trials without a fail_kind.
    wrong = or_(c.first != 1, c.n != c.last, and_(_t.epochs_done != c.last, _t.fail_kind.is_(None)))
    query = select(_r.name, _t.trial_id, c.name, c.n, c.first, c.last, _t.epochs_done)
    joined = query.join_from(schema.run, schema.trial).join(curves, c.trial_id == _t.trial_id)
    for run, trial, name, n, first, last, done in connection.execute(joined.where(wrong)):
        yield Violation(
            "I4", run, f"trial {trial} has {n} epochs of {name}, from {first} to {last}, and {done} are done"
        )


def _check_missing_curves(connection: Connection) -> Iterator[Violation]:
    """Check I4: a trial with completed epochs has recorded metrics."""
    has_curve = exists().where(_m.trial_id == _t.trial_id, _m.name == VAL_ACCURACY)
    query = select(_r.name, _t.trial_id, _t.epochs_done).join_from(schema.run, schema.trial)
    for run, trial, done in connection.execute(query.where(_HAS_RESULT, ~has_curve)):
        yield Violation("I4", run, f"trial {trial} has completed {done} epochs, but has no {VAL_ACCURACY} of them")


def _check_results(connection: Connection) -> Iterator[Violation]:
    """Check I4: the result of a trial is that of its best epoch.

    Imported runs are skipped, because the other tool defined their results. A trial that was stopped before the whole
    fidelity has no result.
    """
    last = schema.metric.alias().c  # the query below joins the table itself
    at_end = (last.trial_id == _t.trial_id, last.step == _t.epochs_done, last.name == FIDELITY, last.value < 1)
    below = and_(_t.best_epoch.is_(None), _t.val_accuracy.is_(None), exists().where(*at_end))
    # An outer join, because the metric of the best epoch may be missing.
    query = (
        select(_r.name, _r.config, _t.trial_id, _t.val_accuracy, _t.best_epoch, _m.value)
        .join_from(schema.run, schema.trial)
        .join(
            schema.metric,
            and_(_m.trial_id == _t.trial_id, _m.name == VAL_ACCURACY, _m.step == _t.best_epoch),
            isouter=True,
        )
        .where(_HAS_RESULT, ~below, or_(_m.value.is_(None), _t.val_accuracy.is_(None), _t.val_accuracy != _m.value))
    )
    for run, config, trial, accuracy, best, value in connection.execute(query):
        if IMPORTED not in config:
            message = f"trial {trial} has {VAL_ACCURACY} {accuracy}, but its best epoch, {best}, has {value}"
            yield Violation("I4", run, f"{message}; do not use its metrics")


def _check_costs(connection: Connection) -> Iterator[Violation]:
    """Check I6: a trial has the costs of its architecture."""
    architecture = schema.architecture.c
    # memory_bytes is not compared, because it depends on the batch size too.
    differ = or_(*(_t[name] != architecture[name] for name in OWN_COSTS))
    query = select(_r.name, _t.trial_id).join_from(schema.run, schema.trial)
    joined = query.join(schema.architecture, architecture.fingerprint == _t.fingerprint)
    for run, trial in connection.execute(joined.where(differ)):
        yield Violation("I6", run, f"trial {trial} has other costs than its architecture; restore a backup")


def _check_artifacts(connection: Connection, folder: Path, deep: bool) -> Iterator[Violation]:
    """Check I5 for the recorded files: each exists, with the recorded size and, if ``deep``, SHA-256 digest."""
    c = schema.artifact.c
    query = select(_r.name, _t.trial_id, c.uri, c.bytes, c.sha256).join_from(schema.run, schema.trial)
    for run, trial, uri, size, digest in connection.execute(query.join(schema.artifact)):
        try:
            problem = file_problem(artifact_path(folder, uri), size, digest, deep=deep)
        except RefusedError as error:
            yield Violation("I5", run, f"trial {trial}: {error}")
            continue
        if problem:
            message = f"{folder / uri} of trial {trial} {problem}"
            yield Violation("I5", run, f"{message}; train the trial again, or restore the file from a copy")
