"""The space: an architecture with holes, its decisions, its JSON, and what it refuses."""

import json
import pickle

import pytest

from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.base import ShapeError
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Inception, Pool, Residual
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.search_space.encoding import decisions_of
from archsieve.spaces.search_space.named import NAMED_SPACES, named_space
from archsieve.spaces.search_space.space import Space, fills

SPACE = Space(
    (1, 8, 8),
    (
        Conv(choice(8, 16)),
        choice(
            ConvPool(choice(8, 16), convs=choice(1, 2)),
            repeat(Residual(16), choice(1, 2), {"stride": 2}),
            (repeat(Inception(choice(16, 24)), choice(1, 2)), Pool(2)),
        ),
        choice((), GlobalAverage()),
    ),
    10,
)


def of(*blocks):
    return Space((1, 8, 8), blocks, 10)


def test_a_decision_exists_only_where_it_applies():
    residuals = [decisions for decisions, _ in fills(SPACE.fill) if decisions["2"] == 1]
    assert {frozenset(d) for d in residuals} == {frozenset({"1.conv.width", "2", "2.residual.times", "3"})}


def test_decisions_lead_to_their_architecture():
    decisions = {"1.conv.width": 1, "2": 1, "2.residual.times": 1, "3": 1}
    assert str(SPACE.architecture(decisions)) == "conv 16 > residual 16 stride=2 > residual 16 > global-average"


def test_a_missing_decision_is_named():
    with pytest.raises(ValueError, match=r"the decision '2' is missing; it chooses among"):
        SPACE.architecture({"1.conv.width": 1})


def test_filling_walks_every_combination_once():
    ways = [tuple(decisions.items()) for decisions, _ in fills(SPACE.fill)]
    assert len(ways) == len(set(ways)) == 2 * (4 + 2 + 4) * 2


def test_decisions_of_reads_an_architecture_back():
    for _, blocks in fills(SPACE.fill):
        architecture = Architecture(SPACE.input_shape, blocks, SPACE.classes)
        decisions = decisions_of(SPACE, architecture)
        assert decisions is not None
        assert SPACE.architecture(decisions).fingerprint == architecture.fingerprint


def test_decisions_of_a_stranger_are_none():
    assert decisions_of(SPACE, Architecture((1, 8, 8), (Conv(9),), 10)) is None
    assert decisions_of(SPACE, Architecture((1, 9, 9), (Conv(8),), 10)) is None


@pytest.mark.parametrize("space", [SPACE, *(named_space(name) for name in NAMED_SPACES)], ids=lambda s: s.name)
def test_json_and_pickle_round_trips(space):
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert again.fingerprint == space.fingerprint
    assert pickle.loads(pickle.dumps(space)) == space


def test_the_name_is_no_part_of_the_fingerprint():
    assert (
        named_space("mixed").fingerprint == Space.from_json({**named_space("mixed").to_json(), "name": "x"}).fingerprint
    )
    assert named_space("mixed").fingerprint != SPACE.fingerprint


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: of(Conv(8), "conv"), "block 2: a space is made of blocks, choices and repeats, but got 'conv'"),
        (lambda: of(choice(Conv(8), 3)), "block 1, choice: a space is made of"),
        (lambda: of(repeat(ConvPool(8), 2)), "block 1: a repeat must keep the picture's size, but conv-pool shrinks"),
        (lambda: of(repeat(Pool(2), choice(0, 2))), "block 1: a repeat must keep the picture's size, but pool shrinks"),
        (lambda: of(repeat(Conv(8, stride=2), 2)), r'but conv shrinks it each time; .* first=\{"stride": 2\}'),
        (lambda: of(repeat(Conv(8, stride=choice(1, 2)), 2)), "a repeat must keep the picture's size"),
        (lambda: of(repeat(Inception(16, stride=2), 2)), "but inception shrinks"),
        (lambda: of(repeat(Conv(8), 2, {"strides": 2})), r"first=\{'strides': ...\} names no field of conv"),
        (lambda: Space((1, 8), (), 10), "an input shape is"),
        (lambda: Space((1, 8, 8), (), 1), "classes must be"),
    ],
)
def test_a_space_refuses_what_it_cannot_mean(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (
            of(Conv(8), Conv(choice(8, 16), 11, padding=0)),
            r"block 2 \(conv\): .* kernel 11 on 8 pixels",
        ),
        (
            of(ConvPool(8), ConvPool(8), ConvPool(8), ConvPool(8)),
            r"block 4 \(conv-pool\): .* on 1 pixels",
        ),
        (of(Conv(9), Conv(choice(9, 15), groups=2)), r"holds no architecture: block 2 \(conv\): groups must divide"),
        (of(GlobalAverage(), Conv(8)), r"holds no architecture: block 2 \(conv\): .* needs a picture"),
    ],
)
def test_a_space_with_no_point_says_why(space, said):
    with pytest.raises(ShapeError, match=said):
        ConstrainedSpace(space)


def test_a_dead_option_leaves_the_others():
    assert ConstrainedSpace(of(Conv(8, choice(3, 11), padding=0))).size == 1
