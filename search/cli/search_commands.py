"""Commands that run searches: search, resume, status."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import DATABASE, Database, Imports, Json, RunName, Settings, import_modules
from .output import printable, show, show_json, show_message

NOTHING_USABLE, ENVIRONMENT, RESUMABLE = 3, 4, 75
EXIT_CODES = {"same_failure": NOTHING_USABLE, "disk_full": ENVIRONMENT}  # by the reason why a run stopped

SearchFilePath = Annotated[Path, typer.Argument(metavar="FILE", help="The search file (TOML).")]
Cache = Annotated[
    bool,
    typer.Option("--cache/--no-cache", help="Reuse results that an earlier run trained, or train everything again."),
]
MetricName = Annotated[
    str | None,
    typer.Option(help="The metric that selects the best trial, such as balanced_accuracy. Default: that of the file."),
]
NumberOfTrials = Annotated[int | None, typer.Option(min=1, help="The number of trials. Default: that of the file.")]
Name = Annotated[str | None, typer.Option(help="The name of the run. Default: the name in the search file.")]
OutputFolder = Annotated[Path, typer.Option(help="The folder for all output of runs.")]
Address = Annotated[str | None, typer.Option(help="The address of a Ray cluster: auto or HOST:PORT.")]
Top = Annotated[int, typer.Option(min=1, help="The number of best networks to show.")]
TimeLimit = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Stop after this time, such as 30m or 2h, at the ends of epochs."),
]
AllowPaths = Annotated[
    bool, typer.Option("--allow-paths", help="Use the folders, files, URLs and commands that an imported run names.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what the search would do; start and write nothing.")]


def search(
    context: typer.Context,
    file: SearchFilePath,
    cache: Cache = True,
    settings: Settings = None,
    imports: Imports = None,
    metric: MetricName = None,
    trials: NumberOfTrials = None,
    name: Name = None,
    database: Database = DATABASE,
    runs: OutputFolder = Path("runs"),
    address: Address = None,
    top: Top = 5,
    time_limit: TimeLimit = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run the search of a search file and show the best networks.

    Ctrl-C stops the search; `archsieve resume` continues it.

    Example: archsieve search examples/digits.toml --trials 4
    """
    from rich.console import Console

    from ...results.database.run_name import check_run_name
    from ..experiment.search_file import load_experiment, overridden_twice
    from ..post.teacher_trials import with_teacher_files
    from ..runs.session import search as run_search
    from .progress import show_progress

    for note in overridden_twice(settings or ()):
        show_message(f"note: {note}")
    overrides = [*(settings or ()), *_overrides(cache, metric, trials, time_limit)]
    experiment = load_experiment(file, overrides, plugins=imports or ())
    run = check_run_name(name if name is not None else experiment.file.name or file.stem)
    database = _database(runs, database, context)
    experiment = with_teacher_files(experiment, database, runs)
    if dry_run:
        _show_forecast(experiment, run, database, address, as_json)
        return
    console = Console(stderr=True)
    _print_introduction(console, experiment)
    with show_progress(console, experiment.file.search.trials) as progress:
        outcome = run_search(
            experiment, name=run, database=database, runs=runs, address=address, top=top, on_change=progress.update
        )
    _show_outcome(outcome, as_json)


def _overrides(cache: bool, metric: str | None, trials: int | None, time_limit: str | None) -> list[str]:
    """Return the options as overrides of keys of the search file."""
    given = {"cache": None if cache else "false", "metric": metric, "trials": trials, "time_limit": time_limit}
    return [f"search.{key}={value}" for key, value in given.items() if value is not None]


