"""Commands that look after the database: db info, check, backup, upgrade."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from .options import DATABASE, Database, Json, reading, show, show_json

BROKEN = 5

db = typer.Typer(help="Look after the results database.", no_args_is_help=True)


@db.command()
def info(database: Database = DATABASE, as_json: Json = False) -> None:
    """Say what the database holds."""
    from ...results.database.schema import SCHEMA_VERSION

    with reading(database) as store:
        runs = store.runs()
    trials = Counter(state.value for run in runs for state in Counter(run.counts).elements())
    told = {
        "database": store.name,
        "schema": SCHEMA_VERSION,
        "bytes": database.stat().st_size if isinstance(database, Path) else None,
        "runs": len(runs),
        "trials": trials.total(),
        **trials,
    }
    if as_json:
        show_json(told)
        return
    show(*(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}" for name, value in told.items()))


@db.command()
def backup(
    target: Annotated[Path | None, typer.Argument(help="Where to; beside it, named by the time, by default.")] = None,
    database: Database = DATABASE,
) -> None:
    """Copy the database while others may write to it; the copy is checked."""
    from ...results.maintenance.backup import back_up

    show(f"{database} is copied to {back_up(database, target)}")


@db.command()
def upgrade(
    backup: Annotated[
        Path | None, typer.Option(help="Where the old one is kept; beside it, named by its schema, by default.")
    ] = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Bring the database of an older archsieve up to date; the old one is kept."""
    from ...results.maintenance.upgrade import upgrade as upgrade_store

    done = upgrade_store(database, backup)
    if as_json:
        kept = None if done.backup is None else str(done.backup)
        show_json({"database": str(database), "before": done.before, "after": done.after, "backup": kept})
    elif done.backup is None:
        show(f"{database} has schema {done.after} already; nothing was changed")
    else:
        show(f"{database} has schema {done.after} now; with schema {done.before} it is kept as {done.backup}")


@db.command()
def check(
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every page and file too, and rebuild the searchers.")
    ] = False,
    runs: Annotated[
        Path | None, typer.Option(help="The folder of the runs; the one that the database lies in by default.")
    ] = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Check what must hold of every run; exit code 5 where something is broken, each named with its cure."""
    from ...results.maintenance.integrity import INVARIANTS
    from ..post.integrity import check_runs

    with reading(database) as store:
        notes: list[str] = []
        folder = runs or (database.parent if isinstance(database, Path) else DATABASE.parent)
        found = check_runs(store, folder, deep=deep, note=notes.append)
    for note in notes:
        typer.echo(note, err=True)
    if as_json:
        show_json([{**broken._asdict(), "law": INVARIANTS[broken.invariant]} for broken in found])
    else:
        show(*(f"{b.invariant} is broken{f' in run {b.run}' if b.run else ''}: {b.said}" for b in found))
    if found:
        names = sorted({broken.invariant for broken in found})
        laws = "; ".join(f"{name}: {INVARIANTS[name]}" for name in names)
        typer.echo(f"archsieve: {database} breaks {', '.join(names)} ({laws})", err=True)
        raise typer.Exit(BROKEN)
    if not as_json:
        show(f"{database}: all that was checked holds ({', '.join(INVARIANTS)})" if deep else f"{database}: all holds")
