"""Flat rows: runs as a table with one row per trial, for spreadsheets, pandas and other tools."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import JSON, BigInteger, Connection, Float, Integer, select

from ..database import schema
from .run_document import TABLES, Row, RunDocument
from .run_rows import Values, json_text, rows_without_trial, trials_with_rows
from .staged_rows import DocumentBuilder

RUN, TRIAL = "archsieve_run", "archsieve_trial"
_TRIAL = TABLES["trial"]
_ROWS_AT_ONCE = 2000
_RECIPE = "recipe."  # prefix of the columns with the entries of the recipe
Columns = dict[str, list[Any]]  # cells by the name of their column
_NAMES = tuple(_TRIAL.c.keys())
_JSON_NAMES = tuple(column.name for column in _TRIAL.c if isinstance(column.type, JSON))
# One encoder: json.dumps makes a new one for each cell.
_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
# Of each table: its column names as JSON, and the indices of the columns that hold JSON texts.
_HEADERS = {
    name: (_json(list(table.c.keys())), [i for i, column in enumerate(table.c) if isinstance(column.type, JSON)])
    for name, table in TABLES.items()
}


def column_types(connection: Connection, runs: Sequence[int]) -> dict[str, set[type]]:
    """Return the columns of the flat rows of ``runs``, and the types that their cells have in addition to None."""
    cells: dict[str, set[type]] = {"run": {str}, **{column.name: {_cell_type(column.type)} for column in _TRIAL.c}}
    return {**cells, **_recipe_types(connection, runs), TRIAL: {str}, RUN: {str}}


def _cell_type(kind: Any) -> type:
    if isinstance(kind, Integer | BigInteger):
        return int
    return float if isinstance(kind, Float) else str


def _recipe_types(connection: Connection, runs: Sequence[int]) -> dict[str, set[type]]:
    types: dict[str, set[type]] = {}
    # As texts, decoded many at once: to decode them one by one takes twice as long.
    query = select(json_text(connection, _TRIAL.c.recipe)).where(_TRIAL.c.run_id.in_(runs)).order_by(_TRIAL.c.trial_id)
    for part in connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)).partitions():
        _add_types(types, _decoded(text for (text,) in part))
    return {name: kinds - {type(None)} for name, kinds in types.items()}


def _add_types(types: dict[str, set[type]], recipes: Sequence[Mapping[str, Any]]) -> None:
    """Add to ``types`` the columns of the entries of ``recipes`` and the types of their values."""
    for group in _same_keys(recipes):
        for name, values in zip(group[0], zip(*(recipe.values() for recipe in group), strict=True), strict=True):
            if kinds := set(map(type, values)) - {list, dict}:
                types.setdefault(f"{_RECIPE}{name}", set()).update(kinds)


def _same_keys(recipes: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Yield groups of recipes with the same keys in the same order; most recipes of a run have the same."""
    return (list(group) for _, group in groupby(recipes, tuple))


def _decoded(texts: Iterable[str | None]) -> list[dict[str, Any]]:
    """Return the recipes of JSON texts; an empty one for a text that is no table, as another program may write it."""
    values = json.loads(f"[{','.join(text or 'null' for text in texts)}]")
    return [value if isinstance(value, dict) else {} for value in values]


def flatten(connection: Connection, runs: Iterable[int], names: Iterable[str]) -> Iterator[Columns]:
    """Yield the flat rows of runs in parts: lists of cells by the names of their columns, all of one length.

    There is one row per trial: the columns of the table ``trial``, and the recipe as columns such as ``recipe.lr``.
    ``names`` are the columns, as :func:`column_types` returns them. Lists and tables are JSON texts. The column
    ``archsieve_trial`` has the rows of other tables that belong to the trial, as JSON. The column ``archsieve_run`` of
    a run's first row has the run's other rows, as JSON. A run without trials has a single row.
    """
    for run_id in runs:
        name = connection.scalar(select(schema.run.c.name).where(schema.run.c.run_id == run_id))
        tables = {key: list(rows_without_trial(connection, table, run_id)) for key, table in TABLES.items()}
        # Only in the first row: repeating the rows of the run in every row would multiply the size of the file.
        run_cell: str | None = _packed_json(tables)
        for trials, rows in trials_with_rows(connection, run_id):
            first, run_cell = [run_cell], None
            runs_cells = {"run": [name] * len(trials), RUN: first + [None] * (len(trials) - 1)}
            yield runs_cells | _trial_columns(trials, names) | {TRIAL: list(map(_packed_json, rows))}
        if run_cell is not None:
            yield {**{column: [None] for column in names}, "run": [name], TRIAL: [_packed_json({})], RUN: [run_cell]}


