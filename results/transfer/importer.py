"""Import of runs: check run documents, then write all of them or none."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, insert, select
from sqlalchemy.exc import IntegrityError

from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.recorded import unknown_kinds
from ..database import schema
from ..database.errors import RunExistsError
from ..database.lease import now
from ..database.records import COSTS, OWN_COSTS, FailKind, RunStatus, TrialState
from ..database.rows import upsert
from ..database.run_name import check_run_name, free_name
from ..database.store import Store
from ..database.trial_statements import inserted
from .document_schema import check_event, shown
from .run_document import TABLES, Row, RunDocument, typed
from .staged_rows import repeated

# (table, primary key) -> old id in the document -> new id in this database
Ids = dict[tuple[str, str], dict[Any, int]]
IMPORTED_EVENT = "imported"  # kind of the event that marks an imported run
PATHS_ALLOWED_EVENT = "paths_allowed"  # kind of the event with the paths that the user of this database has allowed
# Rows of these tables are identified by their content and shared by runs: an existing equal row is used.
_SHARED_TABLES = ("dataset", "architecture", "layer")
_ROWS_AT_ONCE = 2000
_EXPORT_AGAIN = "export the run again"
_ACCURACIES = ("val_accuracy", "train_accuracy", "test_accuracy")


def import_documents(store: Store, documents: Sequence[RunDocument], *, name: str | None = None) -> list[str]:
    """Write the runs of ``documents`` into ``store`` and return their names.

    ``name`` is a new name for the run if there is exactly one. A running run is stopped by the import, and a running
    trial is interrupted: no process drives them in this database.

    Raises ``ValueError`` for documents with contradictions in fingerprints, costs, numbers or states, and for a run
    that is already in the database. Raises ``RunExistsError`` if another run has the same name. Nothing is written
    then.
    """
    if name is not None:
        if len(documents) != 1:
            raise ValueError(
                f"a new name needs exactly one run, but the file has {len(documents)}; import them without a name, or "
                "select one run"
            )
        documents = [_renamed(documents[0], check_run_name(name))]
    for document in documents:
        _check(document)
    # The ids of all runs together: the source of a trial can be a trial of another run in the file.
    ids: Ids = {}
    with store.write_transaction() as connection:
        # Oldest first: a source trial has to exist before the trials that refer to it.
        for document in sorted(documents, key=lambda document: typed(schema.run, document.run)["created_at"]):
            _check_new(connection, document)
            try:
                _write(connection, document, ids)
                _mark(connection, document, ids)
            except IntegrityError as error:
                raise ValueError(
                    f"run {document.name!r} has contradictory rows: {error.orig}; nothing was written; {_EXPORT_AGAIN}"
                ) from None
    return [document.name for document in documents]


def _renamed(document: RunDocument, name: str) -> RunDocument:
    return replace(document, tables={**document.tables, "run": [{**document.run, "name": name}]})


def _check(document: RunDocument) -> None:
    """Raise ``ValueError`` if the rows of a document contradict each other."""
    for name, rows in document.tables.items():
        for row in rows:
            typed(TABLES[name], row)
        _check_keys(name, rows)
    for event in document.tables["event"]:
        check_event(event["kind"], event["detail"])
    check_run_name(document.name)
    _check_settings(document.run["config"])
    RunStatus(document.run["status"])
    costs = {}
    for row in document.tables["architecture"]:
        _check_architecture(row)
        costs[row["fingerprint"]] = tuple(row[cost] for cost in COSTS)
    trials = document.tables["trial"]
    numbers = [row["number"] for row in trials]
    if sorted(numbers) != list(range(len(numbers))):
        raise ValueError(
            f"the trials of {document.name!r} must have the numbers 0 to {len(numbers) - 1}, got {numbers[:20]}; "
            f"{_EXPORT_AGAIN}"
        )
    for row in trials:
        _check_trial(row, costs)


def _check_keys(name: str, rows: Sequence[Row]) -> None:
    """Raise ``ValueError`` if two rows of a table have one primary key: rows that refer to it would be ambiguous."""
    columns = TABLES[name].primary_key.columns.keys()
    if found := repeated([row.get(column) for column in columns] for row in rows):
        key, count = found
        raise ValueError(
            f"each row of {name} must have its own {', '.join(columns)}, but {count} rows have "
            f"{', '.join(map(shown, key))}; {_EXPORT_AGAIN}"
        )


def _check_settings(config: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` if the settings of a run do not have the tables that reports and queries read."""
    for name in ("data", "budget", "search", "resources", "plugins"):
        if not isinstance(config.get(name, {}), Mapping):
            raise ValueError(f"run.config.{name} must be a table, got {shown(config[name])}; {_EXPORT_AGAIN}")


def _check_architecture(row: Row) -> None:
    """Raise ``ValueError`` if the fingerprint or a cost differs from the one computed from the architecture itself.

    An architecture with custom blocks that this process does not have is stored as it is recorded.
    """
    fingerprint = str(row["fingerprint"])
    if unknown_kinds(row["json"]):
        return
    try:
        architecture = Architecture.from_json(row["json"])
        computed_costs = architecture.cost
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        reason = str(error)[:200] or type(error).__name__
        raise ValueError(f"the architecture {fingerprint[:12]} cannot be read: {reason}; {_EXPORT_AGAIN}") from None
    if architecture.fingerprint != fingerprint:
        raise ValueError(
            f"an architecture must have the fingerprint {architecture.fingerprint[:12]}, got {fingerprint[:12]}; "
            f"{_EXPORT_AGAIN}"
        )
    for cost in OWN_COSTS:
        if (computed := getattr(computed_costs, cost)) != row[cost]:
            raise ValueError(
                f"the architecture {fingerprint[:12]} must have {computed:,} {cost}, got {row[cost]:,}; {_EXPORT_AGAIN}"
            )


