"""The command line: ``archsieve COMMAND``; results on stdout, progress and messages on stderr."""

import gc
import sys
from typing import Annotated

import typer

from ... import __version__
from ..cluster.fault_injection import enabled, watch_exports
from . import (
    db_commands,
    doctor_command,
    profile_command,
    report_commands,
    results_commands,
    search_commands,
    space_command,
    train_commands,
    transfer_commands,
)

# 0 ok, 2 usage or bad input, 3 nothing usable, 4 environment, 5 database, 6 refused for safety, 75 stopped, resumable
USAGE, ENVIRONMENT, DATABASE_ERROR, REFUSED, INTERRUPTED = 2, 4, 5, 6, 130

app = typer.Typer(
    help="Sieve convolutional architectures through a budget, train the ones that pass, ask which is best.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(search_commands.search)
app.command()(search_commands.resume)
app.command()(space_command.space)
app.command()(profile_command.profile)
for _question in (results_commands.query, results_commands.sql, results_commands.compare, results_commands.curve):
    results_commands.results.command()(_question)
results_commands.results.command()(transfer_commands.export)
results_commands.results.command("import")(transfer_commands.import_runs)
app.add_typer(results_commands.results, name="results")
app.command()(report_commands.report)
app.command()(report_commands.dashboard)
app.command()(report_commands.explain)
app.command()(doctor_command.doctor)
for _use in (train_commands.train, train_commands.ensemble, train_commands.export):
    app.command()(_use)
app.add_typer(db_commands.db, name="db")
app.command()(search_commands.status)
app.command()(search_commands.init)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"archsieve {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; a known mistake is one message on stderr and an exit code, never a traceback."""
    if enabled():
        watch_exports()
    gc.disable()  # a fifth of the start-up of a question; the commands that run for long turn it on again
    try:
        app()
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        _fail(_said(error), code)


def _said(error: Exception) -> str:
    """The error's own words; of what the system refuses, the file and why."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}; make it readable and writable, or name another place"
    return str(error)


def exit_code(error: Exception) -> int | None:
    """The exit code for a known mistake; None for one of our own."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if "DiskFullError" in names:
        return ENVIRONMENT
    if "StoreError" in names:
        return DATABASE_ERROR
    if "RefusedError" in names:
        return REFUSED
    if "ResourceError" in names:
        return ENVIRONMENT
    if isinstance(error, OSError) and error.filename is not None:
        return ENVIRONMENT
    return USAGE if isinstance(error, ValueError) else None


def _fail(message: str, code: int) -> None:
    typer.echo(f"archsieve: {message}", err=True)
    raise SystemExit(code)
