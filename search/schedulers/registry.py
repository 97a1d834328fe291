"""Schedulers: which trials go on, and which are stopped early. Imports Ray only when one is made."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ...results.database.store import Store

if TYPE_CHECKING:
    from ..config.schema import SearchSection
    from ..experiment.experiment import Experiment

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


def make_scheduler(experiment: "Experiment", store: Store, run_id: int) -> Any:
    """Tune's scheduler, told of the run's earlier trials: a resumed run stops by the marks of an unbroken one.

    * ``none``: first in, first out.
    * ``asha``: asynchronous successive halving (Li et al. 2020, arXiv 1810.05934).
    * ``hyperband``: the brackets of Hyperband (Li et al. 2018, arXiv 1603.06560), each halved asynchronously as section
      3 of the former paper proposes. Tune's synchronous Hyperband pauses trials until a bracket is full, and a searcher
      that proposes one at a time would wait for trials that wait for it; Tune's asynchronous one draws a trial's
      bracket from numpy's global generator. Here the trial's number tells its bracket, after a resume too.
    * ``median``: stopped, and never paused, below the median of the running means (Golovin et al. 2017, section 3.2).
    """
    from .tune_rules import Halving, InOrder, Median

    search, epochs = experiment.file.search, experiment.recipes.largest("epochs")
    if search.scheduler == "none":
        return InOrder()
    earlier = earlier_trials(store, run_id)
    if search.scheduler == "median":
        return Median(search.grace_epochs, earlier)
    count = 1 if search.scheduler == "asha" else search.brackets or brackets_that_fit(search, epochs)
    grace = [search.grace_epochs * search.reduction_factor**bracket for bracket in range(count)]
    return Halving(grace, shares(count, search.reduction_factor), epochs, search.reduction_factor, earlier)


def brackets_that_fit(search: "SearchSection", epochs: int) -> int:
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


def check_scheduler(search: "SearchSection", epochs: int) -> None:
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


def _check_brackets(search: "SearchSection", epochs: int) -> None:
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
