"""Commands that query the database: results best, list, show, pareto, query, sql."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    DATABASE,
    Database,
    Imports,
    Json,
    MaxActivations,
    MaxFlash,
    MaxLatency,
    MaxMacs,
    MaxMemory,
    MaxParams,
    MaxRam,
    Run,
    TrialName,
    budget_of,
    import_modules,
    open_read_only,
)
from .output import NOTHING_USABLE, show, show_json, show_message

if TYPE_CHECKING:
    from ...results.database.reader import StoreReader

results = typer.Typer(help="Query the results database.", no_args_is_help=True)


@results.command()
def best(
    top: Annotated[int, typer.Option(min=1, help="The number of networks to show.")] = 1,
    metric: Annotated[
        str | None, typer.Option(help="Rank by this recorded metric. Default: the metric of the runs.")
    ] = None,
    run: Run = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "--data", help="Use only runs on this data set.")] = None,
    max_params: MaxParams = None,
    max_macs: MaxMacs = None,
    max_activations: MaxActivations = None,
    max_memory: MaxMemory = None,
    max_latency_ms: MaxLatency = None,
    max_ram: MaxRam = None,
    max_flash: MaxFlash = None,
    imports: Imports = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show the best networks within a budget.

    They are ranked by the metric of their runs, or by the accuracy if the runs have different metrics. Trials of
    different data sets are ranked separately.

    Example: archsieve results best --max-params 60k --top 3
    """
    from ...results.query.best import no_match_reason
    from .headline import best_json, best_table, best_trials

    import_modules(imports)
    budget = budget_of(max_params, max_macs, max_activations, max_memory, max_latency_ms, max_ram, max_flash)
    with open_read_only(database) as store:
        names = _dataset_labels(store) if run is None and dataset is None else {dataset: ""}
        answers = [
            best_trials(store, name, budget=budget, run=run, dataset=key, top=top, metric=metric)
            for key, name in names.items()
        ]
        why = "" if any(answer.trials for answer in answers) else no_match_reason(store, budget, run, dataset)
    if as_json:
        show_json([entry for answer in answers for entry in best_json(answer)])
    elif not why:
        show(*(best_table(answer, str(budget)) for answer in answers if answer.trials))
    if mixed := ", ".join(sorted({name for answer in answers for name in answer.mixed})):
        show_message(f"the runs select by different metrics: {mixed}; name one with --metric or --run")
    if why:
        show_message(why)
        raise typer.Exit(NOTHING_USABLE)


def _dataset_labels(store: "StoreReader") -> dict[str | None, str]:
    """Return the label of each data set with trials by its hash; of a single one an empty label for None."""
    from ...results.query.datasets import datasets_with_trials

    # with the hash: data that were split again have the same name
    labels: dict[str | None, str] = {
        one.content_hash: f"{one.name} ({one.content_hash[:12]})" for one in datasets_with_trials(store)
    }
    return labels if len(labels) > 1 else {None: ""}


