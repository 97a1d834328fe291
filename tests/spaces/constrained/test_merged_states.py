"""Joint counts by merged states agree with brute force; rounded states give intervals that contain the count."""

import random

import pytest

from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import Conv, GlobalAverage, Inception, Linear, Pool, Residual
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.cost_tables import cost_arrays
from archsieve.spaces.constrained.indexing import walk
from archsieve.spaces.constrained.merged_states import joint_count, joint_counts
from archsieve.spaces.constrained.sampling import count, histogram
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.search_space.named import named_space
from archsieve.spaces.search_space.space import Space


def random_space(rng):
    """Return a small space with random widths, kinds and depths, some of which end early or start alike."""

    def widths():
        return choice(*sorted(rng.sample(range(4, 40), rng.randint(2, 3))))

    def block():
        kinds = [Conv(widths(), choice(1, 3)), Residual(widths()), Inception(rng.choice((8, 16)))]
        return choice(*rng.sample(kinds, 2))

    parts = [repeat(block(), choice(*sorted(rng.sample(range(3), 2))), each=True) for _ in range(2)]
    ends = choice(GlobalAverage(), Linear(8), (Pool(2), Linear(widths())))
    return Space((1, 8, 8), (Conv(widths()), *parts, ends), 10)


@pytest.fixture(scope="module")
def small():
    """Return some (whole space as costs, arrays of the graph, largest costs) of random spaces."""
    cases = []
    for seed in range(12):
        whole = ConstrainedSpace(random_space(random.Random(seed)))
        arrays = cost_arrays(whole, ("params", "macs"))
        cases.append(([(c.params, c.macs) for c in (cost(a) for _, a in walk(whole))], arrays))
    return cases


def fitting(costs, params, macs):
    return sum(p <= params and m <= macs for p, m in costs)


def limits(costs, rng, n):
    """Return ``n`` pairs of limits around the costs of random architectures."""
    return [(rng.choice(costs)[0] + rng.choice((-1, 0, 1)), rng.choice(costs)[1]) for _ in range(n)]


def test_counts_equal_brute_force(small):
    rng = random.Random(0)
    sizes = [len(costs) for costs, _ in small]
    assert sum(sizes) > 5_000
    for costs, arrays in small:
        for params, macs in [*limits(costs, rng, 6), (10**12, 10**12), (0, 10**12)]:
            expected = fitting(costs, params, macs)
            interval = joint_count(arrays, (params, macs))
            assert (interval.low, interval.value, interval.high) == (expected,) * 3


def test_thresholds_share_one_pass(small):
    rng = random.Random(1)
    for costs, arrays in small[:4]:
        _, macs = rng.choice(costs)
        thresholds = sorted({0, *(p for p, _ in rng.sample(costs, 8))})
        counted = joint_counts(arrays, thresholds, (macs,))
        assert [interval.value for interval in counted] == [fitting(costs, params, macs) for params in thresholds]


@pytest.mark.parametrize("max_node_states", [8, 60])
def test_rounded_states_give_an_interval_that_contains_the_count(small, max_node_states):
    rng, inexact = random.Random(2), 0
    for costs, arrays in small:
        for params, macs in limits(costs, rng, 4):
            interval = joint_count(arrays, (params, macs), max_states=20, max_node_states=max_node_states)
            assert interval.low <= fitting(costs, params, macs) <= interval.high
            assert interval.low <= interval.value <= interval.high
            inexact += interval.low < interval.high
    assert inexact > 10


@pytest.mark.parametrize(
    ("name", "params", "macs", "expected"),
    [("resnet-space", "5M", "600M", 5_568_532), ("resnet-space", "60M", "10G", 43_981_584)],
)
def test_large_spaces_are_counted_exactly_with_their_histogram(name, params, macs, expected):
    """The numbers equal a walk over all 45 million networks of the space."""
    constrained = ConstrainedSpace(named_space(name), Budget(params=params, macs=macs))
    result = count(constrained)
    assert (result.value, result.exact, result.method, result.standard_error) == (expected, True, "merged states", 0)
    rows = histogram(constrained)
    assert sum(n for _, _, n in rows) == expected
    assert all(isinstance(n, int) for _, _, n in rows)


@pytest.mark.parametrize("axes", [("params",), ("params", "macs")])
def test_lower_limits_are_counted_by_inclusion_and_exclusion(axes):
    space = random_space(random.Random(3))
    costs = [cost(a) for _, a in walk(ConstrainedSpace(space))]
    limits = {}
    for name in axes:
        values = sorted(getattr(c, name) for c in costs)
        limits |= {f"min_{name}": values[len(values) // 4], name: values[len(values) * 4 // 5]}
    budget = Budget(**limits)
    result = count(ConstrainedSpace(space, budget))
    assert result.value == sum(budget.allows(c) for c in costs) > 0
    assert (result.exact, result.method) == (True, "merged states")


def test_count_is_the_size_where_everything_fits():
    constrained = ConstrainedSpace(named_space("mobile-space"), Budget(params="1G", macs="1T"))
    assert str(count(constrained)) == f"{constrained.size:,}"
    assert count(constrained).method == "size"


def test_limits_that_exclude_nothing_do_not_count():
    """Three limits, of which two bind, are counted by merged states."""
    space = random_space(random.Random(5))
    costs = [cost(a) for _, a in walk(ConstrainedSpace(space))]
    params, macs = (sorted(getattr(c, name) for c in costs)[len(costs) // 2] for name in ("params", "macs"))
    result = count(ConstrainedSpace(space, Budget(params=params, macs=macs, activations="1G")))
    assert (result.value, result.method) == (sum(c.params <= params and c.macs <= macs for c in costs), "merged states")


def test_more_binding_limits_than_two_use_a_table():
    space = random_space(random.Random(5))
    costs = [cost(a) for _, a in walk(ConstrainedSpace(space))]
    limits = {n: sorted(getattr(c, n) for c in costs)[len(costs) // 2] for n in ("params", "macs", "activations")}
    budget = Budget(**limits)
    result = count(ConstrainedSpace(space, budget))
    assert (result.value, result.method) == (sum(map(budget.allows, costs)), "exact table")
