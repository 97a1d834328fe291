"""Commands that carry results elsewhere: results export, results import."""

from pathlib import Path
from typing import Annotated

import typer

from .options import DATABASE, Database, Json, reading, show, show_json

_FILE = "A .json, .csv or .parquet file; a folder with --format tensorboard."


def export(
    target: Annotated[Path, typer.Argument(metavar="FILE", help=_FILE)],
    run: Annotated[list[str] | None, typer.Option("--run", help="Only this run; may be given several times.")] = None,
    kind: Annotated[
        str | None, typer.Option("--format", help="tensorboard: event files of the learning curves.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an older file.")] = False,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Write runs to a file that results import reads, and spreadsheets and pandas too."""
    from ...results.transfer.exporter import export_runs

    if kind not in (None, "tensorboard"):
        raise ValueError(f"--format is tensorboard or left out, where the file's ending decides, but got {kind!r}")
    with reading(database) as store:
        if kind == "tensorboard":
            from ...results.transfer.tensorboard import write_events

            count = write_events(store, target, run or ())
            show(f"wrote the curves of {count} trials to {target}; look at them with: tensorboard --logdir {target}")
            return
        names = export_runs(store, target, run or (), force=force)
    if as_json:
        show_json({"runs": names, "file": str(target)})
        return
    show(f"wrote {_counted(names)} to {target}: {', '.join(names)}")


def import_runs(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file of results export, or another results database.")
    ],
    run: Annotated[list[str] | None, typer.Option("--run", help="Only this run; may be given several times.")] = None,
    name: Annotated[str | None, typer.Option("--as", help="Another name for the only run in the file.")] = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Bring runs into the database: all of them, checked against their fingerprints, or none."""
    from ...results.database.store import open_store
    from ...results.transfer.exporter import read_runs
    from ...results.transfer.importer import bring_in

    found = read_runs(source, run or ())
    with open_store(database, create=True) as store:
        names = bring_in(store, found, name=name)
    if as_json:
        show_json({"runs": names, "database": str(database)})
        return
    show(f"brought {_counted(names)} into {database}: {', '.join(names)}")
    show("the files of their trials (weights, checkpoints) did not come along; copy them where they are needed")


def _counted(names: list[str]) -> str:
    return f"{len(names)} run{'' if len(names) == 1 else 's'}"
