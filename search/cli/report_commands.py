"""Commands that show a run in the browser: report, dashboard, explain."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ...models.process.garbage import resume_collection
from .options import DATABASE, Database, Imports, Json, RunName, Runs, import_modules, open_read_only
from .output import show, show_json, show_message


def report(
    run: RunName = "last",
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file to write.")] = Path("report.html"),
    images: Annotated[
        bool, typer.Option("--images", help="Read the data again, to show the images of the most confident mistakes.")
    ] = False,
    imports: Imports = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Write a report of a run as one HTML page with figures.

    The page needs no network connection.

    Example: archsieve report digits -o report.html
    """
    from ...results.report.report import WITHOUT_THUMBNAILS, write_report

    import_modules(imports)
    with open_read_only(database) as store:
        record, thumbnails = store.run(run), WITHOUT_THUMBNAILS
        if images:
            from ..runs.thumbnails import read_thumbnails

            resume_collection()
            thumbnails = read_thumbnails(store, record)
            if not thumbnails.images:
                show_message(thumbnails.reason)
        path = write_report(store, record.name, output, thumbnails)
    if as_json:
        show_json({"run": record.name, "report": str(path)})
    else:
        of = "" if record.name == run else f"run {record.name}: "
        size = path.stat().st_size / 1e6
        show(f"{of}wrote {path} ({size:.1f} MB); open it in a browser; it needs no network connection")


def dashboard(
    run: RunName = "last",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 selects a free one.")] = 8080,
    database: Database = DATABASE,
) -> None:
    """Show a run in optuna-dashboard until Ctrl-C.

    Only this machine can connect. The dashboard shows a copy: changes in it do not reach the results database.

    Example: archsieve dashboard digits --port 8080
    """
    from ..integrations.optuna_dashboard import server

    resume_collection()
    with open_read_only(database) as store:
        run = store.run(run).name
        http_server = server(store, run, port)
    show(f"http://127.0.0.1:{http_server.server_port}/ shows a copy of {run}; changes there do not reach the database")
    show_message("press Ctrl-C to stop")
    try:
        http_server.serve_forever()
    except KeyboardInterrupt:
        show_message("stopped")
    finally:
        http_server.server_close()


def explain(
    trial: Annotated[str, typer.Argument(help="The selected trial of a zero-shot run: its id or RUN:NUMBER.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The HTML file to write. Default: explain-TRIAL.html.")
    ] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="Explain only this unseen class. Can be given several times.")
    ] = None,
    database: Database = DATABASE,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Show which words identify each unseen class.

    The page also has the test images nearest to each class.

    Example: archsieve explain glyphs:3 -o glyphs.html
    """
    from ...results.database.url import runs_folder
    from ...results.query.trial_name import find_trial
    from ..post.explain import explain_classes, write_page

    resume_collection()
    with open_read_only(database) as store:
        record = find_trial(store, trial)
        explanations = explain_classes(store, record, runs or runs_folder(database), classes or [])
    if as_json:
        show_json({"trial": record.trial, "classes": explanations})
        return
    path = write_page(output or Path(f"explain-{record.trial}.html"), record, explanations)
    lines = [_line(explanation) for explanation in explanations]
    show(*lines, f"wrote {path}; open it in a browser; it needs no network connection")


def _line(explanation: dict[str, Any]) -> str:
    drops = (
        ", ".join(f"{word['word']} {word['drop']:+.3f}" for word in explanation["words"])
        or "none, or the text encoder uses no single words"
    )
    return f"{explanation['class']}: PR-AUC {explanation['pr_auc']:.3f}; drop without each word: {drops}"


def mcp(
    allow_search: Annotated[
        bool, typer.Option("--allow-search", help="Also offer a tool that starts searches, which executes code.")
    ] = False,
    database: Database = DATABASE,
) -> None:
    """Serve the database to a language model over MCP.

    The Model Context Protocol is spoken on stdin and stdout. The tools read: status, best, query, pareto, compare, and
    propose, which draws networks inside a budget.

    Example: archsieve mcp --db runs/archsieve.db
    """
    from ..integrations.mcp_server import mcp_server

    resume_collection()
    mcp_server(database, allow_search=allow_search).run()