def resume(
    context: typer.Context,
    run: RunName = "last",
    trials: Annotated[
        str | None, typer.Option(help="The new total, such as 48, or additional trials, such as +24.")
    ] = None,
    time_limit: TimeLimit = None,
    imports: Imports = None,
    database: Database = DATABASE,
    runs: OutputFolder = Path("runs"),
    address: Address = None,
    top: Top = 5,
    allow_paths: AllowPaths = False,
    as_json: Json = False,
) -> None:
    """Continue a run that was stopped or killed, or add trials.

    Finished trials are not trained again. Without a name, the run that was started last is continued.

    Example: archsieve resume digits --trials +24
    """
    from rich.console import Console

    from ..experiment.stored_settings import search_file_of
    from ..runs.session import resume as resume_run
    from .options import open_read_only
    from .progress import show_progress

    import_modules(imports)
    database = _database(runs, database, context)
    with open_read_only(database) as store:
        record = store.run(run)
        total = _total(trials, search_file_of(record).search.trials)
    if record.name != run:
        show_message(f"run {record.name}")
    with show_progress(Console(stderr=True), total) as progress:
        outcome = resume_run(
            record.name,
            trials=total,
            time_limit=time_limit,
            database=database,
            runs=runs,
            address=address,
            top=top,
            allow_paths=allow_paths,
            on_change=progress.update,
        )
    _show_outcome(outcome, as_json)


def _show_forecast(experiment: Any, run: str, database: Any, address: str | None, as_json: bool) -> None:
    """Print what a search would do; raise ``ValueError`` for the name of an existing run, as the search would."""
    from contextlib import suppress

    from ...results.database.errors import NoStoreError
    from ..experiment.dry_run import forecast, forecast_lines
    from ..runs.session import check_free

    with suppress(NoStoreError):  # a first search has no database yet, so its name is free
        check_free(database, run, experiment)
    report = forecast(experiment, run, elsewhere=address is not None)
    if as_json:
        show_json(report)
    else:
        show(*forecast_lines(report))


def _database(runs: Path, database: Any, context: typer.Context) -> Any:
    """Return the database that --db or ARCHSIEVE_DB names; without either, the one in the folder of the runs."""
    # --runs alone moves the database as well: a run and its files stay together
    source = context.get_parameter_source("database")
    return runs / DATABASE.name if source is not None and source.name == "DEFAULT" else database


def _total(trials: str | None, before: int) -> int:
    """Return the new number of trials from ``48`` (a total) or ``+24`` (in addition to ``before``)."""
    try:
        number = int(trials or "+0")  # int accepts a leading +
    except ValueError:
        raise ValueError(
            f"--trials must be a total such as 48 or an addition such as +24, but got {trials!r}"
        ) from None
    return before + number if trials is None or trials.startswith("+") else number


def _print_introduction(console: Any, experiment: Any) -> None:
    from ..experiment.dry_run import notes

    console.print(printable(_introduction(experiment)), highlight=False, markup=False)
    for note in notes(experiment):
        show_message(f"note: {note}")


def _introduction(experiment: Any) -> str:
    """Return what the search is about to do: the space, the budget, the trials."""
    file, constrained = experiment.file, experiment.constrained
    return (
        f"{constrained.size:,} distinct architectures in the space {constrained.space.name!r}; "
        f"budget: {experiment.budget}\n"
        f"{file.search.trials} trials by {file.search.searcher} on {file.data.name}, "
        f"seed {file.search.seed}; starting Ray{_final_step(experiment)}"
    )


def _final_step(experiment: Any) -> str:
    """Return what a zero-shot search does after its trials; an empty text for other searches."""
    if experiment.task.name != "zero-shot":
        return ""
    return "\nafter the trials the best model is trained on all seen classes and tested once with the baselines"


def _show_outcome(outcome: Any, as_json: bool) -> None:
    """Print the result of a run; exit with a code other than 0 if it stopped early or has no usable trial."""
    from .headline import headline_json, why_none
    from .output import trial_json

    if as_json:
        show_json(
            {
                "run": outcome.run,
                "best": [trial_json(trial) for trial in outcome.best],
                "trials": len(outcome.trials),
                "failed": len(outcome.failed),
                "too_slow": len(outcome.too_slow),
                "exhausted": outcome.exhausted,
                "out_of_time": outcome.out_of_time,
                "complete": outcome.complete,
                "stopped": outcome.stop and outcome.stop.reason,
                "seconds": outcome.seconds,
                "database": str(outcome.database),
                "report": str(outcome.report),
                **headline_json(outcome),
                **({"zero_shot": dict(outcome.zero_shot)} if outcome.zero_shot else {}),
            }
        )
    elif outcome.best:
        _show_best(outcome)
    # after the result: what was found before the stop is printed in any case
    if not outcome.complete:
        _exit_early(outcome)
    if not outcome.best:
        show_message(f"no usable network: {why_none(outcome)}")
        raise typer.Exit(NOTHING_USABLE)


