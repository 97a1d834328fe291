"""Limits of RAM and flash in a constrained space agree with brute force, together with other limits."""

import itertools
import random
from collections import Counter

import pytest

from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.device_cost import device_cost
from archsieve.spaces.blocks.layers import BatchNorm, Convolution
from archsieve.spaces.blocks.standard import (
    Conv,
    ConvPool,
    GlobalAverage,
    Inception,
    InvertedResidual,
    Linear,
    Norm,
    Residual,
)
from archsieve.spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from archsieve.spaces.constrained.feasibility import cheapest, check_feasible, dead_choices, is_feasible, nearest_budget
from archsieve.spaces.constrained.indexing import architecture_at, index_of, walk
from archsieve.spaces.constrained.mutation import complete_decisions, mutate, repair, violation
from archsieve.spaces.constrained.sampling import count, histogram, sample, sample_one
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.search_space.space import Space

MIXED = Space(
    (1, 8, 8),
    (
        Conv(choice(4, 8, 16)),
        choice(
            ConvPool(choice(4, 8), convs=choice(1, 2)),
            Residual(choice(8, 16), shortcut=choice("A", "B")),
            Inception(16),
            InvertedResidual(8, choice(2, 4)),
        ),
        repeat(Residual(16), choice(0, 1, 2)),
        choice(GlobalAverage(), Linear(8)),
    ),
    10,
)
# Where a norm may follow a convolution or something else, its cost depends on the block before it.
FOLDING = Space(
    (1, 8, 8),
    (
        choice(Conv(8, norm=False, act="none"), Conv(8, norm=False), Convolution(8, 3, 1, 1), Conv(12)),
        choice((), Norm(), BatchNorm(), Residual(8, preactivation=True, shortcut="none"), Conv(8, act="none")),
        choice(Norm(), (), Conv(8, 1), Norm(act="relu")),
        GlobalAverage(),
    ),
    10,
)
SPACES = {"mixed": MIXED, "folding": FOLDING}
CASES = list(itertools.product(SPACES, ("float32", "int8")))


def everything(space, precision):
    return [(a, device_cost(a, precision)) for _, a in walk(ConstrainedSpace(space))]


def at(values, share):
    return sorted(values)[int(share * (len(values) - 1))]


def limits_of(space, precision, number):
    """Return one of several budgets that a part of the space fits."""
    costs = [(*cost, a.cost.params, a.cost.macs) for a, cost in everything(space, precision)]
    ram, flash, params, macs = zip(*costs, strict=True)
    return (
        {"ram": at(ram, 0.3)},
        {"flash": at(flash, 0.4)},
        {"ram": at(ram, 0.6), "flash": at(flash, 0.6)},
        {"ram": at(ram, 0.7), "params": at(params, 0.5)},
        {"ram": at(ram, 0.5), "params": at(params, 0.8), "macs": at(macs, 0.6)},
        {"ram": at(ram, 0.8), "flash": at(flash, 0.9), "min_params": at(params, 0.4), "macs": at(macs, 0.9)},
    )[number]


def fitting(space, budget):
    keeps = {"ram_bytes": budget.ram, "flash_bytes": budget.flash}
    return {
        a.fingerprint: a
        for a, cost in everything(space, budget.device_precision)
        if budget.allows(a.cost) and all(high is None or getattr(cost, name) <= high for name, high in keeps.items())
    }


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize(("name", "precision"), CASES)
def test_space_has_exactly_the_architectures_within_the_limits(name, precision, number):
    space = SPACES[name]
    budget = Budget(**limits_of(space, precision, number), precision=precision)
    fits, constrained = fitting(space, budget), ConstrainedSpace(space, budget)
    whole = [a for _, a in walk(ConstrainedSpace(space))]
    assert 0 < len(fits) < len(whole) == constrained.size
    assert {a.fingerprint for a in whole if constrained.allows(a)} == set(fits)
    counted = count(constrained)
    assert counted.low <= len(fits) <= counted.high
    assert counted.value == len(fits) or not counted.exact
    assert is_feasible(constrained)
    # the index does not depend on the budget
    indices = [index for index, _ in walk(constrained)]
    assert indices == [index for index, a in walk(ConstrainedSpace(space)) if a.fingerprint in fits]
    assert [a.fingerprint for _, a in walk(constrained, start=indices[1])] == [
        whole[index].fingerprint for index in indices[1:]
    ]
    assert index_of(constrained, architecture_at(constrained, indices[-1])) == indices[-1]
    assert sum(n for _, _, n in histogram(constrained)) == pytest.approx(len(fits), rel=0.1)
    assert {sample_one(constrained, random.Random(0), "log-macs").fingerprint} <= set(fits)


@pytest.mark.parametrize("number", [0, 2, 4])
def test_draws_are_uniform(number):
    budget = Budget(**limits_of(MIXED, "int8", number), precision="int8")
    fits, n = fitting(MIXED, budget), 100
    drawn = Counter(a.fingerprint for a in sample(ConstrainedSpace(MIXED, budget), n * len(fits), random.Random(0)))
    assert set(drawn) == set(fits)
    chi_square = sum((times - n) ** 2 / n for times in drawn.values())
    assert abs(chi_square - (len(fits) - 1)) < 4 * (2 * (len(fits) - 1)) ** 0.5


