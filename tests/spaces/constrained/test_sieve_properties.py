"""Properties of the sieve that hold for any small space."""

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.base import ShapeError
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Inception, Linear, Pool, Residual
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.indexing import architecture_at, index_of, walk
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.search_space.encoding import decisions_of
from archsieve.spaces.search_space.space import Space, fills

WAYS = 200  # more ways to fill a space than this take too long to try

CHEAP = settings(
    derandomize=True,
    deadline=None,
    max_examples=100,
    database=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


def draw_value(draw, *options):
    """One of ``options``, or a choice among two of them."""
    chosen = draw(st.lists(st.sampled_from(options), min_size=1, max_size=2, unique=True))
    return choice(*chosen) if len(chosen) > 1 else chosen[0]


def draw_keeping(draw):
    """A block that keeps the picture's size."""
    kind = draw(st.sampled_from((Conv, Residual, Inception)))
    width = draw_value(draw, 8, 16)
    if kind is Conv:
        return Conv(width, draw_value(draw, 1, 3))
    return Residual(width, shortcut=draw_value(draw, "A", "B", "none")) if kind is Residual else Inception(width)


def draw_repeat(draw):
    first = draw(st.sampled_from(({}, {"width": 8})))
    return repeat(draw_keeping(draw), draw_value(draw, 0, 1, 2), first, each=draw(st.booleans()))


def draw_template(draw, depth):
    """A template with at most ``depth`` choices or sequences inside each other."""
    kind = draw(st.integers(0, 7 if depth else 5))
    if kind == 6:
        return tuple(draw_template(draw, depth - 1) for _ in range(draw(st.integers(0, 2))))
    if kind == 7:
        options = [draw_template(draw, depth - 1) for _ in range(draw(st.integers(1, 3)))]
        return choice(*(option for place, option in enumerate(options) if option not in options[:place]))
    return (
        draw_keeping,
        draw_repeat,
        lambda draw: ConvPool(draw_value(draw, 8, 16), convs=draw_value(draw, 1, 2)),
        lambda draw: Residual(draw_value(draw, 8, 16), stride=draw_value(draw, 1, 2)),
        lambda draw: Pool(2),
        lambda draw: draw(st.sampled_from((GlobalAverage(), Linear(8)))),
    )[kind](draw)


@st.composite
def spaces(draw):
    blocks = tuple(draw_template(draw, 2) for _ in range(draw(st.integers(1, 4))))
    return Space((1, 8, 8), blocks, 10)


def points(space):
    """Every distinct architecture by fingerprint, or None where there are too many ways."""
    found = {}
    for way, (_, blocks) in enumerate(fills(space.fill)):
        if way == WAYS:
            return None
        try:
            architecture = Architecture(space.input_shape, blocks, space.classes)
        except ShapeError:
            continue
        found.setdefault(architecture.fingerprint, architecture)
    return found


@CHEAP
@given(spaces())
def test_the_sieve_knows_the_space_as_brute_force_does(space):
    found = points(space)
    assume(found)
    sieve = ConstrainedSpace(space)
    walked = dict(walk(sieve))
    assert sieve.size == len(found)
    assert {architecture.fingerprint for architecture in walked.values()} == set(found)
    for index, architecture in walked.items():
        assert index_of(sieve, found[architecture.fingerprint]) == index
        assert architecture_at(sieve, index) == architecture
        assert cost(architecture) == cost(found[architecture.fingerprint])


@CHEAP
@given(spaces(), st.floats(0, 1), st.floats(0, 1))
def test_a_budget_cuts_as_brute_force_does(space, low, high):
    found = points(space)
    assume(found)
    params = sorted(cost(architecture).params for architecture in found.values())
    macs = sorted(cost(architecture).macs for architecture in found.values())
    budget = Budget(min_params=params[int(low * (len(params) - 1))], macs=macs[int(high * (len(macs) - 1))])
    walked = {architecture.fingerprint for _, architecture in walk(ConstrainedSpace(space, budget))}
    assert walked == {name for name, architecture in found.items() if budget.allows(cost(architecture))}


@CHEAP
@given(spaces(), st.floats(0, 1), st.floats(1, 1.2), st.floats(0, 1), st.floats(1, 1.2))
def test_a_band_of_two_costs_cuts_as_brute_force_does(space, params, wide, macs, high):
    found = points(space)
    assume(found)
    prices = [cost(architecture) for architecture in found.values()]
    least, most = min(p.params for p in prices), max(p.params for p in prices)
    low, lowest = int(least + params * (most - least)), min(p.macs for p in prices)
    floor = int(lowest + macs * (max(p.macs for p in prices) - lowest))
    budget = Budget(min_params=low, params=int(low * wide), min_macs=floor, macs=int(floor * high))
    walked = {architecture.fingerprint for _, architecture in walk(ConstrainedSpace(space, budget))}
    assert walked == {name for name, architecture in found.items() if budget.allows(cost(architecture))}


@CHEAP
@given(spaces())
def test_json_and_decisions_come_back(space):
    found = points(space)
    assume(found)
    assert Space.from_json(space.to_json()) == space
    for fingerprint, architecture in found.items():
        decisions = decisions_of(space, architecture)
        assert decisions is not None
        assert space.architecture(decisions).fingerprint == fingerprint
        assert architecture.canonical().canonical() == architecture.canonical()
        assert Architecture.from_json(architecture.to_json()) == architecture
