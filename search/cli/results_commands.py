"""Commands that ask the database: results best, list, show, pareto, query, sql, compare, curve."""

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
    budget_of,
    reading,
    show,
    show_json,
)

if TYPE_CHECKING:
    from ...results.database.records import Trial

WIDEST = 36  # characters of an architecture on one line, side by side with others
Trials = Annotated[list[str], typer.Argument(metavar="TRIAL...", help="Ids, as in 17; or RUN:NUMBER; or fingerprints.")]


NOTHING_USABLE = 3

results = typer.Typer(help="Ask the results database.", no_args_is_help=True)


@results.command()
def best(
    top: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    run: Run = None,
    dataset: Annotated[str | None, typer.Option(help="Only runs on this data set.")] = None,
    max_params: MaxParams = None,
    max_macs: MaxMacs = None,
    max_activations: MaxActivations = None,
    max_memory: MaxMemory = None,
    max_latency_ms: MaxLatency = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show the best networks inside a budget, by validation accuracy."""
    from ...results.query.best import best as query_best
    from ...results.query.best import why_none

    budget = budget_of(max_params, max_macs, max_activations, max_memory, max_latency_ms)
    with reading(database) as store:
        trials = query_best(store, budget=budget, run=run, dataset=dataset, top=top)
        why = "" if trials else why_none(store, budget, run, dataset)
    answer(trials, as_json, f"best under {budget}, by validation accuracy", why)


@results.command("list")
def list_trials(
    run: Run = None,
    dataset: Annotated[str | None, typer.Option(help="Only runs on this data set.")] = None,
    sort: Annotated[str, typer.Option(help="Sort key; a leading - turns it round.")] = "-val_accuracy",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    max_params: MaxParams = None,
    max_macs: MaxMacs = None,
    max_activations: MaxActivations = None,
    max_memory: MaxMemory = None,
    max_latency_ms: MaxLatency = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """List trials in any state."""
    from ...results.query.best import listing, why_none

    budget = budget_of(max_params, max_macs, max_activations, max_memory, max_latency_ms)
    with reading(database) as store:
        trials = listing(store, budget=budget, run=run, dataset=dataset, sort=sort, limit=limit)
        why = "" if trials else why_none(store, budget, run, dataset)
    answer(trials, as_json, f"{len(trials)} trials, sorted by {sort}", why)


@results.command()
def pareto(
    objectives: Annotated[str, typer.Option(help="What to trade off.")] = "val_accuracy,macs",
    run: Run = None,
    max_params: MaxParams = None,
    max_macs: MaxMacs = None,
    max_activations: MaxActivations = None,
    max_memory: MaxMemory = None,
    max_latency_ms: MaxLatency = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show the trials that no other one beats in all objectives."""
    from ...results.query.best import why_none
    from ...results.query.pareto_sql import front

    budget = budget_of(max_params, max_macs, max_activations, max_memory, max_latency_ms)
    with reading(database) as store:
        trials = front(store, objectives.split(","), budget=budget, run=run)
        why = "" if trials else why_none(store, budget, run)
    answer(trials, as_json, f"Pareto front of {objectives}", why)


@results.command("show")
def show_trial(
    trial: Annotated[str, typer.Argument(help="The trial's id, RUN:NUMBER, or a fingerprint.")],
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show one trial: its figures, recipe, layers and findings; with --json its curve too."""
    from ...results.analysis.health import findings_of
    from ...results.database.latency_records import measurements
    from ...results.database.proxy_records import scores_of
    from ...results.database.training_records import augmentation_cost, lrs_found
    from ...results.database.zero_shot_records import table_of
    from ...results.query.trial_name import trial_named
    from ...spaces.architectures.cost import cost, layer_costs
    from ...spaces.architectures.recorded import architecture_or_none
    from .tables import latency_words, layers_table, trials_table
    from .trial_json import json_curve, json_row, trial_json
    from .zero_shot_tables import zero_shot_words

    with reading(database) as store:
        found = trial_named(store, trial)
        curve = store.curve(found.trial)
        measured = measurements(store, found.run, trial_id=found.trial)
        proxies = scores_of(store, found.run, found.fingerprint)
        table = table_of(store, found.run)
        health = findings_of(store, found.run, trial_id=found.trial).get(found.trial, [])
        lrs = lrs_found(store, found.run, found.trial)
        augmented = augmentation_cost(store, found.run, found.trial)
        layers = store.layers(found.fingerprint)
    architecture = architecture_or_none(found.architecture)
    if as_json:
        more: dict[str, Any] = {"measurements": [json_row(vars(row)) for row in measured], "proxies": proxies}
        more["findings"] = [vars(finding) for finding in health]
        more |= {"lrs_found": lrs, "augmentation_cost": augmented}
        show_json({**trial_json(found), "layers": layers, "curve": json_curve(curve), **more})
        return
    facts = (f"{name}: {value}" for name, value in trial_json(found).items() if not isinstance(value, dict | None))
    recipe = (f"recipe.{name}: {value}" for name, value in found.recipe.items() if value is not None)
    show(trials_table([found]))
    if architecture is not None:  # the code of its own blocks may not be here
        show(layers_table(layer_costs(architecture), cost(architecture), "layers"))
    show(*facts, *recipe)
    show(*zero_shot_words(found, curve, table))
    show(*map(latency_words, measured), *(f"proxy {name}: {said}" for name, said in proxies.items()))
    show(*(f"lr found: {told['lr']:g}, the first of {len(told['tries'])} tried that trains" for told in lrs))
    if augmented is not None:
        show("augmentation: {batch_ms:.3g} ms a batch of {batch_size} on {device}".format(**augmented))
    show(*(f"finding {finding.kind}: {finding.said}" for finding in health))


def answer(trials: list[Any], as_json: bool, title: str, why_none: str) -> None:
    """Print ``trials``; without one, say why on stderr and end with exit code 3."""
    if as_json:
        from .trial_json import trial_json

        show_json([trial_json(trial) for trial in trials])
    elif trials:
        from .tables import trials_table

        show(trials_table(trials, title))
    if not trials:
        typer.echo(why_none, err=True)
        raise typer.Exit(NOTHING_USABLE)


def query(
    question: Annotated[str, typer.Argument(help='A condition, as in "val_accuracy > 0.9 and params < 5M".')],
    run: Run = None,
    sort: Annotated[str, typer.Option(help="A column; a leading - puts the largest first.")] = "-val_accuracy",
    top: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show the trials that a condition holds for, in any state.

    Columns: those of results list, and recipe.lr, choices.KEY, run, dataset, searcher, depth, flops. Numbers take k, M,
    G and T; texts stand in quotes. Conditions: = != < <= > >=, in (...), like "digits%", is null, and, or, not, ( ).
    """
    from ...results.query.expression_query import ask

    with reading(database) as store:
        found = ask(store, question, run=run, sort=sort, top=top)
    answer(list(found.trials), as_json, f"{found.matching} trials match, sorted by {sort}", found.why_none)
    if found.matching > len(found.trials):
        typer.echo(f"the first {len(found.trials)} of {found.matching} are shown; for more: --top", err=True)


def sql(
    statement: Annotated[
        str, typer.Argument(help='One statement, as in "SELECT state, count(*) FROM trial GROUP BY 1".')
    ],
    rows: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many rows.")] = 1000,
    timeout: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds that it may take.")] = 5,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Ask in SQL: one statement that only reads. The tables are described in docs/database.md."""
    from ...results.query.read_only_sql import ask_sql
    from .tables import table

    with reading(database) as store:
        found = ask_sql(store, statement, timeout_s=timeout, rows=rows)
    if as_json:
        show_json([dict(zip(found.columns, map(_plain, row), strict=True)) for row in found.rows])
    else:
        cells = [["" if value is None else str(_plain(value)) for value in row] for row in found.rows]
        words = [name for i, name in enumerate(found.columns) if any(isinstance(row[i], str) for row in found.rows)]
        show(table("", found.columns, cells, left=words))
    if found.more:
        typer.echo(f"the first {rows} rows are shown; for more: --rows", err=True)


def compare(names: Trials, database: Database = DATABASE, as_json: Json = False) -> None:
    """Set trials side by side: figures, costs, and the recipe and choices in which they differ."""
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
    networks = ("architecture", *(fill(_words(trial), WIDEST) for trial in trials), "")
    seeds_plain = [(row, str if row.name == "seed" else _cell) for row in rows]
    cells = [(_label(row), *map(shown, row.values), "differs" if row.differs else "") for row, shown in seeds_plain]
    show(table("", headers, [networks, *cells], left=("",)))


def curve(
    names: Trials,
    metric: Annotated[str, typer.Option(help="Which figure.")] = "val_accuracy",
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show a figure of trials, epoch by epoch."""
    from ...spaces.parameters.lookup import unknown
    from .tables import table
    from .trial_json import json_curve

    trials = _named(names, database)
    with reading(database) as store:
        curves = {trial.trial: store.curve(trial.trial) for trial in trials}
    if as_json:
        show_json([{**_entry(t), "curve": json_curve(curves[t.trial])} for t in trials])
        return
    recorded = sorted({name for found in curves.values() for name in found})
    if not recorded:
        typer.echo("no epoch of these trials is recorded", err=True)
        raise typer.Exit(NOTHING_USABLE)
    if metric not in recorded:
        raise ValueError(unknown("metric", metric, recorded))
    columns = {trial_id: dict(found.get(metric, [])) for trial_id, found in curves.items()}
    epochs = sorted({epoch for values in columns.values() for epoch in values})
    cells = [[str(epoch), *(_cell(values.get(epoch)) for values in columns.values())] for epoch in epochs]
    show(table(metric, ("epoch", *(f"trial {trial_id}" for trial_id in columns)), cells, left=()))


def _named(names: list[str], database: Any) -> list["Trial"]:
    from ...results.query.trial_name import trial_named

    with reading(database) as store:
        return [trial_named(store, name) for name in names]


def _entry(trial: "Trial") -> dict[str, Any]:
    return {"trial": trial.trial, "run": trial.run, "fingerprint": trial.fingerprint}


def _by(ids: list[str], values: tuple[Any, ...]) -> dict[str, Any]:
    return {"values": dict(zip(ids, values, strict=True))}


def _words(trial: "Trial") -> str:
    from ...spaces.architectures.recorded import describe_recorded

    return describe_recorded(trial.architecture)


def _label(row: Any) -> str:
    return f"{row.part}.{row.name}" if row.part in ("recipe", "choices") else str(row.name)


def _cell(value: Any) -> str:
    if isinstance(value, bool | None):
        return "" if value is None else str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 0.01 else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else str(value)
