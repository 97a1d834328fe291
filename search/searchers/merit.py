"""Merit: the order of trials that have ended, whether they completed, were stopped early or failed."""

from ...results.records import Trial, TrialState

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
