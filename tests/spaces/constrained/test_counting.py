"""Counts, draws, mutation and feasibility of constrained spaces agree with brute force."""

import itertools
import random
from collections import Counter

import pytest

from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Inception, Linear, Pool, Residual
from archsieve.spaces.constrained import sampling
from archsieve.spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from archsieve.spaces.constrained.cost_tables import BucketCountTable, ExactCountTable, TooManyCosts, cost_arrays
from archsieve.spaces.constrained.feasibility import (
    cheapest,
    check_feasible,
    dead_choices,
    most_expensive,
    nearest_budget,
    non_dominated,
)
from archsieve.spaces.constrained.indexing import index_of, path_at, walk
from archsieve.spaces.constrained.mutation import crossover, mutate, neighbours, repair, violation
from archsieve.spaces.constrained.sampling import Sampler, TableSampler, count, histogram, sample, sample_one
from archsieve.spaces.constrained.vectorized import GraphArrays
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.search_space.encoding import decisions_of
from archsieve.spaces.search_space.named import named_space
from archsieve.spaces.search_space.space import Space
from archsieve.spaces.search_space.stages import stage

# 288 distinct networks of 864 combinations of decisions
OVERLAPPING = Space(
    (1, 8, 8),
    (
        repeat(
            Residual(choice(8, 16), shortcut=choice("A", "B", "C", "none")),
            choice(1, 2),
            first={"stride": 2},
            each=True,
        ),
        choice(Conv(8), (Conv(8), Conv(8))),
        choice(Conv(8), (Conv(8), Conv(8)), ()),
        choice(Linear(8), GlobalAverage()),
    ),
    10,
)
PARAMS = sorted(cost(a).params for _, a in walk(ConstrainedSpace(OVERLAPPING)))
MACS = sorted(cost(a).macs for _, a in walk(ConstrainedSpace(OVERLAPPING)))
BUDGETS = {
    "params": Budget(params=PARAMS[100]),
    "joint": Budget(params=PARAMS[150], macs=MACS[120]),
    "lower": Budget(min_params=PARAMS[40], macs=MACS[200]),
    "four": Budget(params=PARAMS[150], macs=MACS[120], memory_bytes=1 << 24, activations=3000),
    "band": Budget(min_macs=MACS[100], macs=MACS[110]),
}


def huge(depth=7):
    """Return a space of 1e31 networks."""
    stages = [(16, 24, 32, 40, 48, 64), (32, 48, 64, 80, 96, 128), (64, 96, 128, 160, 192, 256)]
    blocks = []
    for w in stages:
        kinds = (Residual(choice(*w)), Residual(choice(*w), "bottleneck"), Conv(choice(*w), choice(3, 5)))
        blocks += [repeat(choice(*kinds, Inception(choice(*w))), depth, each=True), Pool(2)]
    return Space((3, 32, 32), (Conv(choice(16, 32)), *blocks, GlobalAverage()), 10, "huge")


@pytest.fixture(params=sorted(BUDGETS))
def constrained(request):
    return ConstrainedSpace(OVERLAPPING, BUDGETS[request.param])


def feasible(constrained):
    """Return the indices of all architectures inside the budget, found by trying every one."""
    return [
        i
        for i, a in walk(ConstrainedSpace(constrained.space))
        if constrained.budget.allows(cost(a, constrained.batch_size))
    ]


def test_count_is_exact_and_within_the_bounds_of_buckets(constrained):
    n_feasible = len(feasible(constrained))
    assert n_feasible > 0
    result = count(constrained)
    assert result.exact
    assert (result.value, result.low, result.high) == (n_feasible, n_feasible, n_feasible)
    low, high = BucketCountTable(cost_arrays(constrained, constrained.limited)).bounds
    assert low <= n_feasible <= high


@pytest.mark.parametrize("table", [ExactCountTable, BucketCountTable])
def test_draws_from_a_count_table_are_uniform(constrained, table):
    """Chi-square over every network that fits: per degree of freedom its mean is 1, its deviation sqrt(2 / df)."""
    draw, rng = TableSampler(constrained, table(cost_arrays(constrained, constrained.limited))), random.Random(0)
    paths = [path for path in (draw.attempt(rng) for _ in range(6000)) if path is not None]
    assert len(paths) >= (6000 if table is ExactCountTable else 600)
    drawn = Counter(index_of(constrained, constrained.graph.architecture(path)) for path in paths)
    indices = feasible(constrained)
    assert set(drawn) <= set(indices)
    expected = len(paths) / len(indices)
    chi_square = sum((drawn[i] - expected) ** 2 / expected for i in indices)
    freedom = max(len(indices) - 1, 1)
    assert abs(chi_square / freedom - 1) < 5 * (2 / freedom) ** 0.5


