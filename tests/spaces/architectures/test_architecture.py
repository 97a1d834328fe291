"""The architecture as a value: JSON both ways, one canonical form, one stable fingerprint."""

import json
import os
import pickle
import subprocess
import sys

import pytest

from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.catalogue import CATALOGUE, named
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.base import ShapeError
from archsieve.spaces.blocks.standard import (
    Conv,
    ConvPool,
    GlobalAverage,
    Inception,
    Linear,
    Pool,
    PyramidPool,
    Residual,
    ResponseNorm,
    block_from_json,
)

SMALL = Architecture((3, 16, 16), (Conv(8), Residual(16, stride=2), Inception(16), Linear(12)), 10)
SMALL_FINGERPRINT = "e5f03350829d49d9aa4d33da57af294431c5e10aebc6bc4d775c220a3cf8d353"


def of(*blocks):
    return Architecture((3, 16, 16), blocks, 10)


@pytest.mark.parametrize("name", CATALOGUE)
def test_json_round_trip(name):
    architecture = named(name)
    again = Architecture.from_json(json.loads(json.dumps(architecture.to_json())))
    assert again == architecture
    assert again.fingerprint == architecture.fingerprint


@pytest.mark.parametrize("name", ["alexnet-2012", "googlenet", "resnet20-cifar", "prelu-net"])
def test_canonical_form_is_idempotent_and_costs_the_same(name):
    architecture = named(name)
    canonical = architecture.canonical()
    assert canonical.canonical() == canonical
    assert canonical.fingerprint == architecture.fingerprint
    assert cost(canonical) == cost(architecture)


def test_canonical_json_round_trip():
    canonical = SMALL.canonical()
    assert Architecture.from_json(json.loads(json.dumps(canonical.to_json()))) == canonical


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (of(ConvPool(8, convs=2)), of(Conv(8), Conv(8), Pool(2))),
        (of(ConvPool(8, pool="average")), of(Conv(8), Pool(2, 2, mode="average"))),
        (of(Conv(8), Residual(8, shortcut="A")), of(Conv(8), Residual(8, shortcut="B"))),
        (of(Residual(8, shortcut="B")), of(Residual(8, shortcut="C"))),
        (of(Residual(8, shortcut="none")), of(Conv(8), Conv(8))),
        (of(Residual(8, stride_first=True)), of(Residual(8))),
        (of(Conv(8, 5)), of(Conv(8, 5, padding=2))),
        (of(Inception(16)), of(Inception(branches=(4, 6, 8, 1, 2, 2)))),
        (of(Pool(2)), of(Pool(2, 2))),
    ],
    ids=str,
)
def test_two_ways_to_write_one_network_are_one_network(one, other):
    assert one != other
    assert one.fingerprint == other.fingerprint


def test_different_networks_differ():
    networks = [
        of(Conv(8)),
        of(Conv(9)),
        of(Conv(8, act="prelu")),
        of(Conv(8), Residual(16, stride=2, shortcut="A")),
        of(Conv(8), Residual(16, stride=2)),
        of(Residual(8)),
        of(Residual(8, shortcut="none")),
        Architecture((3, 16, 16), (Conv(8),), 11),
        Architecture((3, 16, 17), (Conv(8),), 10),
    ]
    assert len({network.fingerprint for network in networks}) == len(networks)


def test_the_fingerprint_is_golden():
    assert SMALL.fingerprint == SMALL_FINGERPRINT


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_fingerprint_is_the_same_in_every_process(hash_seed):
    program = (
        "import json, sys; from archsieve.spaces.architectures.architecture import Architecture; "
        "print(Architecture.from_json(json.load(sys.stdin)).fingerprint)"
    )
    out = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(SMALL.to_json()),
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == SMALL_FINGERPRINT


def test_an_architecture_can_be_pickled_and_hashed():
    assert SMALL.fingerprint
    again = pickle.loads(pickle.dumps(SMALL))
    assert again == SMALL
    assert {SMALL: 1}[again] == 1


def test_without_blocks_it_is_a_linear_classifier():
    linear = Architecture((1, 8, 8), (), 10)
    assert str(linear) == "linear"
    assert cost(linear).params == 650


