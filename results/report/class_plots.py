"""Plotly figures of the classes of a trial: confusion matrix and reliability diagram."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from .plots import empty_figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from ..analysis.class_metrics import ReliabilityBin  # its module loads numpy

MAX_WRITTEN = 20  # classes; with more, the counts are only in the hover texts
MAX_AXIS_NAME = 24  # characters


def confusion_matrix(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> "Figure":
    """Return a heat map with a row for each label and a column for each prediction; colours are shares of the row."""
    figure = empty_figure("Confusion matrix", "predicted", "label", height=min(900, 220 + 24 * len(names)))
    # numbered, because a heat map merges columns with equal names
    axis = [f"{number} {escape(_short(name))}" for number, name in enumerate(names)]
    shares = [[count / (sum(row) or 1) for count in row] for row in matrix]
    text = "%{text}" if len(names) <= MAX_WRITTEN else None
    figure.add_heatmap(
        x=axis,
        y=axis,
        z=shares,
        text=[list(row) for row in matrix],
        texttemplate=text,
        colorscale="Blues",
        zmin=0,
        zmax=1,
        colorbar={"title": {"text": "share of the label"}},
        hovertemplate="label %{y}<br>predicted %{x}<br>%{text} images (%{z:.1%})<extra></extra>",
    )
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category", autorange="reversed")
    return figure


def _short(name: str) -> str:
    return name if len(name) <= MAX_AXIS_NAME else f"{name[:MAX_AXIS_NAME]}..."


def reliability(bins: Sequence["ReliabilityBin"]) -> "Figure":
    """Return the reliability diagram: the accuracy of the images in each bin of confidence."""
    used = [one for one in bins if one.images]
    figure = empty_figure("Reliability diagram", "mean confidence", "accuracy")
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="calibrated", line={"dash": "dash"})
    figure.add_scatter(
        x=[one.confidence for one in used],
        y=[one.accuracy for one in used],
        text=[f"{one.images:,} images" for one in used],
        name="trial",
        mode="lines+markers",
        hovertemplate="confidence %{x:.3f}<br>accuracy %{y:.3f}<br>%{text}<extra></extra>",
    )
    figure.update_xaxes(range=[0, 1])
    figure.update_yaxes(range=[0, 1])
    return figure