def test_exact_table_refuses_too_many_costs():
    constrained = ConstrainedSpace(huge(), Budget(params="2M", macs="150M"))
    with pytest.raises(TooManyCosts):
        ExactCountTable(cost_arrays(constrained, constrained.limited), limit=10_000)


def test_draws_from_the_mixed_space_have_the_right_marginals():
    """50,000 draws under the budget of the digits: first block and kind of the second as often as in a full walk."""
    constrained = ConstrainedSpace(named_space("mixed"), Budget(params="60k", macs="6M"))
    expected = Counter(str(a.blocks[0]) + a.blocks[1].kind for _, a in walk(constrained))
    total = sum(expected.values())
    assert count(constrained).value == total == 62_283
    draw, rng = Sampler(constrained), random.Random(1)
    assert draw.plain
    n = 50_000
    drawn = Counter(str(a.blocks[0]) + a.blocks[1].kind for a in draw.many(n, rng))
    chi_square = sum((drawn[key] - n * expected[key] / total) ** 2 / (n * expected[key] / total) for key in expected)
    freedom = len(expected) - 1
    assert set(drawn) == set(expected)
    assert chi_square / freedom < 1 + 5 * (2 / freedom) ** 0.5


def test_space_of_1e31_networks_is_counted_and_sampled():
    constrained = ConstrainedSpace(huge(), Budget(params="250k", macs="22M"))
    assert constrained.size > 10**31
    draw, rng = Sampler(constrained), random.Random(0)
    assert not draw.plain
    hits = [path for path in (draw.from_table.attempt(rng) for _ in range(200)) if path is not None]
    assert len(hits) > 100
    for path in hits:
        total = cost(constrained.graph.architecture(path))
        assert total.params <= 250_000
        assert total.macs <= 22_000_000
    result = count(constrained)
    assert not result.exact
    assert result.low <= result.value <= result.high
    assert result.value / constrained.size < 1e-4
    assert 0 < result.standard_error < 0.1 * result.value
    # plain rejection would need more than 200 draws for each hit
    plain_hits = sum(constrained.fits_path(path_at(constrained, rng.randrange(constrained.size))) for _ in range(1000))
    assert plain_hits <= 5


def test_estimated_count_agrees_with_a_sample_of_the_whole_space():
    constrained = ConstrainedSpace(named_space("resnet-space"), Budget(params="5M", macs="600M"))
    result, rng, n = count(constrained), random.Random(0), 20_000
    share = sum(constrained.fits_path(path_at(constrained, rng.randrange(constrained.size))) for _ in range(n)) / n
    error = (share * (1 - share) / n) ** 0.5 * constrained.size
    assert abs(result.value - share * constrained.size) < 4 * (error**2 + result.standard_error**2) ** 0.5


def test_log_macs_draws_cover_small_architectures():
    constrained, rng = ConstrainedSpace(named_space("mixed"), Budget(params="60k", macs="6M")), random.Random(0)
    uniform = [cost(sample_one(constrained, rng)).macs for _ in range(300)]
    log_uniform = [cost(sample_one(constrained, rng, "log-macs")).macs for _ in range(300)]
    assert max(log_uniform) <= 6_000_000
    assert sum(macs < 400_000 for macs in log_uniform) > 5 * max(1, sum(macs < 400_000 for macs in uniform))
    with pytest.raises(ValueError, match=r"'uniform'.*'log-macs'.*'log'"):
        sample_one(constrained, rng, "log")


def test_histogram_counts_everything_that_fits(constrained):
    rows = histogram(constrained, "macs", bins=7)
    assert sum(n for _, _, n in rows) == len(feasible(constrained))
    assert all(low < high for low, high, _ in rows)


def test_histogram_without_exact_table_agrees_with_draws():
    """Regression: with coarse buckets 4 of 5 networks were below 4.44M MACs, where there are almost none."""
    constrained = ConstrainedSpace(named_space("cifar-resnet-space"), Budget(params="300k"))
    assert isinstance(sampling.count_table(constrained, ("macs", "params")), BucketCountTable)
    rows = histogram(constrained)
    assert sum(n for _, _, n in rows) == pytest.approx(count(constrained).value)
    sampled = [cost(sample_one(constrained, random.Random(seed))).macs for seed in range(1000)]
    for low, high, n in rows:
        share, sampled_share = n / count(constrained).value, sum(low <= macs < high for macs in sampled) / len(sampled)
        assert abs(share - sampled_share) < 4 * (2 * max(share, 0.01) / len(sampled)) ** 0.5


