"""Figures: the pictures of a report."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ..spaces.budget import format_count
from .pareto import pareto
from .records import Trial

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Seen as well on white as on black; the page colours text and grid to suit the reader's screen.
_COLOURS = ("#3b82f6", "#f97316", "#10b981", "#a855f7", "#ef4444")
_CLEAR = "rgba(0,0,0,0)"


def _figure(title: str, x: str, y: str, height: int = 420) -> "Figure":
    from plotly.graph_objects import Figure

    grid = {"gridcolor": "rgba(128,128,128,0.3)", "zeroline": False, "automargin": True}
    return Figure(
        layout={
            "template": "none",
            "title": {"text": title},
            "xaxis": {"title": {"text": x}, **grid},
            "yaxis": {"title": {"text": y}, **grid},
            "colorway": _COLOURS,
            "paper_bgcolor": _CLEAR,
            "plot_bgcolor": _CLEAR,
            "height": height,
            "margin": {"l": 70, "r": 20, "t": 60, "b": 60},
            "legend": {"orientation": "h", "y": 1.08, "x": 1, "xanchor": "right"},
        }
    )


def accuracy_against(cost: str, trials: Sequence[Trial], limit: int | None) -> "Figure":
    """Validation accuracy of the finished trials against ``cost``, their Pareto front, and the budget's limit."""
    figure = _figure(f"Validation accuracy against {cost}", cost, "validation accuracy")
    scored = [trial for trial in trials if trial.state.finished and trial.val_accuracy is not None]
    front = sorted(pareto(scored, ("val_accuracy", cost)), key=lambda trial: getattr(trial, cost))
    _add_points(figure, scored, cost, "trials", mode="markers", marker={"size": 8, "opacity": 0.6})
    _add_points(figure, front, cost, "Pareto front", mode="lines+markers", line={"shape": "hv"}, marker={"size": 10})
    if limit is not None:
        text = f"budget {format_count(limit)}"
        figure.add_vline(x=limit, line_dash="dash", line_color=_COLOURS[4], annotation_text=text)
    return figure


def _add_points(figure: "Figure", trials: Sequence[Trial], cost: str, name: str, **style: Any) -> None:
    x, y = [getattr(trial, cost) for trial in trials], [trial.val_accuracy for trial in trials]
    hover = f"%{{text}}<br>{cost} %{{x:,}}<br>accuracy %{{y:.4f}}<extra></extra>"
    text = [f"trial {trial.trial}" for trial in trials]
    figure.add_scatter(x=x, y=y, name=name, text=text, hovertemplate=hover, **style)


def learning_curves(curves: Mapping[str, Sequence[tuple[int, float]]], metric: str) -> "Figure":
    """One line per entry of ``curves``: ``metric`` by epoch; figures that are not finite leave gaps."""
    figure = _figure("Learning curves of the best trials", "epoch", metric)
    for name, points in curves.items():
        values = [value if math.isfinite(value) else None for _, value in points]
        figure.add_scatter(x=[step for step, _ in points], y=values, name=escape(name), mode="lines+markers")
    return figure


def layer_bars(layers: Sequence[Mapping[str, Any]], cost: str) -> "Figure":
    """``cost`` of each layer, the first layer on top."""
    figure = _figure(f"{cost} per layer", cost, "", height=140 + 24 * len(layers))
    labels = [f"{number} {escape(str(layer['name']))}" for number, layer in enumerate(layers, 1)]
    kinds = [escape(f"{layer['kind']} {layer['out_shape']}") for layer in layers]
    hover = f"%{{y}}<br>%{{text}}<br>{cost} %{{x:,}}<extra></extra>"
    values = [layer[cost] for layer in layers]
    figure.add_bar(x=values, y=labels, text=kinds, orientation="h", textposition="none", hovertemplate=hover)
    figure.update_yaxes(autorange="reversed", type="category")
    return figure


def failures(counts: Mapping[str, int]) -> "Figure":
    """How many trials failed, by kind."""
    figure = _figure("Failures by kind", "", "trials", height=320)
    figure.add_bar(x=list(counts), y=list(counts.values()), marker_color=_COLOURS[4], name="failed")
    figure.update_xaxes(type="category")
    return figure


def predicted_against_measured(rows: Sequence[Mapping[str, Any]]) -> "Figure":
    """Predicted latency against the measured one, the networks of the calibration apart from the trained ones."""
    figure = _figure("Latency: predicted against measured", "measured, ms", "predicted, ms")
    for name, trained in (("calibration, each left out", False), ("trained", True)):
        shown = [row for row in rows if (row["trial_id"] is not None) == trained and row["predicted_ms"] is not None]
        figure.add_scatter(
            x=[row["latency_ms_p50"] for row in shown],
            y=[row["predicted_ms"] for row in shown],
            text=[f"trial {row['trial_id']}" if trained else "untrained" for row in shown],
            name=name,
            mode="markers",
        )
    most = max(max(row["latency_ms_p50"], row["predicted_ms"] or 0.0) for row in rows)
    figure.add_scatter(x=[0, most], y=[0, most], name="as predicted", mode="lines", line={"dash": "dash"})
    return figure
