"""Latency limits in a constrained space: predicted nanoseconds are one more cost that is summed over the layers."""

import random
import re

import pytest

from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.cost import leaves
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Inception, Residual
from archsieve.spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from archsieve.spaces.constrained.feasibility import check_feasible
from archsieve.spaces.constrained.indexing import walk
from archsieve.spaces.constrained.mutation import complete_decisions, repair, violation
from archsieve.spaces.constrained.sampling import count, sample_one
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.search_space.space import Space

SPACE = Space(
    (1, 8, 8),
    (
        Conv(choice(4, 8)),
        choice(ConvPool(choice(4, 8), convs=choice(1, 2)), Residual(choice(8, 16)), Inception(16)),
        repeat(Residual(16), choice(0, 1, 2)),
        GlobalAverage(),
    ),
    10,
)


class ConstantLatency:
    """A latency model that predicts one microsecond for each layer and a base latency of two microseconds."""

    base_latency_ns = 2_000

    def nanoseconds(self, layers, shape):
        return 1_000 * sum(1 for _ in leaves(layers, shape))


def expected_ns(architecture: Architecture) -> int:
    """Return the prediction of :class:`ConstantLatency`, computed from the canonical form layer by layer."""
    canonical = architecture.canonical()
    return 2_000 + 1_000 * sum(len(list(leaves(one.layers, one.in_shape))) for one in canonical.walk())


def all_architectures():
    return [architecture for _, architecture in walk(ConstrainedSpace(SPACE))]


def constrained(latency_ms: float, **limits: int) -> ConstrainedSpace:
    return ConstrainedSpace(SPACE, Budget(latency_ms=latency_ms, **limits), latency_model=ConstantLatency())


def test_predicted_latency_does_not_depend_on_the_spelling():
    limited = constrained(1.0)
    for architecture in all_architectures():
        canonical = architecture.canonical()
        assert limited.latency_ns(architecture) == limited.latency_ns(canonical) == expected_ns(architecture)


@pytest.mark.parametrize("limits", [{}, {"params": 2_000}, {"params": 2_000, "macs": 60_000}])
def test_space_has_exactly_the_architectures_below_the_limit(limits):
    times = sorted(expected_ns(architecture) for architecture in all_architectures())
    limit_ns = times[len(times) // 3]
    limited = constrained(limit_ns / 1e6, **limits)
    fits = {
        a.fingerprint
        for a in all_architectures()
        if expected_ns(a) <= limit_ns and ConstrainedSpace(SPACE, Budget(**limits)).allows(a)
    }
    assert 0 < len(fits) < len(times)
    assert {a.fingerprint for a in all_architectures() if limited.allows(a)} == fits
    assert {a.fingerprint for _, a in walk(limited)} == fits
    assert count(limited).value == len(fits)
    rng = random.Random(0)
    for by in ("uniform", "log-macs"):
        assert {sample_one(limited, rng, by).fingerprint for _ in range(50)} <= fits


def test_repair_reaches_the_latency_limit():
    times = sorted(expected_ns(architecture) for architecture in all_architectures())
    limited = constrained(times[len(times) // 4] / 1e6)
    rng = random.Random(0)
    drawn = (complete_decisions(SPACE, {}, rng)[0] for _ in range(1000))
    outside = next(decisions for decisions in drawn if violation(limited, decisions) > 0)
    repaired = repair(limited, outside, rng)
    assert repaired is not None
    assert limited.allows(limited.space.architecture(repaired))


def test_latency_limit_is_ignored_without_a_latency_model():
    assert count(ConstrainedSpace(SPACE, Budget(latency_ms=1e-6))).value == len(all_architectures())


def test_infeasible_latency_limit_names_the_nearest_feasible_one():
    fastest_ns = min(expected_ns(architecture) for architecture in all_architectures())
    with pytest.raises(BudgetError, match=rf"nearest .*latency_ms = {re.escape(f'{fastest_ns / 1e6:.4g}')};"):
        check_feasible(constrained(0.9 * fastest_ns / 1e6))
    check_feasible(constrained(fastest_ns / 1e6))


def test_latency_and_params_limits_that_exclude_each_other_are_refused():
    fastest_ns = min(map(expected_ns, all_architectures()))
    fastest = [architecture for architecture in all_architectures() if expected_ns(architecture) == fastest_ns]
    max_params = max(architecture.cost.params for architecture in fastest)
    with pytest.raises(BudgetError, match=r"params >= .*latency_ms <= .*cheapest by params "):
        check_feasible(constrained(fastest_ns / 1e6, min_params=max_params + 1))


@pytest.mark.parametrize("value", [0, -1, "2", True, float("nan"), float("inf")])
def test_invalid_latency_limit_is_refused(value):
    with pytest.raises(ValueError, match=r"latency_ms .*above 0"):
        Budget(latency_ms=value)


def test_latency_that_was_not_measured_breaks_the_limit():
    assert Budget().meets_latency_limit(None)
    assert Budget(latency_ms=2).meets_latency_limit(2.0)
    assert not Budget(latency_ms=2).meets_latency_limit(2.01)
    assert not Budget(latency_ms=2).meets_latency_limit(None)
    assert str(Budget(params=10, latency_ms=2)) == "params <= 10 and latency_ms <= 2 as measured"
