"""What a searcher knew before a run, and how it agreed with the trials: the weights of its priors."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..database.reader import StoreReader

PRIORS = "priors"  # kind of the event: the priors of the searcher at the end of a session


def priors_of(store: StoreReader, run: str | int) -> Mapping[str, Any] | None:
    """Return the priors of ``run`` as JSON after its last session; None if its searcher had none."""
    events = store.events(run, PRIORS)
    return events[-1]["detail"] if events else None


def prior_lines(notes: Mapping[str, Any]) -> Iterator[str]:
    """Yield the priors of a run as sentences."""
    names = [f"run {one['run']}" if one["source"] == "run" else "the standard prior" for one in notes["priors"]]
    what = "earlier runs" if any(one["source"] == "run" for one in notes["priors"]) else "the standard prior"
    yield f"{what} explained {notes['explained']:.0%} of the variance of the {notes['trials']} scores here"
    for name, one in zip(names, notes["priors"], strict=True):
        origin = (
            f"{one['trials']} trials, {one['overlap']:.0%} of their layers are of this space"
            if one["source"] == "run"
            else f"{one['table']}, {one['date']}"
        )
        knowledge = f"it explains {one['knowledge']:.0%} of its own scores"
        yield f"{name}: weight {one['weight']:.2f} of 1 ({origin}; {knowledge})"
