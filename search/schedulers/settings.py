"""Settings of schedulers: checked, and the trials of an earlier driver that schedulers learn from. Imports no Ray."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...results.database.store import Store
from ..config.schema import SearchSection

Curve = Sequence[tuple[int, float]]  # (epoch, val_accuracy), epochs rising


class Earlier(NamedTuple):
    """A trial of an earlier driver of this run: its place in the run, and how it did."""

    number: int
    curve: Curve


def earlier_trials(store: Store, run_id: int) -> list[Earlier]:
    """The trials of a run that have been trained for an epoch at least."""
    return [
        Earlier(trial.number, store.curve(trial.trial).get("val_accuracy", []))
        for trial in store.history(run_id)
        if trial.epochs_done
    ]


def brackets_that_fit(search: SearchSection, epochs: int) -> int:
    """How many brackets Hyperband can have: each lets a trial train ``reduction_factor`` times as long as the last.

    A bracket whose first mark is the last epoch stops nothing; it is Hyperband's hedge against curves that cross.
    """
    count, grace = 0, search.grace_epochs
    while grace <= epochs:
        count, grace = count + 1, grace * search.reduction_factor
    return count


def shares(brackets: int, factor: int) -> list[int]:
    """Trials of each bracket in one round, the one that stops most first: n of Hyperband's algorithm 1.

    >>> shares(3, 3)
    [9, 5, 3]
    """
    return [math.ceil(brackets / (s + 1) * factor**s) for s in reversed(range(brackets))]


def check_scheduler(search: SearchSection, epochs: int) -> None:
    """Raise ``ValueError`` where the settings of ``[search]`` cannot work for trials of at most ``epochs`` epochs."""
    if search.brackets is not None and search.scheduler != "hyperband":
        raise ValueError(
            f"search.brackets are hyperband's, but the scheduler is {search.scheduler!r}; leave brackets out"
        )
    if search.scheduler == "none":
        return
    if search.scheduler == "hyperband":
        _check_brackets(search, epochs)
    elif search.grace_epochs > epochs:
        raise ValueError(
            f"search.grace_epochs must be at most recipe.epochs, but got {search.grace_epochs} and {epochs}; lower it, "
            "train for longer, or leave search.scheduler out"
        )


def _check_brackets(search: SearchSection, epochs: int) -> None:
    fit = brackets_that_fit(search, epochs)
    facts: Mapping[str, Any] = {
        "grace_epochs": search.grace_epochs,
        "reduction_factor": search.reduction_factor,
        "recipe.epochs": epochs,
    }
    said = ", ".join(f"{name} {value}" for name, value in facts.items())
    if fit < 2:
        raise ValueError(
            "search.scheduler: hyperband needs two brackets, grace_epochs * reduction_factor <= recipe.epochs, but got "
            f"{said}; lower reduction_factor, train for longer, or take asha"
        )
    if search.brackets is not None and not 2 <= search.brackets <= fit:
        raise ValueError(
            f"search.brackets must be from 2 to the {fit} that fit, but got {search.brackets} ({said}); "
            "leave it out to have all"
        )
