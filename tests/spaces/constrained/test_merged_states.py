"""Joint counts by merged states agree with brute force; rounded states give intervals that contain the count."""

import random
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import pytest

from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import Conv, GlobalAverage, Inception, Linear, Pool, Residual
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.cost_tables import cost_arrays
from archsieve.spaces.constrained.feasibility import most_expensive
from archsieve.spaces.constrained.indexing import walk
from archsieve.spaces.constrained.merged_states import Meeting, joint_count, joint_counts
from archsieve.spaces.constrained.packed_network import TooManyStates, packed_network
from archsieve.spaces.constrained.rounded_sums import rounded_counts
from archsieve.spaces.constrained.sampling import TableSampler, count, count_table, histogram, sample, sample_one
from archsieve.spaces.constrained.separate_parts import separate_parts
from archsieve.spaces.constrained.state_draws import StateDraws, choose_by
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.search_space.image_sizes import with_image_sizes
from archsieve.spaces.search_space.named import named_space
from archsieve.spaces.search_space.space import Space, enumerate_decisions


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


def sized_space(rng, sizes):
    """Return a small space with a choice of image sizes; the images have 12 pixels, so that one of them is kept."""

    def widths():
        return choice(*sorted(rng.sample(range(4, 40), 3)))

    blocks = (Conv(widths()), repeat(Residual(widths()), choice(1, 2, 3), each=True), GlobalAverage())
    return Space((1, 12, 12), with_image_sizes(lambda shape: blocks, (1, 12, 12), sizes), 10)


@pytest.mark.parametrize("sizes", [(8, 12, 16), (12, 6), (8, 10)])
def test_image_sizes_are_counted_apart_and_the_sum_equals_brute_force(sizes):
    rng = random.Random(len(sizes))
    whole = ConstrainedSpace(sized_space(rng, sizes))
    arrays = cost_arrays(whole, ("params", "macs"))
    parts = separate_parts(arrays)
    assert len(parts) == len(sizes)
    costs = [(c.params, c.macs) for c in (cost(a) for _, a in walk(whole))]
    assert len(costs) > 100
    for params, macs in [*limits(costs, rng, 8), (10**12, 10**12), (0, 10**12)]:
        interval = joint_count(arrays, (params, macs))
        assert (interval.low, interval.value, interval.high) == (fitting(costs, params, macs),) * 3
        rounded = joint_count(arrays, (params, macs), max_states=4)
        assert rounded.low <= fitting(costs, params, macs) <= rounded.high


def test_first_edges_that_share_what_follows_are_counted_together(small):
    assert all(separate_parts(arrays) == [arrays] for _, arrays in small)


@pytest.mark.slow  # ten seconds; the test above has small spaces
def test_bounds_of_four_image_sizes_are_less_than_one_percent_apart():
    space = named_space("mobile-space", input_shape=(3, 224, 224), image_size=[128, 160, 192, 224])
    counted = count(ConstrainedSpace(space, Budget(params="5M", macs="300M")))
    assert counted.low <= counted.value <= counted.high <= 1.01 * counted.low


def on_grids(network, thresholds):
    return [rounded_counts(network, thresholds, cells, sums) for cells in (60, 3_000) for sums in (30, 300)]


def with_crowded_nodes(network, thresholds):
    return [Meeting(network, thresholds, 20, max_node_states=n).counts() for n in (8, 60)]


