"""Changes: what two versions of a run's settings, or of its code, do otherwise."""

import json
from collections.abc import Mapping
from typing import Any

MOST = 5  # differences that one message names


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The settings that differ, each in words: ``budget.params was "20k" and is "30k"``."""
    old, new = _flat(before), _flat(after)
    keys = sorted(key for key in {*old, *new} if key != "name" and old.get(key, _NONE) != new.get(key, _NONE))
    said = [f"{key} was {_said(old, key)} and is {_said(new, key)}" for key in keys[:MOST]]
    return said + ([f"and {len(keys) - MOST} more"] if len(keys) > MOST else [])


_NONE = object()


def _said(flat: Mapping[str, Any], key: str) -> str:
    return json.dumps(flat[key]) if key in flat else "not set"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys and their values; 600 is 600.0, which JSON spells otherwise."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def code_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How the code of a run's last process differs from this one's: the git commit, the versions of packages."""
    pairs = {"git commit": (before.get("git_commit"), now.get("git_commit"))}
    old, new = before.get("versions") or {}, now.get("versions") or {}
    pairs |= {name: (old[name], new[name]) for name in sorted({*old} & {*new})}
    return [f"{name} was {a} and is {b}" for name, (a, b) in pairs.items() if a and b and a != b]
