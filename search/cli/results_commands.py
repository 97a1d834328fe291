"""Commands that query the database: results best, list, show, pareto, query, sql, compare, curve."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    DATABASE,
    Database,
    Json,
    MaxActivations,
    MaxLatency,
    MaxMacs,
    MaxMemory,
    MaxParams,
    Run,
    TrialName,
    budget_of,
    open_read_only,
)
from .output import show, show_json, show_message

if TYPE_CHECKING:
    from ...results.database.records import Trial

MAX_COLUMN_WIDTH = 36  # characters of an architecture on one line; narrow, because compare has a column per trial
Trials = Annotated[
    list[str], typer.Argument(metavar="TRIAL...", help="Trials: ids such as 17, RUN:NUMBER, or fingerprints.")
]


NOTHING_USABLE = 3

results = typer.Typer(help="Query the results database.", no_args_is_help=True)


@results.command()
def best(
    top: Annotated[int, typer.Option(min=1, help="The number of networks to show.")] = 1,
    metric: Annotated[
        str | None, typer.Option(help="Rank by this recorded metric. Default: the metric of the runs.")
    ] = None,
    run: Run = None,
    dataset: Annotated[str | None, typer.Option(help="Use only runs on this data set.")] = None,
    max_params: MaxParams = None,
    max_macs: MaxMacs = None,
    max_activations: MaxActivations = None,
    max_memory: MaxMemory = None,
    max_latency_ms: MaxLatency = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show the best networks within a budget.

    They are ranked by the metric of their runs, or by the accuracy if the runs have different metrics.

    Example: archsieve results best --max-params 60k --top 3
    """
    from ...results.query.best import best as query_best
    from ...results.query.best import no_match_reason, ranking

    budget = budget_of(max_params, max_macs, max_activations, max_memory, max_latency_ms)
    with open_read_only(database) as store:
        trials = query_best(store, budget=budget, run=run, dataset=dataset, top=top, metric=metric)
        why = "" if trials else no_match_reason(store, budget, run, dataset)
        by = ranking(store, run, dataset, metric)
    print_trials(trials, as_json, f"best under {budget}, by {by.label}", why, by.metric)


