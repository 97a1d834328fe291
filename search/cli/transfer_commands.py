"""Commands that exchange results with other databases and tools: results export, results import."""

from pathlib import Path
from typing import Annotated

import typer

from .options import DATABASE, Database, Json, open_read_only
from .output import show, show_json

_FILE = "A .json, .csv or .parquet file, or a folder for --format tensorboard."


def export(
    target: Annotated[Path, typer.Argument(metavar="FILE", help=_FILE)],
    run: Annotated[
        list[str] | None, typer.Option("--run", help="Use only this run. Can be given several times.")
    ] = None,
    format: Annotated[
        str | None, typer.Option("--format", help="Write tensorboard: event files with the learning curves.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Write runs to a file.

    Spreadsheets, pandas and `archsieve results import` can read the file.

    Example: archsieve results export digits.csv --run digits
    """
    from ...results.transfer.exporter import export_runs

    if format not in (None, "tensorboard"):
        raise ValueError(
            f"--format must be tensorboard, but got {format!r}; for other formats leave it out: the ending of the file "
            "name selects the format"
        )
    with open_read_only(database) as store:
        if format == "tensorboard":
            from ...results.transfer.tensorboard import write_events

            count = write_events(store, target, run or ())
            if as_json:
                show_json({"trials": count, "folder": str(target)})
                return
            show(f"wrote the curves of {count} trials to {target}; show them with: tensorboard --logdir {target}")
            return
        names = export_runs(store, target, run or (), force=force)
    if as_json:
        show_json({"runs": names, "file": str(target)})
        return
    show(f"wrote {_counted(names)} to {target}: {', '.join(names)}")


def import_runs(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file written by results export, or another results database.")
    ],
    run: Annotated[
        list[str] | None, typer.Option("--run", help="Use only this run. Can be given several times.")
    ] = None,
    name: Annotated[str | None, typer.Option("--as", help="A new name for the run, if the file has only one.")] = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Import runs from a file or another database.

    Every trial is checked against its fingerprint. If one check fails, nothing is imported.

    Example: archsieve results import docs/digits.parquet --db digits.db
    """
    from ...results.database.store import open_store
    from ...results.transfer.exporter import read_runs
    from ...results.transfer.importer import import_documents

    records = read_runs(source, run or ())
    with open_store(database, create=True) as store:
        names = import_documents(store, records, name=name)
    if as_json:
        show_json({"runs": names, "database": str(database)})
        return
    show(f"imported {_counted(names)} into {database}: {', '.join(names)}")
    show("the files of their trials (weights, checkpoints) were not copied; copy them if you need them")


def _counted(names: list[str]) -> str:
    return f"{len(names)} run{'' if len(names) == 1 else 's'}"
