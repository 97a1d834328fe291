"""Counts, draws and verdicts, held against brute force."""

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
from archsieve.spaces.constrained.sampling import Draw, TableDraw, count, histogram, sample, sample_one
from archsieve.spaces.constrained.vectorized import Batch
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.search_space.encoding import decisions_of
from archsieve.spaces.search_space.named import named_space
from archsieve.spaces.search_space.space import Space
from archsieve.spaces.search_space.stages import stage

# 288 distinct networks out of 864 encodings
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
    """A space of 1e31 networks."""
    stages = [(16, 24, 32, 40, 48, 64), (32, 48, 64, 80, 96, 128), (64, 96, 128, 160, 192, 256)]
    blocks = []
    for w in stages:
        kinds = (Residual(choice(*w)), Residual(choice(*w), "bottleneck"), Conv(choice(*w), choice(3, 5)))
        blocks += [repeat(choice(*kinds, Inception(choice(*w))), depth, each=True), Pool(2)]
    return Space((3, 32, 32), (Conv(choice(16, 32)), *blocks, GlobalAverage()), 10, "huge")


@pytest.fixture(params=sorted(BUDGETS))
def sieve(request):
    return ConstrainedSpace(OVERLAPPING, BUDGETS[request.param])


def feasible(sieve):
    return [i for i, a in walk(ConstrainedSpace(sieve.space)) if sieve.budget.allows(cost(a, sieve.batch_size))]


def test_the_count_is_exact_and_the_buckets_hold_it_between_certain_bounds(sieve):
    true = len(feasible(sieve))
    assert true > 0
    counted = count(sieve)
    assert counted.exact
    assert (counted.value, counted.low, counted.high) == (true, true, true)
    low, high = BucketCountTable(cost_arrays(sieve, sieve.limited)).bounds
    assert low <= true <= high


@pytest.mark.parametrize("table", [ExactCountTable, BucketCountTable])
def test_draws_from_a_table_are_uniform_over_what_fits(sieve, table):
    """Chi-square over every network that fits: its mean is 1 per degree of freedom, its spread sqrt(2 / df)."""
    draw, rng = TableDraw(sieve, table(cost_arrays(sieve, sieve.limited))), random.Random(0)
    paths = [path for path in (draw.attempt(rng) for _ in range(6000)) if path is not None]
    assert len(paths) >= (6000 if table is ExactCountTable else 600)
    drawn = Counter(index_of(sieve, sieve.graph.architecture(path)) for path in paths)
    true = feasible(sieve)
    assert set(drawn) <= set(true)
    expected = len(paths) / len(true)
    chi = sum((drawn[i] - expected) ** 2 / expected for i in true)
    freedom = max(len(true) - 1, 1)
    assert abs(chi / freedom - 1) < 5 * (2 / freedom) ** 0.5


def test_an_exact_table_says_when_it_would_be_too_large():
    sieve = ConstrainedSpace(huge(), Budget(params="2M", macs="150M"))
    with pytest.raises(TooManyCosts):
        ExactCountTable(cost_arrays(sieve, sieve.limited), limit=10_000)


def test_marginals_of_draws_from_the_mixed_space():
    """50,000 draws under the main job's budget: each option of each first decision as often as it is in the set."""
    sieve = ConstrainedSpace(named_space("mixed"), Budget(params="60k", macs="6M"))
    true = Counter(str(a.blocks[0]) + a.blocks[1].kind for _, a in walk(sieve))
    total = sum(true.values())
    assert count(sieve).value == total == 62_283
    draw, rng = Draw(sieve), random.Random(1)
    assert draw.plain
    n = 50_000
    drawn = Counter(str(a.blocks[0]) + a.blocks[1].kind for a in draw.many(n, rng))
    chi = sum((drawn[key] - n * true[key] / total) ** 2 / (n * true[key] / total) for key in true)
    freedom = len(true) - 1
    assert set(drawn) == set(true)
    assert chi / freedom < 1 + 5 * (2 / freedom) ** 0.5


