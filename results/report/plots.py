"""Figures: the pictures of a report."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ...spaces.architectures.budget import format_count
from ..analysis.importance import Importance
from ..database.latency_records import LatencyRecord
from ..database.records import Trial, rank
from ..query.pareto import pareto

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Seen as well on white as on black; the page colours text and grid to suit the reader's screen.
_COLOURS = ("#3b82f6", "#f97316", "#10b981", "#a855f7", "#ef4444")
_CLEAR = "rgba(0,0,0,0)"
WIDE = 20  # the factor above which an axis is logarithmic
MOST = 5000  # points of a figure; more would make the page larger, not clearer


def _figure(title: str, x: str, y: str, height: int = 420) -> "Figure":
    from plotly.graph_objects import Figure

    grid = {"gridcolor": "rgba(128,128,128,0.3)", "zeroline": False, "automargin": True}
    return Figure(
        layout={
            "template": "none",
            "title": {"text": title, "font": {"size": 15}, "x": 0, "xref": "paper", "yanchor": "top"},
            "xaxis": {"title": {"text": x}, **grid},
            "yaxis": {"title": {"text": y}, **grid},
            "font": {"family": "system-ui, 'DejaVu Sans', sans-serif", "size": 13},
            "colorway": _COLOURS,
            "paper_bgcolor": _CLEAR,
            "plot_bgcolor": _CLEAR,
            "height": height,
            "margin": {"l": 60, "r": 20, "t": 40, "b": 100},
            "legend": {"orientation": "h", "y": -0.24, "yanchor": "top", "x": 0},
        }
    )


def accuracy_against(
    cost: str, trials: Sequence[Trial], limit: int | None, what: str = "validation accuracy"
) -> "Figure":
    """Validation accuracy (``what`` it is in this run) of finished trials against ``cost``, their front, the limit.

    The axis is logarithmic where the costs spread over more than a factor of ``WIDE``. Of very many trials the best
    ``MOST`` are drawn, and the front is that of all.
    """
    figure = _figure(f"{what[0].upper()}{what[1:]} against {cost}", cost, what)
    scored = sorted((t for t in trials if t.state.finished and t.val_accuracy is not None), key=rank)
    front = sorted(pareto(scored, ("val_accuracy", cost)), key=lambda trial: getattr(trial, cost))
    name = "trials" if len(scored) <= MOST else f"the best {MOST:,} of {len(scored):,} trials"
    _add_points(figure, scored[:MOST], cost, name, mode="markers", marker={"size": 8, "opacity": 0.6})
    _add_points(figure, front, cost, "Pareto front", mode="lines+markers", line={"shape": "hv"}, marker={"size": 10})
    costs = [getattr(trial, cost) for trial in scored]
    if _wide(costs):
        figure.update_xaxes(type="log")
    if limit is not None:
        figure.add_vline(x=limit, line_dash="dash", line_color=_COLOURS[4])
        at = math.log10(limit) if figure.layout.xaxis.type == "log" and limit else limit
        text = f"budget {format_count(limit)}"
        figure.add_annotation(x=at, y=1, yref="paper", text=text, showarrow=False, xanchor="right", xshift=-4)
    return figure


def _wide(values: Sequence[float]) -> bool:
    """Whether figures spread so far that only logarithms tell them apart."""
    return min(values, default=0) > 0 and max(values) > WIDE * min(values)


def _add_points(figure: "Figure", trials: Sequence[Trial], cost: str, name: str, **style: Any) -> None:
    x, y = [getattr(trial, cost) for trial in trials], [trial.val_accuracy for trial in trials]
    hover = f"%{{text}}<br>{cost} %{{x:,}}<br>accuracy %{{y:.4f}}<extra></extra>"
    text = [f"trial {trial.trial}" for trial in trials]
    figure.add_scatter(x=x, y=y, name=name, text=text, hovertemplate=hover, **style)


def learning_curves(curves: Mapping[str, Sequence[tuple[int, float]]], metric: str, what: str = "") -> "Figure":
    """One line per entry of ``curves``: ``metric`` by epoch, called ``what``; what is not finite leaves gaps."""
    figure = _figure(what or metric.replace("val_", "validation "), "epoch", "")
    for name, points in curves.items():
        values = [value if math.isfinite(value) else None for _, value in points]
        hover = f"{escape(name)}, epoch %{{x}}: %{{y:.4f}}<extra></extra>"
        epochs = [step for step, _ in points]
        figure.add_scatter(
            x=epochs, y=values, name=escape(name), mode="lines+markers", marker={"size": 5}, hovertemplate=hover
        )
    if metric.endswith("loss") and _wide([v for points in curves.values() for _, v in points if math.isfinite(v)]):
        figure.update_yaxes(type="log")
    return figure


def layer_bars(layers: Sequence[Mapping[str, Any]], cost: str) -> "Figure":
    """``cost`` of each layer, the first layer on top."""
    figure = _figure(f"{cost} per layer", cost, "", height=150 + 22 * len(layers))
    labels = [f"{number} {escape(str(layer['name']))}" for number, layer in enumerate(layers, 1)]
    kinds = [escape(f"{layer['kind']} {'x'.join(map(str, layer['out_shape']))}") for layer in layers]
    values = [layer[cost] for layer in layers]
    shares = [value / (sum(values) or 1) for value in values]
    hover = f"%{{y}}<br>%{{text}}<br>{cost} %{{x:,}} (%{{customdata:.1%}})<extra></extra>"
    figure.add_bar(
        x=values,
        y=labels,
        text=kinds,
        customdata=shares,
        orientation="h",
        textposition="none",
        hovertemplate=hover,
    )
    figure.update_yaxes(autorange="reversed", type="category", dtick=1)
    figure.update_layout(margin={"b": 60})
    return figure


def importance_bars(choices: Sequence[Importance]) -> "Figure":
    """How much each choice mattered, the one that mattered most on top."""
    figure = _figure("", "points of validation accuracy lost when it is shuffled", "", height=130 + 28 * len(choices))
    figure.add_bar(
        x=[100 * choice.mean for choice in choices],
        y=[escape(choice.name.removeprefix("recipe.")) for choice in choices],
        error_x={"type": "data", "array": [100 * choice.spread for choice in choices], "color": "#888"},
        orientation="h",
        hovertemplate="%{y}: %{x:.3f} points<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", type="category", dtick=1)
    figure.update_layout(margin={"t": 10, "b": 60})
    return figure


def failures(counts: Mapping[str, int]) -> "Figure":
    """How many trials failed, by kind."""
    figure = _figure("Failures by kind", "", "trials", height=300)
    figure.add_bar(x=list(counts), y=list(counts.values()), marker_color=_COLOURS[4], name="failed")
    figure.update_xaxes(type="category")
    return figure


def predicted_against_measured(rows: Sequence[LatencyRecord]) -> "Figure":
    """Predicted latency against the measured one, the networks of the calibration apart from the trained ones."""
    figure = _figure("Latency: predicted against measured", "measured, ms", "predicted, ms")
    for name, trained in (("calibration, each left out", False), ("trained", True)):
        shown = [row for row in rows if (row.trial_id is not None) == trained and row.predicted_ms is not None]
        figure.add_scatter(
            x=[row.latency_ms_p50 for row in shown],
            y=[row.predicted_ms for row in shown],
            text=[f"trial {row.trial_id}" if trained else "untrained" for row in shown],
            name=name,
            mode="markers",
        )
    most = max(max(row.latency_ms_p50, row.predicted_ms or 0.0) for row in rows)
    figure.add_scatter(x=[0, most], y=[0, most], name="as predicted", mode="lines", line={"dash": "dash"})
    return figure
