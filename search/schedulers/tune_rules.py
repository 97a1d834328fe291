"""Stopping rules: the schedulers of Ray Tune, with a state that survives a resume. Import it late: it imports Ray.

Tune saves the state of its schedulers in its own snapshots. Here the state is computed again from the curves in the
store.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from ...results.database.store import Store
from ..config.search_section import SearchSection
from .settings import SCORE, EarlierTrial, bracket_sizes, earlier_trials, max_brackets

RULE_ARGUMENTS: dict[str, Any] = {"time_attr": "epoch", "metric": SCORE, "mode": "max"}


class RuleTrial(NamedTuple):
    """A trial as the rules of Tune see it, identified by its number in the run.

    After the death of its worker a trial gets a new object and a new id in Tune. The number stays the same, and tuples
    with equal numbers are equal keys, so that a rule counts the trial only once.
    """

    trial_id: str

    @classmethod
    def of(cls, trial: Any) -> tuple[int, Any]:
        """Return the number of a trial of Tune, and the trial for its rule."""
        number = int(json.loads(trial.config["trial"])["number"])
        return number, cls(str(number))


class OfferOnceFIFO(FIFOScheduler):
    """A first-in-first-out scheduler that offers each trial to Tune only once, so that every started worker is used.

    Tune asks for the next trial in every iteration of its loop. If the answer is a trial whose worker is still
    starting, and another worker is free, Tune ends the starting worker and uses the free one. If trials take less time
    than the start of a worker, one worker would then train all trials. Here a free worker gets a new trial instead.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._offered: set[str] = set()

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        pending = (trial for trial in tune_controller.get_live_trials() if trial.status == trial.PENDING)
        new = min((trial for trial in pending if trial.trial_id not in self._offered), key=RuleTrial.of, default=None)
        if new is not None:
            self._offered.add(new.trial_id)
        return new


class StoppingRule(OfferOnceFIFO, ABC):
    """A scheduler that passes each trial to its rule of Tune.

    The result of a failed trial has no epoch, so failures do not influence the rules.
    """

    def __init__(self, earlier: Sequence[EarlierTrial]) -> None:
        super().__init__()
        # in the order of the trials' numbers, as an uninterrupted run with one worker would add them
        for number, curve in earlier:
            rule: Any = self._rule(number)
            rule.on_trial_add(None, RuleTrial(str(number)))
            for epoch, score in curve:
                self._replay(rule, RuleTrial(str(number)), {"epoch": epoch, SCORE: score})

    @abstractmethod
    def _rule(self, number: int) -> TrialScheduler:
        """Return the rule for the trial with this number."""

    @abstractmethod
    def _replay(self, rule: Any, trial: Any, result: dict[str, Any]) -> None:
        """Add the result of an earlier epoch to ``rule``; its decision is ignored, because the epoch is over."""

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        number, rule_trial = RuleTrial.of(trial)
        self._rule(number).on_trial_add(tune_controller, rule_trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        number, rule_trial = RuleTrial.of(trial)
        return str(self._rule(number).on_trial_result(tune_controller, rule_trial, result))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        number, rule_trial = RuleTrial.of(trial)
        if "epoch" in result:  # a failure has none
            self._rule(number).on_trial_complete(tune_controller, rule_trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        number, rule_trial = RuleTrial.of(trial)
        self._rule(number).on_trial_error(tune_controller, rule_trial)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        number, rule_trial = RuleTrial.of(trial)
        self._rule(number).on_trial_remove(tune_controller, rule_trial)


class SuccessiveHalving(StoppingRule):
    """Asynchronous successive halving in one or several brackets; the number of a trial decides its bracket.

    ``grace`` is, for each bracket, the number of epochs before it may stop a trial. ``sizes`` is the number of
    consecutive trials of each bracket; after the last bracket the first one continues.
    """

    def __init__(
        self, grace: Sequence[int], sizes: Sequence[int], epochs: int, factor: int, earlier: Sequence[EarlierTrial]
    ) -> None:
        # one scheduler for each bracket, because Tune's own brackets are drawn at random (see make_scheduler)
        self._brackets = [
            ASHAScheduler(**RULE_ARGUMENTS, max_t=epochs, grace_period=first, reduction_factor=factor)
            for first in grace
        ]
        self._ends = list(accumulate(sizes))
        super().__init__(earlier)  # last, because it uses the brackets

    def bracket(self, number: int) -> int:
        """Return the bracket of the trial with this number."""
        index = number % self._ends[-1]
        return next(bracket for bracket, end in enumerate(self._ends) if index < end)

    def _rule(self, number: int) -> TrialScheduler:
        return self._brackets[self.bracket(number)]

    def _replay(self, rule: Any, trial: Any, result: dict[str, Any]) -> None:
        rule.on_trial_result(None, trial, result)


class MedianStopping(StoppingRule):
    """The median stopping rule of Tune."""

    def __init__(self, grace: int, earlier: Sequence[EarlierTrial]) -> None:
        # an infinite time slice: with too few trials to compare, the rule would else pause a trial, and a paused trial
        # needs a checkpoint of Tune, which these runs do not write
        slice_: Any = math.inf
        self._median = MedianStoppingRule(**RULE_ARGUMENTS, grace_period=grace, min_time_slice=slice_)
        super().__init__(earlier)

    def _rule(self, number: int) -> TrialScheduler:
        return self._median

    def _replay(self, rule: Any, trial: Any, result: dict[str, Any]) -> None:
        # on_trial_result could stop the trial a second time, which the rule rejects with an assertion
        rule.on_trial_complete(None, trial, result)


def make_scheduler(search: SearchSection, epochs: int, store: Store, run_id: int) -> Any:
    """Return the scheduler for Tune; it knows the run's earlier trials and decides as in an uninterrupted run.

    ``epochs`` is the largest number of epochs of any trial of the run.
    """
    return scheduler_of(search, epochs, () if search.scheduler == "none" else earlier_trials(store, run_id))


def scheduler_of(search: SearchSection, epochs: int, earlier: Sequence[EarlierTrial]) -> Any:
    """Return the scheduler for Tune that has seen the ``earlier`` trials.

    * ``none``: first in, first out.
    * ``asha``: asynchronous successive halving (Li et al. 2020, arXiv 1810.05934).
    * ``hyperband``: the brackets of Hyperband (Li et al. 2018, arXiv 1603.06560), each halved asynchronously as section
      3 of the former paper proposes. Tune's synchronous Hyperband pauses trials until a bracket is full: a searcher
      that makes one proposal at a time would wait for these trials, and they for it. Tune's asynchronous Hyperband
      draws the bracket of a trial from the global generator of numpy. Here the trial's number decides the bracket,
      also after a resume.
    * ``median``: stops a trial below the median of the running means and never pauses one (Golovin et al. 2017,
      section 3.2).
    """
    if search.scheduler == "none":
        return OfferOnceFIFO()
    if search.scheduler == "median":
        return MedianStopping(search.grace_epochs, earlier)
    count = 1 if search.scheduler == "asha" else search.brackets or max_brackets(search, epochs)
    grace = [search.grace_epochs * search.reduction_factor**bracket for bracket in range(count)]
    sizes = bracket_sizes(count, search.reduction_factor)
    return SuccessiveHalving(grace, sizes, epochs, search.reduction_factor, earlier)
