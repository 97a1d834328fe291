"""Replay of spooled reports: a resume writes what an earlier driver could not write to the database."""

import logging
from collections.abc import Callable

from ...results.database.errors import UnknownTrialError
from ...results.database.records import Trial
from ...results.database.store import Store
from ..trials.checkpoint_files import identity_of_trial
from ..trials.report import TrialReport
from ..trials.spool import Spool, Spooled

log = logging.getLogger("archsieve")


def replay(spool: Spool, store: Store, run: str, write: Callable[[str, Trial, TrialReport], None]) -> None:
    """Write the reports of ``spool`` to the trials of ``run``, in their order, and clear the spool.

    ``write`` gets what a report is ("record" or "end"), its trial and the report. Reports of trials that the database
    does not have are kept in a file.
    """
    unknown: list[Spooled] = []
    for entry in spool.entries():
        # After a report that the database cannot take, the later ones of its trial do not fit either.
        is_later = any((entry.trial, entry.identity) == (other.trial, other.identity) for other in unknown)
        trial = None if is_later else _trial_of(entry, store, run)
        if trial is None:
            unknown.append(entry)
        # A driver that died between writing and clearing the spool leaves reports of ended trials.
        elif not trial.state.final:
            write(entry.verb, trial, entry.report)
    if unknown:
        log.warning(
            "%d saved reports belong to trials that this database does not have, because it was set back to an "
            "older state; they are kept in %s, and these trials are trained again",
            len(unknown),
            spool.keep(unknown),
        )
    spool.clear()


def _trial_of(entry: Spooled, store: Store, run: str) -> Trial | None:
    """Return the trial of a spooled report; None without one that has the same identity and the earlier epochs."""
    try:
        trial = store.trial(entry.trial)
    except UnknownTrialError:
        return None
    # Version 0.1.0 spooled no identity.
    is_other = trial.run != run or entry.identity not in (None, identity_of_trial(trial))
    return None if is_other or entry.epochs_before > trial.epochs_done else trial
