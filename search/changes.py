"""Changes: what two versions of a run's settings, or of its code, do otherwise."""

import json
from collections.abc import Mapping
from typing import Any

MOST = 5  # differences that one message names


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The settings that differ, each in words: ``budget.params was "20k" and is "30k"``."""
    old, new = _flat(before), _flat(after)
    keys = sorted(key for key in {*old, *new} if key != "name" and old.get(key, _NONE) != new.get(key, _NONE))
    said = [f"{key} was {old.get(key, _NONE)} and is {new.get(key, _NONE)}" for key in keys[:MOST]]
    return said + ([f"and {len(keys) - MOST} more"] if len(keys) > MOST else [])


_NONE = "not set"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted keys and their values as JSON."""
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value)
    return flat


def code_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How the code of a run's last process differs from this one's: the git commit, the versions of packages."""
    pairs = {"git commit": (before.get("git_commit"), now.get("git_commit"))}
    old, new = before.get("versions") or {}, now.get("versions") or {}
    pairs |= {name: (old[name], new[name]) for name in sorted({*old} & {*new})}
    return [f"{name} was {a} and is {b}" for name, (a, b) in pairs.items() if a and b and a != b]
