"""Drawings: an architecture as a picture, block by block."""

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
_REPEATS = 6  # blocks drawn of a row of equal ones; the label says how many there are
_LINE = 16  # characters of a label on one line
_COLOURS = {
    "input": "#64748b",
    "output": "#64748b",
    "conv": "#3b82f6",
    "conv-pool": "#0ea5e9",
    "pool": "#94a3b8",
    "global-average": "#94a3b8",
    "residual": "#f97316",
    "inception": "#10b981",
    "linear": "#a855f7",
}
_OTHER = "#ec4899"


@dataclass(frozen=True)
class _Part:
    """A row of equal blocks: what it is, its output, how often it stands there, and the costs of all of them."""

    kind: str
    words: str
    out_shape: tuple[int, ...]
    times: int
    params: int
    macs: int

    @property
    def side(self) -> float:
        """Its height in the picture: the square root of the output's side, so that 7 is seen beside 224."""
        return math.sqrt(self.out_shape[1]) if len(self.out_shape) == 3 else 0.7

    @property
    def breadth(self) -> float:
        """The breadth of one block: the square root of its channels."""
        return math.sqrt(self.out_shape[0])

    @property
    def label(self) -> str:
        """What stands under it."""
        times = f"{self.times} x " if self.times > 1 else ""
        lines = wrap(f"{times}{self.words}", _LINE)
        return "<br>".join([*map(escape, lines), f"<i>{_by(self.out_shape)}</i>"])


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _parts(architecture: Architecture) -> Iterator[_Part]:
    yield _Part("input", "input", architecture.input_shape, 1, 0, 0)
    *body, head = architecture.walk()
    for (block, out_shape), row in groupby(body, key=lambda placed: (placed.block, placed.out_shape)):
        yield _part(block.kind, describe(block), out_shape, list(row))
    yield _part("output", f"linear {architecture.classes}", head.out_shape, [head])


def _part(kind: str, words: str, out_shape: tuple[int, ...], row: Sequence[PlacedBlock]) -> _Part:
    total = sum((placed.cost for placed in row), Cost())
    return _Part(kind, words, out_shape, len(row), total.params, total.macs)


def draw(architecture: Architecture) -> "Figure":
    """A bar for each block, as high as its output is and as broad as it has channels (both by square roots).

    Equal blocks in a row stand under one label, with the output's shape (channels x height x width). The figure is as
    wide as its labels need.
    """
    from plotly.graph_objects import Figure

    parts = list(_parts(architecture))
    widest = max(part.breadth * min(part.times, _REPEATS) for part in parts)
    lines = max(part.label.count("<br>") for part in parts) + 1
    figure = Figure(layout=_layout(len(parts), lines, max(part.side for part in parts)))
    for slot, part in enumerate(parts):
        drawn = min(part.times, _REPEATS)
        breadth = max(0.05, 0.8 * part.breadth / widest)
        starts = [slot - breadth * drawn / 2 + breadth * (place + 0.5) for place in range(drawn)]
        figure.add_bar(
            x=starts,
            y=[part.side] * drawn,
            base=-part.side / 2,
            width=breadth,
            marker={"color": _COLOURS.get(part.kind, _OTHER), "line": {"color": "rgba(255,255,255,0.8)", "width": 1.5}},
            hovertemplate=_hover(part, architecture),
            name=part.kind,
        )
        figure.add_annotation(x=slot, y=0, yref="paper", yanchor="top", text=part.label, showarrow=False)
    return figure


def _layout(slots: int, lines: int, highest: float) -> Mapping[str, Any]:
    clear = "rgba(0,0,0,0)"
    return {
        "template": "none",
        "width": SLOT_PX * slots + 20,
        "height": HEIGHT_PX + LINE_PX * lines,
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10 + LINE_PX * lines},
        "xaxis": {"visible": False, "range": [-0.5, slots - 0.5], "fixedrange": True},
        "yaxis": {"visible": False, "range": [-0.55 * highest, 0.55 * highest], "fixedrange": True},
        "paper_bgcolor": clear,
        "plot_bgcolor": clear,
        "showlegend": False,
        "barmode": "overlay",
        "font": {"size": 12},
    }


def _hover(part: _Part, architecture: Architecture) -> str:
    if part.kind == "input":
        return f"input {_by(part.out_shape)}<extra></extra>"
    whole = architecture.cost
    shares = (
        f"{name} {getattr(part, name):,} ({getattr(part, name) / (getattr(whole, name) or 1):.0%})"
        for name in ("params", "macs")
    )
    times = f"{part.times} x " if part.times > 1 else ""
    told = (f"{times}{escape(part.words)}", f"output {_by(part.out_shape)}", *shares)
    return "<br>".join(told) + "<extra></extra>"


def caption(architecture: Architecture) -> str:
    """What the picture is of, in a line."""
    price = architecture.cost
    return f"{architecture} ({format_count(price.params)} params, {format_count(price.macs)} macs)"
