"""HTML page of a report and its parts, rendered from Jinja templates; a page needs no network access."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

if TYPE_CHECKING:
    from jinja2 import Environment
    from plotly.graph_objects import Figure

# Everything that the page needs is inside the page. With this Content-Security-Policy a browser loads nothing from the
# network, even if a name in the database contains HTML.
_POLICY = "default-src 'unsafe-inline' 'unsafe-eval' data: blob:"


class _Cell(NamedTuple):
    """The text of a table cell, and whether it is a number; numbers are right-aligned."""

    text: str
    is_number: bool


@cache
def _templates() -> "Environment":
    # Imported here: only the commands that write a page need Jinja.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,  # a misspelt name in a template is an error instead of an empty text
    )


@cache
def _macros() -> Any:
    """Return the module of the macros in ``parts.html.jinja``; each macro is a function that returns Markup."""
    return _templates().get_template("parts.html.jinja").module


def _render(macro: str, *values: Any) -> Markup:
    return Markup(getattr(_macros(), macro)(*values))


def page(title: str, sections: Iterable[Markup], *, plotly: bool) -> str:
    """Return a complete HTML document; with ``plotly`` it contains the JavaScript library of the figures."""
    library = _plotly_library() if plotly else None
    template = _templates().get_template("page.html.jinja")
    return template.render(title=title, sections=sections, policy=Markup(_POLICY), library=library)


def _plotly_library() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())


def section(title: str, *parts: Markup) -> Markup:
    """Return a section of a page with a title."""
    return _render("section", title, parts)


def paragraph(text: str, *, muted: bool = False) -> Markup:
    """Return a paragraph of plain text; a ``muted`` one is an explanation in a softer color."""
    return _render("paragraph", text, muted)


def marked_paragraph(text: str, words: Iterable[str]) -> Markup:
    """Return a paragraph of plain text in which ``words``, in lower case, are marked."""
    wanted = set(words)
    # the split keeps what is between the words; underscores separate words
    parts = [(part, part.lower() in wanted) for part in re.split(r"([^\W_]+)", text) if part]
    return _render("marked", parts)


def code(text: str) -> Markup:
    """Return preformatted text, for example commands to copy."""
    return _render("code", text)


def facts(entries: Mapping[str, Any]) -> Markup:
    """Return a table of names and values; entries with the value None are left out."""
    return _render("facts", {name: str(value) for name, value in entries.items() if value is not None})


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, highlight_first: bool = False) -> Markup:
    """Return a table with right-aligned numbers; ``highlight_first`` prints the first row in bold."""
    cells = [[_cell(value) for value in row] for row in rows]
    head = [_Cell(name, any(row[index].is_number for row in cells)) for index, name in enumerate(columns)]
    return _render("table", head, cells, highlight_first)


def _cell(value: Any) -> _Cell:
    # bool is a subclass of int, but is printed as a word.
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _Cell(f"{value:,}" if isinstance(value, int) else f"{value:.4f}", True)
    return _Cell("" if value is None else str(value), False)


def tiles(entries: Mapping[str, str]) -> Markup:
    """Return the values of ``entries`` in large type, each with its name below."""
    return _render("tiles", entries)


def side_by_side(*parts: Markup) -> Markup:
    """Return parts next to each other, or below each other on a narrow screen."""
    return _render("side_by_side", parts)


def heading(text: str) -> Markup:
    """Return a heading inside a section."""
    return _render("heading", text)


def collapsible(title: str, part: Markup) -> Markup:
    """Return a part that is hidden until the reader clicks on its title."""
    return _render("collapsible", title, part)


def images(title: str, entries: Sequence[Mapping[str, str]]) -> Markup:
    """Return a row of images. Each entry has ``image``, a data URL, and ``class``, the name printed below the image."""
    return _render("images", title, entries)


def figure_part(figure: "Figure", name: str, caption: str = "") -> Markup:
    """Return a Plotly figure as HTML with the id ``name``; the page has to contain the library.

    A figure with a fixed width can be scrolled sideways. Other figures take the width of the page.
    """
    import plotly.io

    has_fixed_width = figure.layout.width is not None
    config = {
        "displaylogo": False,
        "responsive": not has_fixed_width,
        "displayModeBar": False if has_fixed_width else "hover",
    }
    html = plotly.io.to_html(
        figure,
        config=config,
        include_plotlyjs=False,  # 4 MB and more per figure; page() has it once
        full_html=False,
        default_width=f"{figure.layout.width}px" if has_fixed_width else "100%",
        default_height=f"{figure.layout.height}px",
        div_id=name,
    )
    return _render("figure", Markup(html), caption)
