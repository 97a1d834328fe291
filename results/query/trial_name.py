"""Trial names: an id, ``RUN:NUMBER``, or the beginning of a fingerprint."""

import re

from sqlalchemy import ColumnElement, and_, func, select

from ..database import schema
from ..database.reader import Reading
from ..database.records import Trial
from ..database.rows import TRIALS, run_id_of, trials_of

SHORTEST = 4  # characters of a fingerprint
_SHOWN = 5
_t = schema.trial.c


def trial_named(store: Reading, name: str | int) -> Trial:
    """The trial that ``name`` names: ``17``, ``digits:4`` (the number counts from 0), or ``db4673`` of a fingerprint.

    Digits alone are an id. A ``ValueError`` lists the candidates where several trials answer to the name.
    """
    text = str(name).strip()
    if re.fullmatch(r"\d{1,18}", text):
        return store.trial(int(text))
    run, colon, number = text.rpartition(":")
    if colon and re.fullmatch(r"\d{1,9}", number):
        return _by_number(store, run, int(number))
    if re.fullmatch(rf"[0-9a-f]{{{SHORTEST},64}}", text.lower()):
        return _by_fingerprint(store, text.lower())
    raise ValueError(
        f"a trial is named by its id, as in 17, by its run and number, as in digits:4, or by at least {SHORTEST} "
        f"characters of a fingerprint, but got {text!r}; list them with: archsieve results list"
    )


def _by_number(store: Reading, run: str, number: int) -> Trial:
    with store.reading() as connection:
        run_id = run_id_of(connection, run)
        found = trials_of(connection, TRIALS.where(_t.run_id == run_id, _t.number == number))
        if found:
            return found[0]
        count = connection.scalar(select(func.count()).select_from(schema.trial).where(_t.run_id == run_id)) or 0
    raise ValueError(f"run {run!r} has {count} trials, numbered from 0, but none with the number {number}")


def _by_fingerprint(store: Reading, start: str) -> Trial:
    found = _those(store, and_(_t.fingerprint >= start, _t.fingerprint < f"{start}g"))  # hex digits: by the index
    if len(found) == 1:
        return found[0]
    if not found:
        raise ValueError(f"no trial has a fingerprint that begins with {start!r}; list them: archsieve results list")
    told = ", ".join(f"{trial.trial} ({trial.fingerprint[:10]} in {trial.run})" for trial in found[:_SHOWN])
    more = " and more" if len(found) > _SHOWN else ""
    raise ValueError(f"{start!r} names one trial, but several begin so: {told}{more}; give the id")


def _those(store: Reading, condition: ColumnElement[bool]) -> list[Trial]:
    with store.reading() as connection:
        return trials_of(connection, TRIALS.where(condition).order_by(_t.trial_id).limit(_SHOWN + 1))
