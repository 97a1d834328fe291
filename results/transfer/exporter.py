"""Transfer: runs as files of JSON, CSV or Parquet, and back."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...spaces.parameters.lookup import look_up, unknown
from ..database.atomic_file import whole
from ..database.reader import Reading
from ..database.schema import APPLICATION
from ..database.store import open_store
from .flat_rows import gathered, spread
from .run_document import FORMAT, Document, Row, documents

_DATABASES = (".db", ".sqlite", ".sqlite3")
_CELL = 10**9  # characters of a cell; csv's own limit is smaller than the table of a large run


def export_runs(store: Reading, path: str | Path, runs: Iterable[str | int] = (), *, force: bool = False) -> list[str]:
    """Write the named runs, or all, to a ``.json``, ``.csv`` or ``.parquet`` file; return their names.

    The file appears whole or not at all; one that exists is replaced only with ``force``. All of a run is in it but
    the files of its artifacts. CSV and Parquet have a row for each trial, and in the row ``archsieve_run`` of the
    first trial what belongs to the run.
    """
    path = Path(path)
    write, _ = _format(path)
    if path.is_dir():
        raise ValueError(f"runs are exported to a file, but {path} is a folder; write to {path / 'runs.json'}")
    if path.exists() and not force:
        raise ValueError(f"{path} exists and is left as it is; name another file, or overwrite it with --force")
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} does not exist; make it, or name another")
    found = documents(store, runs)
    with whole(path) as draft:
        write(draft, found)
    return [document.name for document in found]


def read_runs(path: str | Path, runs: Iterable[str | int] = ()) -> list[Document]:
    """The runs in a file that :func:`export_runs` wrote, or in another store; a ``ValueError`` says what else is there.

    Of another store only the named ``runs``, or all.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no file {path} to import (looked in {Path.cwd()})")
    if path.suffix.lower() in _DATABASES:
        with open_store(path, read_only=True) as other:
            found = documents(other, runs)
    else:
        found = _named(_read(path), list(runs))
    if not found:
        raise ValueError(f"{path} holds no runs; export it again")
    names = [document.name for document in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{path} has the run {name!r} twice; export it again")
    return found


def _named(found: list[Document], runs: list[str | int]) -> list[Document]:
    """The documents of ``runs``, or all where none is named."""
    there = [document.name for document in found]
    for run in runs:
        if run not in there:
            raise ValueError(unknown("run", str(run), there))
    return [document for document in found if not runs or document.name in runs]


def _read(path: Path) -> list[Document]:
    _, read = _format(path)
    try:
        return list(read(path))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: byte {error.start}; export it again") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        raise ValueError(f"{path} is no export of archsieve: {error or type(error).__name__}") from None


def _write_json(path: Path, found: Sequence[Document]) -> None:
    head = {"application": APPLICATION, "format": FORMAT, "exported_at": datetime.now(UTC).isoformat()}
    told = {**head, "runs": [document.packed() for document in found]}
    path.write_text(json.dumps(told, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def _read_json(path: Path) -> Iterator[Document]:
    told = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(told, Mapping) or told.get("application") != APPLICATION:
        raise ValueError("it does not say application: archsieve")
    if told.get("format") != FORMAT:
        raise ValueError(f"it has the format {told.get('format')}, and {FORMAT} is known here; upgrade archsieve")
    for packed in told.get("runs", ()):
        yield Document.of(packed)


def _write_csv(path: Path, found: Sequence[Document]) -> None:
    rows = list(spread(found))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(name for row in rows for name in row))
        writer.writeheader()
        writer.writerows(rows)


def _read_csv(path: Path) -> Iterator[Document]:
    csv.field_size_limit(_CELL)
    with path.open(encoding="utf-8-sig", newline="") as file:
        return gathered([{name: value or None for name, value in row.items()} for row in csv.DictReader(file)])


def _write_parquet(path: Path, found: Sequence[Document]) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = list(spread(found))
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: _of_one_type([row.get(name) for row in rows]) for name in names}
    pyarrow.parquet.write_table(pyarrow.table(columns), path, compression="zstd")


def _of_one_type(values: list[Any]) -> list[Any]:
    """Numbers as numbers, but texts where numbers, texts and truths are mixed."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2:
        return values
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    return [None if value is None else json.dumps(value) for value in values]


def _read_parquet(path: Path) -> Iterator[Document]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows: list[Row] = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from None
    return gathered(rows)


_Format = tuple[Callable[[Path, Sequence[Document]], None], Callable[[Path], Iterator[Document]]]
FORMATS: Mapping[str, _Format] = {
    ".csv": (_write_csv, _read_csv),
    ".json": (_write_json, _read_json),
    ".parquet": (_write_parquet, _read_parquet),
}


def _format(path: Path) -> _Format:
    return look_up(FORMATS, path.suffix.lower(), "kind of file")
