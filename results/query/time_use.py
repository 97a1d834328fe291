"""How a session with a time limit used its time: what is left, what passed after the limit, what gave no result."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..database.reader import StoreReader

TIME_USE = "time_use"  # kind of the event: the time of a session that its time limit ended

SECONDS = ("limit_s", "unused_s", "over_s", "unfinished_s")


def time_uses(store: StoreReader, run: str | int) -> list[Mapping[str, Any]]:
    """Return how each session of ``run`` that its time limit ended used its time, in seconds."""
    return [event["detail"] for event in store.events(run, TIME_USE)]


def time_use_lines(uses: list[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each session."""
    for use in uses:
        limit, unused, over, unfinished = (f"{use[name]:,.0f} s" for name in SECONDS)
        predicted = use["refused_s"]
        refused = "" if predicted is None else f", because the next trial was predicted to take {predicted:,.0f} s"
        trials = f"{use['unfinished']} trial{'' if use['unfinished'] == 1 else 's'}"
        yield (
            f"The time limit of {limit} was reached. {unused} were not used{refused}. {over} passed after the limit. "
            f"{unfinished} were spent in {trials} without a result, which a resume continues."
        )
