"""Trials as JSON, by the names used everywhere."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from ..results.records import Trial


def trial_json(trial: Trial) -> dict[str, Any]:
    """A trial as JSON's own types, by the names used everywhere."""
    values = {f.name: getattr(trial, f.name) for f in fields(trial)}
    return json_row({**values, "val_error": trial.val_error})


def json_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON's own types: moments as texts."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
