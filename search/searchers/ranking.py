"""Scores: rank the trials that have ended, whether they completed, were stopped early or failed."""

import heapq
from collections.abc import Sequence

from ...results.database.records import Trial, TrialState
from ...spaces.metrics.registry import ACCURACY

MIN_FIT_TRIALS = 4  # trials at the first fit of the weights of a model
FAILED_SCORE = -1.0  # below the scores of all other trials


def score(trial: Trial) -> float:
    """Return the score of a trial: better trials have a higher score, but only the order of scores has a meaning.

    Trials that a scheduler stopped rank as Optuna ranks pruned trials: below completed ones, a trial stopped later
    above one stopped earlier, and by their metric if both were stopped at the same epoch. The metric of a stopped trial
    is never compared with that of a completed one, because the two were measured after different numbers of epochs.
    """
    if not trial.state.finished or trial.score is None:
        return FAILED_SCORE
    value = trial.score if trial.metric == ACCURACY else _squashed(trial.score)
    if trial.state is TrialState.STOPPED_EARLY:
        # between FAILED_SCORE and every completed trial; half of a value below 1 is less than one more epoch
        return -1 / (1 + trial.epochs_done + value / 2)
    return value


def _squashed(value: float) -> float:
    """Return a number in [0, 1] that grows with ``value``, which may be of any size and below zero."""
    return 0.5 + 0.5 * value / (1 + abs(value))


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
