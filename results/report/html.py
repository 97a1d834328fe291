"""Pages: escaped HTML that needs no network."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from .style import STYLE

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Everything that the page needs is in it: a browser that honours this line fetches nothing.
_POLICY = "default-src 'unsafe-inline' 'unsafe-eval' data: blob:"


def page(title: str, sections: Iterable[str], *, plotly: bool) -> str:
    """A whole document; ``plotly`` puts the drawing library in, once."""
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>",
            f"<script>{_library()}</script>" if plotly else "",
            f"</head>\n<body>\n<h1>{escape(title)}</h1>",
            *sections,
            "</body>\n</html>\n",
        ]
    )


def _library() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def section(title: str, *parts: str) -> str:
    """A titled part of a page; ``parts`` are HTML."""
    return "\n".join([f"<section>\n<h2>{escape(title)}</h2>", *parts, "</section>"])


def paragraph(text: str, *, soft: bool = False) -> str:
    """A paragraph of plain text; a ``soft`` one explains."""
    return f"<p{_of_class('soft', soft)}>{escape(text)}</p>"


def code(text: str) -> str:
    """Text to be copied as it is."""
    return f"<pre>{escape(text)}</pre>"


def facts(entries: Mapping[str, Any]) -> str:
    """A table of names and values; what is not known is left out."""
    known = {name: value for name, value in entries.items() if value is not None}
    rows = (f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>" for name, value in known.items())
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, first: bool = False) -> str:
    """A table; numbers stand to the right. ``first`` sets off the first row."""
    listed = [list(row) for row in rows]
    numeric = [any(_is_number(row[i]) for row in listed) for i in range(len(columns))]
    head = "".join(
        f"<th{_of_class('number', number)}>{escape(name)}</th>" for name, number in zip(columns, numeric, strict=True)
    )
    body = "".join(
        f"<tr{_of_class('first', first and place == 0)}>{''.join(map(_cell, row))}</tr>"
        for place, row in enumerate(listed)
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _of_class(name: str, given: bool) -> str:
    return f' class="{name}"' if given else ""


def _cell(value: Any) -> str:
    if _is_number(value):
        text = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        return f'<td class="number">{text}</td>'
    return f"<td>{escape('' if value is None else str(value))}</td>"


def tiles(entries: Mapping[str, str]) -> str:
    """Figures set large, each with what it is under it."""
    shown = (
        f'<div class="tile"><b>{escape(figure)}</b><span>{escape(name)}</span></div>'
        for name, figure in entries.items()
    )
    return f'<div class="tiles">{"".join(shown)}</div>'


def side_by_side(*parts: str) -> str:
    """Parts beside each other where there is room."""
    return f'<div class="pair">{"".join(parts)}</div>'


def heading(text: str) -> str:
    """The title of a part of a section."""
    return f"<h3>{escape(text)}</h3>"


def folded(title: str, part: str) -> str:
    """A part that opens on a click."""
    return f"<details><summary>{escape(title)}</summary>{part}</details>"


def picture(figure: "Figure", name: str, caption: str = "") -> str:
    """A figure as HTML that counts on the page's library; ``name`` is its id. One of a fixed width can be scrolled."""
    import plotly.io

    fixed = figure.layout.width is not None
    config = {"displaylogo": False, "responsive": not fixed, "displayModeBar": False if fixed else "hover"}
    html = plotly.io.to_html(
        figure,
        config=config,
        include_plotlyjs=False,
        full_html=False,
        default_width=f"{figure.layout.width}px" if fixed else "100%",
        default_height=f"{figure.layout.height}px",
        div_id=name,
    )
    told = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure>{told}<div class="wide">{html}</div></figure>'