def test_nearest_budget_is_feasible_and_minimal():
    space = named_space("mixed")
    constrained = ConstrainedSpace(space, Budget(params="5.4k", macs="110k"))
    nearest = nearest_budget(constrained)
    assert next(walk(ConstrainedSpace(space, Budget(**nearest))), None) is not None
    ratios = [max(cost(a).params / 5400, cost(a).macs / 110_000) for _, a in walk(ConstrainedSpace(OVERLAPPING))]
    assert len(ratios) == 288
    nearest = nearest_budget(ConstrainedSpace(OVERLAPPING, Budget(params=5400, macs=110_000)))
    assert max(nearest["params"] / 5400, nearest["macs"] / 110_000) == min(ratios)


@pytest.mark.parametrize(
    ("budget", "pattern"),
    [
        (Budget(params=100), r"params <= 100: .*cheapest .*params 1,\d+ .*nearest .*params = \d+;"),
        (Budget(params=100, macs=10), r"nearest .*params = \d+ and macs = \d+;"),
        (Budget(min_params=10**9), r"params >= 1,000,000,000: .*params [\d,]+ \(.*min_params"),
        (Budget(params=2_000, min_macs=10**5), r"cheapest by params .*params [\d,]+, macs [\d,]+.*without min_macs"),
        (Budget(params=100, min_macs=10), r"nearest .*without min_macs is params = \d+;"),
    ],
)
def test_infeasible_budget_is_refused_with_a_feasible_one(budget, pattern):
    with pytest.raises(BudgetError, match=pattern):
        check_feasible(ConstrainedSpace(OVERLAPPING, budget))


def test_infeasible_budget_of_a_huge_space_is_refused():
    with pytest.raises(BudgetError, match=r"nearest .*params = \d+ and macs = \d+;"):
        check_feasible(ConstrainedSpace(huge(), Budget(params="10k", macs="10M")))
    check_feasible(ConstrainedSpace(huge(), Budget(params="50k", macs="7M")))


@pytest.mark.parametrize(
    "budget", [Budget(params="8k"), Budget(params="8k", macs="130k"), Budget(params="20k", macs="1M")]
)
def test_dead_choices_agree_with_a_walk(budget):
    constrained = ConstrainedSpace(named_space("mixed"), budget)
    dead = dead_choices(constrained)
    assert dead
    used = set()
    for _, architecture in walk(constrained):
        used |= set(decisions_of(constrained.space, architecture).items())
    options = constrained.graph.options
    used_options = {(path, options[path][index]) for path, index in used if not isinstance(options[path][index], tuple)}
    assert not used_options & {(path, option) for path, option in dead if not isinstance(option, str)}
    # every option of the three stages is either used or listed as dead
    for stage_path in ("2", "3", "4"):
        dead_options = {option for path, option in dead if path == stage_path}
        used_indices = {index for path, index in used if path == stage_path}
        assert len(dead_options) + len(used_indices) == len(options[stage_path])


def test_non_dominated_agrees_with_brute_force():
    import numpy as np

    rng = np.random.default_rng(0)
    for columns in (1, 2, 3):
        rows = rng.integers(0, 30, size=(200, columns))
        front = {tuple(row) for row in non_dominated(rows).tolist()}
        points = {tuple(row) for row in rows.tolist()}
        assert front == {
            point
            for point in points
            if not any(o != point and all(a <= b for a, b in zip(o, point, strict=True)) for o in points)
        }


def test_neighbours_differ_in_one_decision_and_mutations_fit():
    constrained, rng = ConstrainedSpace(named_space("mixed"), Budget(params="60k", macs="6M")), random.Random(0)
    for _ in range(10):
        start = decisions_of(constrained.space, sample_one(constrained, rng))
        for neighbour in neighbours(constrained.space, start, rng):
            shared = set(neighbour) & set(start)
            assert sum(neighbour[path] != start[path] for path in shared) <= 1
            assert neighbour != start
        child = mutate(constrained, start, rng)
        assert child is not None
        assert violation(constrained, child) == 0
        assert constrained.allows(constrained.space.architecture(child))


def test_crossover_gives_children_inside_the_budget():
    constrained, rng = ConstrainedSpace(named_space("mixed"), Budget(params="60k", macs="6M")), random.Random(0)
    for _ in range(10):
        mother, father = (decisions_of(constrained.space, sample_one(constrained, rng)) for _ in range(2))
        child = crossover(constrained, mother, father, rng)
        assert child is None or constrained.allows(constrained.space.architecture(child))


