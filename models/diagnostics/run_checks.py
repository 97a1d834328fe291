"""Diagnose a network with every check in turn. To add a check, write a function and a row of ``CHECKS``."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...spaces.parameters.lookup import look_up
from .activations import maps, start, units
from .context import DiagnosticContext, Finding
from .filters import filters
from .gradients import gradients
from .invariance import invariance
from .learning import labels, overfit, rate
from .quantization import int8
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
    "int8": int8,
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
        yield _not_good_if_not_finite(check(context))


def _not_good_if_not_finite(finding: Finding) -> Finding:
    """Return ``finding``, rated bad if it is rated good by a metric that is not finite.

    NaN is not above any limit, so a comparison alone would call it good.
    """
    names = [name for name, value in finding.metrics.items() if _is_not_finite(value)]
    if not names and re.search(r"\b(nan|inf)\b", finding.evidence):
        names = ["a value"]
    if finding.rating != "good" or not names:
        return finding
    return replace(
        finding,
        rating="bad",
        evidence=f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not finite; {finding.evidence}",
        advice=finding.advice or "lower recipe.lr, and check the data for values that are not finite",
    )


def _is_not_finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_is_not_finite, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_is_not_finite, value))
    return isinstance(value, float) and not math.isfinite(value)


def summarise(findings: Sequence[Finding]) -> str:
    """Summarise the findings in one sentence: the first bad finding with its advice, or "healthy"."""
    bad = [finding for finding in findings if finding.rating == "bad"]
    if bad:
        return f"{bad[0].evidence.partition(';')[0]}; {bad[0].advice}"
    n_watch = sum(finding.rating == "watch" for finding in findings)
    return "healthy" if not n_watch else f"healthy, with {n_watch} findings to watch"
