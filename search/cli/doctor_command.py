"""The command that diagnoses a network: doctor."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ...models.process.garbage import resume_collection
from .options import (
    DATABASE,
    Database,
    Imports,
    Json,
    Runs,
    Settings,
    check_settings,
    import_modules,
    is_file,
    open_read_only,
)
from .output import show, show_json

MARKS = {"good": "ok", "watch": "watch", "bad": "BAD"}

Target = Annotated[
    str,
    typer.Argument(
        metavar="FILE|TRIAL",
        help="A search file, whose first proposal is checked; or a trial: its id, RUN:NUMBER or a fingerprint.",
    ),
]
Checks = Annotated[list[str] | None, typer.Option("--check", help="Run only this check. Can be given several times.")]
StepMs = Annotated[
    float | None,
    typer.Option(
        "--step-ms", help="Suggest a smaller network whose training step takes at most this many milliseconds."
    ),
]
Filters = Annotated[Path | None, typer.Option(help="Write an image of the first filters to this PNG file.")]


def doctor(
    target: Target,
    checks: Checks = None,
    step_ms: StepMs = None,
    filters: Filters = None,
    settings: Settings = None,
    imports: Imports = None,
    database: Database = DATABASE,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Diagnose why a network trains badly or slowly.

    The checks cover gradients, the start of training, the learning rate, overfitting on a small subset, labels, units,
    feature maps, filters, invariance and speed.

    Example: archsieve doctor examples/digits.toml --check gradients
    """
    from dataclasses import asdict

    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from ...models.diagnostics.run_checks import CHECKS, summarise
    from ..post.diagnose import diagnose_target

    resume_collection()
    _check_options(checks, step_ms)
    import_modules(imports)
    context = _context(target, settings, database, runs)
    columns = (SpinnerColumn(), *Progress.get_default_columns(), TextColumn("{task.fields[check]}"))
    # the progress is on stderr, so that stdout has only the result
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("doctor", total=len(checks or CHECKS), check="")
        results = []
        for finding in diagnose_target(context, checks, on_check=lambda name: progress.update(bar, check=name)):
            results.append(finding)
            progress.advance(bar)
    suggestion = _smaller_network(context, results, step_ms)
    if filters is not None:
        _write_filters(results, filters)
    if as_json:
        rows = [{**asdict(finding), "metrics": _without_image(finding.metrics)} for finding in results]
        show_json({"summary": summarise(results), "findings": rows, "smaller_network": suggestion})
        return
    _show(context.architecture, summarise(results), results)
    if step_ms is not None:
        show(f"\nfor a step of {step_ms:g} ms: {suggestion or 'no network of the space is fast enough'}")


def _check_options(checks: list[str] | None, step_ms: float | None) -> None:
    """Raise ``ValueError`` for a misspelled check or a wrong time, before data are loaded and networks are built."""
    from ...models.diagnostics.run_checks import CHECKS
    from ...spaces.parameters.lookup import look_up

    if step_ms is not None and not step_ms > 0:
        raise ValueError(f"--step-ms must be above 0 milliseconds, but got {step_ms:g}; use a number such as 20")
    for name in checks or ():
        look_up(CHECKS, name, "check")


def _show(architecture: Any, summary: str, results: list[Any]) -> None:
    show(f"{architecture}\nresult: {summary}\n")
    for finding in results:
        show(f"{MARKS[finding.rating]:5}  {finding.check}: {finding.evidence}")
        if finding.advice and finding.rating != "good":
            show(f"       -> {finding.advice}")


def _context(target: str, settings: list[str] | None, database: Any, runs: Path | None) -> Any:
    """Return the network to diagnose, with its recipe and data, from a search file or a trial."""
    from ..post.diagnose import target_of_file, target_of_trial

    if is_file(target):
        from ..experiment.search_file import load_experiment

        return target_of_file(load_experiment(Path(target), settings or ()))
    check_settings(settings, target)
    from ...results.database.url import runs_folder
    from ...results.query.trial_name import find_trial

    with open_read_only(database) as store:
        return target_of_trial(store, find_trial(store, target), runs or runs_folder(database))


def _smaller_network(context: Any, results: list[Any], step_ms: float | None) -> str | None:
    """Describe a smaller network that is predicted to meet ``step_ms``.

    Returns None without a limit, without the check ``speed``, and if no network of the space is small enough.
    """
    from ..post.diagnose import smaller_network

    measured = next((finding.metrics["step_ms"] for finding in results if finding.check == "speed"), None)
    if step_ms is None or measured is None:
        return None
    # the prediction scales this measurement by multiply-accumulates, so it needs a network that is too slow
    if measured <= step_ms:
        return f"this network takes {measured:.1f} ms already"
    architecture = smaller_network(context, measured, step_ms)
    if architecture is None:
        return None
    cost = architecture.cost
    return f"{architecture} (params {cost.params:,}, macs {cost.macs:,}; predicted from macs alone)"


def _write_filters(results: list[Any], path: Path) -> None:
    import base64

    from ...results.database.atomic_file import atomic_write

    images = [finding.metrics["image"] for finding in results if "image" in finding.metrics]
    if not images:
        raise ValueError(
            f"--filters needs the check filters, but it did not run; leave out --check or add --check filters, "
            f"so that {path} can be written"
        )
    with atomic_write(path) as draft:
        draft.write_bytes(base64.b64decode(images[0]))


def _without_image(metrics: dict[str, Any]) -> dict[str, Any]:
    """Drop the image: base64 text would fill the JSON output, and --filters writes it to a file."""
    return {name: value for name, value in metrics.items() if name != "image"}
