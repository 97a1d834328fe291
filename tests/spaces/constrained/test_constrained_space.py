"""Constrained spaces agree with all_architectures force: size, order, index, walk, extremes, samples, feasibility."""

import os
import random
import re
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
from archsieve.spaces.search_space.space import Space, enumerate_decisions


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


def all_architectures(space):
    """Return every distinct architecture of ``space`` by fingerprint, found by trying every combination."""
    architectures = {}
    for _, blocks in enumerate_decisions(space.fill):
        try:
            architecture = Architecture(space.input_shape, blocks, space.classes)
        except ShapeError:
            continue
        architectures.setdefault(architecture.fingerprint, architecture)
    return architectures


def budgets(architectures):
    """Yield budgets whose limits are the medians of the costs of ``architectures``."""
    costs = [cost(architecture) for architecture in architectures]
    median = {name: sorted(getattr(one, name) for one in costs)[len(costs) // 2] for name in COSTS}
    yield Budget(params=median["params"])
    yield Budget(macs=median["macs"], min_macs=median["macs"])
    yield Budget(params=median["params"], macs=median["macs"])
    yield Budget(min_params=median["params"], memory_bytes=median["memory_bytes"])
    yield Budget(activations=median["activations"], min_params=1)


@pytest.fixture(params=SPACES)
def space(request):
    return SPACES[request.param]


def test_size_is_the_number_of_distinct_architectures(space):
    assert ConstrainedSpace(space).size == len(all_architectures(space))


def test_walk_yields_each_architecture_once_in_order(space):
    walked = list(walk(ConstrainedSpace(space)))
    assert [index for index, _ in walked] == list(range(len(walked)))
    assert {architecture.fingerprint for _, architecture in walked} == set(all_architectures(space))
    assert len(walked) == len(all_architectures(space))


def test_walk_can_start_at_any_index(space):
    constrained = ConstrainedSpace(space)
    whole = list(walk(constrained))
    for start in {0, 1, len(whole) // 2, len(whole) - 1, len(whole)}:
        assert list(walk(constrained, start)) == whole[start:]


def test_index_and_architecture_are_inverse(space):
    constrained = ConstrainedSpace(space)
    for index, architecture in walk(constrained):
        assert architecture_at(constrained, index) == architecture
        assert index_of(constrained, architecture) == index


def test_equivalent_decisions_have_the_same_index(space):
    constrained = ConstrainedSpace(space)
    for _, blocks in enumerate_decisions(space.fill):
        try:
            architecture = Architecture(space.input_shape, blocks, space.classes)
        except ShapeError:
            continue
        assert architecture_at(constrained, index_of(constrained, architecture)).fingerprint == architecture.fingerprint


def test_walk_yields_exactly_what_the_budget_allows(space):
    architectures = all_architectures(space)
    whole = dict(walk(ConstrainedSpace(space)))
    for budget in budgets(architectures.values()):
        expected = {index for index, architecture in whole.items() if budget.allows(cost(architecture))}
        walked = dict(walk(ConstrainedSpace(space, budget)))
        assert set(walked) == expected
        assert all(walked[index] == whole[index] for index in walked)


def test_cheapest_and_most_expensive_are_the_extremes(space):
    constrained = ConstrainedSpace(space)
    for name in COSTS:
        values = [getattr(cost(architecture), name) for architecture in all_architectures(space).values()]
        assert getattr(cheapest(constrained, name)[1], name) == min(values)
        assert getattr(most_expensive(constrained, name)[1], name) == max(values)


def test_samples_are_inside_the_budget(space):
    for budget in budgets(all_architectures(space).values()):
        constrained = ConstrainedSpace(space, budget)
        rng = random.Random(0)
        if next(walk(constrained), None) is None:
            with pytest.raises(BudgetError):
                sample_one(constrained, rng)
        else:
            assert all(budget.allows(cost(sample_one(constrained, rng))) for _ in range(20))


def test_samples_are_uniform():
    space = SPACES["overlapping repeats"]
    constrained = ConstrainedSpace(space, Budget(params=3_000))
    feasible = [architecture for _, architecture in walk(constrained)]
    rng = random.Random(0)
    draws = 200 * len(feasible)
    counts = Counter(sample_one(constrained, rng).fingerprint for _ in range(draws))
    assert set(counts) == {architecture.fingerprint for architecture in feasible}
    chi_square = sum((count - 200) ** 2 / 200 for count in counts.values())
    freedom = len(feasible) - 1
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5


def test_samples_are_the_same_for_the_same_seed():
    constrained = ConstrainedSpace(SPACES["mixed"])
    first, second = ([sample_one(constrained, rng) for _ in range(10)] for rng in (random.Random(7), random.Random(7)))
    assert first == second


PROGRAM = """
import random
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.feasibility import most_expensive
from archsieve.spaces.constrained.indexing import index_of
from archsieve.spaces.constrained.sampling import sample_one
from archsieve.spaces.search_space.named import named_space
for name in ("mixed", "cifar-resnet-space"):
    constrained = ConstrainedSpace(named_space(name))
    half = Budget(params=most_expensive(constrained)[1].params // 2)
    for drawn in (constrained, ConstrainedSpace(named_space(name), half)):
        print(name, *(index_of(drawn, sample_one(drawn, random.Random(seed))) for seed in range(3)))
"""


def test_samples_and_indices_are_the_same_in_every_process():
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert outputs[0]
    assert outputs[0] == outputs[1]


def test_budget_that_one_architecture_fits_is_sampled():
    constrained = ConstrainedSpace(
        SPACES["overlapping repeats"],
        Budget(params=cheapest(ConstrainedSpace(SPACES["overlapping repeats"]))[1].params),
    )
    assert sample_one(constrained, random.Random(0)) == cheapest(constrained)[0]


def test_memory_is_predicted_at_the_batch_size_of_the_space():
    architecture = architecture_at(ConstrainedSpace(SPACES["one point"]), 0)
    limit = cost(architecture, 16).memory_bytes
    assert ConstrainedSpace(SPACES["one point"], Budget(memory_bytes=limit), batch_size=16).allows(architecture)
    assert not ConstrainedSpace(SPACES["one point"], Budget(memory_bytes=limit), batch_size=17).allows(architecture)


def test_feasible_budget_passes_the_check(space):
    for budget in (Budget(), Budget(params=cheapest(ConstrainedSpace(space), "params")[1].params)):
        check_feasible(ConstrainedSpace(space, budget))


@pytest.mark.parametrize("name", COSTS)
def test_infeasible_limit_names_the_cheapest_architecture(name):
    constrained = ConstrainedSpace(SPACES["mixed"])
    minimum = getattr(cheapest(constrained, name)[1], name)
    with pytest.raises(BudgetError) as caught:
        check_feasible(ConstrainedSpace(SPACES["mixed"], Budget(**{name: minimum - 1})))
    message = str(caught.value)
    assert "'custom'" in message
    assert f"{name} <= {minimum - 1:,}" in message
    assert f"{name} {minimum:,} ({cheapest(constrained, name)[0]}; " in message
    nearest = re.search(rf"nearest .*{name} = (\d+);", message)[1]
    assert int(nearest) == minimum
    check_feasible(ConstrainedSpace(SPACES["mixed"], Budget(**{name: nearest})))


def test_limits_that_exclude_each_other_are_refused():
    space = of(choice((Conv(8), GlobalAverage()), (Conv(64, stride=8), GlobalAverage())))
    light, small = cheapest(ConstrainedSpace(space), "macs")[1], cheapest(ConstrainedSpace(space), "params")[1]
    assert light.params > small.params
    with pytest.raises(BudgetError, match=rf"cheapest by params .*{small.params:,}.*by macs .*{light.macs:,}"):
        check_feasible(ConstrainedSpace(space, Budget(params=small.params, macs=light.macs)))


def test_index_out_of_range_is_refused():
    constrained = ConstrainedSpace(SPACES["no block"])
    for index in (-1, 2):
        with pytest.raises(ValueError, match=rf"index .*\[0, 1\].* {index};"):
            architecture_at(constrained, index)


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture((1, 8, 8), (Conv(9),), 10),
        Architecture((1, 8, 8), (Conv(8), Conv(8)), 10),
        Architecture((1, 8, 8), (Conv(8),), 11),
        Architecture((1, 8, 9), (Conv(8),), 10),
    ],
    ids=str,
)
def test_architecture_outside_the_space_has_no_index(architecture):
    with pytest.raises(ValueError, match=r"space 'custom'.*index"):
        index_of(ConstrainedSpace(SPACES["no block"]), architecture)
