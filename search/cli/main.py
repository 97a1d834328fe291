"""The command line ``archsieve COMMAND``: results go to stdout, progress and messages to stderr.

The docstring of a command is its help. It has a first sentence of at most 60 characters (the list of commands cuts
longer ones at 80 columns), details where needed, and as its last paragraph ``Example: archsieve COMMAND ...``.

Commands import what they need inside their functions, so that ``--help`` and queries do not wait for torch and Ray.
"""

import errno
import logging
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from ... import __version__
from ...models.process.garbage import pause_collection
from ..cluster.fault_injection import enabled, watch_exports
from ..cluster.signals import INTERRUPTED, advise, interruption
from . import (
    comparison_commands,
    data_command,
    db_commands,
    device_commands,
    doctor_command,
    predict_command,
    profile_command,
    report_commands,
    results_commands,
    search_commands,
    space_command,
    train_commands,
    transfer_commands,
)
from .output import PRINTABLE_LOG, bounded, show_json, show_message

# further exit codes: 0 success, 3 no usable result, 75 stopped but resumable (EX_TEMPFAIL of sysexits.h)
# 2 is what typer uses for a wrong option; 130 is 128 + SIGINT, as in shells
USAGE, ENVIRONMENT, DATABASE_ERROR, REFUSED = 2, 4, 5, 6

app = typer.Typer(
    help="Search convolutional architectures under a budget, train the best and query the results.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # an unexpected error shows a plain traceback that can be pasted into a report
    context_settings={"help_option_names": ["--help", "-h"]},
    rich_markup_mode=None,  # plain help without boxes; rich is not imported, so that commands start fast
)
app.command()(search_commands.search)
app.command()(search_commands.resume)
app.command()(data_command.data)
app.command()(space_command.space)
app.command()(profile_command.profile)
for _command in (
    *(results_commands.query, results_commands.sql),
    *(comparison_commands.compare, comparison_commands.curve),
):
    results_commands.results.command()(_command)
results_commands.results.command()(transfer_commands.export)
results_commands.results.command("import")(transfer_commands.import_runs)
app.add_typer(results_commands.results, name="results")
app.command()(report_commands.report)
app.command()(report_commands.dashboard)
app.command()(report_commands.mcp)
app.command()(report_commands.explain)
app.command()(doctor_command.doctor)
app.command()(train_commands.train)
app.command()(train_commands.ensemble)
app.command()(train_commands.export)
app.command()(device_commands.quantize)
app.command()(device_commands.deploy)
app.command()(predict_command.predict)
app.add_typer(db_commands.db, name="db")
app.command()(search_commands.status)
app.command()(data_command.init)


@app.command("help")
def show_help(
    command: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND...]", help="The command.")] = None,
) -> None:
    """Show the help of a command.

    Example: archsieve help results best
    """
    app([*(command or ()), "--help"], prog_name="archsieve")


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"archsieve {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand not in ("search", "resume"):
        advise("")  # an interruption of another command has nothing to continue


def main() -> None:
    """Run the command line.

    An expected error is one message on stderr and an exit code; with --json it is also an object on stdout. Only an
    unexpected one shows a traceback.
    """
    if enabled():
        watch_exports()
    # messages may contain names of a database from elsewhere; to add the same filter twice changes nothing
    logging.getLogger("archsieve").addFilter(PRINTABLE_LOG)
    # Garbage collection takes a fifth of the start-up of a query; commands that run for long resume it.
    pause_collection()
    try:
        code = app(standalone_mode=False)  # so that this function sees wrong options, too
    except KeyboardInterrupt:
        _fail(interruption(), INTERRUPTED)
    except BrokenPipeError:  # the reader of a pipe ended, as in `archsieve results list | head`
        # without this, Python prints a second error when it flushes stdout at exit
        sys.stderr.close()
        raise SystemExit(0) from None
    except Exception as error:
        if isinstance(error, TyperException) and hasattr(error, "show"):  # a wrong option: shown with the usage
            error.show()
            _print_error(error.format_message(), error.exit_code)
            raise SystemExit(error.exit_code) from None
        if (expected := exit_code(error)) is None:
            raise
        _fail(_message(error), expected)
    if code == INTERRUPTED:  # typer has turned a KeyboardInterrupt into this code, without a message
        _fail(interruption(), INTERRUPTED)
    raise SystemExit(code or 0)


def _message(error: Exception) -> str:
    """Return the message of ``error``; for an error of the operating system its file, the reason and a fix."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = "a file" if error.filename is None else str(error.filename)
        facts = [f"{where} cannot be written: {error.strerror}", *_free_space(error.filename)]
        return f"{'; '.join(facts)}; free some space and try again"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}; make it readable and writable, or use another path"
    return str(error)


def _free_space(filename: object) -> list[str]:
    """Return the free space of the disk of a file, or of the current folder; nothing if the folder was removed."""
    from ..trials.reserve import disk_space

    try:
        return [disk_space(Path.cwd() if filename is None else Path(str(filename)).absolute().parent)]
    except OSError:
        return []


def exit_code(error: Exception) -> int | None:
    """Return the exit code of an expected error; None for an unexpected one, which is a bug."""
    # compared by name: importing the classes would load SQLAlchemy for every command
    names = {cls.__name__ for cls in type(error).__mro__}
    # a full disk is a StoreError as well, but the user must fix the machine and not the database
    if "DiskFullError" in names:
        return ENVIRONMENT
    if "StoreError" in names:
        return DATABASE_ERROR
    if "RefusedError" in names:
        return REFUSED
    if names & {"RayLostError", "DeviceOfflineError"}:
        return search_commands.RESUMABLE
    if "ResourceError" in names:
        return ENVIRONMENT
    if isinstance(error, OSError) and (error.filename is not None or error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return ENVIRONMENT
    return USAGE if isinstance(error, ValueError) else None


def _fail(message: str, code: int) -> NoReturn:
    show_message(bounded(f"archsieve: {message}"))
    _print_error(message, code)
    raise SystemExit(code)


def _print_error(message: str, code: int) -> None:
    """Print an error as JSON on stdout if the command line has --json: a program reads stdout alone."""
    if "--json" in sys.argv:
        show_json({"error": bounded(message), "exit_code": code})