@pytest.mark.parametrize("limited", [("ram",), ("flash",), ("ram", "params"), ("ram", "flash", "macs")])
@pytest.mark.parametrize(("name", "precision"), CASES)
def test_nearest_budget_is_that_of_brute_force(name, precision, limited):
    space = SPACES[name]
    rows = [
        {**cost._asdict(), "params": a.cost.params, "macs": a.cost.macs} for a, cost in everything(space, precision)
    ]
    keys = {"ram": "ram_bytes", "flash": "flash_bytes"}
    names = [keys.get(limit, limit) for limit in limited]
    # each limit alone, or nearly so, excludes everything
    limits = {limit: max(64 * 4, int(0.9 * min(row[keys.get(limit, limit)] for row in rows))) for limit in limited}
    constrained = ConstrainedSpace(space, Budget(**limits, precision=precision))
    highs = dict(zip(names, limits.values(), strict=True))
    ratios = [max(row[cost] / highs[cost] for cost in names) for row in rows]
    nearest = nearest_budget(constrained)
    assert max(nearest[cost] / highs[cost] for cost in names) == min(ratios)
    assert any(all(row[cost] <= nearest[cost] for cost in names) for row in rows)
    assert is_feasible(constrained) == (min(ratios) <= 1)
    met = {limit: nearest[keys.get(limit, limit)] for limit in limited}
    check_feasible(ConstrainedSpace(space, Budget(**met, precision=precision)))
    if min(ratios) > 1:
        with pytest.raises(BudgetError, match=rf"ram_bytes = {nearest['ram_bytes']}" if "ram" in limited else "flash"):
            check_feasible(constrained)


@pytest.mark.parametrize("others", [{}, {"min_params": 10, "macs": "1G"}])
def test_nothing_fits_a_limit_below_the_smallest_peak(others):
    smallest = min(cost.ram_bytes for _, cost in everything(MIXED, "int8"))
    constrained = ConstrainedSpace(MIXED, Budget(ram=smallest - 1, **others, precision="int8"))
    assert count(constrained).value == 0
    assert (histogram(constrained), list(walk(constrained))) == ([], [])
    assert cheapest(constrained)[1] == cheapest(ConstrainedSpace(MIXED))[1]
    for refused in (check_feasible, lambda space: sample_one(space, random.Random(0))):
        with pytest.raises(BudgetError, match=rf"ram_bytes <= {smallest - 1:,} in int8: .* {smallest:,};"):
            refused(constrained)


def test_limit_below_the_image_is_refused_with_both_numbers():
    with pytest.raises(BudgetError, match=r"limit is 63 bytes .* 1x8x8 has 64 bytes in int8"):
        check_feasible(ConstrainedSpace(MIXED, Budget(ram=63, precision="int8")))
    with pytest.raises(BudgetError, match=r"limit is 255 bytes .* 256 bytes in float32; .*int8"):
        check_feasible(ConstrainedSpace(MIXED, Budget(ram=255)))


@pytest.mark.parametrize(("limit", "expected"), [("ram", ("1.conv.width", 16)), ("flash", ("2.residual.width", 16))])
def test_dead_choices_are_those_of_no_fitting_architecture(limit, expected):
    costs = sorted(getattr(cost, f"{limit}_bytes") for _, cost in everything(MIXED, "int8"))
    constrained = ConstrainedSpace(MIXED, Budget(**{limit: costs[len(costs) // 10]}, precision="int8"))
    dead = dead_choices(constrained)
    assert expected in dead
    widths = {a.blocks[0].width for _, a in walk(constrained)}
    assert {value for path, value in dead if path == "1.conv.width"} == {4, 8, 16} - widths


def test_repair_and_mutation_keep_the_limits():
    costs = [cost for _, cost in everything(MIXED, "int8")]
    budget = Budget(
        ram=at([c.ram_bytes for c in costs], 0.2), flash=at([c.flash_bytes for c in costs], 0.4), precision="int8"
    )
    constrained, rng = ConstrainedSpace(MIXED, budget), random.Random(0)
    drawn = [complete_decisions(MIXED, {}, rng)[0] for _ in range(100)]
    outside = [decisions for decisions in drawn if violation(constrained, decisions) > 0]
    assert len(outside) > 20
    repaired = [one for one in (repair(constrained, decisions, rng) for decisions in outside[:10]) if one]
    assert repaired
    for decisions in (*repaired, *filter(None, (mutate(constrained, one, rng) for one in repaired))):
        assert constrained.allows(MIXED.architecture(decisions))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"ram": "256kb"}, 'budget.ram .*"256kB"'),
        ({"flash": -1}, "budget.flash must be .*-1"),
        ({"precision": "int4"}, "budget.precision 'int4'.*int8"),
    ],
)
def test_bad_limits_are_refused(limits, words):
    with pytest.raises(ValueError, match=words):
        Budget(**limits)


def test_limits_have_units():
    budget = Budget(ram="256kB", flash="1MiB", precision="int8")
    assert budget.device_limits() == {"ram_bytes": 256_000, "flash_bytes": 1024**2}
    assert str(budget) == "ram_bytes <= 256k and flash_bytes <= 1.05M in int8"
