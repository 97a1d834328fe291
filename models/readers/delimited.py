"""CSV and TSV files as tables of text, with the delimiters and spaces that people and programs write."""

import csv
from collections.abc import Collection
from io import TextIOWrapper

import pyarrow as pa
import pyarrow.compute as pc

from ..image_files.errors import DataError
from ..image_files.locations import Location, RemotePath

DELIMITERS = (",", ";", "\t", "|")
HEAD_BYTES = 64


def read_delimited(file: Location, known: Collection[str]) -> pa.Table:
    """Return the table of a CSV or TSV file; all columns are text, because a label such as 007 is no number.

    The delimiter is the one that gives the most names of ``known`` (in lower case) in the first line; in case of doubt
    that of the suffix. Spaces after the delimiter are removed in columns whose name has one, too. Raises
    :class:`DataError`, and what Arrow raises for text that is no table.
    """
    first = _first_line(file)
    delimiter = _delimiter(first, file.suffix.lower(), known)
    table = _parse(file, _names(first, delimiter), delimiter)
    for position, name in enumerate(table.column_names):
        if name.startswith(" "):
            table = table.set_column(position, name, pc.utf8_trim_whitespace(table.column(position)))
    return table


def _first_line(file: Location) -> str:
    with file.open("rb") as raw:
        if b"\0" in (head := raw.read(HEAD_BYTES)):
            kind = "is UTF-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "has zero bytes"
            raise DataError(f"a manifest must be UTF-8 text, but {file} {kind}; save it again, as UTF-8")
        raw.seek(0)
        with TextIOWrapper(raw, "utf-8-sig", newline="") as text:
            first = text.readline()
    if not first.strip():
        raise DataError(f"a manifest needs a first line with the names of its columns, but {file} has none; add it")
    return first


def _delimiter(first: str, suffix: str, known: Collection[str]) -> str:
    usual = "\t" if suffix == ".tsv" else ","

    def fit(delimiter: str) -> tuple[int, bool]:
        names = {name.strip().lower() for name in _names(first, delimiter)}
        return len(names.intersection(known)), delimiter in first

    return max((usual, *DELIMITERS), key=fit)


def _names(first: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([first], delimiter=delimiter))
    except csv.Error:  # longer than a name can be: Arrow reports what it finds
        return []


def _parse(file: Location, header: list[str], delimiter: str) -> pa.Table:
    from pyarrow import csv as arrow_csv

    def parse(*, use_threads: bool) -> pa.Table:
        return arrow_csv.read_csv(
            file.open() if isinstance(file, RemotePath) else file,
            read_options=arrow_csv.ReadOptions(use_threads=use_threads),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
        )

    try:
        return parse(use_threads=True)
    except pa.ArrowInvalid:
        return parse(use_threads=False)  # only then the error has the number of the row
