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
    used, unused = notes["priors"], notes.get("unused", ())  # older runs have not recorded the unused ones
    kinds = {"run": "earlier runs", "standard": "the standard prior"}
    what = " and ".join(name for kind, name in kinds.items() if any(one["source"] == kind for one in used))
    if used:
        yield (
            f"{what} explained {notes['explained']:.0%} of the variance of the {notes['trials']} scores here "
            "(in-sample: their weights are fitted to the same scores)"
        )
    for one in used:
        yield f"{_name(one)}: weight {one['weight']:.2f} of 1 ({_origin(one)})"
    for one in unused:
        yield f"{_name(one)}: not used, because {one['reason']} ({_origin(one)})"


def _name(prior: Mapping[str, Any]) -> str:
    return f"run {prior['run']}" if prior["source"] == "run" else "the standard prior"


def _origin(prior: Mapping[str, Any]) -> str:
    knowledge = f"it explains {prior['knowledge']:.0%} of its own scores"
    if prior["source"] == "run":
        layers = f"{prior['overlap']:.0%} of their layers are of this space"
        return f"{prior['trials']} trials, {layers}; {knowledge}, each predicted from the others"
    return f"{prior['table']}, {prior['date']}; {knowledge}"
