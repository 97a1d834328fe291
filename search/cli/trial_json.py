"""Trials as JSON, by the names used everywhere."""

import math
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from ...results.database.records import Trial


def trial_json(trial: Trial) -> dict[str, Any]:
    """A trial as JSON's own types, by the names used everywhere."""
    values = {f.name: getattr(trial, f.name) for f in fields(trial)}
    return json_row({**values, "val_error": trial.val_error})


def json_curve(curve: Mapping[str, list[tuple[int, float]]]) -> dict[str, list[list[float | None]]]:
    """A curve as JSON's own types: JSON has no NaN, so what is not finite is null."""
    return {
        name: [[step, value if math.isfinite(value) else None] for step, value in points]
        for name, points in curve.items()
    }


def json_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON's own types: moments as texts."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
