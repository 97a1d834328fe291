"""Commands that show a run: report, dashboard, explain."""

import gc
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import DATABASE, Database, Json, reading, runs_beside, show, show_json


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


def explain(
    trial: Annotated[str, typer.Argument(help="The chosen trial of a zero-shot run: its id, or RUN:NUMBER.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The page: explain-TRIAL.html.")] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="Only this unseen class; may be said several times.")
    ] = None,
    database: Database = DATABASE,
    runs: Annotated[Path | None, typer.Option(help="The folder of the runs; beside the database by default.")] = None,
    as_json: Json = False,
) -> None:
    """Show by which words a model knows each unseen class, and the nearest test images, as a page with pictures."""
    gc.enable()
    from ...results.query.trial_name import trial_named
    from ..post.explain import explained_classes, write_page

    with reading(database) as store:
        found = trial_named(store, trial)
        told = explained_classes(store, found, runs or runs_beside(database), classes or [])
    if as_json:
        show_json({"trial": found.trial, "classes": told})
        return
    path = write_page(output or Path(f"explain-{found.trial}.html"), found, told)
    show(*(_line(one) for one in told), f"wrote {path}; it opens in any browser, without a network")


def _line(one: dict[str, Any]) -> str:
    words = ", ".join(f"{word['word']} {word['drop']:+.3f}" for word in one["words"]) or "no words of its own"
    return f"{one['class']}: PR-AUC {one['pr_auc']:.3f}; without a word it falls by: {words}"