def test_a_space_of_1e31_is_counted_and_sampled_where_plain_rejection_is_hopeless():
    sieve = ConstrainedSpace(huge(), Budget(params="250k", macs="22M"))
    assert sieve.size > 10**31
    draw, rng = Draw(sieve), random.Random(0)
    assert not draw.plain
    hits = [path for path in (draw.from_table.attempt(rng) for _ in range(200)) if path is not None]
    assert len(hits) > 100
    for path in hits:
        price = cost(sieve.graph.architecture(path))
        assert price.params <= 250_000
        assert price.macs <= 22_000_000
    counted = count(sieve)
    assert not counted.exact
    assert counted.low <= counted.value <= counted.high
    assert counted.value / sieve.size < 1e-4
    assert 0 < counted.standard_error < 0.1 * counted.value
    rare = sum(sieve.fits_path(path_at(sieve, rng.randrange(sieve.size))) for _ in range(1000))
    assert rare <= 5


def test_the_estimate_agrees_with_the_exact_count():
    sieve = ConstrainedSpace(named_space("resnet-space"), Budget(params="5M", macs="600M"))
    counted, rng, n = count(sieve), random.Random(0), 20_000
    share = sum(sieve.fits_path(path_at(sieve, rng.randrange(sieve.size))) for _ in range(n)) / n
    error = (share * (1 - share) / n) ** 0.5 * sieve.size
    assert abs(counted.value - share * sieve.size) < 4 * (error**2 + counted.standard_error**2) ** 0.5


def test_draws_even_in_log_macs_spread_over_the_whole_range():
    sieve, rng = ConstrainedSpace(named_space("mixed"), Budget(params="60k", macs="6M")), random.Random(0)
    uniform = [cost(sample_one(sieve, rng)).macs for _ in range(300)]
    even = [cost(sample_one(sieve, rng, "log-macs")).macs for _ in range(300)]
    assert max(even) <= 6_000_000
    assert sum(macs < 400_000 for macs in even) > 5 * max(1, sum(macs < 400_000 for macs in uniform))
    with pytest.raises(ValueError, match=r"'uniform' or 'log-macs', but got 'log'"):
        sample_one(sieve, rng, "log")


def test_the_histogram_holds_everything_that_fits(sieve):
    rows = histogram(sieve, "macs", bins=7)
    assert sum(n for _, _, n in rows) == len(feasible(sieve))
    assert all(low < high for low, high, _ in rows)


def test_a_histogram_that_no_exact_table_gives_is_that_of_draws():
    """One in coarse buckets had four in five of these below 4.44M multiply-accumulates, where hardly any is."""
    sieve = ConstrainedSpace(named_space("cifar-resnet-space"), Budget(params="300k"))
    assert isinstance(sampling.count_table(sieve, ("macs", "params")), BucketCountTable)
    rows = histogram(sieve)
    assert sum(n for _, _, n in rows) == pytest.approx(count(sieve).value)
    found = [cost(sample_one(sieve, random.Random(seed))).macs for seed in range(1000)]
    for low, high, n in rows:
        share, seen = n / count(sieve).value, sum(low <= macs < high for macs in found) / len(found)
        assert abs(share - seen) < 4 * (2 * max(share, 0.01) / len(found)) ** 0.5


def test_the_nearest_budget_is_one_that_something_fits():
    space = named_space("mixed")
    sieve = ConstrainedSpace(space, Budget(params="5.4k", macs="110k"))
    nearest = nearest_budget(sieve)
    assert next(walk(ConstrainedSpace(space, Budget(**nearest))), None) is not None
    ratios = [max(cost(a).params / 5400, cost(a).macs / 110_000) for _, a in walk(ConstrainedSpace(OVERLAPPING))]
    assert len(ratios) == 288
    found = nearest_budget(ConstrainedSpace(OVERLAPPING, Budget(params=5400, macs=110_000)))
    assert max(found["params"] / 5400, found["macs"] / 110_000) == min(ratios)


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Budget(params=100), r"fits params <= 100: the cheapest architecture has params 1,\d+ .*nearest budget"),
        (Budget(params=100, macs=10), r"nearest budget that something fits is params = \d+ and macs = \d+"),
        (Budget(min_params=10**9), r"fits params >= 1,000,000,000: the dearest architecture has params"),
        (Budget(params=2_000, min_macs=10**5), r"each limit alone can be met, all together cannot"),
    ],
)
def test_an_impossible_budget_is_refused_with_what_would_do(budget, said):
    with pytest.raises(BudgetError, match=said):
        check_feasible(ConstrainedSpace(OVERLAPPING, budget))


