"""Diagnose a network with every check in turn. To add a check, write a function and a row of ``CHECKS``."""

from collections.abc import Callable, Iterator, Sequence

from ...spaces.parameters.lookup import look_up
from .activations import maps, start, units
from .context import DiagnosticContext, Finding
from .filters import filters
from .gradients import gradients
from .invariance import invariance
from .learning import labels, overfit, rate
from .speed import speed

__all__ = ["CHECKS", "DiagnosticContext", "Finding", "diagnose", "summarise"]

# The order is the order in which faults should be repaired: the summary reports the first bad finding.
CHECKS: dict[str, Callable[[DiagnosticContext], Finding]] = {
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
    context: DiagnosticContext,
    checks: Sequence[str] = tuple(CHECKS),
    *,
    on_check: Callable[[str], None] = lambda name: None,
) -> Iterator[Finding]:
    """Yield the finding of each check when it is done; call ``on_check`` with its name before it starts.

    Raises ``ValueError`` for an unknown name in ``checks``, before any check runs.
    """
    selected = {name: look_up(CHECKS, name, "check") for name in checks}
    for name, check in selected.items():
        on_check(name)
        yield check(context)


def summarise(findings: Sequence[Finding]) -> str:
    """Summarise the findings in one sentence: the first bad finding with its advice, or "healthy"."""
    bad = [finding for finding in findings if finding.rating == "bad"]
    if bad:
        return f"{bad[0].evidence.partition(';')[0]}; {bad[0].advice}"
    n_watch = sum(finding.rating == "watch" for finding in findings)
    return "healthy" if not n_watch else f"healthy, with {n_watch} findings to watch"
