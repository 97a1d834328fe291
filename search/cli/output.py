"""Output of the command line: results on stdout, messages on stderr, without control characters and with valid JSON.

Names, reasons and texts in a database may come from another person. A terminal executes control characters in them.
"""

import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from ...spaces.parameters.lookup import shorten

if TYPE_CHECKING:
    from ...results.database.records import Trial

NOTHING_USABLE = 3  # exit code: the command worked, but there is no result
MAX_LINE = 2000  # characters of one value
MAX_MESSAGE = 4000  # characters of one error; longer ones repeat a value of the user
# Control characters except tab and line feed, invisible and direction-changing characters, lone surrogates.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return ``text`` with each control character as an escape: backslash, x and its code."""
    return _CONTROL.sub(lambda match: _escape(ord(match[0])), text)


def bounded(text: str) -> str:
    """Return a message without its middle if it is too long: its start has the rule, its end the fix."""
    text = shorten(text)
    if len(text) <= MAX_MESSAGE:
        return text
    head, tail = text[: MAX_MESSAGE * 3 // 4], text[-MAX_MESSAGE // 4 :]
    return f"{head} ... ({len(text) - len(head) - len(tail):,} characters left out) ... {tail}"


def one_line(value: Any) -> str:
    """Return ``value`` as one line of bounded length: a text of a database from elsewhere could imitate other lines."""
    text = " ".join(str(value).split())
    return text if len(text) <= MAX_LINE else f"{text[:MAX_LINE]} ... ({len(text) - MAX_LINE:,} characters left out)"


def show(*parts: str) -> None:
    """Print each text on stdout, followed by a line break."""
    for part in parts:
        typer.echo(printable(part))


def show_message(*parts: str) -> None:
    """Print each message on stderr, followed by a line break."""
    for part in parts:
        typer.echo(printable(part), err=True)


def show_json(value: Any) -> None:
    """Print ``value`` as JSON on stdout.

    JSON has no NaN and no infinity. They become null, and the entry ``NAME_reason`` next to ``NAME`` says which.
    """
    text = json.dumps(_finite(value)[0], indent=2, ensure_ascii=False, allow_nan=False)
    # JSON escapes the other control characters itself. All of these are in texts, where an escape means the same.
    typer.echo(_CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


class PrintableLog(logging.Filter):
    """Makes the messages of a logger printable."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the message by its printable form, and log it."""
        record.msg, record.args = printable(record.getMessage()), ()
        return True


PRINTABLE_LOG = PrintableLog()


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _finite(value: Any) -> tuple[Any, list[str]]:
    """Return ``value`` with null for numbers that are not finite, and these numbers as texts.

    The numbers in a mapping are reported there and not returned.
    """
    if isinstance(value, float):
        return (value, []) if math.isfinite(value) else (None, [str(value)])
    if isinstance(value, list | tuple):
        parts = [_finite(entry) for entry in value]
        return [entry for entry, _ in parts], [name for _, names in parts for name in names]
    if isinstance(value, Mapping):
        return _finite_entries(value), []
    return value, []


def _finite_entries(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
    entries = {}
    for name, value in mapping.items():
        entries[name], numbers = _finite(value)
        if numbers and f"{name}_reason" not in mapping:
            entries[f"{name}_reason"] = f"not finite: {', '.join(dict.fromkeys(numbers))}"
    return entries


def share_text(value: float | None) -> str:
    """Return a value with four decimals, or nothing for None."""
    return "" if value is None else f"{value:.4f}"


def trial_json(trial: "Trial") -> dict[str, Any]:
    """Return a trial as values that JSON can encode, with the field names of :class:`Trial` and ``val_error``."""
    values = {f.name: getattr(trial, f.name) for f in fields(trial) if f.name != "minimized"}
    return json_row({**values, "val_error": trial.val_error})


def json_curve(curve: Mapping[str, list[tuple[int, float]]]) -> dict[str, list[list[float | None]]]:
    """Return a learning curve as values that JSON can encode; NaN and infinity, which JSON lacks, become null."""
    return {
        name: [[step, value if math.isfinite(value) else None] for step, value in points]
        for name, points in curve.items()
    }


def json_curve_reasons(curve: Mapping[str, list[tuple[int, float]]]) -> dict[str, dict[str, str]]:
    """Return which points of a curve are null and why: the name of the value, by metric and step."""
    reasons = {
        name: {str(step): str(value) for step, value in points if not math.isfinite(value)}
        for name, points in curve.items()
    }
    return {name: points for name, points in reasons.items() if points}


def curve_json(curve: Mapping[str, list[tuple[int, float]]]) -> dict[str, Any]:
    """Return a learning curve as entries of JSON, with the reasons of points that are null."""
    reasons = json_curve_reasons(curve)
    return {"curve": json_curve(curve), **({"curve_reason": reasons} if reasons else {})}


def json_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as values that JSON can encode; dates become ISO 8601 text."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
