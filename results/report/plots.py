"""Plotly figures of the report."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ...spaces.architectures.budget import format_count
from ..analysis.importance import Importance
from ..database.latency_records import LatencyRecord
from ..query.run_summary import evenly_spaced

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from ..query.run_summary import TrialPoints

# Readable on a white and on a black background. Text and grid get their colors from the style sheet.
_COLORS = ("#3b82f6", "#f97316", "#10b981", "#a855f7", "#ef4444")
_TRANSPARENT = "rgba(0,0,0,0)"
LOG_SCALE_RATIO = 20  # an axis is logarithmic if its largest value is more than this multiple of its smallest one
MAX_TICKS = 40  # labels of an axis of layers
MAX_POINTS = 5000  # of a figure; more would make the page larger, but not clearer


def empty_figure(title: str, x: str, y: str, height: int = 420) -> "Figure":
    """Return an empty figure with the titles of its axes and the style that all figures share."""
    from plotly.graph_objects import Figure

    grid = {"gridcolor": "rgba(128,128,128,0.3)", "zeroline": False, "automargin": True}
    return Figure(
        layout={
            "template": "none",
            "title": {"text": title, "font": {"size": 15}, "x": 0, "xref": "paper", "yanchor": "top"},
            "xaxis": {"title": {"text": x}, **grid},
            "yaxis": {"title": {"text": y}, **grid},
            "font": {"family": "system-ui, 'DejaVu Sans', sans-serif", "size": 13},
            "colorway": _COLORS,
            "paper_bgcolor": _TRANSPARENT,
            "plot_bgcolor": _TRANSPARENT,
            "height": height,
            "margin": {"l": 60, "r": 20, "t": 40, "b": 100},
            "legend": {"orientation": "h", "y": -0.24, "yanchor": "top", "x": 0},
        }
    )


def metric_against(
    cost: str, points: "TrialPoints", limit: int | None, metric_name: str = "validation accuracy"
) -> "Figure":
    """Return a scatter plot of the metric versus ``cost`` for finished trials, with Pareto front and budget.

    ``points`` are an array with ``POINT_COLUMNS``, the best first. ``limit`` is the budget of the cost, None if it is
    not limited.
    ``metric_name`` is what a text calls the metric. The x axis is logarithmic if the costs differ by more than
    ``LOG_SCALE_RATIO``. At most ``MAX_POINTS`` trials, the best ones, are drawn; the front is that of all trials.
    """
    figure = empty_figure(f"{metric_name[0].upper()}{metric_name[1:]} versus {cost}", cost, metric_name)
    name = "trials" if len(points) <= MAX_POINTS else f"the best {MAX_POINTS:,} of {len(points):,} trials"
    style: dict[str, Any] = {"mode": "markers", "marker": {"size": 8, "opacity": 0.6}}
    _add_points(figure, points[:MAX_POINTS], cost, name, metric_name=metric_name, **style)
    # A step line: between two trials on the front, the cheaper one is the best within the budget.
    style = {"mode": "lines+markers", "line": {"shape": "hv"}, "marker": {"size": 10}}
    _add_points(figure, _front(points, cost), cost, "Pareto front", metric_name=metric_name, **style)
    costs = points[cost]
    if len(costs) and _needs_log_scale((int(costs.min()), int(costs.max()))):
        figure.update_xaxes(type="log")
    if limit is not None:
        figure.add_vline(x=limit, line_dash="dash", line_color=_COLORS[4])
        # On a logarithmic axis, the position of an annotation is the exponent of 10.
        position = math.log10(limit) if figure.layout.xaxis.type == "log" and limit else limit
        text = f"budget {format_count(limit)}"
        figure.add_annotation(x=position, y=1, yref="paper", text=text, showarrow=False, xanchor="right", xshift=-4)
    return figure


def _front(points: "TrialPoints", cost: str) -> "TrialPoints":
    """Return the points that no other one beats in score or ``cost`` without being worse in the other, cheapest first.

    The front of 100,000 points takes milliseconds.
    """
    import numpy as np

    ordered = points[np.lexsort((points["trial"], points[cost], -points["score"]))]  # the last key sorts first
    smallest_before = np.minimum.accumulate(ordered[cost])[:-1]
    front: TrialPoints = ordered[np.append(True, ordered[cost][1:] < smallest_before)[: len(ordered)]][::-1]
    return front


def _needs_log_scale(values: Sequence[float]) -> bool:
    """Return whether positive ``values`` differ by more than ``LOG_SCALE_RATIO``."""
    return min(values, default=0) > 0 and max(values) > LOG_SCALE_RATIO * min(values)


def _add_points(
    figure: "Figure", points: "TrialPoints", cost: str, name: str, *, metric_name: str, **style: Any
) -> None:
    x, y = points[cost].tolist(), points["metric_value"].tolist()
    hover = f"%{{text}}<br>{cost} %{{x:,}}<br>{escape(metric_name)} %{{y:.4f}}<extra></extra>"
    text = [f"trial {trial}" for trial in points["trial"].tolist()]
    figure.add_scatter(x=x, y=y, name=name, text=text, hovertemplate=hover, **style)


def learning_curves(curves: Mapping[str, Sequence[tuple[int, float]]], metric: str, title: str = "") -> "Figure":
    """Return a figure of ``metric`` by epoch, with one line per entry of ``curves``.

    Values that are not finite leave gaps. Without ``title``, the title is the name of the metric.
    """
    figure = empty_figure(title or metric.replace("val_", "validation "), "epoch", "")
    for name, points in curves.items():
        # Plotly leaves a gap in the line where a value is None.
        values = [value if math.isfinite(value) else None for _, value in points]
        hover = f"{escape(name)}, epoch %{{x}}: %{{y:.4f}}<extra></extra>"
        epochs = [step for step, _ in points]
        figure.add_scatter(
            x=epochs, y=values, name=escape(name), mode="lines+markers", marker={"size": 5}, hovertemplate=hover
        )
    finite = [v for points in curves.values() for _, v in points if math.isfinite(v)]
    if metric.endswith("loss") and _needs_log_scale(finite):
        figure.update_yaxes(type="log")
    return figure


def layer_bars(layers: Sequence[Mapping[str, Any]], cost: str) -> "Figure":
    """Return a bar chart of ``cost`` for each layer, with the first layer at the top."""
    figure = empty_figure(f"{cost} per layer", cost, "", height=150 + 22 * len(layers))
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
    # dtick=1: without it, Plotly leaves out labels of a long axis.
    figure.update_yaxes(autorange="reversed", type="category", dtick=1)
    figure.update_layout(margin={"b": 60})
    return figure


def memory_profile(layers: Sequence[tuple[str, int]], limit: int | None) -> "Figure":
    """Return the bytes in memory while each layer (name, bytes) runs; the layers of the peak have another color.

    ``limit`` is the budget of RAM, drawn as a dashed line; None if it is not limited.
    """
    figure = empty_figure("RAM while each layer runs", "layer", "bytes")
    peak = max(size for _, size in layers)
    colors = [_COLORS[1] if size == peak else _COLORS[0] for _, size in layers]
    names = [name for name, _ in layers]
    # positions instead of names, because names that look like numbers would become an axis of numbers
    figure.add_bar(x=list(range(len(layers))), y=[size for _, size in layers], marker_color=colors, hovertext=names)
    step = -(-len(layers) // MAX_TICKS)
    figure.update_xaxes(tickvals=list(range(0, len(layers), step)), ticktext=list(map(escape, names[::step])))
    if limit is not None:
        figure.add_hline(y=limit, line_dash="dash", annotation_text=f"budget {format_count(limit)}B")
    return figure


def importance_bars(choices: Sequence[Importance], points: str = "percentage points of accuracy") -> "Figure":
    """Return a bar chart of the importances with error bars of one standard deviation, in the order of ``choices``."""
    title = f"increase of the prediction error when shuffled, in {escape(points)}"
    figure = empty_figure("", title, "", height=130 + 28 * len(choices))
    figure.add_bar(
        x=[100 * choice.mean for choice in choices],
        y=[escape(choice.name.removeprefix("recipe.")) for choice in choices],
        error_x={"type": "data", "array": [100 * choice.std for choice in choices], "color": "#888"},
        orientation="h",
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", type="category", dtick=1)
    figure.update_layout(margin={"t": 10, "b": 60})
    return figure


def failures(counts: Mapping[str, int]) -> "Figure":
    """Return a bar chart of the number of failed trials by kind of failure."""
    figure = empty_figure("Failed trials by kind of failure", "", "trials", height=300)
    figure.add_bar(x=list(counts), y=list(counts.values()), marker_color=_COLORS[4], name="failed")
    figure.update_xaxes(type="category")
    return figure


def predicted_against_measured(rows: Sequence[LatencyRecord]) -> "Figure":
    """Return a scatter plot of predicted versus measured latency, for calibration networks and for trained networks."""
    figure = empty_figure("Predicted versus measured latency", "measured, ms", "predicted, ms")
    for name, is_trained in (("calibration, leave-one-out", False), ("trained", True)):
        of_kind = [row for row in rows if (row.trial_id is not None) == is_trained and row.predicted_ms is not None]
        shown = evenly_spaced(of_kind, MAX_POINTS)
        figure.add_scatter(
            x=[row.latency_ms_p50 for row in shown],
            y=[row.predicted_ms for row in shown],
            text=[f"trial {row.trial_id}" if is_trained else "untrained" for row in shown],
            name=name,
            mode="markers",
        )
    largest = max(max(row.latency_ms_p50, row.predicted_ms or 0.0) for row in rows)
    diagonal = [0, largest]
    figure.add_scatter(x=diagonal, y=diagonal, name="predicted = measured", mode="lines", line={"dash": "dash"})
    return figure
