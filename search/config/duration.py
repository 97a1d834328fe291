"""Durations of a search file: text such as "30m", "2h" or "1h30m", or a number of seconds."""

import math
import re

SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")
RULE = 'must be a time above 0 such as "30m", "2h" or "1h30m", or a number of seconds'


def parse_duration(value: str | float) -> float:
    """Return ``value`` in seconds; raise ``ValueError`` with the accepted forms."""
    seconds = _of_text(value) if isinstance(value, str) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise ValueError(RULE)
    return float(seconds)


def _of_text(text: str) -> float:
    """Return the seconds of units from the longest to the shortest, each at most once; 0 for other text."""
    if re.fullmatch(r"\d+(?:\.\d+)?", text):  # an option of the command line is always text
        return float(text)
    parts = _PART.findall(text)
    units = [unit for _, unit in parts]
    in_order = units == [unit for unit in SECONDS if unit in units]
    complete = "".join(f"{number}{unit}" for number, unit in parts) == text
    return sum(float(number) * SECONDS[unit] for number, unit in parts) if in_order and complete else 0.0
