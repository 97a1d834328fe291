"""Flat rows: runs as a table with one row per trial, for spreadsheets, pandas and other tools."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, BigInteger, Float, Integer

from .run_document import TABLES, Row, RunDocument, as_table

RUN, TRIAL = "archsieve_run", "archsieve_trial"
_TRIAL_TABLES = ("attempt", "metric")  # each of their rows belongs to exactly one trial
_TRIAL = TABLES["trial"]


def flatten(exported: Sequence[RunDocument]) -> Iterator[Row]:
    """Yield one row per trial: the columns of the table ``trial``, and the recipe as columns such as ``recipe.lr``.

    Lists and tables are JSON texts. The column ``archsieve_trial`` has the trial's rows of other tables, as JSON. The
    column ``archsieve_run`` of a run's first row has the run's other tables, as JSON. A run without trials has a single
    row.
    """
    for document in exported:
        run_tables = {
            name: as_table(rows) for name, rows in document.tables.items() if name not in ("trial", *_TRIAL_TABLES)
        }
        run_json = _json({name: table for name, table in run_tables.items() if table["rows"]})
        trials = document.tables["trial"] or [{}]
        children = {name: _by_trial(document.tables[name]) for name in _TRIAL_TABLES}
        for index, row in enumerate(trials):
            trial_tables = {name: as_table(rows.get(row.get("trial_id"), [])) for name, rows in children.items()}
            flat = {f"recipe.{key}": value for key, value in row.get("recipe", {}).items() if not _nested(value)}
            cells = {column.name: _cell(column.type, row.get(column.name)) for column in _TRIAL.c}
            # Only in the first row: repeating the tables of the run in every row would multiply the size of the file.
            run_cell = run_json if index == 0 else None
            yield {"run": document.name, **cells, **flat, TRIAL: _json(trial_tables), RUN: run_cell}


def _by_trial(rows: Sequence[Row]) -> dict[Any, list[Row]]:
    grouped: dict[Any, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["trial_id"], []).append(row)
    return grouped


def _nested(value: Any) -> bool:
    return isinstance(value, list | dict)


def _cell(kind: Any, value: Any) -> Any:
    return _json(value) if isinstance(kind, JSON) and value is not None else value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def unflatten(rows: Sequence[Mapping[str, Any]]) -> Iterator[RunDocument]:
    """Return the documents of rows from :func:`flatten`; raise ``ValueError`` if a required column is missing.

    The ``recipe.`` columns are not read: they repeat the column ``recipe``, which has the whole recipe as JSON.
    """
    by_run: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        for name in ("run", "trial_id", RUN, TRIAL):
            if name not in row:
                raise ValueError(f"the column {name} is missing")
        by_run.setdefault(str(row["run"]), []).append(row)
    return (_document(name, run_rows) for name, run_rows in by_run.items())


def _document(name: str, rows: Sequence[Mapping[str, Any]]) -> RunDocument:
    run_cells = [row[RUN] for row in rows if row[RUN]]
    if len(run_cells) != 1:
        raise ValueError(
            f"exactly one row of run {name!r} must have a value in {RUN}, got {len(run_cells)}; "
            "import the exported rows unchanged"
        )
    trials = [row for row in rows if row["trial_id"] is not None]
    packed = {**_parsed(name, run_cells[0]), "trial": as_table([_trial(row) for row in trials])}
    for row in trials:
        for name_of_table, content in _parsed(name, row[TRIAL]).items():
            merged = packed.setdefault(name_of_table, {"columns": content["columns"], "rows": []})
            merged["rows"] += content["rows"]
    return RunDocument.from_json(
        {name_of_table: content for name_of_table, content in packed.items() if content["rows"]}
    )


def _parsed(name: str, text: Any) -> dict[str, Any]:
    """Return the tables in a cell of the column ``RUN`` or ``TRIAL`` of the run ``name``, without empty ones."""
    tables = json.loads(text)
    if not isinstance(tables, dict):
        raise ValueError(f"run {name!r}: {RUN} and {TRIAL} must be JSON objects of tables, got {str(text)[:60]!r}")
    return {table: content for table, content in tables.items() if content["rows"]}


def _trial(row: Mapping[str, Any]) -> Row:
    """Return the row of the table ``trial``; the cells of a CSV file are texts and are converted."""
    return {
        column.name: _value(column.name, column.type, row[column.name]) for column in _TRIAL.c if column.name in row
    }


def _value(name: str, kind: Any, cell: Any) -> Any:
    if cell is None:
        return None
    try:
        if isinstance(kind, JSON):
            return json.loads(cell)
        if isinstance(kind, Integer | BigInteger):
            return int(cell)
        return float(cell) if isinstance(kind, Float) else cell
    except ValueError:
        raise ValueError(f"the column {name} has an invalid value: {str(cell)[:60]!r}") from None
