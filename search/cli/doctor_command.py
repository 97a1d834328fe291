"""The command that examines a network: doctor."""

import gc
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import DATABASE, Database, Json, is_file, reading, runs_beside, show, show_json

MARKS = {"good": "ok", "watch": "watch", "bad": "BAD"}


def doctor(
    case: Annotated[str, typer.Argument(help="A search file (its first proposal), or a trial.")],
    checks: Annotated[
        list[str] | None, typer.Option("--check", help="Only this check; may be said several times.")
    ] = None,
    step_ms: Annotated[
        float | None,
        typer.Option("--step-ms", help="How long a training step may take; a quicker network is named."),
    ] = None,
    filters: Annotated[Path | None, typer.Option(help="Write a picture of the first filters (PNG).")] = None,
    database: Database = DATABASE,
    runs: Annotated[Path | None, typer.Option(help="The folder of the runs; beside the database by default.")] = None,
    as_json: Json = False,
) -> None:
    """Examine a network: gradients, start, learning rate, overfitting on purpose, units, maps, filters, speed."""
    gc.enable()
    from dataclasses import asdict

    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from ...models.diagnostics.run_checks import CHECKS, verdict
    from ...spaces.parameters.lookup import look_up
    from ..post.diagnose import findings

    if step_ms is not None and not step_ms > 0:
        raise ValueError(f"--step-ms must be a number of milliseconds above 0, but got {step_ms:g}")
    for name in checks or ():
        look_up(CHECKS, name, "check")
    examined = _case(case, database, runs)
    columns = (SpinnerColumn(), *Progress.get_default_columns(), TextColumn("{task.fields[doing]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("doctor", total=len(checks or CHECKS), doing="")
        found = []
        for finding in findings(examined, checks, on_check=lambda name: progress.update(bar, doing=name)):
            found.append(finding)
            progress.advance(bar)
    quicker = _quicker(examined, found, step_ms)
    if filters is not None:
        _draw(found, filters)
    if as_json:
        told = [{**asdict(finding), "figures": _plain(finding.figures)} for finding in found]
        show_json({"verdict": verdict(found), "findings": told, "smaller": quicker})
        return
    _show(examined.architecture, verdict(found), found)
    if step_ms is not None:
        show(f"\nfor a step of {step_ms:g} ms: {quicker or 'nothing in the space is so quick'}")


def _show(architecture: Any, verdict: str, found: list[Any]) -> None:
    show(f"{architecture}\nverdict: {verdict}\n")
    for finding in found:
        show(f"{MARKS[finding.verdict]:5}  {finding.check}: {finding.evidence}")
        if finding.advice and finding.verdict != "good":
            show(f"       -> {finding.advice}")


def _case(case: str, database: Any, runs: Path | None) -> Any:
    from ..post.diagnose import case_of_file, case_of_trial

    if is_file(case):
        from ..experiment.search_file import load_experiment

        return case_of_file(load_experiment(Path(case)))
    from ...results.query.trial_name import trial_named

    with reading(database) as store:
        return case_of_trial(store, trial_named(store, case), runs or runs_beside(database))


def _quicker(case: Any, found: list[Any], step_ms: float | None) -> str | None:
    """The smaller network that would meet the time, in words."""
    from ..post.diagnose import smaller

    measured = next((finding.figures["step_ms"] for finding in found if finding.check == "speed"), None)
    if step_ms is None or measured is None:
        return None
    if measured <= step_ms:
        return f"it takes {measured:.1f} ms already"
    architecture = smaller(case, measured, step_ms)
    if architecture is None:
        return None
    price = architecture.cost
    return f"{architecture} (params {price.params:,}, macs {price.macs:,}; predicted by macs alone)"


def _draw(found: list[Any], path: Path) -> None:
    import base64

    from ...results.database.atomic_file import whole

    pictures = [finding.figures["picture"] for finding in found if "picture" in finding.figures]
    if not pictures:
        raise ValueError(f"{path}: no filter was examined; leave out --check, or add --check filters")
    with whole(path) as draft:
        draft.write_bytes(base64.b64decode(pictures[0]))


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name != "picture"}
