"""Scores: rank the trials that have ended, whether they completed, were stopped early or failed."""

import heapq
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

from ...results.database.records import COSTS, DEVICE_COSTS, Trial, TrialState
from ...results.query.pareto import OBJECTIVES, objective
from ...spaces.metrics.registry import ACCURACY, before_int8, is_metric, stored_name
from ...spaces.parameters.lookup import unknown

Score = Callable[[Trial], float]

MIN_FIT_TRIALS = 4  # trials at the first fit of the weights of a model
REFIT_GROWTH = 1.1  # weights are fitted again after the number of trials grew by this factor
FAILED_SCORE = -1.0  # below the scores of all other trials
NOT_TRAINED = (*COSTS, *DEVICE_COSTS, "latency_ms")  # objectives that do not depend on the training


def score(trial: Trial) -> float:
    """Return the score of a trial: better trials have a higher score, but only the order of scores has a meaning.

    Trials that a scheduler stopped rank as Optuna ranks pruned trials: below completed ones, a trial stopped later
    above one stopped earlier, and by their metric if both were stopped at the same epoch. The metric of a stopped trial
    is never compared with that of a completed one, because the two were measured after different numbers of epochs.
    """
    return _score_by(trial, trial.score, trial.metric)


def checked_objectives(names: Sequence[str]) -> tuple[str, ...]:
    """Return ``names``; raise ``ValueError`` if one is no cost and no metric, if one is repeated, or without a name."""
    for name in names:
        if name not in OBJECTIVES and not is_metric(before_int8(name) or name):
            raise ValueError(f"search.objectives: {unknown('objective', name, OBJECTIVES)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"search.objectives must be at least one name, each only once, but got {list(names)}; leave out the "
            "repeated names, or leave the key out for the defaults"
        )
    return tuple(names)


def score_by(name: str) -> Score:
    """Return the function that scores trials by the objective ``name``, a cost or a metric, as :func:`score` does.

    A cost does not depend on how long a trial was trained: only failed trials, and those without a value, rank last.
    """
    value_of = objective(name)

    def by_cost(trial: Trial) -> float:
        value = value_of(trial) if trial.state.finished else None
        return -math.inf if value is None else -value

    def by_metric(trial: Trial) -> float:
        value = value_of(trial)
        return _score_by(trial, None if value is None else -value, name)

    return by_cost if name in NOT_TRAINED else by_metric


def _score_by(trial: Trial, value: float | None, metric: str) -> float:
    if trial.state is TrialState.STOPPED_EARLY and value is None and trial.best_epoch is None and trial.epochs_done:
        return -1 / (1 + trial.epochs_done)  # it was stopped before the whole fidelity, and has no metrics
    if not trial.state.finished or value is None:
        return FAILED_SCORE
    if stored_name(metric) != stored_name(ACCURACY):
        value = _squashed(value)
    if trial.state is TrialState.STOPPED_EARLY:
        # between FAILED_SCORE and every completed trial; half of a value below 1 is less than one more epoch
        return -1 / (1 + trial.epochs_done + value / 2)
    return value


def _squashed(value: float) -> float:
    """Return a number in [0, 1] that grows with ``value``, which may be of any size and below zero."""
    return 0.5 + 0.5 * value / (1 + abs(value))


def scores_of(trials: Sequence[Trial], score: Score) -> list[float]:
    """Return scores of ended trials together; only their order has a meaning.

    Without learning curves they are those of ``score``. With them, a trial that was stopped early takes the position
    that its value has among the values of the others at the same epoch, so that it may rank above a complete trial that
    was worse then. Those that trained longest are placed first; failed trials have the lowest score.
    """
    stopped = [one for one in trials if one.state is TrialState.STOPPED_EARLY and one.curve]
    if not stopped:
        return [score(one) for one in trials]
    numbers = {one.number for one in stopped}
    others = {one.number: score(one) for one in trials if one.number not in numbers and one.state.finished}
    finished = (one for one in trials if one.number in others)
    placed = sorted(finished, key=lambda one: (others[one.number], -one.number))  # ascending
    for epoch in sorted({len(one.curve) for one in stopped}, reverse=True):
        group = sorted(
            (one for one in stopped if len(one.curve) == epoch), key=lambda one: (one.curve[-1], -one.number)
        )
        placed = _inserted(placed, group, epoch)
    positions = {one.number: float(position) for position, one in enumerate(placed)}
    # equal trials stay equal: they have the lowest position among them
    lowest = {others[one.number]: positions[one.number] for one in reversed(placed) if one.number in others}
    positions |= {number: lowest[value] for number, value in others.items()}
    return [positions.get(one.number, FAILED_SCORE) for one in trials]


def _inserted(placed: Sequence[Trial], group: Sequence[Trial], epoch: int) -> list[Trial]:
    """Return ``placed``, ascending, with the trials of ``group``, ascending, at their positions at ``epoch``."""
    peers = sorted(one.curve[epoch - 1] for one in placed if len(one.curve) >= epoch)
    # each of the group comes before the trial at its position; a quantile, because trials without a curve are no peers
    scale = len(placed) / max(len(peers), 1)
    before: dict[int, list[Trial]] = {}
    for one in group:
        before.setdefault(round(bisect_right(peers, one.curve[-1]) * scale), []).append(one)
    merged = [trial for position, other in enumerate(placed) for trial in (*before.get(position, ()), other)]
    return [*merged, *before.get(len(placed), ())]


def latest_and_best(trials: Sequence[Trial], n: int) -> list[Trial]:
    """Return about ``n`` of ``trials`` in their order: the latest ``n // 2``, and the best of the others.

    Unfinished trials are always included: the constant liar of TPE needs them.
    """
    if len(trials) <= n:
        return list(trials)
    early, late = trials[: -(n // 2)], trials[-(n // 2) :]
    scores = {position: score(trial) for position, trial in enumerate(early) if trial.state.final}
    best = heapq.nlargest(n - len(late), scores, key=scores.__getitem__)
    # the study of TPE needs the trials in their order, so positions are sorted, not trials
    unfinished = (position for position in range(len(early)) if position not in scores)
    return [*(early[position] for position in sorted((*unfinished, *best))), *late]


def last_refit(n: int) -> int:
    """Return the largest number of trials up to ``n`` at which weights are fitted."""
    stage = MIN_FIT_TRIALS
    while (after := max(stage + 1, int(stage * REFIT_GROWTH))) <= n:
        stage = after
    return stage
