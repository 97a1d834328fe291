"""Export of runs to JSON, CSV or Parquet files, and reading of such files."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from ...spaces.parameters.lookup import look_up, unknown
from ..database import schema
from ..database.atomic_file import atomic_write
from ..database.reader import StoreReader
from ..database.schema import APPLICATION
from ..database.store import open_store
from .flat_rows import Columns, column_types, flatten, unflatten
from .json_stream import JsonReader
from .run_document import FORMAT, TABLES, RunDocument, run_ids
from .run_rows import Values, table_rows
from .staged_rows import DocumentBuilder, checked_cells, checked_columns

_ROWS_AT_ONCE = 2000  # written at once
_ROWS_READ_AT_ONCE = 500
_DATABASES = (".db", ".sqlite", ".sqlite3")
_MAX_CELL_CHARACTERS = 10**9  # of a CSV cell; the default of the csv module is too small for the tables of a large run


def export_runs(
    store: StoreReader, path: str | Path, runs: Iterable[str | int] = (), *, force: bool = False
) -> list[str]:
    """Write ``runs``, or all runs, to a ``.json``, ``.csv`` or ``.parquet`` file; return the names of the runs.

    The file contains everything about a run except the files of its artifacts. CSV and Parquet files have one row per
    trial. In the first row of a run, the column ``archsieve_run`` has the tables that belong to the run as a whole. The
    file is written completely or not at all.

    Raises ``ValueError`` for an unknown run or file type, if the folder does not exist, and if the file exists and
    ``force`` is not set.
    """
    path = Path(path)
    write, _ = _format(path)
    if path.is_dir():
        raise ValueError(f"an export must be a file, but {path} is a folder; write to {path / 'runs.json'}")
    if path.exists() and not force:
        raise ValueError(f"{path} already exists and was not changed; name another file, or overwrite it with --force")
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} does not exist; create it, or name another folder")
    # One transaction: the file shows one state of the database, also while a search writes to it.
    with atomic_write(path) as draft, store.read_transaction() as connection:
        ids = run_ids(connection, runs)
        write(draft, connection, ids)
        names = dict(connection.execute(select(schema.run.c.run_id, schema.run.c.name)).all())
    return [str(names[run_id]) for run_id in ids]


def read_runs(path: str | Path, runs: Iterable[str | int] = ()) -> list[RunDocument]:
    """Read ``runs``, or all runs, from a file that :func:`export_runs` wrote or from another results database.

    Raises ``ValueError`` if the file does not exist, is not an export, is damaged, or does not have one of ``runs``.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"the file {path} does not exist (current folder: {Path.cwd()}); name an exported file")
    if path.suffix.lower() in _DATABASES:
        with open_store(path, read_only=True) as other:
            read = database_documents(other, runs)
    else:
        read = _selected(_read(path), list(runs))
    if not read:
        raise ValueError(f"an export must have at least one run, but {path} has none; export it again")
    names = [document.name for document in read]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"the runs of an export must have different names, but {path} has {name!r} twice; export it again"
            )
    return read


def database_documents(store: StoreReader, runs: Iterable[str | int] = ()) -> list[RunDocument]:
    """Return the documents of ``runs``, or of all runs, read in one transaction."""
    found = []
    with store.read_transaction() as connection:
        for run_id in run_ids(connection, runs):
            builder = DocumentBuilder()
            for name, table in TABLES.items():
                rows, columns = builder.start(name), table.c.keys()
                for cells in table_rows(connection, table, run_id):
                    rows.add(columns, cells)
            found.append(builder.document())
    return found


def _selected(read: list[RunDocument], runs: list[str | int]) -> list[RunDocument]:
    """Return the documents of ``runs``, or all documents if ``runs`` is empty."""
    names = [document.name for document in read]
    for run in runs:
        if run not in names:
            raise ValueError(unknown("run", str(run), names))
    return [document for document in read if not runs or document.name in runs]


def _read(path: Path) -> list[RunDocument]:
    _, read = _format(path)
    try:
        return list(read(path))
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ValueError(
            f"an export must be UTF-8 text, but {path} has the invalid byte {byte:#x}; export it again"
        ) from None
    # A file from elsewhere can have any structure, so every error of reading it means that it is not an export.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        raise ValueError(
            f"{path} must be a file written by archsieve results export, but: {error or type(error).__name__}"
        ) from None


