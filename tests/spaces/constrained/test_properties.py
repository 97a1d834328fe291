"""Properties of constrained spaces that are true for every small space, tested with random spaces."""

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
from archsieve.spaces.search_space.space import Space, enumerate_decisions

MAX_COMBINATIONS = 200  # spaces with more combinations of decisions take too long

SETTINGS = settings(
    derandomize=True,
    deadline=None,
    max_examples=100,
    database=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


def draw_value(draw, *options):
    """Draw one of ``options``, or a choice between two of them."""
    chosen = draw(st.lists(st.sampled_from(options), min_size=1, max_size=2, unique=True))
    return choice(*chosen) if len(chosen) > 1 else chosen[0]


def draw_size_keeping(draw):
    """Draw a block that keeps the image size."""
    kind = draw(st.sampled_from((Conv, Residual, Inception)))
    width = draw_value(draw, 8, 16)
    if kind is Conv:
        return Conv(width, draw_value(draw, 1, 3))
    return Residual(width, shortcut=draw_value(draw, "A", "B", "none")) if kind is Residual else Inception(width)


def draw_repeat(draw):
    first = draw(st.sampled_from(({}, {"width": 8})))
    return repeat(draw_size_keeping(draw), draw_value(draw, 0, 1, 2), first, each=draw(st.booleans()))


def draw_template(draw, depth):
    """Draw a template with at most ``depth`` nested choices or sequences."""
    kind = draw(st.integers(0, 7 if depth else 5))
    if kind == 6:
        return tuple(draw_template(draw, depth - 1) for _ in range(draw(st.integers(0, 2))))
    if kind == 7:
        options = [draw_template(draw, depth - 1) for _ in range(draw(st.integers(1, 3)))]
        return choice(*(option for index, option in enumerate(options) if option not in options[:index]))
    return (
        draw_size_keeping,
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


def all_architectures(space):
    """Return every distinct architecture by fingerprint, or None if there are too many combinations."""
    architectures = {}
    for number, (_, blocks) in enumerate(enumerate_decisions(space.fill)):
        if number == MAX_COMBINATIONS:
            return None
        try:
            architecture = Architecture(space.input_shape, blocks, space.classes)
        except ShapeError:
            continue
        architectures.setdefault(architecture.fingerprint, architecture)
    return architectures


@SETTINGS
@given(spaces())
def test_size_walk_and_index_agree_with_brute_force(space):
    architectures = all_architectures(space)
    assume(architectures)
    constrained = ConstrainedSpace(space)
    walked = dict(walk(constrained))
    assert constrained.size == len(architectures)
    assert {architecture.fingerprint for architecture in walked.values()} == set(architectures)
    for index, architecture in walked.items():
        assert index_of(constrained, architectures[architecture.fingerprint]) == index
        assert architecture_at(constrained, index) == architecture
        assert cost(architecture) == cost(architectures[architecture.fingerprint])


@SETTINGS
@given(spaces(), st.floats(0, 1), st.floats(0, 1))
def test_walk_inside_a_budget_agrees_with_brute_force(space, low, high):
    architectures = all_architectures(space)
    assume(architectures)
    params = sorted(cost(architecture).params for architecture in architectures.values())
    macs = sorted(cost(architecture).macs for architecture in architectures.values())
    budget = Budget(min_params=params[int(low * (len(params) - 1))], macs=macs[int(high * (len(macs) - 1))])
    walked = {architecture.fingerprint for _, architecture in walk(ConstrainedSpace(space, budget))}
    assert walked == {name for name, architecture in architectures.items() if budget.allows(cost(architecture))}


@SETTINGS
@given(spaces(), st.floats(0, 1), st.floats(1, 1.2), st.floats(0, 1), st.floats(1, 1.2))
def test_walk_between_two_limits_of_two_costs_agrees_with_brute_force(
    space, params_position, params_factor, macs_position, macs_factor
):
    architectures = all_architectures(space)
    assume(architectures)
    costs = [cost(architecture) for architecture in architectures.values()]
    smallest, largest = min(c.params for c in costs), max(c.params for c in costs)
    min_params = int(smallest + params_position * (largest - smallest))
    smallest, largest = min(c.macs for c in costs), max(c.macs for c in costs)
    min_macs = int(smallest + macs_position * (largest - smallest))
    budget = Budget(
        min_params=min_params,
        params=int(min_params * params_factor),
        min_macs=min_macs,
        macs=int(min_macs * macs_factor),
    )
    walked = {architecture.fingerprint for _, architecture in walk(ConstrainedSpace(space, budget))}
    assert walked == {name for name, architecture in architectures.items() if budget.allows(cost(architecture))}


@SETTINGS
@given(spaces())
def test_json_and_decisions_round_trip(space):
    architectures = all_architectures(space)
    assume(architectures)
    assert Space.from_json(space.to_json()) == space
    for fingerprint, architecture in architectures.items():
        decisions = decisions_of(space, architecture)
        assert decisions is not None
        assert space.architecture(decisions).fingerprint == fingerprint
        assert architecture.canonical().canonical() == architecture.canonical()
        assert Architecture.from_json(architecture.to_json()) == architecture
