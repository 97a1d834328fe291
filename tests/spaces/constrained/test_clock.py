"""A latency limit in the sieve: predicted nanoseconds are one more cost that adds up."""

import random

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


class Metronome:
    """A clock that takes a microsecond a layer, and two before the first one."""

    start_ns = 2_000

    def nanoseconds(self, layers, shape):
        return 1_000 * sum(1 for _ in leaves(layers, shape))


def counted_ns(architecture: Architecture) -> int:
    """The same figure from the canonical form, layer by layer."""
    canonical = architecture.canonical()
    return 2_000 + 1_000 * sum(len(list(leaves(one.layers, one.in_shape))) for one in canonical.walk())


def every():
    return [architecture for _, architecture in walk(ConstrainedSpace(SPACE))]


def sieve(latency_ms: float, **limits: int) -> ConstrainedSpace:
    return ConstrainedSpace(SPACE, Budget(latency_ms=latency_ms, **limits), latency_model=Metronome())


def test_predicted_latency_is_the_same_however_it_is_written():
    timed = sieve(1.0)
    for architecture in every():
        assert timed.latency_ns(architecture) == timed.latency_ns(architecture.canonical()) == counted_ns(architecture)


@pytest.mark.parametrize("limits", [{}, {"params": 2_000}, {"params": 2_000, "macs": 60_000}])
def test_the_sieve_lets_through_exactly_what_is_predicted_in_time(limits):
    times = sorted(counted_ns(architecture) for architecture in every())
    limit_ns = times[len(times) // 3]
    timed = sieve(limit_ns / 1e6, **limits)
    fits = {
        a.fingerprint
        for a in every()
        if counted_ns(a) <= limit_ns and ConstrainedSpace(SPACE, Budget(**limits)).allows(a)
    }
    assert 0 < len(fits) < len(times)
    assert {a.fingerprint for a in every() if timed.allows(a)} == fits
    assert {a.fingerprint for _, a in walk(timed)} == fits
    assert count(timed).value == len(fits)
    rng = random.Random(0)
    for by in ("uniform", "log-macs"):
        assert {sample_one(timed, rng, by).fingerprint for _ in range(50)} <= fits


def test_a_repair_brings_the_predicted_latency_inside():
    times = sorted(counted_ns(architecture) for architecture in every())
    timed = sieve(times[len(times) // 4] / 1e6)
    rng = random.Random(0)
    drawn = (complete_decisions(SPACE, {}, rng)[0] for _ in range(1000))
    outside = next(decisions for decisions in drawn if violation(timed, decisions) > 0)
    found = repair(timed, outside, rng)
    assert found is not None
    assert timed.allows(timed.space.architecture(found))


def test_without_a_clock_the_limit_is_left_to_the_measurement():
    assert count(ConstrainedSpace(SPACE, Budget(latency_ms=1e-6))).value == len(every())


def test_nothing_in_time_is_said_with_the_nearest_limit():
    quickest = min(counted_ns(architecture) for architecture in every())
    with pytest.raises(BudgetError) as caught:
        check_feasible(sieve(0.9 * quickest / 1e6))
    assert f"the nearest budget that something fits is predicted latency_ms = {quickest / 1e6:.4g}" in str(caught.value)
    check_feasible(sieve(quickest / 1e6))


def test_limits_that_pull_apart_are_said_to():
    quickest = min(map(counted_ns, every()))
    most = max(architecture.cost.params for architecture in every() if counted_ns(architecture) == quickest)
    with pytest.raises(BudgetError, match="each limit alone can be met, all together cannot"):
        check_feasible(sieve(quickest / 1e6, min_params=most + 1))


@pytest.mark.parametrize("wrong", [0, -1, "2", True, float("nan"), float("inf")])
def test_a_limit_that_is_no_time_is_refused(wrong):
    with pytest.raises(ValueError, match="latency_ms must be a number of milliseconds above 0"):
        Budget(latency_ms=wrong)


def test_what_was_not_measured_is_not_in_time():
    assert Budget().in_time(None)
    assert Budget(latency_ms=2).in_time(2.0)
    assert not Budget(latency_ms=2).in_time(2.01)
    assert not Budget(latency_ms=2).in_time(None)
    assert str(Budget(params=10, latency_ms=2)) == "params <= 10 and latency_ms <= 2 as measured"
