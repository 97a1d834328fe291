"""The report's sections on the best trials: the table, their networks as pictures, their curves and layers."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from ..query.best import why_none
from . import plots
from .architecture_figure import caption, draw
from .html import code, folded, heading, paragraph, picture, section, side_by_side, table
from .run_data import Told, architecture_of
from .summary_section import UNITS

DRAWN = 3


def winners_sections(told: Told) -> Iterator[Markup]:
    """The best trials; where there is none, why."""
    if not told.best:
        reason = why_none(told.store, told.budget, told.run.name)
        yield section("The best trials", paragraph(f"No trial to show: {reason}."))
        return
    yield _table(told)
    yield from _networks(told)
    yield _costs(told)
    yield from _curves(told)
    yield from _layers(told)


def _table(told: Told) -> Markup:
    columns = ("trial", "val_accuracy", "params", "macs", "activations", "memory_bytes", "latency_ms", "epochs_done")
    shown = [name for name in columns if any(getattr(trial, name) is not None for trial in told.best)]
    rows = [[*(getattr(trial, name) for name in shown), _pairs(trial.recipe, told)] for trial in told.best]
    note = f"Chosen by {told.selected_by} alone; equal ones by fewer params, then fewer macs. {UNITS}"
    winner = told.best[0]
    recorded = {"fingerprint": winner.fingerprint, "architecture": winner.architecture, "recipe": dict(winner.recipe)}
    whole = folded(f"Trial {winner.trial} as it is recorded", code(json.dumps(recorded, indent=1, ensure_ascii=False)))
    return section("The best trials", table((*shown, "recipe"), rows, first=True), paragraph(note, soft=True), whole)


def _pairs(recipe: Mapping[str, Any], told: Told) -> str:
    """The entries of a recipe in which the trials of the run differ; all of them where there is one trial."""
    trials = told.history.trials
    varied = {name: value for name, value in recipe.items() if any(t.recipe.get(name) != value for t in trials)}
    entries = varied if len(trials) > 1 else recipe
    return ", ".join(f"{name}={f'{v:.3g}' if isinstance(v, float) else v}" for name, v in entries.items())


def _networks(told: Told) -> Iterator[Markup]:
    """The best networks drawn, the equal ones once."""
    distinct = {trial.fingerprint: trial for trial in reversed(told.best)}
    chosen = sorted(distinct.values(), key=told.best.index)[:DRAWN]
    drawn = [(trial, architecture) for trial in chosen if (architecture := architecture_of(trial)) is not None]
    if not drawn:
        return
    parts = [
        heading(f"Trial {trial.trial}, {told.selected_by} {trial.val_accuracy:.4f}")
        + picture(draw(architecture), f"network-{place}", caption(architecture))
        for place, (trial, architecture) in enumerate(drawn)
    ]
    note = (
        "From left to right, a bar for each block: as high as the side of the picture it puts out, as broad as it has "
        "channels (both by square roots). Under it what it is, and its output as channels x height x width."
    )
    yield section("The best architectures", paragraph(note, soft=True), *parts)


def _costs(told: Told) -> Markup:
    figures = [
        plots.accuracy_against(c, told.history.trials, getattr(told.budget, c), told.selected_by)
        for c in ("params", "macs")
    ]
    note = (
        "Each point is a trained trial. The line is the Pareto front: the trials that no other one beats in both. "
        "A dashed line is the budget."
    ) + (" It limits image networks with their heads; the points are image networks alone." * told.is_zero_shot)
    pictures = [picture(figure, f"cost-{place}") for place, figure in enumerate(figures)]
    return section("Accuracy against cost", paragraph(note, soft=True), side_by_side(*pictures))


def _curves(told: Told) -> Iterator[Markup]:
    curves = {f"trial {trial.trial}": told.store.curve(trial.trial) for trial in told.best}
    names, drawn = {"val_accuracy": told.selected_by, "val_roc_auc": "ROC-AUC of validation classes"}, []
    for metric in ("val_accuracy", "val_loss", "val_roc_auc"):
        points = {name: curve[metric] for name, curve in curves.items() if metric in curve}
        if points:
            drawn.append(picture(plots.learning_curves(points, metric, names.get(metric, "")), f"curves-{metric}"))
    if drawn:
        yield section("Learning curves of the best trials", side_by_side(*drawn))


def _layers(told: Told) -> Iterator[Markup]:
    winner = told.best[0]
    layers = [layer for layer in told.store.layers(winner.fingerprint) if layer["params"] or layer["macs"]]
    if layers:
        bars = [picture(plots.layer_bars(layers, cost), f"layers-{cost}") for cost in ("params", "macs")]
        yield section(f"Layers of the best (trial {winner.trial})", side_by_side(*bars))