def _write_json(path: Path, connection: Connection, runs: Sequence[int]) -> None:
    head = {"application": APPLICATION, "format": FORMAT, "exported_at": datetime.now(UTC).isoformat()}
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{_json(head)[:-1]}, "runs": [')
        for index, run_id in enumerate(runs):
            file.write(", {" if index else "{")
            for part in _json_tables(connection, run_id):
                file.write(part)
            file.write("}")
        file.write("]}")


def _json_tables(connection: Connection, run_id: int) -> Iterator[str]:
    """Yield the tables of a run in parts; each has its column names once, and empty tables are left out."""
    comma = ""
    for name, table in TABLES.items():
        rows = table_rows(connection, table, run_id)
        if first := _next_rows(rows):
            yield f'{comma}{_json(name)}: {{"columns": {_json(list(table.c.keys()))}, "rows": [{first}'
            while more := _next_rows(rows):
                yield f", {more}"
            yield "]}"
            comma = ", "


def _next_rows(rows: Iterator[Values]) -> str:
    """Return the next rows as JSON without brackets; an empty text at the end."""
    return _json(list(islice(rows, _ROWS_AT_ONCE)))[1:-1]


# One encoder: json.dumps makes a new one for each value.
_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _read_json(path: Path) -> Iterator[RunDocument]:
    head: dict[str, Any] = {}
    documents: list[RunDocument] = []
    # utf-8-sig: other programs can add a byte order mark
    with path.open(encoding="utf-8-sig") as file:
        reader = JsonReader(file)
        for key in reader.members() if reader.peek() == "{" else ():
            if key == "runs":
                _check_head({"application": APPLICATION, "format": FORMAT, **head})
                documents = [_json_run(reader) for _ in reader.elements()]
            else:
                head[key] = reader.value()
        _check_head(head)
        if reader.peek():
            raise ValueError("it has more text after its end")
    return iter(documents)


def _check_head(head: Mapping[str, Any]) -> None:
    if head.get("application") != APPLICATION:
        raise ValueError(f"its application must be {APPLICATION}, got {str(head.get('application'))[:60]!r}")
    if head.get("format") != FORMAT:
        raise ValueError(f"its format must be {FORMAT}, got {str(head.get('format'))[:60]}; upgrade archsieve")


def _json_run(reader: JsonReader) -> RunDocument:
    if reader.peek() != "{":
        raise ValueError(f"a run must be a mapping of tables, got {str(reader.value())[:60]!r}")
    builder = DocumentBuilder()
    for name in reader.members():
        if reader.peek() != "{":
            builder.add(name, reader.value())  # its error
            continue
        rows, columns, early = builder.start(name), None, None
        for key in reader.members():
            if key == "columns":
                columns = checked_columns(reader.value())
            elif key == "rows" and columns is not None and reader.peek() == "[":
                early = list[Any]()
                for _ in reader.elements():
                    rows.add(columns, checked_cells(columns, reader.value()))
            else:  # another program may have written the rows before their columns
                early = reader.value() if key == "rows" else (reader.value(), early)[1]
        builder.add(name, {"columns": columns, "rows": early})
    return builder.document()


def _write_csv(path: Path, connection: Connection, runs: Sequence[int]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        names = list(column_types(connection, runs))
        writer = csv.writer(file)
        writer.writerow(names)
        for columns in flatten(connection, runs, names):
            writer.writerows(zip(*(columns[name] for name in names), strict=True))


def _read_csv(path: Path) -> Iterator[RunDocument]:
    csv.field_size_limit(_MAX_CELL_CHARACTERS)
    with path.open(encoding="utf-8-sig", newline="") as file:
        # CSV cannot distinguish None from an empty text.
        rows = ({name: value or None for name, value in row.items()} for row in csv.DictReader(file))
        return unflatten(rows)


def _write_parquet(path: Path, connection: Connection, runs: Sequence[int]) -> None:
    import pyarrow
    import pyarrow.parquet

    arrow = {int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_(), str: pyarrow.string()}
    types = column_types(connection, runs)
    schema_of_file = pyarrow.schema({name: arrow[_column_type(found)] for name, found in types.items()})
    with pyarrow.parquet.ParquetWriter(path, schema_of_file, compression="zstd") as writer:
        for part in _parts(flatten(connection, runs, types)):
            columns = {name: _column(part[name], found) for name, found in types.items()}
            writer.write_table(pyarrow.table(columns, schema=schema_of_file))


def _parts(columns: Iterator[Columns]) -> Iterator[Columns]:
    """Yield the cells in parts of ``_ROWS_AT_ONCE`` rows: many short runs would make a file of many small parts."""
    waiting: Columns = {}
    for more in columns:
        waiting = {name: waiting.get(name, []) + cells for name, cells in more.items()}
        while len(waiting["run"]) >= _ROWS_AT_ONCE:
            yield {name: cells[:_ROWS_AT_ONCE] for name, cells in waiting.items()}
            waiting = {name: cells[_ROWS_AT_ONCE:] for name, cells in waiting.items()}
    if waiting and waiting["run"]:
        yield waiting


def _column_type(types: set[type]) -> type:
    """Return the type of a Parquet column, which has one: mixed types are converted to JSON texts.

    Integers and floats together become floats. A column without values is one of texts.
    """
    if types == {int, float}:
        return float
    return types.copy().pop() if len(types) == 1 else str


def _column(values: list[Any], types: set[type]) -> list[Any]:
    """Return the cells of a column: the values, or their JSON texts if they have several types."""
    if len(types) < 2 or types == {int, float}:
        return values
    return [None if value is None else _json(value) for value in values]


def _read_parquet(path: Path) -> Iterator[RunDocument]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            batches = file.iter_batches(batch_size=_ROWS_READ_AT_ONCE)
            return unflatten(row for batch in batches for row in batch.to_pylist())
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # the file cannot be opened; pyarrow uses OSError for invalid content too
        raise ValueError(str(error)) from None


_Format = tuple[Callable[[Path, Connection, Sequence[int]], None], Callable[[Path], Iterator[RunDocument]]]
FORMATS: Mapping[str, _Format] = {
    ".csv": (_write_csv, _read_csv),
    ".json": (_write_json, _read_json),
    ".parquet": (_write_parquet, _read_parquet),
}


def _format(path: Path) -> _Format:
    return look_up(FORMATS, path.suffix.lower(), "kind of file")
