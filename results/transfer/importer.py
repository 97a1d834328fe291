"""Arrival: documents checked, and written into a store whole or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Table, insert, select
from sqlalchemy.exc import IntegrityError

from ...spaces.architectures.architecture import Architecture
from ..database import schema
from ..database.errors import RunExistsError
from ..database.records import COSTS, OWN_COSTS, FailKind, RunStatus, TrialState
from ..database.rows import upsert
from ..database.run_name import check_run_name, free_name
from ..database.store import Store
from ..database.trial_statements import inserted
from .run_document import TABLES, Document, Row, typed

Ids = dict[tuple[str, str], dict[Any, int]]  # (table, its key) -> the id that a row had -> the one it has here
_SHARED = ("dataset", "architecture", "layer")  # identified by content: the same row is the same thing
_ACCURACIES = ("val_accuracy", "train_accuracy", "test_accuracy")


def bring_in(store: Store, arriving: Sequence[Document], *, name: str | None = None) -> list[str]:
    """Write the runs of ``arriving`` into ``store`` and return their names; ``name`` renames the only one.

    Fingerprints, costs, numbers and states are checked first: a ``ValueError`` says what contradicts itself, a
    ``RunExistsError`` which run is here already, and nothing is written. What was running is interrupted here.
    """
    if name is not None:
        if len(arriving) != 1:
            raise ValueError(f"one run can be renamed, but the file has {len(arriving)}; bring them in as they are")
        arriving = [_renamed(arriving[0], check_run_name(name))]
    for document in arriving:
        _check(document)
    ids: Ids = {}  # of all runs together: a trial may point at one of an earlier run
    with store.writing() as connection:
        for document in sorted(arriving, key=lambda document: typed(schema.run, document.run)["created_at"]):
            _check_new(connection, document)
            try:
                _write(connection, document, ids)
            except IntegrityError as error:
                raise ValueError(
                    f"run {document.name!r} contradicts itself: {error.orig}; nothing was written"
                ) from None
    return [document.name for document in arriving]


def _renamed(document: Document, name: str) -> Document:
    return replace(document, tables={**document.tables, "run": [{**document.run, "name": name}]})


def _check(document: Document) -> None:
    """Raise where a document contradicts itself."""
    for name, rows in document.tables.items():
        for row in rows:
            typed(TABLES[name], row)
    check_run_name(document.name)
    RunStatus(document.run["status"])
    costs = {row["fingerprint"]: row for row in document.tables["architecture"]}
    for row in costs.values():
        _check_architecture(row)
    trials = document.tables["trial"]
    numbers = [row["number"] for row in trials]
    if sorted(numbers) != list(range(len(numbers))):
        raise ValueError(
            f"the trials of {document.name!r} are numbered 0 to {len(numbers) - 1}, but got {numbers[:20]}"
        )
    for row in trials:
        _check_trial(row, costs)


def _check_architecture(row: Row) -> None:
    said = str(row["fingerprint"])
    try:
        architecture = Architecture.from_json(row["json"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the architecture {said[:12]} cannot be read: {error}") from None
    if architecture.fingerprint != said:
        raise ValueError(
            f"an architecture has the fingerprint {architecture.fingerprint[:12]}, but {said[:12]} is said"
        )
    for cost in OWN_COSTS:
        if getattr(architecture.cost, cost) != row[cost]:
            true = getattr(architecture.cost, cost)
            raise ValueError(f"the architecture {said[:12]} has {true:,} {cost}, but {row[cost]:,} are said")


def _check_trial(row: Row, costs: Mapping[str, Row]) -> None:
    where = f"trial number {row['number']}"
    state = TrialState(row["state"])
    if (state is TrialState.FAILED) != (row.get("fail_kind") is not None):
        raise ValueError(f"{where}: a failed trial, and no other, has a fail_kind, but this one is {state}")
    if row.get("fail_kind") is not None:
        FailKind(row["fail_kind"])
    if row["fingerprint"] not in costs:
        raise ValueError(f"{where}: its architecture {row['fingerprint'][:12]} is not in the file")
    for cost in COSTS:
        if row[cost] != costs[row["fingerprint"]][cost]:
            raise ValueError(f"{where}: its {cost} are {row[cost]:,}, but its architecture has another number")
    for name in _ACCURACIES:
        if row.get(name) is not None and not 0 <= row[name] <= 1:
            raise ValueError(f"{where}: {name} must be a fraction in [0, 1], but got {row[name]}")


def _check_new(connection: Connection, document: Document) -> None:
    """Raise where the run is in the store already, under its name or another."""
    r = schema.run.c
    run = typed(schema.run, document.run)
    names = set(connection.scalars(select(r.name)))
    twins = connection.execute(select(r.name, r.config).where(r.created_at == run["created_at"], r.seed == run["seed"]))
    for twin in twins:
        if twin.config == run["config"]:
            known = "" if twin.name == document.name else f", as {twin.name!r}"
            raise ValueError(f"run {document.name!r} is in this store already{known}; nothing was written")
    if document.name in names:
        raise RunExistsError(document.name, free_name(document.name, names))


def _write(connection: Connection, document: Document, ids: Ids) -> None:
    for name, table in TABLES.items():
        rows = [_at_rest(table, typed(table, row)) for row in document.tables.get(name, ())]
        if name in _SHARED:
            upsert(connection, table, rows)
        else:
            _insert(connection, table, rows, ids)


def _at_rest(table: Table, row: Row) -> Row:
    """The row as it is where nobody drives the run: a lease or a running trial would wait for ever."""
    if table is schema.run and row["status"] == RunStatus.RUNNING:
        return {**row, "status": RunStatus.STOPPED.value}
    if table is schema.trial and row["state"] == TrialState.RUNNING:
        return {**row, "state": TrialState.INTERRUPTED.value, "reason": "it was running when its run was exported"}
    if table in (schema.process, schema.attempt) and row.get("ended_at") is None:
        reason = "end_reason" if table is schema.process else "outcome"
        return {**row, "ended_at": row["heartbeat_at"], reason: "exported"}
    return row


def _pointed(table: Table, row: Row, renumbered: Ids) -> Row:
    """The row with the ids that its neighbours have here; what stayed behind is no longer pointed at.

    Where the run that a trial's figures come from has not come along, the trial's reason still tells.
    """
    pointed = dict(row)
    for column in table.c:
        for key in column.foreign_keys:
            target = (key.column.table.name, key.column.name)
            if target in renumbered and row.get(column.name) is not None:
                pointed[column.name] = renumbered[target].get(row[column.name])
    return pointed


def _insert(connection: Connection, table: Table, rows: Sequence[Row], renumbered: Ids) -> None:
    """Insert ``rows``; where the database counts them itself, note the ids that they get."""
    key = table.autoincrement_column
    if key is None:
        if rows:
            connection.execute(insert(table), [_pointed(table, row, renumbered) for row in rows])
        return
    ids = renumbered.setdefault((table.name, key.name), {})
    for row in rows:
        values = {name: value for name, value in _pointed(table, row, renumbered).items() if name != key.name}
        ids[row[key.name]] = inserted(connection, table, values)