def test_an_impossible_budget_on_a_huge_space_is_a_verdict_too():
    with pytest.raises(BudgetError, match=r"nearest budget that something fits is params = \d+ and macs = \d+"):
        check_feasible(ConstrainedSpace(huge(), Budget(params="10k", macs="10M")))
    check_feasible(ConstrainedSpace(huge(), Budget(params="50k", macs="7M")))


@pytest.mark.parametrize(
    "budget", [Budget(params="8k"), Budget(params="8k", macs="130k"), Budget(params="20k", macs="1M")]
)
def test_dead_choices_are_dead_and_the_others_are_not(budget):
    sieve = ConstrainedSpace(named_space("mixed"), budget)
    dead = dead_choices(sieve)
    assert dead
    used = set()
    for _, architecture in walk(sieve):
        used |= set(decisions_of(sieve.space, architecture).items())
    options = sieve.graph.options
    alive = {(path, options[path][index]) for path, index in used if not isinstance(options[path][index], tuple)}
    assert not alive & {(path, option) for path, option in dead if not isinstance(option, str)}
    kinds = {(path, index) for path, index in used if path in ("2", "3", "4")}
    for path in ("2", "3", "4"):
        names = {option for place, option in dead if place == path}
        assert len(names) + len({index for place, index in kinds if place == path}) == len(options[path])


def test_cheapest_keeps_what_nothing_undercuts():
    import numpy as np

    rng = np.random.default_rng(0)
    for columns in (1, 2, 3):
        rows = rng.integers(0, 30, size=(200, columns))
        kept = {tuple(row) for row in non_dominated(rows).tolist()}
        every = {tuple(row) for row in rows.tolist()}
        brute = {r for r in every if not any(o != r and all(a <= b for a, b in zip(o, r, strict=True)) for o in every)}
        assert kept == brute


def test_neighbours_are_one_decision_away_and_mutations_stay_inside():
    sieve, rng = ConstrainedSpace(named_space("mixed"), Budget(params="60k", macs="6M")), random.Random(0)
    for _ in range(10):
        start = decisions_of(sieve.space, sample_one(sieve, rng))
        for way in neighbours(sieve.space, start, rng):
            shared = set(way) & set(start)
            assert sum(way[path] != start[path] for path in shared) <= 1
            assert way != start
        child = mutate(sieve, start, rng)
        assert child is not None
        assert violation(sieve, child) == 0
        assert sieve.allows(sieve.space.architecture(child))


def test_children_of_two_parents_are_inside_and_made_of_both():
    sieve, rng = ConstrainedSpace(named_space("mixed"), Budget(params="60k", macs="6M")), random.Random(0)
    for _ in range(10):
        mother, father = (decisions_of(sieve.space, sample_one(sieve, rng)) for _ in range(2))
        child = crossover(sieve, mother, father, rng)
        assert child is None or sieve.allows(sieve.space.architecture(child))


def test_a_repair_ends_inside_the_budget_and_leaves_what_fits_alone():
    space, rng = named_space("mixed"), random.Random(0)
    sieve, everything = ConstrainedSpace(space, Budget(params="60k", macs="6M")), ConstrainedSpace(space)
    repaired = 0
    for _ in range(30):
        start = decisions_of(space, sample_one(everything, rng))
        end = repair(sieve, start, rng)
        if end is not None:
            repaired += 1
            assert sieve.allows(space.architecture(end))
            assert (end == start) == sieve.allows(space.architecture(start))
    assert repaired >= 28


