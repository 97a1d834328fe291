"""The doctor: every check of a network in turn. To add one, write a function and a row of the table."""

from collections.abc import Callable, Iterator, Sequence

from ...spaces.parameters.lookup import look_up
from .activations import maps, start, units
from .context import Finding, Patient
from .filters import filters
from .gradients import gradients
from .invariance import invariance
from .learning import labels, overfit, rate
from .speed import speed

__all__ = ["CHECKS", "Finding", "Patient", "diagnose", "verdict"]

CHECKS: dict[str, Callable[[Patient], Finding]] = {
    "gradients": gradients,
    "start": start,
    "rate": rate,
    "overfit": overfit,
    "labels": labels,
    "units": units,
    "maps": maps,
    "filters": filters,
    "invariance": invariance,
    "speed": speed,
}


def diagnose(
    patient: Patient, checks: Sequence[str] = tuple(CHECKS), *, on_check: Callable[[str], None] = lambda name: None
) -> Iterator[Finding]:
    """The finding of each check, as it is made; ``on_check`` hears which one begins."""
    chosen = {name: look_up(CHECKS, name, "check") for name in checks}
    for name, check in chosen.items():
        on_check(name)
        yield check(patient)


def verdict(findings: Sequence[Finding]) -> str:
    """The findings in one sentence: the first bad one, in the order in which they should be mended."""
    bad = [finding for finding in findings if finding.verdict == "bad"]
    if bad:
        return f"{bad[0].evidence.partition(';')[0]}; {bad[0].advice}"
    watched = sum(finding.verdict == "watch" for finding in findings)
    return "healthy" if not watched else f"healthy, with {watched} things to watch"
