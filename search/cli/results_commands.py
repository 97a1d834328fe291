"""Commands that ask the database: results best, list, show, pareto."""

from typing import Annotated, Any

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
    from ...spaces.architectures.architecture import Architecture
    from ...spaces.architectures.cost import cost, layer_costs
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
    architecture = Architecture.from_json(found.architecture)
    layers = layer_costs(architecture)
    if as_json:
        more: dict[str, Any] = {"measurements": [json_row(row) for row in measured], "proxies": proxies}
        more["findings"] = [vars(finding) for finding in health]
        more |= {"lrs_found": lrs, "augmentation_cost": augmented}
        show_json(
            {**trial_json(found), "layers": [row.to_json() for row in layers], "curve": json_curve(curve), **more}
        )
        return
    facts = (f"{name}: {value}" for name, value in trial_json(found).items() if not isinstance(value, dict | None))
    recipe = (f"recipe.{name}: {value}" for name, value in found.recipe.items() if value is not None)
    show(trials_table([found]), layers_table(layers, cost(architecture), "layers"), *facts, *recipe)
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
