"""Search spaces: decisions, JSON, fingerprints, and errors for invalid templates."""

import json
import pickle

import pytest

from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.base import ShapeError
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Inception, Pool, Residual, block_from_json
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.search_space.encoding import decisions_of
from archsieve.spaces.search_space.named import NAMED_SPACES, named_space
from archsieve.spaces.search_space.space import Space, enumerate_decisions
from archsieve.spaces.search_space.stages import stage

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


def test_decision_exists_only_if_it_applies():
    residual_decisions = [decisions for decisions, _ in enumerate_decisions(SPACE.fill) if decisions["2"] == 1]
    assert {frozenset(d) for d in residual_decisions} == {frozenset({"1.conv.width", "2", "2.residual.times", "3"})}


def test_decisions_lead_to_their_architecture():
    decisions = {"1.conv.width": 1, "2": 1, "2.residual.times": 1, "3": 1}
    assert str(SPACE.architecture(decisions)) == "conv 16 > residual 16 stride=2 > residual 16 > global-average"


def test_missing_decision_is_named():
    with pytest.raises(ValueError, match=r"decision '2' .*missing"):
        SPACE.architecture({"1.conv.width": 1})


def test_every_combination_of_decisions_comes_once():
    combinations = [tuple(decisions.items()) for decisions, _ in enumerate_decisions(SPACE.fill)]
    assert len(combinations) == len(set(combinations)) == 2 * (4 + 2 + 4) * 2


def test_decisions_of_inverts_architecture():
    for _, blocks in enumerate_decisions(SPACE.fill):
        architecture = Architecture(SPACE.input_shape, blocks, SPACE.classes)
        decisions = decisions_of(SPACE, architecture)
        assert decisions is not None
        assert SPACE.architecture(decisions).fingerprint == architecture.fingerprint


def test_decisions_of_an_architecture_outside_the_space_are_none():
    assert decisions_of(SPACE, Architecture((1, 8, 8), (Conv(9),), 10)) is None
    assert decisions_of(SPACE, Architecture((1, 9, 9), (Conv(8),), 10)) is None


@pytest.mark.parametrize("space", [SPACE, *(named_space(name) for name in NAMED_SPACES)], ids=lambda s: s.name)
def test_json_and_pickle_round_trips(space):
    restored = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert restored == space
    assert restored.fingerprint == space.fingerprint
    assert pickle.loads(pickle.dumps(space)) == space


def test_name_does_not_change_the_fingerprint():
    assert (
        named_space("mixed").fingerprint == Space.from_json({**named_space("mixed").to_json(), "name": "x"}).fingerprint
    )
    assert named_space("mixed").fingerprint != SPACE.fingerprint


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (lambda: of(Conv(8), "conv"), "block 2: .*'conv'"),
        (lambda: of(choice(Conv(8), 3)), r"block 1, choice: .* 3\b"),
        (lambda: of(repeat(ConvPool(8), 2)), "block 1: .*repeat .*size, but conv-pool "),
        (lambda: of(repeat(Pool(2), choice(0, 2))), "block 1: .*repeat .*size, but pool "),
        (lambda: of(repeat(Conv(8, stride=2), 2)), r'size, but conv .*first=\{"stride": 2\}'),
        (lambda: of(repeat(Conv(8, stride=choice(1, 2)), 2)), "size, but conv "),
        (lambda: of(repeat(Inception(16, stride=2), 2)), "size, but inception "),
        (lambda: of(repeat(Conv(8), 2, {"strides": 2})), r"`first` .*conv .*'strides'.*\bstride\b"),
        (lambda: Space((1, 8), (), 10), r"input shape .*\(1, 8\)"),
        (lambda: Space((1, 8, 8), (), 1), r"classes .*at least 2\b.* 1\b"),
    ],
)
def test_invalid_space_is_refused(make, pattern):
    with pytest.raises(ValueError, match=pattern):
        make()


@pytest.mark.parametrize(
    ("space", "pattern"),
    [
        (
            of(Conv(8), Conv(choice(8, 16), 11, padding=0)),
            r"block 2 \(conv\): .*kernel 11 .*8 pixels",
        ),
        (
            of(ConvPool(8), ConvPool(8), ConvPool(8), ConvPool(8)),
            r"block 4 \(conv-pool\): .*\b1 pixels",
        ),
        (of(Conv(9), Conv(choice(9, 15), groups=2)), r"no architecture: block 2 \(conv\): groups "),
        (of(GlobalAverage(), Conv(8)), r"no architecture: block 2 \(conv\): .*\(C, H, W\)"),
    ],
)
def test_space_without_architectures_gives_the_reason(space, pattern):
    with pytest.raises(ShapeError, match=pattern):
        ConstrainedSpace(space)


def test_option_that_never_fits_leaves_the_others():
    assert ConstrainedSpace(of(Conv(8, choice(3, 11), padding=0))).size == 1


@pytest.mark.parametrize("name", ["kind", "constraints"])
def test_a_class_variable_of_a_block_is_no_option(name):
    with pytest.raises(ValueError, match=f"unknown option of inverted-residual '{name}'"):
        stage("inverted-residual", 1, 16, **{name: "x"})
    with pytest.raises(ValueError, match=f"has no field '{name}'"):
        Space((1, 8, 8), (repeat(Conv(8), 2, first={name: "x"}),), 10)
    with pytest.raises(ValueError, match="unknown field of conv 'constraints'"):
        block_from_json({"kind": "conv", "width": 8, "constraints": {}})


def test_the_form_of_no_squeeze_gives_no_second_network():
    stages = (stage("inverted-residual", 1, 16, squeeze=[0, 0.25], squeeze_form=["input", "expanded"]),)
    assert ConstrainedSpace(Space((3, 8, 8), stages, 10)).size == 3
