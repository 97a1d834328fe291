"""The command that explains a zero-shot model: explain."""

import gc
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import DATABASE, Database, Json, reading, runs_beside, show, show_json


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
