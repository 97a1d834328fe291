"""Sharing of equal values: the trials of a run have the same blocks and the same keys of their recipes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .records import Trial

_MAX_VALUES = 20_000  # then values are no longer shared with earlier ones, so that the table stays small


class SharedValues:
    """Replaces equal parts of trials by one object, so that a driver can hold the trials of a long run.

    Without it, each trial takes 12 kB, nearly all of it for copies of the same blocks. The values must not be changed.
    """

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def of_trial(self, trial: Trial) -> Trial:
        """Return an equal trial that shares the parts of its architecture, choices and recipe with earlier trials."""
        names = ("architecture", "choices", "recipe")
        return replace(trial, **{name: self._of(getattr(trial, name)) for name in names})

    def _of(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            entries = {self._shared(key, key): self._of(entry) for key, entry in value.items()}
            return self._shared_flat(entries, tuple(entries.items()))
        if isinstance(value, list):
            items = [self._of(item) for item in value]
            return self._shared_flat(items, tuple(items))
        return self._shared(value, value) if isinstance(value, str) else value

    def _shared_flat(self, value: Any, content: tuple[Any, ...]) -> Any:
        # Only values without lists and tables are shared: a whole network is seldom that of another trial.
        parts = [part for entry in content for part in (entry if isinstance(entry, tuple) else (entry,))]
        if any(isinstance(part, dict | list | float) for part in parts):
            return value
        # With the types: in Python 1 and True are equal.
        return self._shared((type(value), content, tuple(map(type, parts))), value)

    def _shared(self, key: Any, value: Any) -> Any:
        if len(self._known) >= _MAX_VALUES:
            self._known.clear()
        return self._known.setdefault(key, value)
