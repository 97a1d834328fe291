"""Pages: escaped HTML that needs no network."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_STYLE = """
:root { --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #ffffff; --mark: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9aa5b1; --line: #363d47; --paper: #0f1318; --mark: #1a2027; }
}
@media print {
  :root { --ink: #000; --soft: #333; --line: #bbb; --paper: #fff; --mark: #fff; }
  section { break-inside: avoid; }
}
body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
.soft { color: var(--soft); } .wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.number { text-align: right; }
pre { background: var(--mark); border: 1px solid var(--line); padding: .8rem; overflow-x: auto; white-space: pre-wrap; }
.xtick text, .ytick text, .xtitle, .ytitle, .gtitle, .legendtext, .annotation-text { fill: var(--ink) !important; }
.gridlayer path { stroke: var(--line) !important; }
"""
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
            f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>",
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


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def code(text: str) -> str:
    """Text to be copied as it is."""
    return f"<pre>{escape(text)}</pre>"


def facts(entries: Mapping[str, Any]) -> str:
    """A table of names and values."""
    rows = (f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>" for name, value in entries.items())
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; numbers stand to the right."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, int | float):
        text = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        return f'<td class="number">{text}</td>'
    return f"<td>{escape('' if value is None else str(value))}</td>"


def picture(figure: "Figure", name: str) -> str:
    """A figure as HTML that counts on the page's library; ``name`` is its id."""
    import plotly.io

    config = {"displaylogo": False, "responsive": True}
    height = f"{figure.layout.height}px"
    html = plotly.io.to_html(
        figure, config=config, include_plotlyjs=False, full_html=False, default_height=height, div_id=name
    )
    return str(html)