@pytest.mark.parametrize("count_with", [on_grids, with_crowded_nodes])
def test_rounded_sums_give_an_interval_that_contains_the_count(small, count_with):
    rng, inexact = random.Random(2), 0
    for costs, arrays in small[:6]:
        least = min(p for p, _ in costs)
        tight = (least, min(m for _, m in costs))  # where no edge after a node may be inside the limits
        for params, macs in [*limits(costs, rng, 4), tight]:
            network = packed_network(arrays, (params, macs))
            assert (network is None) <= (fitting(costs, params, macs) == 0)
            if network is None:
                continue
            below = [params - (params - least) // 3, params]
            thresholds = [(p - least) // network.units[0] for p in below]
            for intervals in count_with(network, thresholds):
                for p, interval in zip(below, intervals, strict=True):
                    assert interval.low <= fitting(costs, p, macs) <= interval.high
                    assert interval.low <= interval.value <= interval.high
                    inexact += interval.low < interval.high
    assert inexact > 10


def test_grid_that_rounds_nothing_is_exact(small):
    rng = random.Random(3)
    for costs, arrays in small:
        for params, macs in limits(costs, rng, 3):
            network = packed_network(arrays, (params, macs))
            if network is not None:
                n = fitting(costs, params, macs)
                (interval,) = rounded_counts(network, [network.limit[0]], 10**7, 10**6)
                assert (interval.low, interval.high) == (n, n)


@pytest.mark.slow
def test_count_of_the_mobile_space_is_certain_within_one_percent():
    constrained = ConstrainedSpace(named_space("mobile-space"), Budget(params="5M", macs="300M"))
    result = count(constrained)
    assert result.method == "rounded states"
    assert 0 < result.high - result.low < 0.01 * result.low
    draw = TableSampler(constrained, count_table(constrained))
    _, high = draw.table.bounds
    n = 4_000
    share = sum(draw.attempt(rng) is not None for rng in [random.Random(1)] for _ in range(n)) / n
    error = 4 * (share * (1 - share) / n) ** 0.5
    assert result.low / high - error < share < result.high / high + error


@pytest.mark.slow
def test_the_grid_is_finer_along_the_limit_that_excludes_more():
    constrained = ConstrainedSpace(named_space("mobile-space"), Budget(params="3M", macs="150M"))
    result = count(constrained)  # with equal steps, relative to the limits, the bounds are 2.7 % apart
    assert 0 < result.high - result.low < 0.013 * result.low


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


DEEP = """
from pathlib import Path
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.blocks.standard import GlobalAverage
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.separate_parts import separate_parts
from archsieve.spaces.constrained.sampling import count, histogram
from archsieve.spaces.search_space.space import Space
from archsieve.spaces.search_space.stages import stage
stages = [stage(("conv-pool", "residual"), (1, 2, 3), (16, 32, 64), (3, 5), halve=i in (8, 16)) for i in range(25)]
constrained = ConstrainedSpace(
    Space((3, 32, 32), (*stages, GlobalAverage()), 10), Budget(params="500k", macs="50M")
)
result = count(constrained)
rows = histogram(constrained)
# not ru_maxrss, which starts with the memory of the parent
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(result.low, result.value, result.high, peak.split()[1])
"""


@pytest.mark.slow
def test_space_of_25_stages_is_counted_below_500_mb():
    output = subprocess.run([sys.executable, "-c", DEEP], capture_output=True, text=True, check=True).stdout
    low, value, high, kilobytes = map(int, output.split())
    assert 0 < low <= value <= high < 100 * low
    assert kilobytes < 500 * 1024


def fraction(cumulative, index):
    """Return the share of one option in cumulative weights."""
    below, upto = ([0, *cumulative][i] for i in (index, index + 1))
    return Fraction(int(upto) - int(below), int(cumulative[-1]))


def every_draw(draws):
    """Return (path, probability) of every way to draw."""

    def drawn(pick):
        probability = Fraction(1)

        def choose(cumulative):
            nonlocal probability
            possible = tuple(i for i, (low, high) in enumerate(pairwise([0, *cumulative])) if high > low)
            index = possible[pick("", possible)]
            probability *= fraction(cumulative, index)
            return index

        return draws.draw(choose), probability

    return [result for _, result in enumerate_decisions(drawn)]


def test_every_path_is_drawn_in_one_way_with_the_same_probability():
    """Brute force: all ways to draw from random spaces are the paths inside the limits, each once."""
    rng, n_paths = random.Random(4), 0
    for seed in range(12):
        whole = ConstrainedSpace(random_space(random.Random(seed)))
        if whole.size > 2_000:
            continue
        arrays = cost_arrays(whole, ("params", "macs"))
        costs = [(c.params, c.macs) for c in (cost(a) for _, a in walk(whole))]
        for params, macs in [*limits(costs, rng, 1), (10**12, sorted(m for _, m in costs)[len(costs) // 9])]:
            budget = Budget(params=params, macs=macs)
            draws = StateDraws(arrays, (params, macs))
            assert draws.count == fitting(costs, params, macs)
            if not draws.count:
                continue
            drawn = every_draw(draws)
            names = [whole.graph.architecture(path).fingerprint for path, _ in drawn]
            assert len(set(names)) == len(names) == draws.count
            assert set(names) == {a.fingerprint for _, a in walk(ConstrainedSpace(whole.space, budget))}
            assert {probability for _, probability in drawn} == {Fraction(1, draws.count)}
            n_paths += draws.count
    assert n_paths > 400


@pytest.mark.parametrize(("name", "params", "macs"), [("resnet-space", "5M", "600M"), ("mobile-space", "2M", "60M")])
def test_draws_from_large_spaces_are_exactly_uniform(name, params, macs):
    """The fractions of all choices of a draw multiply to 1 / count, in 1,000 of 1,000 draws."""
    constrained = ConstrainedSpace(named_space(name), Budget(params=params, macs=macs))
    draws = StateDraws(cost_arrays(constrained, ("params", "macs")), constrained.highs)
    assert draws.count == count(constrained).value
    by_rng, paths = choose_by(random.Random(0)), []
    for _ in range(1_000):
        fractions = []

        def choose(cumulative, fractions=fractions):
            index = by_rng(cumulative)
            fractions.append(fraction(cumulative, index))
            return index

        paths.append(draws.draw(choose))
        product = Fraction(1)
        for part in fractions:
            product *= part
        assert product == Fraction(1, draws.count)
    assert all(map(constrained.fits_path, paths))


def test_more_architectures_than_a_float_can_hold_are_counted_and_drawn(monkeypatch):
    acts = choice("relu", "relu6", "silu", "gelu", "hardswish", "sigmoid")
    space = Space((1, 2, 2), (*[Conv(8, choice(1, 3), act=acts)] * 330, GlobalAverage()), 10)
    _, largest = most_expensive(ConstrainedSpace(space))
    constrained = ConstrainedSpace(space, Budget(params=largest.params - 1))  # not the largest kernel everywhere
    result = count(constrained)
    assert (result.value, result.method) == (12**330 - 6**330, "merged states")
    assert sum(n for _, _, n in histogram(constrained)) == result.value
    drawn = [sample_one(constrained, random.Random(0), by) for by in ("uniform", "log-macs")]
    assert all(map(constrained.allows, [*drawn, *sample(constrained, 2, random.Random(0))]))
    monkeypatch.setattr("archsieve.spaces.constrained.merged_states.MAX_NODE_STATES", 30)
    with pytest.raises(TooManyStates):  # floats cannot hold the numbers of rounded states
        joint_count(cost_arrays(constrained, ("params", "macs")), (80_000, 400_000), max_states=5)


def test_samples_of_a_small_share_come_from_merged_states():
    constrained = ConstrainedSpace(named_space("mobile-space"), Budget(params="2M", macs="60M"))
    drawn = sample(constrained, 20, random.Random(3))
    assert drawn == sample(constrained, 20, random.Random(3))
    assert len({architecture.fingerprint for architecture in drawn}) > 15
    assert all(constrained.allows(architecture) for architecture in drawn)