def test_one_line_says_what_is_unusual():
    assert str(of(Conv(8, 5), Residual(16, stride=2))) == "conv 8 kernel=5 > residual 16 stride=2"


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        (
            (Conv(8, 19, padding=1),),
            r"block 1 \(conv\): .* kernel 19 on 16 pixels with padding 1; use a smaller kernel",
        ),
        (
            (Conv(8), Conv(9, groups=2)),
            r"block 2 \(conv\): groups must divide .* groups 2 with 8 channels in and 9 out",
        ),
        ((*[ConvPool(8)] * 5,), r"block 5 \(conv-pool\): .* kernel 2 on 1 pixels"),
        ((Conv(8, 3, 16, 0), Pool(2)), r"block 2 \(pool\): .* fewer strides before it"),
        ((Linear(8), Conv(8)), r"block 2 \(conv\): convolution needs a picture .* place it earlier"),
        ((Linear(8), Residual(8)), r"block 2 \(residual\): residual needs a picture"),
        ((Linear(8), GlobalAverage()), r"block 2 \(global-average\)"),
        ((Residual(10, "bottleneck"),), r"block 1 \(residual\): a bottleneck needs a width that 4 divides, .* use 12"),
        ((Conv(16), Residual(8, shortcut="A")), r"block 2 \(residual\): shortcut A can only add .* 16 become 8"),
        ((Pool(1),), r"block 1 \(pool\): a pool of one pixel does nothing; leave it out"),
        ((Pool(3, padding=2),), r"block 1 \(pool\): padding must be at most half the kernel"),
        ((PyramidPool((17,)),), r"block 1 \(pyramid-pool\): .* at least 17 pixels a side"),
        ((Inception(16, stride=32), Inception(16), Pool(2)), r"block 3 \(pool\)"),
    ],
)
def test_a_shape_error_names_the_block_and_the_cure(blocks, said):
    with pytest.raises(ShapeError, match=said):
        of(*blocks)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Conv(0), "conv: width must be a whole number of at least 1, but got 0"),
        (lambda: Conv(8, 3.0), "conv: kernel must be a whole number of at least 1, but got 3.0"),
        (lambda: Conv(True), "conv: width must be"),
        (lambda: Conv(8, act="rule"), "conv: act must be one of relu, prelu, .*, but got 'rule'"),
        (lambda: ConvPool(8, 4), "conv-pool: kernel must be an odd whole number of at least 1, but got 4"),
        (lambda: Residual(8, shortcut="D"), "residual: shortcut must be one of A, B, C, none, but got 'D'"),
        (lambda: Inception(7), "inception: width must be a whole number of at least 8, or left out, but got 7"),
        (lambda: Inception(), "inception needs either `width` or `branches`"),
        (lambda: Inception(16, branches=(1,) * 6), "inception needs either `width` or `branches`"),
        (lambda: Inception(branches=(4, 0, 4, 4, 4, 4)), "inception: branches must be six whole numbers"),
        (lambda: PyramidPool(()), "pyramid-pool: bins must be one or more whole numbers"),
        (lambda: ResponseNorm(0), "response-norm: size must be"),
    ],
)
def test_a_block_refuses_what_it_cannot_mean(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Architecture((3, 16), (), 10), r"an input shape is \(channels, height, width\)"),
        (lambda: Architecture((3, 0, 16), (), 10), "all at least 1"),
        (lambda: Architecture((3, 16, 16), (), 1), "classes must be a whole number of at least 2, but got 1"),
        (lambda: Architecture((3, 16, 16), ("conv",), 10), "put choices into a Space"),
        (lambda: Architecture.from_json({"blocks": []}), "input_shape, classes is missing"),
        (lambda: block_from_json({"width": 8}), 'a block is an object with a "kind"'),
        (lambda: block_from_json({"kind": "convpool"}), "unknown block 'convpool'; did you mean 'conv-pool'"),
        (lambda: block_from_json({"kind": "conv", "widht": 8}), "unknown field of conv 'widht'; did you mean 'width'"),
        (lambda: block_from_json({"kind": "conv"}), "conv needs width, as in"),
    ],
)
def test_an_architecture_refuses_what_it_cannot_mean(make, said):
    with pytest.raises(ValueError, match=said):
        make()
