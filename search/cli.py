"""The command line: ``archsieve COMMAND``; results on stdout, progress and messages on stderr."""

import gc
import sys
from typing import Annotated

import typer

from .. import __version__
from .commands import (
    asking,
    consulting,
    database,
    explaining,
    profiling,
    querying,
    reporting,
    searching,
    spacing,
    training,
    transferring,
)
from .faults import enabled, watch_exports

# 0 ok, 2 usage or bad input, 3 nothing usable, 4 environment, 5 database, 6 refused for safety, 75 stopped, resumable
USAGE, ENVIRONMENT, DATABASE_ERROR, REFUSED, INTERRUPTED = 2, 4, 5, 6, 130

app = typer.Typer(
    help="Sieve convolutional architectures through a budget, train the ones that pass, ask which is best.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(searching.search)
app.command()(searching.resume)
app.command()(spacing.space)
app.command()(profiling.profile)
for _question in (querying.query, querying.sql, querying.compare, querying.curve):
    asking.results.command()(_question)
asking.results.command()(transferring.export)
asking.results.command("import")(transferring.import_runs)
app.add_typer(asking.results, name="results")
app.command()(reporting.report)
app.command()(reporting.dashboard)
app.command()(explaining.explain)
app.command()(consulting.doctor)
for _use in (training.train, training.ensemble, training.export):
    app.command()(_use)
app.add_typer(database.db, name="db")
app.command()(searching.status)
app.command()(searching.init)


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