def _exit_early(outcome: Any) -> None:
    """Print why a run ended before its last trial and how to continue it, and exit with the matching code."""
    stop = outcome.stop
    if stop is None and outcome.out_of_time:  # the end that the user asked for
        show_message(f"the time limit was reached before the last trial; resume with: archsieve resume {outcome.run}")
        return
    why = f"{stop.reason}\n{stop.detail}".rstrip() if stop is not None else "stopped"
    show_message(f"{why}\nthe run ended before its last trial; continue it with: archsieve resume {outcome.run}")
    raise typer.Exit(EXIT_CODES.get(stop.kind, RESUMABLE) if stop is not None else RESUMABLE)


def _show_best(outcome: Any) -> None:
    from ...results.database.zero_shot_records import selected_by
    from ...spaces.architectures.architecture import Architecture
    from ...spaces.architectures.cost import cost, layer_costs
    from .headline import exhausted, headline_lines, outcome_columns, too_slow
    from .tables import UNITS, layers_table, trials_table
    from .zero_shot_tables import zero_shot_texts

    best = outcome.best[0]
    architecture = Architecture.from_json(best.architecture)
    tested = "" if best.test_accuracy is None else f" (test accuracy {best.test_accuracy:.4f}, not used for selection)"
    failed = (f", {len(outcome.failed)} failed" if outcome.failed else "") + too_slow(outcome)
    ended = f"; {exhausted(outcome)}" if outcome.exhausted else ""
    ended += "; the time limit was reached" if outcome.out_of_time else ""
    limit_ms = outcome.budget.latency_ms
    timed = "" if limit_ms is None else f" --max-latency-ms {limit_ms:g}"
    train = "" if outcome.zero_shot else f"\ntrain:    archsieve train {best.trial}"
    count = sum(trial.state.final for trial in outcome.trials)
    title = f"best of {count} trial{'' if count == 1 else 's'}{failed}{ended}, by {selected_by(best)}"
    show(
        trials_table(outcome.best, title, without=("run", "state"), columns=outcome_columns(outcome)),
        layers_table(layer_costs(architecture), cost(architecture), f"layers of trial {best.trial}{tested}"),
        UNITS,
        *headline_lines(outcome),
        *(zero_shot_texts(outcome.zero_shot) if outcome.zero_shot else filter(None, [outcome.not_tested])),
        f"report:   {outcome.report}\ndatabase: {outcome.database}\n"
        f"query:    archsieve results best --run {outcome.run} --max-params {best.params}{timed}{train}",
    )


def status(
    run: Annotated[str | None, typer.Argument(help="The name of a run. Default: all runs.")] = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show the progress of runs.

    Example: archsieve status digits
    """
    from ...results.query.best import best
    from ...results.query.budget_filter import budget_from_config
    from ...spaces.metrics.selection import Selection
    from .options import open_read_only

    with open_read_only(database) as store:
        records = [store.run(run)] if run is not None else store.runs()
        # each run has its own budget, so its best trial is looked up within that budget
        bests = {
            r.name: next(iter(best(store, budget=budget_from_config(r.config), run=r.name)), None) for r in records
        }
    rows = [
        {
            "run": record.name,
            "status": record.status.value,
            "searcher": record.searcher,
            "trials": record.trials,
            "of": record.config.get("search", {}).get("trials", record.trials),
            **{state.value: count for state, count in record.counts.items()},
            "metric": Selection.from_config(record.config).metric,
            "value": top.metric_value if (top := bests[record.name]) else None,
            "val_accuracy": top.val_accuracy if top else None,
            "trial": top.trial if top else None,
        }
        for record in records
    ]
    if as_json:
        show_json(rows)
        return
    for row in rows:
        states = ", ".join(f"{row[s]} {s}" for s in ("completed", "stopped_early", "failed", "running") if row.get(s))
        metric = "" if row["metric"] == "accuracy" else f" {row['metric']}"
        best_text = "" if row["trial"] is None else f"; best {row['value']:.4f}{metric} (trial {row['trial']})"
        show(f"{row['run']}: {row['status']}, {row['trials']} of {row['of']} trials ({states or 'none'}){best_text}")


def _named(metric: str) -> str:
    return "" if metric == "accuracy" else f" {metric}"
