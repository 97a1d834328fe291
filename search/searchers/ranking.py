"""Scores: the order of trials that have ended, whether they completed, were stopped early or failed."""

import heapq
from collections.abc import Sequence

from ...results.database.records import Trial, TrialState

FAILED_SCORE = -1.0  # below all others


def score(trial: Trial) -> float:
    """Return a number of which only the order has a meaning: better trials have a higher one.

    Trials that a scheduler stopped rank as Optuna ranks pruned ones: behind those that completed, the later stopped
    before the earlier, by accuracy where both were stopped at one epoch. A short trial is thus neither bad nor good for
    having an accuracy of its first epochs.
    """
    if not trial.state.finished or trial.val_accuracy is None:
        return FAILED_SCORE
    if trial.state is TrialState.STOPPED_EARLY:
        return -1 / (1 + trial.epochs_done + trial.val_accuracy / 2)  # above FAILED_SCORE, below every accuracy
    return trial.val_accuracy


def latest_and_best(trials: Sequence[Trial], n: int) -> list[Trial]:
    """Return up to ``n`` of ``trials`` in their order: the latest half, of the others the best, and those under way."""
    if len(trials) <= n:
        return list(trials)
    early, late = trials[: -(n // 2)], trials[-(n // 2) :]
    scores = {position: score(trial) for position, trial in enumerate(early) if trial.state.final}
    best = heapq.nlargest(n - len(late), scores, key=scores.__getitem__)
    unfinished = (position for position in range(len(early)) if position not in scores)
    return [*(early[position] for position in sorted((*unfinished, *best))), *late]
