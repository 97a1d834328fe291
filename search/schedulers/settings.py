"""Scheduler settings: their checks, and the earlier trials of a resumed run. Imports no Ray.

The check of a search file and the command line use this module, and importing Ray is slow.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...results.database.store import Store
from ...spaces.metrics.selection import Selection
from ..config.search_section import SearchSection

SCORE = "score"  # the key of the value that schedulers maximise, in the results of a worker
Curve = Sequence[tuple[int, float]]  # (epoch, score) in increasing order of epochs


class EarlierTrial(NamedTuple):
    """A trial from before the run was resumed: its number in the run, and its learning curve."""

    number: int
    curve: Curve


def earlier_trials(store: Store, run_id: int) -> list[EarlierTrial]:
    """Return the trials of a run that were trained for at least one epoch."""
    selection = Selection.from_config(store.run(run_id).config)
    sign = 1 if selection.higher_is_better else -1
    curves = {
        trial.number: store.curve(trial.trial).get(selection.stored_name, [])
        for trial in store.history(run_id)
        if trial.epochs_done
    }
    return [EarlierTrial(number, [(epoch, sign * value) for epoch, value in curve]) for number, curve in curves.items()]


def max_brackets(search: SearchSection, epochs: int) -> int:
    """Return how many brackets Hyperband can have for trials of at most ``epochs`` epochs.

    Each bracket lets its trials train ``reduction_factor`` times as long as the previous one before it may stop them.
    A bracket whose first milestone is the last epoch stops no trial; it protects Hyperband against crossing curves.
    """
    # a loop, not a logarithm: rounding of floats could lose the bracket that ends exactly at the last epoch
    count, grace = 0, search.grace_epochs
    while grace <= epochs:
        count, grace = count + 1, grace * search.reduction_factor
    return count


def bracket_sizes(brackets: int, factor: int) -> list[int]:
    """Return the number of trials of each bracket in one round: n of Hyperband's algorithm 1.

    The first bracket stops most trials, the last one none or few.

    >>> bracket_sizes(3, 3)
    [9, 5, 3]
    """
    return [math.ceil(brackets / (s + 1) * factor**s) for s in reversed(range(brackets))]


def check_scheduler(search: SearchSection, epochs: int) -> None:
    """Raise ``ValueError`` if the scheduler settings of ``[search]`` cannot work for at most ``epochs`` epochs."""
    # an ignored setting would mislead: the user expects brackets that no other scheduler has
    if search.brackets is not None and search.scheduler != "hyperband":
        raise ValueError(
            f'search.brackets needs search.scheduler = "hyperband", but got {search.scheduler!r}; leave brackets out'
        )
    if search.scheduler == "none":
        return
    if search.scheduler == "hyperband":
        _check_brackets(search, epochs)
    elif search.grace_epochs > epochs:
        raise ValueError(
            f"search.grace_epochs must be at most recipe.epochs, but got {search.grace_epochs} and {epochs}; lower "
            "grace_epochs, raise recipe.epochs, or leave search.scheduler out"
        )


def _check_brackets(search: SearchSection, epochs: int) -> None:
    most = max_brackets(search, epochs)
    facts: Mapping[str, Any] = {
        "grace_epochs": search.grace_epochs,
        "reduction_factor": search.reduction_factor,
        "recipe.epochs": epochs,
    }
    values = ", ".join(f"{name} {value}" for name, value in facts.items())
    # with one bracket Hyperband equals asynchronous successive halving, which is the scheduler asha
    if most < 2:
        raise ValueError(
            "search.scheduler: hyperband needs at least two brackets (grace_epochs * reduction_factor <= "
            f"recipe.epochs), but got {values}; lower reduction_factor, raise recipe.epochs, or use asha"
        )
    if search.brackets is not None and not 2 <= search.brackets <= most:
        raise ValueError(
            f"search.brackets must be from 2 to {most}, but got {search.brackets} ({values}); leave it out to use all"
        )