def _trial_columns(trials: Sequence[Sequence[Any]], names: Iterable[str]) -> Columns:
    columns: Columns = dict(zip(_NAMES, map(list, zip(*trials, strict=True)), strict=True))
    recipes = _decoded(columns["recipe"])
    for name in _JSON_NAMES:
        columns[name] = [None if text in (None, "null") else _compact(text) for text in columns[name]]
    keys = [name.removeprefix(_RECIPE) for name in names if name.startswith(_RECIPE)]
    return columns | {f"{_RECIPE}{key}": values for key, values in _recipe_columns(recipes, keys).items()}


def _recipe_columns(recipes: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Columns:
    """Return the values of each of ``keys``, one for each recipe: None if it is missing, a list or a table."""
    columns: Columns = {key: [] for key in keys}
    for group in _same_keys(recipes):
        values = dict(zip(group[0], zip(*(recipe.values() for recipe in group), strict=True), strict=True))
        for key, column in columns.items():
            column.extend(_single_values(values[key]) if key in values else [None] * len(group))
    return columns


def _single_values(values: Sequence[Any]) -> Sequence[Any]:
    """Return ``values`` with None in place of lists and tables, which have no column of their own."""
    if not {list, dict}.intersection(map(type, values)):
        return values
    return [None if isinstance(value, list | dict) else value for value in values]


def _packed_json(tables: Mapping[str, Sequence[Values]]) -> str:
    """Return tables of rows as JSON, each with its column names once; empty tables are left out."""
    return f"{{{','.join(_table_json(name, rows) for name, rows in tables.items() if rows)}}}"


def _table_json(name: str, rows: Sequence[Values]) -> str:
    columns, json_columns = _HEADERS[name]
    content = _json(rows)[1:-1] if not json_columns else ",".join(_row_json(row, json_columns) for row in rows)
    return f'"{name}":{{"columns":{columns},"rows":[{content}]}}'


def _row_json(row: Values, json_columns: Sequence[int]) -> str:
    """Return a row as JSON; the cells ``json_columns`` are JSON texts already."""
    parts, start = [], 0
    for index in (*json_columns, len(row)):
        if start < index:  # the cells between two JSON columns
            parts.append(_json(row[start:index])[1:-1])
        if index < len(row):
            parts.append(_compact(row[index] or "null"))
        start = index + 1
    return f"[{','.join(parts)}]"


def _compact(text: str) -> str:
    """Return a JSON text without spaces and without escaped letters, as ``_json`` writes the value."""
    return _json(json.loads(text)) if " " in text or "\\" in text else text


def unflatten(rows: Iterable[Mapping[str, Any]]) -> Iterator[RunDocument]:
    """Return the documents of rows from :func:`flatten`; raise ``ValueError`` if a required column is missing.

    The ``recipe.`` columns are not read: they repeat the column ``recipe``, which has the whole recipe as JSON.
    """
    runs: dict[str, _FlatRun] = {}
    for row in rows:
        for name in ("run", "trial_id", RUN, TRIAL):
            if name not in row:
                raise ValueError(f"the column {name} is missing")
        run = str(row["run"])
        runs.setdefault(run, _FlatRun(run)).add(row)
    return (run.document() for run in runs.values())


class _FlatRun:
    """The rows of a run that were read so far."""

    def __init__(self, name: str) -> None:
        self._name, self._builder = name, DocumentBuilder()
        self._n_run_cells, self._error = 0, ""

    def add(self, row: Mapping[str, Any]) -> None:
        if row[RUN]:
            self._n_run_cells += 1
            self._add_tables(row[RUN])
        if row["trial_id"] is None:
            return
        try:
            trial = _trial(row)
            self._builder.start("trial").add(list(trial), list(trial.values()))
            self._add_tables(row[TRIAL])
        except ValueError as error:
            if self._n_run_cells:
                raise
            self._error = str(error)  # raised at the end, unless the run itself is missing

    def _add_tables(self, cell: Any) -> None:
        tables = json.loads(cell) if isinstance(cell, str) else cell
        if not isinstance(tables, dict):
            raise ValueError(
                f"run {self._name!r}: {RUN} and {TRIAL} must be JSON objects of tables, got {str(cell)[:60]!r}"
            )
        for name, table in tables.items():
            self._builder.add(name, table)

    def document(self) -> RunDocument:
        if self._n_run_cells != 1:
            raise ValueError(
                f"exactly one row of run {self._name!r} must have a value in {RUN}, got {self._n_run_cells}; "
                "import the exported rows unchanged"
            )
        if self._error:
            raise ValueError(self._error)
        return self._builder.document()


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