def _check_trial(row: Row, costs: Mapping[str, tuple[int, ...]]) -> None:
    label = f"trial number {row['number']}"
    state = TrialState(row["state"])
    if (state is TrialState.FAILED) != (row.get("fail_kind") is not None):
        raise ValueError(
            f"{label}: only a failed trial, and every failed trial, must have a fail_kind, got the state {state}; "
            f"{_EXPORT_AGAIN}"
        )
    if row.get("fail_kind") is not None:
        FailKind(row["fail_kind"])
    if row["fingerprint"] not in costs:
        raise ValueError(f"{label}: its architecture {row['fingerprint'][:12]} is not in the file; {_EXPORT_AGAIN}")
    for cost, value in zip(COSTS, costs[row["fingerprint"]], strict=True):
        if row[cost] != value:
            raise ValueError(
                f"{label}: its {cost} must be that of its architecture, got {row[cost]:,}; {_EXPORT_AGAIN}"
            )
    for name in _ACCURACIES:
        if row.get(name) is not None and not 0 <= row[name] <= 1:
            raise ValueError(f"{label}: {name} must be a fraction in [0, 1], got {row[name]}; {_EXPORT_AGAIN}")


def _check_new(connection: Connection, document: RunDocument) -> None:
    """Raise an error if the run is already in the database under any name, or if its name is in use.

    Two runs are the same if they agree in time of creation, seed and settings.
    """
    r = schema.run.c
    run = typed(schema.run, document.run)
    names = set(connection.scalars(select(r.name)))
    # The settings are compared in Python: PostgreSQL has no equality for its JSON type.
    candidates = connection.execute(
        select(r.name, r.config).where(r.created_at == run["created_at"], r.seed == run["seed"])
    )
    for existing in candidates:
        if existing.config == run["config"]:
            name = "" if existing.name == document.name else f" as {existing.name!r}"
            raise ValueError(
                f"run {document.name!r} is already in this results database{name}; nothing was written; "
                "no import is needed"
            )
    if document.name in names:
        raise RunExistsError(document.name, free_name(document.name, names))


def _write(connection: Connection, document: RunDocument, ids: Ids) -> None:
    for name, table in TABLES.items():
        kept = (row for row in document.tables.get(name, ()) if not _is_consent(table, row))
        rows = (_ended(table, typed(table, row)) for row in kept)
        # In parts: a run of any length takes little memory. All parts are in the one transaction.
        while part := list(islice(rows, _ROWS_AT_ONCE)):
            if name in _SHARED_TABLES:
                upsert(connection, table, part)
            else:
                _insert(connection, table, part, ids)


def _mark(connection: Connection, document: RunDocument, ids: Ids) -> None:
    """Record that the run was imported: its paths were chosen elsewhere."""
    run_id = ids[("run", "run_id")][document.run["run_id"]]
    event = {"level": "info", "kind": IMPORTED_EVENT, "detail": {"version": document.run["version"]}}
    connection.execute(insert(schema.event).values(run_id=run_id, at=now(), **event))


def _is_consent(table: Table, row: Row) -> bool:
    """Return whether the row allows paths: only the user of this database can do that."""
    return table is schema.event and row["kind"] == PATHS_ALLOWED_EVENT


def _ended(table: Table, row: Row) -> Row:
    """Return the row without a running state: a run has no driver process after its import.

    A running trial would otherwise stay in this state indefinitely, and the lease of the exporting process would block
    a resume.
    """
    if table is schema.run and row["status"] == RunStatus.RUNNING:
        return {**row, "status": RunStatus.STOPPED.value}
    if table is schema.trial and row["state"] == TrialState.RUNNING:
        return {**row, "state": TrialState.INTERRUPTED.value, "reason": "it was running when its run was exported"}
    if table in (schema.process, schema.attempt) and row.get("ended_at") is None:
        reason_column = "end_reason" if table is schema.process else "outcome"
        return {**row, "ended_at": row["heartbeat_at"], reason_column: "exported"}
    return row


def _with_new_ids(table: Table, row: Row, renumbered: Ids) -> Row:
    """Return the row with the new ids of the rows that it refers to; None for a row that was not imported.

    For example, a trial whose metrics come from a run that was not imported loses its ``source_trial_id``, but its
    reason still has the information.
    """
    updated = dict(row)
    for column in table.c:
        for key in column.foreign_keys:
            target = (key.column.table.name, key.column.name)
            if target in renumbered and row.get(column.name) is not None:
                updated[column.name] = renumbered[target].get(row[column.name])
    return updated


def _insert(connection: Connection, table: Table, rows: Sequence[Row], renumbered: Ids) -> None:
    """Insert ``rows``; record the new ids in ``renumbered`` if the database assigns them."""
    key = table.autoincrement_column
    if key is None:
        connection.execute(insert(table), [_with_new_ids(table, row, renumbered) for row in rows])
        return
    ids = renumbered.setdefault((table.name, key.name), {})
    for row in rows:
        values = {name: value for name, value in _with_new_ids(table, row, renumbered).items() if name != key.name}
        ids[row[key.name]] = inserted(connection, table, values)
