"""Trial names: find a trial by its id, by ``RUN:NUMBER``, or by the beginning of its fingerprint."""

import re

from sqlalchemy import ColumnElement, and_, func, select

from ..database import schema
from ..database.reader import StoreReader
from ..database.records import Trial
from ..database.rows import MAX_CANDIDATES, TRIALS, run_id_of, trials_of

MIN_FINGERPRINT_CHARACTERS = 4
_ID = re.compile(r"\d{1,18}")  # a larger number does not fit into the 64-bit id column
_NUMBERED = re.compile(r"(?P<run>.*):(?P<number>\d{1,9})", re.DOTALL)
_FINGERPRINT = re.compile(rf"[0-9a-f]{{{MIN_FINGERPRINT_CHARACTERS},64}}")
_t = schema.trial.c


def is_trial_name(text: str) -> bool:
    """Return whether ``text`` has the form of a trial's name; a run may have such a name, too."""
    return bool(_ID.fullmatch(text) or _NUMBERED.fullmatch(text) or _FINGERPRINT.fullmatch(text.lower()))


def find_trial(store: StoreReader, name: str | int) -> Trial:
    """Return the trial with the name ``name``.

    A name is an id (``17``), a run and a number counted from 0 (``digits:4``), or the beginning of a fingerprint
    (``db4673``). Digits alone are always an id. The run is its name, the beginning of it, or ``last``.

    Raises ``ValueError`` if no trial has the name, or with the candidates if several trials have it.
    """
    text = str(name).strip()
    if _ID.fullmatch(text):
        return store.trial(int(text))
    if numbered := _NUMBERED.fullmatch(text):
        return _by_number(store, numbered["run"], int(numbered["number"]))
    if _FINGERPRINT.fullmatch(text.lower()):
        return _by_fingerprint(store, text.lower())
    raise ValueError(
        f"the name of a trial must be its id such as 17, its run and number such as digits:4, or at least "
        f"{MIN_FINGERPRINT_CHARACTERS} characters of its fingerprint, got {text!r}; "
        "list the trials with: archsieve results list"
    )


def _by_number(store: StoreReader, run: str, number: int) -> Trial:
    with store.read_transaction() as connection:
        run_id = run_id_of(connection, run)
        trials = trials_of(connection, TRIALS.where(_t.run_id == run_id, _t.number == number))
        if trials:
            return trials[0]
        count = connection.scalar(select(func.count()).select_from(schema.trial).where(_t.run_id == run_id)) or 0
    raise ValueError(f"run {run!r} has {count} trials, numbered from 0, but got the number {number}; use a smaller one")


def _by_fingerprint(store: StoreReader, prefix: str) -> Trial:
    # A range of texts instead of LIKE, so that the index of the fingerprints is used. "g" follows the hex digit "f".
    trials = _matching(store, and_(_t.fingerprint >= prefix, _t.fingerprint < f"{prefix}g"))
    if len(trials) == 1:
        return trials[0]
    if not trials:
        raise ValueError(f"no trial has a fingerprint that begins with {prefix!r}; list them: archsieve results list")
    candidates = ", ".join(
        f"{trial.trial} ({trial.fingerprint[:10]} in {trial.run})" for trial in trials[:MAX_CANDIDATES]
    )
    more = " and more" if len(trials) > MAX_CANDIDATES else ""
    raise ValueError(
        f"the fingerprints of several trials begin with {prefix!r}: {candidates}{more}; use the id of one of them"
    )


def _matching(store: StoreReader, condition: ColumnElement[bool]) -> list[Trial]:
    """Return the trials that meet ``condition``, at most one more than an error message lists."""
    with store.read_transaction() as connection:
        return trials_of(connection, TRIALS.where(condition).order_by(_t.trial_id).limit(MAX_CANDIDATES + 1))
