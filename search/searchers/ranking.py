"""Merit: the order of trials that have ended, whether they completed, were stopped early or failed."""

import heapq
from collections.abc import Sequence

from ...results.database.records import Trial, TrialState

WORST = -1.0  # of a trial that failed: below all others


def merit(trial: Trial) -> float:
    """A number whose order alone has a meaning: better trials have more.

    Trials that a scheduler stopped rank as Optuna ranks pruned ones: behind those that completed, the later stopped
    before the earlier, by accuracy where both were stopped at one epoch. A short trial is thus neither bad nor good for
    having an accuracy of its first epochs.
    """
    if not trial.state.finished or trial.val_accuracy is None:
        return WORST
    if trial.state is TrialState.STOPPED_EARLY:
        return -1 / (1 + trial.epochs_done + trial.val_accuracy / 2)  # above WORST, below every accuracy
    return trial.val_accuracy


def remembered(trials: Sequence[Trial], most: int) -> list[Trial]:
    """Up to ``most`` of ``trials``, in order: the latest half, of the others the best, and those under way."""
    if len(trials) <= most:
        return list(trials)
    early, late = trials[: -(most // 2)], trials[-(most // 2) :]
    merits = {place: merit(trial) for place, trial in enumerate(early) if trial.state.final}
    best = heapq.nlargest(most - len(late), merits, key=merits.__getitem__)
    going = (place for place in range(len(early)) if place not in merits)
    return [*(early[place] for place in sorted((*going, *best))), *late]
