"""Replay: searchers and schedulers on recorded learning curves, under a simulated clock, in memory."""

import heapq
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from ...results.database.records import History, Trial, TrialState
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.budget import Budget
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.feasibility import check_feasible
from ...spaces.parameters.constraints import is_real
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.search_space.space import Space
from ..config.duration import parse_duration
from ..experiment.search_file import parse
from ..schedulers.settings import SCORE, check_scheduler
from ..searchers.base import check_inside_budget, proposal_rng, trial_seed
from ..searchers.registry import checked_ask, make_searcher
from .arguments import brief, check_arguments
from .ask_tell import recipes_of
from .asked import Asked, running_trial
from .spaces import constrained_of

Curves = Callable[[Architecture, Recipe], Sequence[float]]  # the validation accuracy after each epoch
Seconds = float | Callable[[Architecture, Recipe], float]  # of one epoch


@dataclass(frozen=True)
class ReplayedEpoch:
    """One epoch of a replay: its end in simulated seconds, its trial, and the accuracy after it."""

    seconds: float
    number: int
    epoch: int
    val_accuracy: float


@dataclass(frozen=True)
class Replay:
    """The trials of a replay, and all of their epochs in the order of the simulated clock."""

    trials: tuple[Trial, ...]
    epochs: tuple[ReplayedEpoch, ...]

    @property
    def seconds(self) -> float:
        """The simulated seconds until the last epoch."""
        return self.epochs[-1].seconds if self.epochs else 0.0

    def best(self, seconds: float = math.inf) -> float | None:
        """Return the highest accuracy of the epochs until ``seconds``; None if none had ended."""
        return max((one.val_accuracy for one in self.epochs if one.seconds <= seconds), default=None)


def replay(
    space: Space | ConstrainedSpace | str,
    curves: Curves,
    budget: Budget | Mapping[str, Any] | None = None,
    recipe: RecipeSpace | Recipe | Mapping[str, Any] | None = None,
    *,
    trials: int = 24,
    workers: int = 1,
    epoch_seconds: Seconds = 1.0,
    time_limit: str | float | None = None,
    searcher: str = "gp",
    scheduler: Literal["none", "asha", "hyperband", "median"] = "none",
    grace_epochs: int = 1,
    reduction_factor: int = 3,
    acquisition: Literal["improvement", "per_second"] = "improvement",
    seed: int = 0,
) -> Replay:
    """Run a search on recorded learning curves instead of training, with ``workers`` at the same time.

    ``curves`` returns the validation accuracies, 0 to 1, of an architecture with a recipe: at least as many as the
    recipe has epochs. ``epoch_seconds`` are the seconds of one epoch, or a function that returns them. No trial starts
    after ``time_limit`` seconds of the simulated clock, and no epoch that ends later counts. The other arguments are
    those of a search. The same arguments give the same result; nothing waits, and nothing is stored.

    Raises ``ValueError`` for a curve that is too short or no accuracy, and for settings that cannot work.
    """
    check_arguments("replay", {"searcher": searcher, "seed": seed, "trials": trials, "time_limit": time_limit})
    function: Any = curves
    if not callable(function):
        raise TypeError(f"curves of replay() must be a function of (architecture, recipe), but got {brief(curves)}")
    if type(workers) is not int or workers < 1:
        raise ValueError(f"workers of replay() must be a whole number of at least 1, but got {brief(workers)}")
    constrained, recipes = constrained_of(space, budget), recipes_of(recipe)
    check_feasible(constrained)
    settings = {"scheduler": scheduler, "grace_epochs": grace_epochs, "reduction_factor": reduction_factor}
    search = parse(
        {"data": {"name": "digits"}, "search": {**settings, "trials": trials}}
    ).search  # the data do not count
    if acquisition not in ("improvement", "per_second"):
        raise ValueError(f"acquisition must be 'improvement' or 'per_second', but got {acquisition!r}; use one of them")
    epochs = recipes.largest("epochs")
    check_scheduler(search, epochs)
    from ..schedulers.tune_rules import scheduler_of  # imports Ray

    made = make_searcher(searcher, constrained, recipes, per_second=acquisition == "per_second")
    ask = partial(_ask, made, searcher, seed, curves, epoch_seconds)
    return _Clock(scheduler_of(search, epochs, ()), ask, trials, _limit(time_limit)).run(workers)


def _limit(time_limit: str | float | None) -> float:
    """Return the time limit in seconds; infinity for none."""
    try:
        return math.inf if time_limit is None else parse_duration(time_limit)
    except ValueError as error:
        raise ValueError(f"time_limit of replay() {error}, but got {brief(time_limit)}") from None


