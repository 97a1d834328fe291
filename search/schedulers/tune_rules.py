"""Stopping rules: Ray Tune's, told what happened under an earlier driver. Imports Ray, so it is imported late.

Tune keeps its schedulers' marks in its own snapshots; here they are rebuilt from the store's curves.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from ...results.database.store import Store
from ..config.schema import SearchSection
from .settings import Earlier, brackets_that_fit, earlier_trials, shares

TOLD: dict[str, Any] = {"time_attr": "epoch", "metric": "val_accuracy", "mode": "max"}


class Known(NamedTuple):
    """A trial as Tune's rules see one: by its place in the run, the same when it comes again after a worker's death."""

    trial_id: str

    @classmethod
    def of(cls, trial: Any) -> tuple[int, Any]:
        """The number of one of Tune's trials, and the trial for its rule."""
        number = int(json.loads(trial.config["trial"])["number"])
        return number, cls(str(number))


class InOrder(FIFOScheduler):
    """First in, first out, and no worker started in vain.

    Tune asks which trial is to run whenever it looks. Told of one for which a worker is being started, it ends that
    worker where another one is free; where trials take less time than workers take to start, a single worker would do
    all of them. So each trial is named once: a new one takes the free worker.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._named: set[str] = set()

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        pending = (trial for trial in tune_controller.get_live_trials() if trial.status == trial.PENDING)
        new = min((trial for trial in pending if trial.trial_id not in self._named), key=Known.of, default=None)
        if new is not None:
            self._named.add(new.trial_id)
        return new


class Rule(InOrder, ABC):
    """A scheduler that passes trials on to Tune's rule for them; failures, which have no epoch, stay out of it."""

    def __init__(self, earlier: Sequence[Earlier]) -> None:
        super().__init__()
        for number, curve in earlier:
            rule: Any = self._rule(number)
            rule.on_trial_add(None, Known(str(number)))
            for epoch, accuracy in curve:
                self._recall(rule, Known(str(number)), {"epoch": epoch, "val_accuracy": accuracy})

    @abstractmethod
    def _rule(self, number: int) -> TrialScheduler:
        """The rule for the trial of this number."""

    @abstractmethod
    def _recall(self, rule: Any, trial: Any, result: dict[str, Any]) -> None:
        """Tell ``rule`` of an epoch that a trial has behind it; what the rule would do about it is done already."""

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        number, known = Known.of(trial)
        self._rule(number).on_trial_add(tune_controller, known)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        number, known = Known.of(trial)
        return str(self._rule(number).on_trial_result(tune_controller, known, result))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        number, known = Known.of(trial)
        if "epoch" in result:
            self._rule(number).on_trial_complete(tune_controller, known, result)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        number, known = Known.of(trial)
        self._rule(number).on_trial_error(tune_controller, known)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        number, known = Known.of(trial)
        self._rule(number).on_trial_remove(tune_controller, known)


class Halving(Rule):
    """Asynchronous successive halving in one bracket or several, a trial's bracket told by its number.

    ``grace`` are the epochs before a trial of each bracket may be stopped, ``shares`` how many trials in a row go to
    each; then it begins again with the first.
    """

    def __init__(
        self, grace: Sequence[int], shares: Sequence[int], epochs: int, factor: int, earlier: Sequence[Earlier]
    ) -> None:
        self._brackets = [
            ASHAScheduler(**TOLD, max_t=epochs, grace_period=first, reduction_factor=factor) for first in grace
        ]
        self._ends = list(accumulate(shares))
        super().__init__(earlier)

    def bracket(self, number: int) -> int:
        """The bracket of the trial of this number."""
        place = number % self._ends[-1]
        return next(bracket for bracket, end in enumerate(self._ends) if place < end)

    def _rule(self, number: int) -> TrialScheduler:
        return self._brackets[self.bracket(number)]

    def _recall(self, rule: Any, trial: Any, result: dict[str, Any]) -> None:
        rule.on_trial_result(None, trial, result)


class Median(Rule):
    """Tune's median stopping rule."""

    def __init__(self, grace: int, earlier: Sequence[Earlier]) -> None:
        # an endless slice: with too few trials to compare it would pause one, for checkpoints of Tune's own
        slice_: Any = math.inf
        self._median = MedianStoppingRule(**TOLD, grace_period=grace, min_time_slice=slice_)
        super().__init__(earlier)

    def _rule(self, number: int) -> TrialScheduler:
        return self._median

    def _recall(self, rule: Any, trial: Any, result: dict[str, Any]) -> None:
        rule.on_trial_complete(None, trial, result)  # as a result it might be stopped twice, which the rule refuses


def make_scheduler(search: SearchSection, epochs: int, store: Store, run_id: int) -> Any:
    """Tune's scheduler, told of the run's earlier trials: a resumed run stops by the marks of an unbroken one.

    ``epochs`` is the most epochs that a trial of the run can have.

    * ``none``: first in, first out.
    * ``asha``: asynchronous successive halving (Li et al. 2020, arXiv 1810.05934).
    * ``hyperband``: the brackets of Hyperband (Li et al. 2018, arXiv 1603.06560), each halved asynchronously as section
      3 of the former paper proposes. Tune's synchronous Hyperband pauses trials until a bracket is full, and a searcher
      that proposes one at a time would wait for trials that wait for it; Tune's asynchronous one draws a trial's
      bracket from numpy's global generator. Here the trial's number tells its bracket, after a resume too.
    * ``median``: stopped, and never paused, below the median of the running means (Golovin et al. 2017, section 3.2).
    """
    if search.scheduler == "none":
        return InOrder()
    earlier = earlier_trials(store, run_id)
    if search.scheduler == "median":
        return Median(search.grace_epochs, earlier)
    count = 1 if search.scheduler == "asha" else search.brackets or brackets_that_fit(search, epochs)
    grace = [search.grace_epochs * search.reduction_factor**bracket for bracket in range(count)]
    return Halving(grace, shares(count, search.reduction_factor), epochs, search.reduction_factor, earlier)
