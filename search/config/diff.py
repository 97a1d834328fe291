"""Differences between two versions of a run's settings, or of the code that runs it."""

import json
from collections.abc import Mapping
from typing import Any

MAX_DIFFERENCES = 5  # listed in one message


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return one text for each setting that differs, such as ``budget.params was "20k" and is "30k"``.

    At most ``MAX_DIFFERENCES`` settings are listed; a last text counts the others. The name of the run is not compared.
    """
    old, new = _flatten(before), _flatten(after)
    keys = sorted(key for key in {*old, *new} if key != "name" and old.get(key, _NONE) != new.get(key, _NONE))
    texts = [f"{key} was {_text(old, key)} and is {_text(new, key)}" for key in keys[:MAX_DIFFERENCES]]
    return texts + ([f"and {len(keys) - MAX_DIFFERENCES} more"] if len(keys) > MAX_DIFFERENCES else [])


_NONE = object()  # a key that is not set differs from a key that is set to None


def _text(flat: Mapping[str, Any], key: str) -> str:
    return json.dumps(flat[key]) if key in flat else "not set"


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return dotted keys and their values.

    Values are compared as Python objects, because 600 equals 600.0 there but not as JSON text.
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def code_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return one text for each difference between the code of a run's last process and of this process.

    Compared are the git commit and the versions of the packages that both processes recorded.
    """
    pairs = {"git commit": (before.get("git_commit"), now.get("git_commit"))}
    old, new = before.get("versions") or {}, now.get("versions") or {}
    pairs |= {name: (old[name], new[name]) for name in sorted({*old} & {*new})}
    return [f"{name} was {a} and is {b}" for name, (a, b) in pairs.items() if a and b and a != b]
