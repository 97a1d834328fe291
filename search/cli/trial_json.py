"""Trials as JSON, with the field names of the results database."""

import math
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from ...results.database.records import Trial


def trial_json(trial: Trial) -> dict[str, Any]:
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
