"""The sieve against brute force: size, order, index, walk, extremes, samples, verdicts."""

import os
import random
import subprocess
import sys
from collections import Counter

import pytest

from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.base import ShapeError
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Inception, Linear, Pool, Residual
from archsieve.spaces.constrained.constrained_space import COSTS, BudgetError, ConstrainedSpace
from archsieve.spaces.constrained.feasibility import cheapest, check_feasible, most_expensive
from archsieve.spaces.constrained.indexing import architecture_at, index_of, walk
from archsieve.spaces.constrained.sampling import sample_one
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.search_space.space import Space, fills


def of(*blocks):
    return Space((1, 8, 8), blocks, 10)


SPACES = {
    "one point": of(Conv(8)),
    "no block": of(choice((), Conv(8))),
    "pool or conv and pool": of(
        choice(Conv(choice(8, 16)), ConvPool(8, choice(3, 5))),
        choice(Pool(2), (), ConvPool(8)),
        repeat(Residual(16), choice(0, 1, 2)),
        GlobalAverage(),
    ),
    "overlapping repeats": of(
        repeat(Conv(choice(8, 16)), choice(0, 1, 2), each=True),
        repeat(Conv(choice(8, 16)), choice(0, 1, 2, 3), each=True),
        choice((), Pool(2), ConvPool(8, convs=choice(1, 2))),
    ),
    "first of each": of(
        repeat(Residual(choice(8, 16), shortcut=choice("A", "B", "C", "none")), choice(1, 2), {"stride": 2}, each=True),
        choice(Conv(8), (Conv(8), Conv(8))),
        choice(Conv(8), (Conv(8), Conv(8)), ()),
        choice(Linear(8), GlobalAverage()),
    ),
    "one layer or two": of(
        choice(ConvPool(8, convs=2), (Conv(8), ConvPool(8)), (Conv(8), Conv(8)), Conv(8)),
        choice((), Pool(2), Conv(8)),
        choice((), Pool(2)),
    ),
    "dead ends": of(repeat(Conv(8), choice(0, 1)), *[choice((), ConvPool(8))] * 4, Conv(16, 3, 1, choice(0, 1))),
    "mixed": of(
        choice(
            ConvPool(choice(8, 16), convs=choice(1, 2)),
            repeat(Residual(choice(8, 16)), choice(1, 2), {"stride": 2}),
            (repeat(Inception(choice(8, 16)), choice(1, 2)), Pool(2)),
        ),
        choice((), repeat(Inception(16), 1), Linear(12)),
    ),
}


def brute(space):
    """Every distinct architecture of ``space`` by fingerprint, found by trying everything."""
    found = {}
    for _, blocks in fills(space.fill):
        try:
            architecture = Architecture(space.input_shape, blocks, space.classes)
        except ShapeError:
            continue
        found.setdefault(architecture.fingerprint, architecture)
    return found