@results.command("list")
def list_trials(
    run: Run = None,
    dataset: Annotated[str | None, typer.Option(help="Use only runs on this data set.")] = None,
    sort: Annotated[
        str | None,
        typer.Option(help="The column to sort by; a leading - puts the largest first. Default: the best first."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The largest number of trials to show.")] = None,
    max_params: MaxParams = None,
    max_macs: MaxMacs = None,
    max_activations: MaxActivations = None,
    max_memory: MaxMemory = None,
    max_latency_ms: MaxLatency = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """List trials in any state, failed ones included.

    Example: archsieve results list --sort params --limit 10
    """
    from ...results.query.best import listing, no_match_reason, ranking

    budget = budget_of(max_params, max_macs, max_activations, max_memory, max_latency_ms)
    with open_read_only(database) as store:
        trials = listing(store, budget=budget, run=run, dataset=dataset, sort=sort, limit=limit)
        order = sort or ranking(store, run, dataset).sort
        why = "" if trials else no_match_reason(store, budget, run, dataset)
    print_trials(trials, as_json, f"{len(trials)} trials, sorted by {order}", why)


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
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show the Pareto front: trials that no other trial dominates.

    Example: archsieve results pareto --objectives val_accuracy,params
    """
    from ...results.query.best import no_match_reason, ranking
    from ...results.query.pareto_sql import front

    budget = budget_of(max_params, max_macs, max_activations, max_memory, max_latency_ms)
    with open_read_only(database) as store:
        chosen = objectives.split(",") if objectives is not None else [ranking(store, run).stored_name, "macs"]
        trials = front(store, chosen, budget=budget, run=run)
        why = "" if trials else no_match_reason(store, budget, run)
    print_trials(trials, as_json, f"Pareto front of {','.join(chosen)}", why)


@results.command("show")
def show_trial(trial: TrialName, database: Database = DATABASE, as_json: Json = False) -> None:
    """Show one trial: metrics, recipe, layers and findings.

    With --json the learning curve is included.

    Example: archsieve results show digits:0
    """
    from ...results.analysis.health import findings_of
    from ...results.database.latency_records import measurements
    from ...results.database.proxy_records import scores_of
    from ...results.database.training_records import augmentation_cost, loaded_weights, lrs_found
    from ...results.database.zero_shot_records import latest_test_table
    from ...results.query.trial_name import find_trial
    from ...spaces.architectures.cost import cost, layer_costs
    from ...spaces.architectures.recorded import architecture_or_none
    from .tables import latency_line, layers_table, readable, trials_table
    from .trial_json import json_row, trial_json
    from .zero_shot_tables import zero_shot_trial_texts

    with open_read_only(database) as store:
        record = find_trial(store, trial)
        curve = store.curve(record.trial)
        measured = measurements(store, record.run, trial_id=record.trial)
        proxies = scores_of(store, record.run, record.fingerprint)
        table = latest_test_table(store, record.run)
        health = findings_of(store, record.run, trial_id=record.trial).get(record.trial, [])
        lrs = lrs_found(store, record.run, record.trial)
        augmented = augmentation_cost(store, record.run, record.trial)
        loaded = loaded_weights(store, record.run, record.trial)
        recorded_layers = store.layers(record.fingerprint)
        tests = store.test_metrics(record.trial)
    architecture = architecture_or_none(record.architecture)
    # the code of custom blocks may not be here: the database has their layers, too, in fewer columns
    layers = [] if architecture is None else layer_costs(architecture)
    if as_json:
        more: dict[str, Any] = {"measurements": [json_row(vars(row)) for row in measured], "proxies": proxies}
        more |= {"findings": list(map(vars, health)), "lrs_found": lrs, "augmentation_cost": augmented}
        more |= {"weights": loaded, "test_metrics": tests}
        rows = [row.to_json() for row in layers] or recorded_layers
        show_json({**trial_json(record), "layers": rows, **_curve(curve), **more})
        return
    show(trials_table([record]))
    if architecture is not None:
        show(*readable("the layers", lambda: [layers_table(layers, cost(architecture), "layers")]))
    show(*_value_lines(record, tests))
    show(*readable("the zero-shot test", lambda: zero_shot_trial_texts(record, curve, table)))
    show(*readable("the latency", lambda: map(latency_line, measured)))
    show(*(f"proxy {name}: {score}" for name, score in proxies.items()))
    show(*readable("the start of training", lambda: _training_lines(lrs, augmented, loaded)))
    show(*(f"finding {finding.kind}: {finding.message}" for finding in health))


def _value_lines(trial: "Trial", tests: Mapping[str, float]) -> Iterator[str]:
    """Yield the values of a trial, its recorded metrics, those of the test, and its recipe."""
    from .trial_json import trial_json

    plain = {name: value for name, value in trial_json(trial).items() if not isinstance(value, dict | None)}
    recipe = {f"recipe.{name}": value for name, value in trial.recipe.items() if value is not None}
    for name, value in {**plain, **trial.metrics, **tests, **recipe}.items():
        yield f"{name}: {value}"


def _training_lines(
    lrs: list[Any], augmented: Mapping[str, Any] | None, weights: Mapping[str, Any] | None
) -> Iterator[str]:
    """Yield what a worker measured at the start of training: weights, learning rates, and the cost of augmentation."""
    if weights is not None:
        yield f"weights: {weights.get('file')}, tag {weights.get('tag')}, sha256 {str(weights.get('sha256'))[:12]}"
    for entry in lrs:
        yield f"lr found: {entry['lr']:g}, the first of {len(entry['tries'])} tried that trains"
    if augmented is not None:
        yield "augmentation: {batch_ms:.3g} ms a batch of {batch_size} on {device}".format(**augmented)


def print_trials(trials: list[Any], as_json: bool, title: str, no_match_reason: str, metric: str | None = None) -> None:
    """Print ``trials``; if there are none, print ``no_match_reason`` on stderr and exit with code 3.

    ``metric`` is a metric that the table shows in addition to those that select in the runs.
    """
    if as_json:
        from .trial_json import trial_json

        show_json([trial_json(trial) for trial in trials])
    elif trials:
        from .tables import trials_table

        show(trials_table(trials, title, metrics=[metric] if metric else ()))
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
    top: Annotated[int, typer.Option(min=1, help="The largest number of trials to show.")] = 20,
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

    with open_read_only(database) as store:
        answer = filter_trials(store, condition, run=run, sort=sort or "", top=top)
        order = sort or ranking(store, run).sort
    print_trials(
        list(answer.trials), as_json, f"{answer.matching} trials match, sorted by {order}", answer.no_match_reason
    )
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


def compare(names: Trials, database: Database = DATABASE, as_json: Json = False) -> None:
    """Compare trials: metrics, costs, recipe and choices.

    Example: archsieve results compare digits:0 digits:1
    """
    from ...results.query.comparison import compare as side_by_side

    trials = _named(names, database)
    rows = side_by_side(trials)
    if as_json:
        ids = [str(trial.trial) for trial in trials]
        listed = [{"part": r.part, "name": r.name, "differs": r.differs, **_by(ids, r.values)} for r in rows]
        show_json({"trials": [_entry(trial) for trial in trials], "rows": listed})
        return
    from textwrap import fill

    from .tables import table

    headers = ("", *(f"trial {trial.trial}" for trial in trials), "")
    networks = ("architecture", *(fill(_architecture_text(trial), MAX_COLUMN_WIDTH) for trial in trials), "")
    # a seed is a name, not a quantity: it has no thousands separators
    formats = [(row, str if row.name == "seed" else _cell) for row in rows]
    cells = [(_label(row), *map(cell, row.values), "differs" if row.differs else "") for row, cell in formats]
    show(table("", headers, [networks, *cells], left=("",)))


def curve(
    names: Trials,
    metric: Annotated[
        str | None, typer.Option(help="The metric to show. Default: that of the first trial's run.")
    ] = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show a metric of trials for each epoch.

    Example: archsieve results curve digits:0 digits:1 --metric val_loss
    """
    from ...spaces.metrics.registry import stored_name
    from ...spaces.parameters.lookup import unknown
    from .tables import table

    trials = _named(names, database)
    with open_read_only(database) as store:
        curves = {trial.trial: store.curve(trial.trial) for trial in trials}
    if as_json:
        show_json([{**_entry(t), **_curve(curves[t.trial])} for t in trials])
        return
    recorded = sorted({name for curve in curves.values() for name in curve})
    if not recorded:
        show_message("these trials have no recorded epoch")
        raise typer.Exit(NOTHING_USABLE)
    metric = stored_name(trials[0].metric if metric is None else metric)
    if metric not in recorded:
        raise ValueError(unknown("metric", metric, recorded))
    columns = {trial_id: dict(curve.get(metric, [])) for trial_id, curve in curves.items()}
    epochs = sorted({epoch for values in columns.values() for epoch in values})
    cells = [[str(epoch), *(_cell(values.get(epoch)) for values in columns.values())] for epoch in epochs]
    show(table(metric, ("epoch", *(f"trial {trial_id}" for trial_id in columns)), cells, left=()))


def _named(names: list[str], database: Any) -> list["Trial"]:
    from ...results.query.trial_name import find_trial

    with open_read_only(database) as store:
        return [find_trial(store, name) for name in names]


def _entry(trial: "Trial") -> dict[str, Any]:
    return {"trial": trial.trial, "run": trial.run, "fingerprint": trial.fingerprint}


def _curve(curve: Mapping[str, list[tuple[int, float]]]) -> dict[str, Any]:
    from .trial_json import json_curve, json_curve_reasons

    reasons = json_curve_reasons(curve)
    return {"curve": json_curve(curve), **({"curve_reason": reasons} if reasons else {})}


def _by(ids: list[str], values: tuple[Any, ...]) -> dict[str, Any]:
    return {"values": dict(zip(ids, values, strict=True))}


def _architecture_text(trial: "Trial") -> str:
    from ...spaces.architectures.recorded import describe_recorded

    return describe_recorded(trial.architecture)


def _label(row: Any) -> str:
    return f"{row.part}.{row.name}" if row.part in ("recipe", "choices") else str(row.name)


def _cell(value: Any) -> str:
    if isinstance(value, bool | None):  # before int, because a bool is an int, too
        return "" if value is None else str(value).lower()
    if isinstance(value, float):
        # four decimals would show a small learning rate as 0.0000
        return f"{value:.4g}" if abs(value) < 0.01 else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain(value: Any) -> Any:
    """Return a value of SQL as one that JSON can encode; PostgreSQL also returns dates and decimal numbers."""
    return value if value is None or isinstance(value, int | float | str) else str(value)
