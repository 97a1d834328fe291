"""HTML: the page of a report and its parts, made from templates; a page needs no network."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

if TYPE_CHECKING:
    from jinja2 import Environment
    from plotly.graph_objects import Figure

# Everything that the page needs is in it: a browser that honours this line fetches nothing.
_POLICY = "default-src 'unsafe-inline' 'unsafe-eval' data: blob:"


class _Cell(NamedTuple):
    """The text of a table cell; numbers are right-aligned."""

    text: str
    is_number: bool


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )


@cache
def _parts() -> Any:
    """The macros, as functions that return Markup."""
    return _templates().get_template("parts.html.jinja").module


def _part(name: str, *values: Any) -> Markup:
    return Markup(getattr(_parts(), name)(*values))


def page(title: str, sections: Iterable[Markup], *, plotly: bool) -> str:
    """A whole document; ``plotly`` puts the drawing library in, once."""
    library = _library() if plotly else None
    template = _templates().get_template("page.html.jinja")
    return template.render(title=title, sections=sections, policy=Markup(_POLICY), library=library)


def _library() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())


def section(title: str, *parts: Markup) -> Markup:
    """A titled part of a page."""
    return _part("section", title, parts)


def paragraph(text: str, *, soft: bool = False) -> Markup:
    """A paragraph of plain text; a ``soft`` one explains."""
    return _part("paragraph", text, soft)


def code(text: str) -> Markup:
    """Text to be copied as it is."""
    return _part("code", text)


def facts(entries: Mapping[str, Any]) -> Markup:
    """A table of names and values; what is not known is left out."""
    return _part("facts", {name: str(value) for name, value in entries.items() if value is not None})


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, first: bool = False) -> Markup:
    """A table; numbers are right-aligned. ``first`` sets off the first row."""
    cells = [[_cell(value) for value in row] for row in rows]
    head = [_Cell(name, any(row[at].is_number for row in cells)) for at, name in enumerate(columns)]
    return _part("table", head, cells, first)


def _cell(value: Any) -> _Cell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _Cell(f"{value:,}" if isinstance(value, int) else f"{value:.4f}", True)
    return _Cell("" if value is None else str(value), False)


def tiles(entries: Mapping[str, str]) -> Markup:
    """Figures set large, each with what it is under it."""
    return _part("tiles", entries)


def side_by_side(*parts: Markup) -> Markup:
    """Parts beside each other where there is room."""
    return _part("side_by_side", parts)


def heading(text: str) -> Markup:
    """The title of a part of a section."""
    return _part("heading", text)


def folded(title: str, part: Markup) -> Markup:
    """A part that opens on a click."""
    return _part("folded", title, part)


def images(title: str, entries: Sequence[Mapping[str, str]]) -> Markup:
    """Images in a row, each over the name of its class; ``image`` is a data URL."""
    return _part("images", title, entries)


def picture(figure: "Figure", name: str, caption: str = "") -> Markup:
    """A figure as HTML that counts on the page's library; ``name`` is its id. One of a fixed width can be scrolled."""
    import plotly.io

    fixed = figure.layout.width is not None
    config = {"displaylogo": False, "responsive": not fixed, "displayModeBar": False if fixed else "hover"}
    drawn = plotly.io.to_html(
        figure,
        config=config,
        include_plotlyjs=False,
        full_html=False,
        default_width=f"{figure.layout.width}px" if fixed else "100%",
        default_height=f"{figure.layout.height}px",
        div_id=name,
    )
    return _part("picture", Markup(drawn), caption)
