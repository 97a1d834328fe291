"""Commands that maintain the results database: db info, check, backup, restore, upgrade."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from .options import DATABASE, Database, Json, open_read_only
from .output import show, show_json, show_message

BROKEN = 5  # exit code of `db check` for a problem; the same as for other errors of the database

db = typer.Typer(help="Inspect and maintain the results database.", no_args_is_help=True)


@db.command()
def info(database: Database = DATABASE, as_json: Json = False) -> None:
    """Show the number of runs and trials, and the size.

    Example: archsieve db info --db runs/archsieve.db
    """
    from ...results.database.schema import SCHEMA_VERSION

    with open_read_only(database) as store:
        runs = store.runs()
    trials = Counter(state.value for run in runs for state in Counter(run.counts).elements())
    summary = {
        "database": store.name,
        "schema": SCHEMA_VERSION,
        # the size of a database on a server is not known to the client
        "bytes": database.stat().st_size if isinstance(database, Path) else None,
        "runs": len(runs),
        "trials": trials.total(),
        **trials,
    }
    if as_json:
        show_json(summary)
        return
    show(*(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}" for name, value in summary.items()))


@db.command()
def backup(
    target: Annotated[
        Path | None,
        typer.Argument(help="The backup file. Default: a new file next to the database, with the time in its name."),
    ] = None,
    database: Database = DATABASE,
) -> None:
    """Copy the database and check the copy.

    Other processes may write to the database during the copy.

    Example: archsieve db backup backup.db
    """
    from ...results.maintenance.backup import back_up

    show(f"copied {database} to {back_up(database, target)}")


@db.command()
def restore(
    backup: Annotated[Path, typer.Argument(metavar="BACKUP", help="The backup, or the rescued copy of a database.")],
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of the database.

    The old file is kept under another name. To copy a backup by hand can destroy it: log files of the old database
    would be written into the copy.

    Example: archsieve db restore backup.db
    """
    # renamed: this function has the name of its command
    from ...results.maintenance.restore import restore as restore_database

    kept = restore_database(backup, database)
    if as_json:
        show_json({"database": str(database), "backup": str(backup), "old": None if kept is None else str(kept)})
        return
    show(f"{database} is now a copy of {backup}" + ("" if kept is None else f"; the old file is kept as {kept}"))


@db.command()
def upgrade(
    backup: Annotated[
        Path | None,
        typer.Option(
            help="Where to keep the old database. Default: next to the new one, with the schema number in its name."
        ),
    ] = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Upgrade the database of an older archsieve; keep a backup.

    Example: archsieve db upgrade --db runs/archsieve.db
    """
    # renamed: this function has the name of its command
    from ...results.maintenance.upgrade import upgrade as upgrade_store

    result = upgrade_store(database, backup)
    if as_json:
        backup_path = None if result.backup is None else str(result.backup)
        show_json({"database": str(database), "before": result.before, "after": result.after, "backup": backup_path})
    elif result.backup is None:
        show(f"{database} already has schema {result.after}; nothing was changed")
    else:
        show(
            f"upgraded {database} from schema {result.before} to schema {result.after}; "
            f"the old database is in {result.backup}"
        )


@db.command()
def check(
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also read every database page and every file, and rebuild the searchers."),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Remove checkpoints and saved reports that ended trials have left, then check."),
    ] = False,
    runs: Annotated[
        Path | None, typer.Option(help="The folder of the runs. Default: the folder of the database file.")
    ] = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Check that the database and the files of runs are intact.

    Each problem is printed with a way to fix it. The exit code is 5 if there is a problem.

    Example: archsieve db check --deep
    """
    from ...results.database.url import runs_folder
    from ...results.maintenance.integrity import INVARIANTS
    from ..post.integrity import check_runs, repair_runs

    with open_read_only(database) as store:
        notes: list[str] = []
        folder = runs or runs_folder(database)
        if repair:
            notes += repair_runs(store, folder)
        problems = check_runs(store, folder, deep=deep, note=notes.append)
    # notes go to stderr, so that stdout has valid JSON with --json
    for note in notes:
        show_message(note)
    if as_json:
        show_json([{**problem._asdict(), "rule": INVARIANTS[problem.invariant]} for problem in problems])
    else:
        show(*(f"{p.invariant} is violated{f' in run {p.run}' if p.run else ''}: {p.message}" for p in problems))
    if problems:
        names = sorted({problem.invariant for problem in problems})
        rules = "; ".join(f"{name}: {INVARIANTS[name]}" for name in names)
        show_message(f"archsieve: {database} violates {', '.join(names)} ({rules})")
        raise typer.Exit(BROKEN)
    if not as_json:
        checked = f" ({', '.join(INVARIANTS)})" if deep else ""
        show(f"{database}: all checks passed{checked}")