@results.command("list")
def list_trials(
    run: Run = None,
    dataset: Annotated[str | None, typer.Option(help="Use only runs on this data set.")] = None,
    sort: Annotated[
        str | None,
        typer.Option(help="The column to sort by; a leading - puts the largest first. Default: the best first."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The maximum number of trials to show.")] = None,
    max_params: MaxParams = None,
    max_macs: MaxMacs = None,
    max_activations: MaxActivations = None,
    max_memory: MaxMemory = None,
    max_latency_ms: MaxLatency = None,
    max_ram: MaxRam = None,
    max_flash: MaxFlash = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """List trials in any state, failed ones included.

    Example: archsieve results list --sort params --limit 10
    """
    from ...results.query.best import listing, no_match_reason, ranking
    from .headline import top_5_column

    budget = budget_of(max_params, max_macs, max_activations, max_memory, max_latency_ms, max_ram, max_flash)
    with open_read_only(database) as store:
        trials = listing(store, budget=budget, run=run, dataset=dataset, sort=sort, limit=limit)
        order, columns = sort or ranking(store, run, dataset).sort, top_5_column(store, trials)
        why = "" if trials else no_match_reason(store, budget, run, dataset)
    print_trials(trials, as_json, f"{len(trials)} trials, sorted by {order}", why, columns)


@results.command()
def pareto(
    objectives: Annotated[
        str | None,
        typer.Option(help="The objectives, separated by commas. Default: the metric of the runs, and macs."),
    ] = None,
    run: Run = None,
    max_params: MaxParams = None,
    max_macs: MaxMacs = None,
    max_activations: MaxActivations = None,
    max_memory: MaxMemory = None,
    max_latency_ms: MaxLatency = None,
    max_ram: MaxRam = None,
    max_flash: MaxFlash = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show the Pareto front: trials that no other trial dominates.

    Example: archsieve results pareto --objectives val_accuracy,params
    """
    from ...results.query.best import no_match_reason, ranking
    from ...results.query.pareto_sql import front
    from .headline import top_5_column

    budget = budget_of(max_params, max_macs, max_activations, max_memory, max_latency_ms, max_ram, max_flash)
    with open_read_only(database) as store:
        chosen = objectives.split(",") if objectives is not None else [ranking(store, run).stored_name, "macs"]
        trials = front(store, chosen, budget=budget, run=run)
        columns = top_5_column(store, trials)
        why = "" if trials else no_match_reason(store, budget, run)
    print_trials(trials, as_json, f"Pareto front of {','.join(chosen)}", why, columns)


@results.command("show")
def show_trial(
    trial: TrialName,
    classes: Annotated[
        bool, typer.Option("--classes", help="Show the classes instead: confusions, mistakes, calibration.")
    ] = False,
    imports: Imports = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show one trial: metrics, recipe, layers and findings.

    With --json the learning curve is included. With --classes the stored validation predictions of the trial are
    shown: precision, recall and F1 of each class, the confusion matrix, the most confident mistakes, and calibration.

    Example: archsieve results show digits:0
    """
    if classes:
        from .class_tables import show_classes

        show_classes(trial, database, as_json)
        return
    from .trial_texts import read_records, records_json, records_texts

    import_modules(imports)
    with open_read_only(database) as store:
        records = read_records(store, trial)
    if as_json:
        show_json(records_json(records))
    else:
        show(*records_texts(records))


def print_trials(
    trials: list[Any],
    as_json: bool,
    title: str,
    no_match_reason: str,
    columns: Mapping[str, Sequence[str]],
) -> None:
    """Print ``trials``; if there are none, print ``no_match_reason`` on stderr and exit with code 3.

    ``columns`` are further columns of the table, with one text for each trial.
    """
    if as_json:
        from .output import trial_json

        show_json([trial_json(trial) for trial in trials])
    elif trials:
        from .tables import trials_table

        show(trials_table(trials, title, columns=columns))
    # printed after the JSON: scripts get an empty list on stdout and the reason on stderr
    if not trials:
        show_message(no_match_reason)
        raise typer.Exit(NOTHING_USABLE)


def query(
    condition: Annotated[str, typer.Argument(help='A condition such as "val_accuracy > 0.9 and params < 5M".')],
    run: Run = None,
    sort: Annotated[
        str | None,
        typer.Option(help="The column to sort by; a leading - puts the largest first. Default: the best first."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="The maximum number of trials to show.")] = 20,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show the trials that match a condition, in any state.

    Columns: those of results list, and recipe.KEY, choices.KEY, run, dataset, searcher, depth, flops. Numbers can end
    in k, M, G or T; text is written in quotes. Operators: = != < <= > >=, in (...), like "digits%", is null, and, or,
    not, ( ).

    Example: archsieve results query "params < 45k" --sort macs
    """
    from ...results.query.best import ranking
    from ...results.query.expression_query import filter_trials
    from .headline import top_5_column

    with open_read_only(database) as store:
        answer = filter_trials(store, condition, run=run, sort=sort or "", top=top)
        order, trials = sort or ranking(store, run).sort, list(answer.trials)
        columns = top_5_column(store, trials)
    title = f"{answer.matching} trials match, sorted by {order}"
    print_trials(trials, as_json, title, answer.no_match_reason, columns)
    if answer.matching > len(answer.trials):
        show_message(f"showing the first {len(answer.trials)} of {answer.matching} trials; use --top to show more")


def sql(
    statement: Annotated[
        str, typer.Argument(help='One statement such as "SELECT state, count(*) FROM trial GROUP BY 1".')
    ],
    rows: Annotated[int, typer.Option(min=1, max=100_000, help="The largest number of rows to show.")] = 1000,
    timeout: Annotated[float, typer.Option(min=0.1, max=3600, help="The time limit in seconds.")] = 5,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Run one read-only SQL statement.

    The tables are described in docs/database.md.

    Example: archsieve results sql "SELECT count(*) FROM trial"
    """
    from ...results.query.read_only_sql import run_read_only_sql
    from .tables import table

    with open_read_only(database) as store:
        answer = run_read_only_sql(store, statement, timeout_s=timeout, rows=rows)
    if as_json:
        show_json([dict(zip(answer.columns, map(_plain, row), strict=True)) for row in answer.rows])
    else:
        cells = [["" if value is None else str(_plain(value)) for value in row] for row in answer.rows]
        text = [name for i, name in enumerate(answer.columns) if any(isinstance(row[i], str) for row in answer.rows)]
        show(table("", answer.columns, cells, left=text))
    if answer.more:
        show_message(f"showing the first {rows} rows; use --rows to show more")


def _plain(value: Any) -> Any:
    """Return a value of SQL as one that JSON can encode; PostgreSQL also returns dates and decimal numbers."""
    return value if value is None or isinstance(value, int | float | str) else str(value)
