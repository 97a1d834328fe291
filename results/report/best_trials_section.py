"""Sections of the report on the best trials: the table, drawings of the networks, learning curves and layers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ...spaces.architectures.cost import layer_costs
from ...spaces.architectures.device_cost import layer_ram_bytes
from ...spaces.architectures.recorded import architecture_or_none
from ..database.records import COSTS, DEVICE_COSTS, Trial
from ..query.best import no_match_reason
from . import plots
from .architecture_figure import caption, draw
from .page_parts import code, collapsible, figure_part, heading, paragraph, section, side_by_side, table
from .run_data import RunData
from .summary_section import UNITS

MAX_DRAWINGS = 3


def best_trials_sections(data: RunData) -> Iterator[Markup]:
    """Yield the sections on the best trials, or one section with the reason if there is no best trial."""
    if not data.best:
        reason = no_match_reason(data.store, data.budget, data.run.name)
        yield section("Best trials", paragraph(f"There is no best trial: {reason}."))
        return
    yield _table(data)
    yield from _networks(data)
    yield _costs(data)
    yield from _memory(data)
    yield from _curves(data)
    yield from _layers(data)


def _table(data: RunData) -> Markup:
    metrics = dict.fromkeys((data.selection.stored_name, *data.selection.recorded, "val_accuracy"))
    columns = ("trial", *metrics, *COSTS, *DEVICE_COSTS, "latency_ms", "epochs_done")
    # A column without any value, such as the latency of a run that did not measure it, is left out.
    shown = [name for name in columns if any(_value(trial, name) is not None for trial in data.best)]
    extra: dict[str, Sequence[Any]] = {
        "95% interval": [None if one.interval is None else str(one.interval) for one in data.measured],
        "top-5 error": data.top_5_errors,
        "test top-5 error": data.test_top_5_errors,
    }
    extra = {name: values for name, values in extra.items() if any(value is not None for value in values)}
    rows = [
        [
            *(_value(trial, name) for name in shown),
            *(values[number] for values in extra.values()),
            _recipe_text(trial.recipe, data),
        ]
        for number, trial in enumerate(data.best)
    ]
    note = f"Ranked by {data.selected_by} only; ties are broken by fewer params, then by fewer macs. {UNITS}"
    winner = data.best[0]
    record = {"fingerprint": winner.fingerprint, "architecture": winner.architecture, "recipe": dict(winner.recipe)}
    record_json = code(json.dumps(record, indent=1, ensure_ascii=False))
    details = collapsible(f"Fingerprint, architecture and recipe of trial {winner.trial}", record_json)
    best_table = table((*shown, *extra, "recipe"), rows, highlight_first=True)
    return section("Best trials", best_table, paragraph(note, muted=True), details)


def _value(trial: Trial, name: str) -> Any:
    """Return a recorded metric of the trial, or else its attribute ``name``."""
    return trial.metrics[name] if name in trial.metrics else getattr(trial, name, None)


def _recipe_text(recipe: Mapping[str, Any], data: RunData) -> str:
    """Return the entries of a recipe that differ between the trials of the run; all entries if it has one trial."""
    shown = {name: value for name, value in recipe.items() if name in data.varied or data.run.trials == 1}
    return ", ".join(f"{name}={f'{v:.3g}' if isinstance(v, float) else v}" for name, v in shown.items())


def _networks(data: RunData) -> Iterator[Markup]:
    """Yield a section with drawings of the best networks, each network once."""
    # Reversed, so that of trials with the same network the best one stays in the dict.
    distinct = {trial.fingerprint: trial for trial in reversed(data.best)}
    chosen = sorted(distinct.values(), key=data.best.index)[:MAX_DRAWINGS]
    read = [(trial, architecture_or_none(trial.architecture)) for trial in chosen]
    readable = [(trial, architecture) for trial, architecture in read if architecture is not None]
    if not readable:
        return
    parts = [
        heading(f"Trial {trial.trial}, {data.selected_by} {trial.metric_value:.4f}")
        + figure_part(draw(architecture), f"network-{index}", caption(architecture))
        for index, (trial, architecture) in enumerate(readable)
    ]
    note = (
        "The data flows from left to right, with one bar per block. The height of a bar shows the side of the block's "
        "output image, its width shows the number of channels, both as square roots. The label names the block and its "
        "output shape as channels x height x width."
    )
    yield section("Best architectures", paragraph(note, muted=True), *parts)


def _costs(data: RunData) -> Markup:
    figures = [
        plots.metric_against(c, data.points, getattr(data.budget, c), data.selected_by) for c in ("params", "macs")
    ]
    note = (
        "Each point is a finished trial, completed or stopped early. The line is the Pareto front. Every trial "
        f"that is cheaper than a trial of the front has a worse {data.metric_word}, and no trial of the "
        "same cost has a better one. A dashed line is the budget."
    )
    if data.is_zero_shot:
        note += " The budget limits the image network together with its head; the points show the image network alone."
    parts = [figure_part(figure, f"cost-{index}") for index, figure in enumerate(figures)]
    title = f"{data.metric_word[0].upper()}{data.metric_word[1:]} versus cost"
    return section(title, paragraph(note, muted=True), side_by_side(*parts))


def _memory(data: RunData) -> Iterator[Markup]:
    """Yield the memory of the winner on a device, layer by layer, if the run has recorded RAM."""
    winner, precision = data.best[0], data.budget.device_precision
    architecture = architecture_or_none(winner.architecture)
    # a database from elsewhere may have one of the two costs alone
    if winner.ram_bytes is None or winner.flash_bytes is None or architecture is None:
        return
    sizes = layer_ram_bytes(architecture, precision)
    layers = [(row.name, size) for row, size in zip(layer_costs(architecture), sizes, strict=True) if size]
    note = (
        f"Bytes of the tensors that are in memory while each layer runs, for one image in {precision}. The peak is "
        f"{winner.ram_bytes:,} bytes. The weights take {winner.flash_bytes:,} bytes of flash. A layer that is part of "
        "the one before it, such as a folded batch norm, has no bar."
    )
    figure = figure_part(plots.memory_profile(layers, data.budget.ram), "memory-profile")
    yield section(f"Memory on the device (trial {winner.trial})", paragraph(note, muted=True), figure)


def _curves(data: RunData) -> Iterator[Markup]:
    curves = {f"trial {trial.trial}": data.store.curve(trial.trial) for trial in data.best}
    selecting = data.selection.stored_name
    titles, parts = {selecting: data.selected_by, "val_roc_auc": "ROC-AUC of validation classes"}, []
    for metric in dict.fromkeys((selecting, "val_accuracy", "val_loss", "val_roc_auc")):
        points = {name: curve[metric] for name, curve in curves.items() if metric in curve}
        if points:
            figure = plots.learning_curves(points, metric, titles.get(metric, ""))
            parts.append(figure_part(figure, f"curves-{metric}"))
    if parts:
        yield section("Learning curves of the best trials", side_by_side(*parts))


def _layers(data: RunData) -> Iterator[Markup]:
    winner = data.best[0]
    # Layers without costs, such as pooling, would only add empty bars.
    layers = [layer for layer in data.store.layers(winner.fingerprint) if layer["params"] or layer["macs"]]
    if layers:
        parts = [figure_part(plots.layer_bars(layers, cost), f"layers-{cost}") for cost in ("params", "macs")]
        yield section(f"Layers of the best network (trial {winner.trial})", side_by_side(*parts))
