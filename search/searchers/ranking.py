"""Scores: rank the trials that have ended, whether they completed, were stopped early or failed."""

import heapq
from collections.abc import Sequence

from ...results.database.records import Trial, TrialState

FAILED_SCORE = -1.0  # below the scores of all other trials


def score(trial: Trial) -> float:
    """Return the score of a trial: better trials have a higher score, but only the order of scores has a meaning.

    Trials that a scheduler stopped rank as Optuna ranks pruned trials: below completed ones, a trial stopped later
    above one stopped earlier, and by accuracy if both were stopped at the same epoch. The accuracy of a stopped trial
    is never compared with that of a completed one, because the two were measured after different numbers of epochs.
    """
    if not trial.state.finished or trial.val_accuracy is None:
        return FAILED_SCORE
    if trial.state is TrialState.STOPPED_EARLY:
        # between FAILED_SCORE and every accuracy; half an accuracy is less than one more epoch
        return -1 / (1 + trial.epochs_done + trial.val_accuracy / 2)
    return trial.val_accuracy


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
