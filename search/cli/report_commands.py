"""Commands that show a run: report, dashboard."""

import gc
from pathlib import Path
from typing import Annotated

import typer

from .options import DATABASE, Database, Json, reading, show, show_json


def report(
    run: Annotated[str, typer.Argument(help="The run.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write it.")] = Path("report.html"),
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Write one offline page on a run: what was searched and found, with pictures."""
    from ...results.report.report import write_report

    with reading(database) as store:
        path = write_report(store, run, output)
    if as_json:
        show_json({"run": run, "report": str(path)})
    else:
        show(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB); it opens in any browser, without a network")


def dashboard(
    run: Annotated[str, typer.Argument(help="The run.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="A port of this machine; 0 takes a free one.")] = 8080,
    database: Database = DATABASE,
) -> None:
    """Show a run in optuna-dashboard, on this machine only, until Ctrl-C."""
    gc.enable()
    from ..integrations.optuna_dashboard import server

    with reading(database) as store:
        running = server(store, run, port)
    show(f"http://127.0.0.1:{running.server_port}/ shows {run}, a copy: what is done there changes nothing here")
    typer.echo("stop it with Ctrl-C", err=True)
    try:
        running.serve_forever()
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
    finally:
        running.server_close()