def budgets(points):
    """Budgets that cut a set of architectures in interesting places."""
    prices = [cost(point) for point in points]
    middle = {name: sorted(getattr(price, name) for price in prices)[len(prices) // 2] for name in COSTS}
    yield Budget(params=middle["params"])
    yield Budget(macs=middle["macs"], min_macs=middle["macs"])
    yield Budget(params=middle["params"], macs=middle["macs"])
    yield Budget(min_params=middle["params"], memory_bytes=middle["memory_bytes"])
    yield Budget(activations=middle["activations"], min_params=1)


@pytest.fixture(params=SPACES)
def space(request):
    return SPACES[request.param]


def test_size_is_the_number_of_distinct_architectures(space):
    assert ConstrainedSpace(space).size == len(brute(space))


def test_the_walk_meets_each_architecture_once_in_order(space):
    walked = list(walk(ConstrainedSpace(space)))
    assert [index for index, _ in walked] == list(range(len(walked)))
    assert {architecture.fingerprint for _, architecture in walked} == set(brute(space))
    assert len(walked) == len(brute(space))


def test_the_walk_can_start_anywhere(space):
    sieve = ConstrainedSpace(space)
    whole = list(walk(sieve))
    for start in {0, 1, len(whole) // 2, len(whole) - 1, len(whole)}:
        assert list(walk(sieve, start)) == whole[start:]


def test_index_and_architecture_are_inverse(space):
    sieve = ConstrainedSpace(space)
    for index, architecture in walk(sieve):
        assert architecture_at(sieve, index) == architecture
        assert index_of(sieve, architecture) == index


def test_every_encoding_has_the_index_of_its_network(space):
    sieve = ConstrainedSpace(space)
    for _, blocks in fills(space.fill):
        try:
            architecture = Architecture(space.input_shape, blocks, space.classes)
        except ShapeError:
            continue
        assert architecture_at(sieve, index_of(sieve, architecture)).fingerprint == architecture.fingerprint


def test_a_budget_lets_through_exactly_what_it_allows(space):
    points = brute(space)
    whole = dict(walk(ConstrainedSpace(space)))
    for budget in budgets(points.values()):
        wanted = {index for index, architecture in whole.items() if budget.allows(cost(architecture))}
        found = dict(walk(ConstrainedSpace(space, budget)))
        assert set(found) == wanted
        assert all(found[index] == whole[index] for index in found)


def test_cheapest_and_dearest_are_the_extremes(space):
    sieve = ConstrainedSpace(space)
    for name in COSTS:
        values = [getattr(cost(architecture), name) for architecture in brute(space).values()]
        assert getattr(cheapest(sieve, name)[1], name) == min(values)
        assert getattr(most_expensive(sieve, name)[1], name) == max(values)


def test_samples_lie_inside_the_budget(space):
    for budget in budgets(brute(space).values()):
        sieve = ConstrainedSpace(space, budget)
        rng = random.Random(0)
        if next(walk(sieve), None) is None:
            with pytest.raises(BudgetError):
                sample_one(sieve, rng)
        else:
            assert all(budget.allows(cost(sample_one(sieve, rng))) for _ in range(20))


def test_samples_are_uniform():
    space = SPACES["overlapping repeats"]
    sieve = ConstrainedSpace(space, Budget(params=3_000))
    fitting = [architecture for _, architecture in walk(sieve)]
    rng = random.Random(0)
    draws = 200 * len(fitting)
    seen = Counter(sample_one(sieve, rng).fingerprint for _ in range(draws))
    assert set(seen) == {architecture.fingerprint for architecture in fitting}
    chi_square = sum((count - 200) ** 2 / 200 for count in seen.values())
    freedom = len(fitting) - 1
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5


def test_samples_are_the_same_for_the_same_seed():
    sieve = ConstrainedSpace(SPACES["mixed"])
    first, second = ([sample_one(sieve, rng) for _ in range(10)] for rng in (random.Random(7), random.Random(7)))
    assert first == second


DRAWN = """
import random
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.feasibility import most_expensive
from archsieve.spaces.constrained.indexing import index_of
from archsieve.spaces.constrained.sampling import sample_one
from archsieve.spaces.search_space.named import named_space
for name in ("mixed", "cifar-resnet-space"):
    sieve = ConstrainedSpace(named_space(name))
    half = Budget(params=most_expensive(sieve)[1].params // 2)
    for drawn in (sieve, ConstrainedSpace(named_space(name), half)):
        print(name, *(index_of(drawn, sample_one(drawn, random.Random(seed))) for seed in range(3)))
"""


def test_samples_and_indices_are_the_same_in_every_process():
    told = [
        subprocess.run(
            [sys.executable, "-c", DRAWN],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert told[0]
    assert told[0] == told[1]


def test_a_rare_budget_is_sampled_without_luck():
    sieve = ConstrainedSpace(
        SPACES["overlapping repeats"],
        Budget(params=cheapest(ConstrainedSpace(SPACES["overlapping repeats"]))[1].params),
    )
    assert sample_one(sieve, random.Random(0)) == cheapest(sieve)[0]


def test_memory_is_priced_at_the_sieves_batch():
    architecture = architecture_at(ConstrainedSpace(SPACES["one point"]), 0)
    limit = cost(architecture, 16).memory_bytes
    assert ConstrainedSpace(SPACES["one point"], Budget(memory_bytes=limit), batch_size=16).allows(architecture)
    assert not ConstrainedSpace(SPACES["one point"], Budget(memory_bytes=limit), batch_size=17).allows(architecture)


def test_a_possible_budget_passes_the_check(space):
    for budget in (Budget(), Budget(params=cheapest(ConstrainedSpace(space), "params")[1].params)):
        check_feasible(ConstrainedSpace(space, budget))


@pytest.mark.parametrize("name", COSTS)
def test_an_impossible_limit_names_the_cheapest(name):
    sieve = ConstrainedSpace(SPACES["mixed"])
    least = getattr(cheapest(sieve, name)[1], name)
    with pytest.raises(BudgetError) as caught:
        check_feasible(ConstrainedSpace(SPACES["mixed"], Budget(**{name: least - 1})))
    said = str(caught.value)
    assert said.startswith(f"nothing in the space 'custom' fits {name} <= {least - 1:,}: the cheapest architecture has")
    assert f"{name} {least:,} ({cheapest(sieve, name)[0]}; " in said
    advised = said.split(f"the nearest budget that something fits is {name} = ")[1].split(";", maxsplit=1)[0]
    assert int(advised) == least
    check_feasible(ConstrainedSpace(SPACES["mixed"], Budget(**{name: advised})))


def test_limits_that_only_exclude_each_other_say_so():
    space = of(choice((Conv(8), GlobalAverage()), (Conv(64, stride=8), GlobalAverage())))
    light, small = cheapest(ConstrainedSpace(space), "macs")[1], cheapest(ConstrainedSpace(space), "params")[1]
    assert light.params > small.params
    with pytest.raises(BudgetError, match="each limit alone can be met, all together cannot; the cheapest by params"):
        check_feasible(ConstrainedSpace(space, Budget(params=small.params, macs=light.macs)))


def test_an_index_outside_the_space_is_refused():
    sieve = ConstrainedSpace(SPACES["no block"])
    for index in (-1, 2):
        with pytest.raises(ValueError, match=rf"an index of this space lies in \[0, 1\], but got {index}"):
            architecture_at(sieve, index)


@pytest.mark.parametrize(
    "stranger",
    [
        Architecture((1, 8, 8), (Conv(9),), 10),
        Architecture((1, 8, 8), (Conv(8), Conv(8)), 10),
        Architecture((1, 8, 8), (Conv(8),), 11),
        Architecture((1, 8, 9), (Conv(8),), 10),
    ],
    ids=str,
)
def test_a_stranger_has_no_index(stranger):
    with pytest.raises(ValueError, match="is no point of the space 'custom'"):
        index_of(ConstrainedSpace(SPACES["no block"]), stranger)
