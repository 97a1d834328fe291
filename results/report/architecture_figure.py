"""Drawing of an architecture as a figure with one bar per block."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ...spaces.architectures.architecture import Architecture, PlacedBlock, describe
from ...spaces.architectures.budget import format_count
from ...spaces.blocks.cost import Cost

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SLOT_PX, HEIGHT_PX, LINE_PX = 118, 180, 16
_MAX_BARS = 6  # drawn for consecutive equal blocks; the label has their number
_LABEL_CHARACTERS = 16  # per line of a label
_COLORS = {
    "input": "#64748b",
    "output": "#64748b",
    "conv": "#3b82f6",
    "conv-pool": "#0ea5e9",
    "pool": "#94a3b8",
    "global-average": "#94a3b8",
    "residual": "#f97316",
    "inception": "#10b981",
    "factorized-inception": "#10b981",
    "inverted-residual": "#f59e0b",
    "fused-inverted-residual": "#d97706",
    "depthwise-separable": "#06b6d4",
    "grouped-bottleneck": "#ef4444",
    "convnext": "#8b5cf6",
    "shuffle-unit": "#84cc16",
    "fire": "#14b8a6",
    "dense-block": "#22c55e",
    "norm": "#94a3b8",
    "linear": "#a855f7",
}
_OTHER_COLOR = "#ec4899"  # of all other kinds of blocks


@dataclass(frozen=True)
class _BlockGroup:
    """Consecutive equal blocks: their kind, description, output shape and number, and the sum of their costs."""

    kind: str
    description: str
    out_shape: tuple[int, ...]
    times: int
    params: int
    macs: int

    @property
    def bar_height(self) -> float:
        """Height of a bar: the square root of the side of the output, so that 7 stays visible next to 224."""
        return math.sqrt(self.out_shape[1]) if len(self.out_shape) == 3 else 0.7

    @property
    def bar_width(self) -> float:
        """Width of the bar of one block before scaling: the square root of its number of channels."""
        return math.sqrt(self.out_shape[0])

    @property
    def label(self) -> str:
        """The text below the bars, as HTML."""
        times = f"{self.times} x " if self.times > 1 else ""
        lines = wrap(f"{times}{self.description}", _LABEL_CHARACTERS)
        return "<br>".join([*map(escape, lines), f"<i>{_shape_text(self.out_shape)}</i>"])


def _shape_text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _block_groups(architecture: Architecture) -> Iterator[_BlockGroup]:
    yield _BlockGroup("input", "input", architecture.input_shape, 1, 0, 0)
    *body, head = architecture.walk()
    for (block, out_shape), group in groupby(body, key=lambda placed: (placed.block, placed.out_shape)):
        yield _block_group(block.kind, describe(block), out_shape, list(group))
    yield _block_group("output", f"linear {architecture.classes}", head.out_shape, [head])


def _block_group(kind: str, description: str, out_shape: tuple[int, ...], blocks: Sequence[PlacedBlock]) -> _BlockGroup:
    total = sum((placed.cost for placed in blocks), Cost())
    return _BlockGroup(kind, description, out_shape, len(blocks), total.params, total.macs)


def draw(architecture: Architecture) -> "Figure":
    """Return a figure with one bar per block: its height shows the output's side, its width the number of channels.

    Both are square roots. Consecutive equal blocks share one label with the output shape, channels x height x width.
    The figure has a fixed width, which depends on the number of labels.
    """
    from plotly.graph_objects import Figure

    groups = list(_block_groups(architecture))
    widest = max(group.bar_width * min(group.times, _MAX_BARS) for group in groups)
    lines = max(group.label.count("<br>") for group in groups) + 1
    figure = Figure(layout=_layout(len(groups), lines, max(group.bar_height for group in groups)))
    for slot, group in enumerate(groups):
        n_bars = min(group.times, _MAX_BARS)
        # The widest group fills 80% of its slot; no bar is narrower than 5% of a slot, so that it stays visible.
        width = max(0.05, 0.8 * group.bar_width / widest)
        centers = [slot - width * n_bars / 2 + width * (index + 0.5) for index in range(n_bars)]
        figure.add_bar(
            x=centers,
            y=[group.bar_height] * n_bars,
            base=-group.bar_height / 2,
            width=width,
            marker={
                "color": _COLORS.get(group.kind, _OTHER_COLOR),
                "line": {"color": "rgba(255,255,255,0.8)", "width": 1.5},
            },
            hovertemplate=_hover(group, architecture),
            name=group.kind,
        )
        figure.add_annotation(x=slot, y=0, yref="paper", yanchor="top", text=group.label, showarrow=False)
    return figure


def _layout(slots: int, lines: int, highest: float) -> Mapping[str, Any]:
    # Transparent, so that the page's light or dark background shows.
    transparent = "rgba(0,0,0,0)"
    return {
        "template": "none",
        "width": SLOT_PX * slots + 20,
        "height": HEIGHT_PX + LINE_PX * lines,
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10 + LINE_PX * lines},
        "xaxis": {"visible": False, "range": [-0.5, slots - 0.5], "fixedrange": True},
        "yaxis": {"visible": False, "range": [-0.55 * highest, 0.55 * highest], "fixedrange": True},
        "paper_bgcolor": transparent,
        "plot_bgcolor": transparent,
        "showlegend": False,
        "barmode": "overlay",
        "font": {"size": 12},
    }


def _hover(group: _BlockGroup, architecture: Architecture) -> str:
    """Return the text that appears when the pointer is over a bar: block, output shape, costs and their share."""
    if group.kind == "input":
        return f"input {_shape_text(group.out_shape)}<extra></extra>"
    total = architecture.cost
    shares = (
        f"{name} {getattr(group, name):,} ({getattr(group, name) / (getattr(total, name) or 1):.0%})"
        for name in ("params", "macs")
    )
    times = f"{group.times} x " if group.times > 1 else ""
    lines = (f"{times}{escape(group.description)}", f"output {_shape_text(group.out_shape)}", *shares)
    return "<br>".join(lines) + "<extra></extra>"


def caption(architecture: Architecture) -> str:
    """Return the caption of the figure: the architecture and its costs in one line."""
    cost = architecture.cost
    return f"{architecture} ({format_count(cost.params)} params, {format_count(cost.macs)} macs)"