def test_repair_ends_inside_the_budget_and_keeps_what_fits():
    space, rng = named_space("mixed"), random.Random(0)
    constrained, everything = ConstrainedSpace(space, Budget(params="60k", macs="6M")), ConstrainedSpace(space)
    repaired = 0
    for _ in range(30):
        start = decisions_of(space, sample_one(everything, rng))
        end = repair(constrained, start, rng)
        if end is not None:
            repaired += 1
            assert constrained.allows(space.architecture(end))
            assert (end == start) == constrained.allows(space.architecture(start))
    assert repaired >= 28


def test_walk_can_be_split_and_resumed():
    constrained = ConstrainedSpace(OVERLAPPING, BUDGETS["joint"])
    whole = [index for index, _ in walk(constrained)]
    assert [index for index, _ in walk(constrained, whole[40])] == whole[40:]
    cuts = [constrained.size * k // 7 for k in range(8)]
    shards = [list(walk(constrained, a, b)) for a, b in itertools.pairwise(cuts)]
    assert [index for shard in shards for index, _ in shard] == whole
    pools = Space((1, 8, 8), (choice(ConvPool(8), (Conv(8), Pool(2))), GlobalAverage()), 10)
    assert ConstrainedSpace(pools).size == 1


def test_batch_costs_and_feasibility_equal_those_of_single_architectures(constrained):
    import numpy as np

    batch = GraphArrays(constrained)
    codes = batch.draw(4000, np.random.default_rng(0))
    paths = [batch.path(code) for code in codes]
    costs = [cost(constrained.graph.architecture(path), constrained.batch_size) for path in paths]
    assert batch.costs_of(codes).tolist() == [[getattr(one, name) for name in constrained.limited] for one in costs]
    assert batch.fits(codes).tolist() == [constrained.budget.allows(one) for one in costs]
    assert [number for number in codes[0].tolist() if number >= 0] == batch.code(paths[0])
    drawn = Counter(index_of(constrained, constrained.graph.architecture(path)) for path in paths)
    assert sum((drawn[i] - 4000 / 288) ** 2 / (4000 / 288) for i in range(288)) / 287 < 1 + 5 * (2 / 287) ** 0.5


def test_size_count_and_samples_agree_with_brute_force(constrained):
    indices = feasible(constrained)
    assert ConstrainedSpace(OVERLAPPING).size == 288
    assert count(constrained).value == len(indices)
    for by in ("uniform", "log-macs"):
        drawn = sample(constrained, 50, random.Random(0), by)
        assert len(drawn) == 50
        assert {index_of(constrained, architecture) for architecture in drawn} <= set(indices)
        assert drawn == sample(ConstrainedSpace(OVERLAPPING, constrained.budget), 50, random.Random(0), by)
    with pytest.raises(BudgetError):
        sample(ConstrainedSpace(OVERLAPPING, Budget(params=1)), 1, random.Random(0))


def six_stages():
    """Return a space of 1e11 networks, with stages as in a search file."""
    kinds, widths = ["conv-pool", "residual", "inception"], [8, 16, 24, 32, 48, 64]
    stages = (stage(kinds, [1, 2, 3], widths, [3, 5], halve=number < 3) for number in range(6))
    return Space((1, 8, 8), (*stages, GlobalAverage()), 10, "six-stages")


@pytest.mark.parametrize("fraction", [pytest.param(0.9, marks=pytest.mark.slow), 0.98])
def test_narrow_band_of_a_huge_space_is_sampled(fraction):
    """Regression: many subtrees can meet each limit alone, but few both together; the walk did not end."""
    whole = ConstrainedSpace(six_stages())
    upper = cost(sample_one(whole, random.Random(0)))
    budget = Budget(
        params=upper.params,
        min_params=int(fraction * upper.params),
        macs=upper.macs,
        min_macs=int(fraction * upper.macs),
    )
    constrained = ConstrainedSpace(whole.space, budget)
    check_feasible(constrained)
    architectures = [next(walk(constrained))[1], *(sample_one(constrained, random.Random(seed)) for seed in range(3))]
    assert all(budget.allows(cost(architecture)) for architecture in architectures)
    result = count(constrained)
    assert result.low <= result.value <= result.high
    assert result.exact or result.standard_error > 0


def test_infeasible_band_is_refused():
    whole = ConstrainedSpace(six_stages())
    small, large = cheapest(whole, "params")[1], most_expensive(whole, "macs")[1]
    budget = Budget(params=2 * small.params, min_params=small.params, min_macs=large.macs // 2)
    with pytest.raises(BudgetError, match=r"cheapest by params .*cheapest by macs "):
        check_feasible(ConstrainedSpace(whole.space, budget))
