"""Spreadsheets: a run as rows of trials, for tools that know nothing of runs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, BigInteger, Float, Integer

from .run_document import TABLES, Document, Row, as_table

RUN, TRIAL = "archsieve_run", "archsieve_trial"
_OF_TRIAL = ("attempt", "metric")  # tables whose rows belong to one trial and to nothing else
_TRIAL = TABLES["trial"]


def spread(found: Sequence[Document]) -> Iterator[Row]:
    """A row for each trial: its columns, the recipe's values as ``recipe.lr``, and as JSON what cannot be a column.

    The first row of a run holds, in ``archsieve_run``, the run's other tables; a run without trials is that one row.
    """
    for document in found:
        rest = {name: as_table(rows) for name, rows in document.tables.items() if name not in ("trial", *_OF_TRIAL)}
        whole = _json({name: table for name, table in rest.items() if table["rows"]})
        trials = document.tables["trial"] or [{}]
        children = {name: _by_trial(document.tables[name]) for name in _OF_TRIAL}
        for place, row in enumerate(trials):
            own = {name: as_table(rows.get(row.get("trial_id"), [])) for name, rows in children.items()}
            flat = {f"recipe.{key}": value for key, value in row.get("recipe", {}).items() if not _nested(value)}
            cells = {column.name: _cell(column.type, row.get(column.name)) for column in _TRIAL.c}
            yield {"run": document.name, **cells, **flat, TRIAL: _json(own), RUN: whole if place == 0 else None}


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


def gathered(rows: Sequence[Mapping[str, Any]]) -> Iterator[Document]:
    """The documents that :func:`spread` spread; the ``recipe.`` columns are for the reader and are not read back."""
    by_run: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        for name in ("run", "trial_id", RUN, TRIAL):
            if name not in row:
                raise ValueError(f"it has no column {name}")
        by_run.setdefault(str(row["run"]), []).append(row)
    return (_gather(name, own) for name, own in by_run.items())


def _gather(name: str, rows: Sequence[Mapping[str, Any]]) -> Document:
    wholes = [row[RUN] for row in rows if row[RUN]]
    if len(wholes) != 1:
        raise ValueError(f"one row of run {name!r} holds {RUN}, but {len(wholes)} do; keep the rows of the export")
    trials = [row for row in rows if row["trial_id"] is not None]
    packed = {**_parsed(name, wholes[0]), "trial": as_table([_trial(row) for row in trials])}
    for row in trials:
        for table, own in _parsed(name, row[TRIAL]).items():
            known = packed.setdefault(table, {"columns": own["columns"], "rows": []})
            known["rows"] += own["rows"]
    return Document.of({table: told for table, told in packed.items() if told["rows"]})


def _parsed(name: str, text: Any) -> dict[str, Any]:
    told = json.loads(text)
    if not isinstance(told, dict):
        raise ValueError(f"run {name!r}: {RUN} and {TRIAL} hold tables, but got {str(text)[:60]!r}")
    return {table: own for table, own in told.items() if own["rows"]}


def _trial(row: Mapping[str, Any]) -> Row:
    """The columns of the trial; CSV has only texts for them."""
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
        raise ValueError(f"the column {name} cannot hold {str(cell)[:60]!r}") from None