@dataclass(frozen=True)
class _Scheduled:
    """A trial as a scheduler of Tune sees it."""

    number: int

    @property
    def trial_id(self) -> str:
        return str(self.number)

    @property
    def config(self) -> dict[str, str]:
        return {"trial": json.dumps({"number": self.number})}


@dataclass(frozen=True)
class _Training:
    """A trial with its curve and the seconds of one epoch."""

    trial: Trial
    curve: Sequence[float]
    epoch_seconds: float


class _Clock:
    """The simulated clock: a queue of the ends of epochs, by their time and then by the number of the trial."""

    def __init__(
        self, scheduler: Any, ask: Callable[[History], _Training | None], most: int, time_limit: float
    ) -> None:
        self._scheduler, self._ask, self._most, self._time_limit = scheduler, ask, most, time_limit
        self._trials: list[Trial] = []
        self._epochs: list[ReplayedEpoch] = []
        self._queue: list[tuple[float, int, int]] = []  # (time, number, epoch)
        self._training: dict[int, _Training] = {}

    def run(self, workers: int) -> Replay:
        """Replay until nothing is left in the queue."""
        for _ in range(workers):
            self._start(0.0)
        while self._queue:
            time, number, epoch = heapq.heappop(self._queue)
            if time > self._time_limit:
                continue
            if self._ends(time, number, epoch):
                self._start(time)
            else:
                heapq.heappush(self._queue, (time + self._training[number].epoch_seconds, number, epoch + 1))
        return Replay(tuple(self._trials), tuple(self._epochs))

    def _start(self, time: float) -> None:
        training = None
        if len(self._trials) < self._most and time < self._time_limit:
            training = self._ask(History(tuple(self._trials)))
        if training is not None:
            number = training.trial.number
            self._trials.append(training.trial)
            self._training[number] = training
            self._scheduler.on_trial_add(None, _Scheduled(number))
            heapq.heappush(self._queue, (time + training.epoch_seconds, number, 1))

    def _ends(self, time: float, number: int, epoch: int) -> bool:
        """Record the end of an epoch; return whether the trial ends with it."""
        curve = self._training[number].curve
        self._epochs.append(ReplayedEpoch(time, number, epoch, curve[epoch - 1]))
        result = {"epoch": epoch, SCORE: curve[epoch - 1]}
        complete, trial = epoch == len(curve), _Scheduled(number)
        # as in Tune: the last epoch is a result, too, and its decision does not matter
        decision = self._scheduler.on_trial_result(None, trial, result)
        stopped = decision == "STOP" and not complete
        best = max(range(epoch), key=lambda index: (curve[index], -index))
        self._trials[number] = replace(
            self._trials[number],
            state=TrialState.STOPPED_EARLY if stopped else TrialState.COMPLETED if complete else TrialState.RUNNING,
            epochs_done=epoch,
            best_epoch=best + 1,
            val_accuracy=curve[best],
            curve=tuple(curve[:epoch]) if stopped or complete else (),
            duration_s=epoch * self._training[number].epoch_seconds,
        )
        if stopped or complete:
            self._scheduler.on_trial_complete(None, trial, result)
        return stopped or complete


def _ask(
    searcher: Any, name: str, seed: int, curves: Curves, epoch_seconds: Seconds, history: History
) -> _Training | None:
    number = len(history)
    proposal = checked_ask(searcher, history, proposal_rng(seed, number))
    if proposal is None:
        return None
    check_inside_budget(searcher.constrained, proposal.architecture, repr(name))
    asked = Asked(number, trial_seed(seed, number), proposal)
    constrained = searcher.constrained
    trial = running_trial(asked, constrained.device_metrics(proposal.architecture), constrained.batch_size)
    epochs, returned = int(trial.recipe["epochs"]), curves(proposal.architecture, proposal.recipe)
    try:
        curve = [float(value) for value in returned]
    except (TypeError, ValueError):  # no numbers
        curve = []
    if len(curve) < epochs or not all(0 <= value <= 1 for value in curve):
        raise ValueError(
            f"curves() of replay() must return an accuracy, 0 to 1, for each of the {epochs} epochs, but returned "
            f"{brief(returned)}, for {proposal.architecture}; set recipe epochs to their number"
        )
    seconds = epoch_seconds(proposal.architecture, proposal.recipe) if callable(epoch_seconds) else epoch_seconds
    if not is_real(seconds) or seconds <= 0:
        raise ValueError(
            f"epoch_seconds of replay() must be a number above 0, but got {brief(seconds)}; pass seconds such as 1.0"
        )
    return _Training(trial, curve[:epochs], float(seconds))
