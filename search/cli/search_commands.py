"""Commands that search: search, status, init."""

import gc
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import DATABASE, Database, Json, show, show_json

NOTHING_USABLE, ENVIRONMENT, RESUMABLE = 3, 4, 75
EXIT_CODES = {"same_failure": NOTHING_USABLE, "disk_full": ENVIRONMENT}  # by why a run was stopped


def search(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The search file (TOML).")],
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Take over what an earlier run has trained, or train all again.")
    ] = True,
    settings: Annotated[
        list[str] | None, typer.Option("-s", "--set", metavar="KEY=VALUE", help="Override a key: -s recipe.epochs=5")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; the file's own by default.")] = None,
    database: Database = DATABASE,
    runs: Annotated[Path, typer.Option(help="The folder that everything is written to.")] = Path("runs"),
    address: Annotated[str | None, typer.Option(help="A Ray cluster: auto, or host:port.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the best to show.")] = 5,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen: start and write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Run the search that FILE describes, and show the best networks under its budget."""
    gc.enable()
    from rich.console import Console

    from ...results.database.run_name import check_run_name
    from ..experiment.dry_run import notes
    from ..experiment.search_file import load_experiment, overridden_twice
    from ..runs.session import search as run_search
    from .progress import shown

    for said in overridden_twice(settings or ()):
        typer.echo(f"note: {said}", err=True)
    experiment = load_experiment(file, [*(settings or ()), *([] if cache else ["search.cache=false"])])
    run = check_run_name(name if name is not None else experiment.file.name or file.stem)
    if dry_run:
        _forecast(experiment, run, _beside(runs, database, context), address, as_json)
        return
    console = Console(stderr=True)
    trials = experiment.file.search.trials
    console.print(_opening(experiment), highlight=False, markup=False)
    for said in notes(experiment):
        typer.echo(f"note: {said}", err=True)
    with shown(console, trials) as progress:
        outcome = run_search(
            experiment,
            name=run,
            database=_beside(runs, database, context),
            runs=runs,
            address=address,
            top=top,
            on_change=progress.update,
        )
    _close(outcome, as_json)


def resume(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="The run to go on with.")],
    trials: Annotated[str | None, typer.Option(help="A new total, as in 48, or more, as in +24.")] = None,
    database: Database = DATABASE,
    runs: Annotated[Path, typer.Option(help="The folder that everything is written to.")] = Path("runs"),
    address: Annotated[str | None, typer.Option(help="A Ray cluster: auto, or host:port.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the best to show.")] = 5,
    as_json: Json = False,
) -> None:
    """Go on with a run that was stopped or killed; nothing that ended is trained again."""
    gc.enable()
    from rich.console import Console

    from ..experiment.experiment import file_of
    from ..runs.session import resume as resume_run
    from .options import reading
    from .progress import shown

    database = _beside(runs, database, context)
    with reading(database) as store:
        total = _total(trials, file_of(store.run(run)).search.trials)
    with shown(Console(stderr=True), total) as progress:
        outcome = resume_run(
            run, trials=total, database=database, runs=runs, address=address, top=top, on_change=progress.update
        )
    _close(outcome, as_json)


def _forecast(experiment: Any, run: str, database: Any, address: str | None, as_json: bool) -> None:
    """Say what a search would do; a name that is taken is refused as the search would refuse it."""
    from contextlib import suppress

    from ...results.database.errors import NoStoreError
    from ..experiment.dry_run import forecast, forecast_lines
    from ..runs.session import check_free

    with suppress(NoStoreError):
        check_free(database, run, experiment)
    told = forecast(experiment, run, elsewhere=address is not None)
    if as_json:
        show_json(told)
    else:
        show(*forecast_lines(told))


def _beside(runs: Path, database: Any, context: typer.Context) -> Any:
    """The database; where none was named, that of the folder of the runs."""
    source = context.get_parameter_source("database")
    return runs / DATABASE.name if source is not None and source.name == "DEFAULT" else database


def _total(trials: str | None, before: int) -> int:
    """The total that ``48`` or ``+24`` asks for."""
    try:
        asked = int(trials or "+0")
    except ValueError:
        raise ValueError(f"--trials is a total or an addition, as in 48 or +24, but got {trials!r}") from None
    return before + asked if trials is None or trials.startswith("+") else asked


def _opening(experiment: Any) -> str:
    """What is about to happen, in two lines."""
    file, sieve = experiment.file, experiment.sieve
    return (
        f"{sieve.size:,} distinct architectures in the space {sieve.space.name!r}; budget: {experiment.budget}\n"
        f"{file.search.trials} trials by {file.search.searcher} on {file.data.name}, "
        f"seed {file.search.seed}; starting Ray{_afterwards(experiment)}"
    )


def _afterwards(experiment: Any) -> str:
    """What comes when the trials have ended."""
    if experiment.task.name != "zero-shot":
        return ""
    return "\nthen the best is trained on all seen classes and tested once, beside the baselines: another while"


def _close(outcome: Any, as_json: bool) -> None:
    from .trial_json import trial_json

    if as_json:
        show_json(
            {
                "run": outcome.run,
                "best": [trial_json(trial) for trial in outcome.best],
                "trials": len(outcome.trials),
                "failed": len(outcome.failed),
                "too_slow": len(outcome.too_slow),
                "exhausted": outcome.exhausted,
                "complete": outcome.complete,
                "stopped": outcome.stop and outcome.stop.reason,
                "seconds": outcome.seconds,
                "database": str(outcome.database),
                "report": str(outcome.report),
                **({"zero_shot": dict(outcome.zero_shot)} if outcome.zero_shot else {}),
            }
        )
    elif outcome.best:
        _show_best(outcome)
    if not outcome.complete:
        _close_early(outcome)
    if not outcome.best:
        typer.echo(f"no network was found: {_why_none(outcome)}", err=True)
        raise typer.Exit(NOTHING_USABLE)


def _close_early(outcome: Any) -> None:
    """Say why a run ended before its last trial and how to go on, and exit by it."""
    stop = outcome.stop
    why = f"{stop.reason}\n{stop.detail}".rstrip() if stop is not None else "stopped"
    typer.echo(f"{why}\nthe run ended before its last trial; go on with: archsieve resume {outcome.run}", err=True)
    raise typer.Exit(EXIT_CODES.get(stop.kind, RESUMABLE) if stop is not None else RESUMABLE)


def _why_none(outcome: Any) -> str:
    total = len(outcome.trials)
    if not outcome.failed:
        return f"0 of {total} trials have a result under the budget{_slow(outcome)}; they are all in {outcome.report}"
    return (
        f"{len(outcome.failed)} of {total} trials failed, most often because of: {outcome.common_reason}"
        f"{_slow(outcome)}\nthe failures are in {outcome.report}"
    )


def _slow(outcome: Any) -> str:
    """How many trials met the latency as predicted and broke it as measured."""
    return f", {len(outcome.too_slow)} measured too slow" if outcome.too_slow else ""


def _exhausted(outcome: Any) -> str:
    """Why the searcher had nothing more to propose."""
    from ...results.database.records import FailKind

    if any(trial.fail_kind is FailKind.OOM for trial in outcome.trials):
        return "every architecture inside the budget and below what ran out of memory has been tried"
    return "every architecture inside the budget has been tried"


def _show_best(outcome: Any) -> None:
    from ...results.database.zero_shot_records import selected_by
    from ...spaces.architectures.architecture import Architecture
    from ...spaces.architectures.cost import cost, layer_costs
    from .tables import UNITS, layers_table, trials_table
    from .zero_shot_tables import zero_shot_texts

    best = outcome.best[0]
    architecture = Architecture.from_json(best.architecture)
    tested = "" if best.test_accuracy is None else f" (test accuracy {best.test_accuracy:.4f}, not used to choose)"
    failed = (f", {len(outcome.failed)} failed" if outcome.failed else "") + _slow(outcome)
    ended = f"; {_exhausted(outcome)}" if outcome.exhausted else ""
    limit_ms = outcome.budget.latency_ms
    timed = "" if limit_ms is None else f" --max-latency-ms {limit_ms:g}"
    count = sum(trial.state.final for trial in outcome.trials)
    title = f"best of {count} trial{'' if count == 1 else 's'}{failed}{ended}, by {selected_by(best)}"
    show(
        trials_table(outcome.best, title, without=("run", "state")),
        layers_table(layer_costs(architecture), cost(architecture), f"layers of trial {best.trial}{tested}"),
        UNITS,
        *(zero_shot_texts(outcome.zero_shot) if outcome.zero_shot else filter(None, [outcome.not_tested])),
        f"report:   {outcome.report}\ndatabase: {outcome.database}\n"
        f"ask it:   archsieve results best --run {outcome.run} --max-params {best.params}{timed}",
    )


def status(
    run: Annotated[str | None, typer.Argument(help="One run; all of them where left out.")] = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Say how far the runs have come."""
    from ...results.query.best import best
    from ...results.query.budget_filter import budget_in
    from .options import reading

    with reading(database) as store:
        records = [store.run(run)] if run is not None else store.runs()
        bests = {r.name: next(iter(best(store, budget=budget_in(r.config), run=r.name)), None) for r in records}
    rows = [
        {
            "run": record.name,
            "status": record.status.value,
            "searcher": record.searcher,
            "trials": record.trials,
            "of": record.config.get("search", {}).get("trials", record.trials),
            **{state.value: count for state, count in record.counts.items()},
            "val_accuracy": found.val_accuracy if (found := bests[record.name]) else None,
            "trial": found.trial if found else None,
        }
        for record in records
    ]
    if as_json:
        show_json(rows)
        return
    for row in rows:
        states = ", ".join(f"{row[s]} {s}" for s in ("completed", "stopped_early", "failed", "running") if row.get(s))
        best_words = "" if row["trial"] is None else f"; best {row['val_accuracy']:.4f} (trial {row['trial']})"
        show(f"{row['run']}: {row['status']}, {row['trials']} of {row['of']} trials ({states or 'none'}){best_words}")


def init(
    data: Annotated[str, typer.Argument(help="A data set of the table, or imagefolder.")] = "digits",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to write it.")] = None,
    path: Annotated[str | None, typer.Option(help="Where the data lie.")] = None,
    image_size: Annotated[int | None, typer.Option(min=1, help="Side in pixels, for an image folder.")] = None,
    texts: Annotated[str | None, typer.Option(help="A folder of CLASS.txt, for zero-shot learning.")] = None,
) -> None:
    """Write a commented search file for a data set."""
    from ..experiment.template import search_file_text

    target = output or Path(f"{data}.toml")
    text = search_file_text(data, path=path, image_size=image_size, texts=texts)
    try:
        with target.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise ValueError(f"{target} exists and is left as it is; name another file with -o") from None
    except FileNotFoundError:
        raise ValueError(f"there is no folder {target.parent} for {target.name}; make it first") from None
    show(f"wrote {target}; run it with: archsieve search {target}")