def test_a_walk_can_be_shared_out_and_taken_up_again():
    sieve = ConstrainedSpace(OVERLAPPING, BUDGETS["joint"])
    whole = [index for index, _ in walk(sieve)]
    assert [index for index, _ in walk(sieve, whole[40])] == whole[40:]
    cuts = [sieve.size * k // 7 for k in range(8)]
    shards = [list(walk(sieve, a, b)) for a, b in itertools.pairwise(cuts)]
    assert [index for shard in shards for index, _ in shard] == whole
    pools = Space((1, 8, 8), (choice(ConvPool(8), (Conv(8), Pool(2))), GlobalAverage()), 10)
    assert ConstrainedSpace(pools).size == 1


def test_a_batch_prices_and_sieves_as_one_by_one(sieve):
    import numpy as np

    batch = Batch(sieve)
    codes = batch.draw(4000, np.random.default_rng(0))
    paths = [batch.path(code) for code in codes]
    prices = [cost(sieve.graph.architecture(path), sieve.batch_size) for path in paths]
    assert batch.costs_of(codes).tolist() == [[getattr(price, name) for name in sieve.limited] for price in prices]
    assert batch.fits(codes).tolist() == [sieve.budget.allows(price) for price in prices]
    assert [number for number in codes[0].tolist() if number >= 0] == batch.code(paths[0])
    drawn = Counter(index_of(sieve, sieve.graph.architecture(path)) for path in paths)
    assert sum((drawn[i] - 4000 / 288) ** 2 / (4000 / 288) for i in range(288)) / 287 < 1 + 5 * (2 / 287) ** 0.5


def test_a_space_answers_for_itself(sieve):
    true = feasible(sieve)
    assert ConstrainedSpace(OVERLAPPING).size == 288
    assert count(sieve).value == len(true)
    for by in ("uniform", "log-macs"):
        drawn = sample(sieve, 50, random.Random(0), by)
        assert len(drawn) == 50
        assert {index_of(sieve, architecture) for architecture in drawn} <= set(true)
        assert drawn == sample(ConstrainedSpace(OVERLAPPING, sieve.budget), 50, random.Random(0), by)
    with pytest.raises(BudgetError):
        sample(ConstrainedSpace(OVERLAPPING, Budget(params=1)), 1, random.Random(0))


def six_stages():
    """A space of 1e11 networks, as a search file writes it."""
    kinds, widths = ["conv-pool", "residual", "inception"], [8, 16, 24, 32, 48, 64]
    stages = (stage(kinds, [1, 2, 3], widths, [3, 5], halve=place < 3) for place in range(6))
    return Space((1, 8, 8), (*stages, GlobalAverage()), 10, "six-stages")


@pytest.mark.parametrize("part", [0.9, 0.98])
def test_a_narrow_band_of_a_huge_space_is_found(part):
    """Each cost by itself can be met nearly everywhere, both together hardly anywhere: walked without end before."""
    whole = ConstrainedSpace(six_stages())
    price = cost(sample_one(whole, random.Random(0)))
    budget = Budget(
        params=price.params, min_params=int(part * price.params), macs=price.macs, min_macs=int(part * price.macs)
    )
    sieve = ConstrainedSpace(whole.space, budget)
    check_feasible(sieve)
    found = [next(walk(sieve))[1], *(sample_one(sieve, random.Random(draw)) for draw in range(3))]
    assert all(budget.allows(cost(architecture)) for architecture in found)
    counted = count(sieve)
    assert counted.low <= counted.value <= counted.high
    assert counted.exact or counted.standard_error > 0


def test_a_band_that_nothing_meets_is_refused():
    whole = ConstrainedSpace(six_stages())
    small, large = cheapest(whole, "params")[1], most_expensive(whole, "macs")[1]
    budget = Budget(params=2 * small.params, min_params=small.params, min_macs=large.macs // 2)
    with pytest.raises(BudgetError, match="each limit alone can be met, all together cannot"):
        check_feasible(ConstrainedSpace(whole.space, budget))
