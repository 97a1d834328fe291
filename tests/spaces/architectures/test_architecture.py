"""Architectures: JSON round trip, canonical form, stable fingerprint, and errors of blocks."""

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
from archsieve.spaces.parameters.domains import choice

SMALL = Architecture((3, 16, 16), (Conv(8), Residual(16, stride=2), Inception(16), Linear(12)), 10)
SMALL_FINGERPRINT = "e5f03350829d49d9aa4d33da57af294431c5e10aebc6bc4d775c220a3cf8d353"


def of(*blocks):
    return Architecture((3, 16, 16), blocks, 10)


@pytest.mark.parametrize("name", CATALOGUE)
def test_json_round_trip(name):
    architecture = named(name)
    restored = Architecture.from_json(json.loads(json.dumps(architecture.to_json())))
    assert restored == architecture
    assert restored.fingerprint == architecture.fingerprint


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
def test_different_spellings_of_a_network_have_one_fingerprint(one, other):
    assert one != other
    assert one.fingerprint == other.fingerprint


def test_different_networks_have_different_fingerprints():
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


def test_fingerprint_has_not_changed():
    assert SMALL.fingerprint == SMALL_FINGERPRINT


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_fingerprint_is_the_same_in_every_process(hash_seed):
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


def test_architecture_can_be_pickled_and_hashed():
    assert SMALL.fingerprint
    restored = pickle.loads(pickle.dumps(SMALL))
    assert restored == SMALL
    assert {SMALL: 1}[restored] == 1


def test_architecture_without_blocks_is_a_linear_classifier():
    linear = Architecture((1, 8, 8), (), 10)
    assert str(linear) == "linear"
    assert cost(linear).params == 650


def test_text_has_the_fields_that_are_not_defaults():
    assert str(of(Conv(8, 5), Residual(16, stride=2))) == "conv 8 kernel=5 > residual 16 stride=2"


@pytest.mark.parametrize(
    ("blocks", "pattern"),
    [
        (
            (Conv(8, 19, padding=1),),
            r"block 1 \(conv\): .*kernel 19 .*16 pixels.*padding 1\b.*smaller kernel",
        ),
        (
            (Conv(8), Conv(9, groups=2)),
            r"block 2 \(conv\): groups .*groups 2 .*8 channels.*\b9 out",
        ),
        ((*[ConvPool(8)] * 5,), r"block 5 \(conv-pool\): .*kernel 2 .*1 pixels"),
        ((Conv(8, 3, 16, 0), Pool(2)), r"block 2 \(pool\): .*fewer strides"),
        ((Linear(8), Conv(8)), r"block 2 \(conv\): convolution .*\(C, H, W\).*\(8,\).*earlier"),
        ((Linear(8), Residual(8)), r"block 2 \(residual\): residual .*\(C, H, W\).*\(8,\)"),
        ((Linear(8), GlobalAverage()), r"block 2 \(global-average\)"),
        ((Residual(10, "bottleneck"),), r"block 1 \(residual\): .*bottleneck.*\b4\b.*\b10\b.*use 12"),
        ((Conv(16), Residual(8, shortcut="A")), r"block 2 \(residual\): shortcut A .*\b16\b.*\b8;"),
        ((Pool(1),), r"block 1 \(pool\): .*kernel 1"),
        ((Pool(3, padding=2),), r"block 1 \(pool\): padding .*padding 2 .*kernel 3;.*padding 1\b"),
        ((PyramidPool((17,)),), r"block 1 \(pyramid-pool\): .*17 pixels.*\(3, 16, 16\)"),
        ((Inception(16, stride=32), Inception(16), Pool(2)), r"block 3 \(pool\)"),
    ],
)
def test_shape_error_names_the_block_and_a_fix(blocks, pattern):
    with pytest.raises(ShapeError, match=pattern):
        of(*blocks)


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (lambda: Conv(0), r"conv: width .*at least 1\b.* 0$"),
        (lambda: Conv(8, 3.0), r"conv: kernel .*at least 1\b.* 3\.0$"),
        (lambda: Conv(True), r"conv: width .* True$"),
        (lambda: Conv(8, act="rule"), r"conv: act .*relu, relu6, prelu.* 'rule'$"),
        (lambda: ConvPool(8, 4), r"conv-pool: kernel .*odd.* 4; use 3 or 5$"),
        (lambda: Residual(8, shortcut="D"), r"residual: shortcut .*A, B, C, none.* 'D'$"),
        (lambda: Inception(7), r"inception: width .*at least 8\b.* 7$"),
        (lambda: Inception(), r"inception .*`width` or `branches`.*width=None.*branches=None"),
        (lambda: Inception(16, branches=(1,) * 6), r"inception .*`width` or `branches`.*width=16"),
        (lambda: Inception(branches=(4, 0, 4, 4, 4, 4)), r"inception: branches .*six.*\(4, 0, 4, 4, 4, 4\)$"),
        (lambda: PyramidPool(()), r"pyramid-pool: bins .*\(\)$"),
        (lambda: ResponseNorm(0), r"response-norm: size .* 0$"),
    ],
)
def test_invalid_block_is_refused(make, pattern):
    with pytest.raises(ValueError, match=pattern):
        make()


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (lambda: Architecture((3, 16), (), 10), r"input shape .*\(channels, height, width\).*\(3, 16\)"),
        (lambda: Architecture((3, 0, 16), (), 10), r"at least 1\b.*\(3, 0, 16\)"),
        (lambda: Architecture((3, 16, 16), (), 1), r"classes .*at least 2\b.* 1\b"),
        (lambda: Architecture((3, 16, 16), ("conv",), 10), r"blocks .*'conv'.*Space"),
        (lambda: Architecture.from_json({"blocks": []}), r"but input_shape, classes\b"),
        (lambda: block_from_json({"width": 8}), r'"kind".*\{\'width\': 8\}'),
        (lambda: block_from_json({"kind": "convpool"}), r"block 'convpool'.*'conv-pool'"),
        (lambda: block_from_json({"kind": "conv", "widht": 8}), r"conv 'widht'.*'width'"),
        (lambda: block_from_json({"kind": "conv"}), r"conv needs width\b"),
    ],
)
def test_invalid_architecture_is_refused(make, pattern):
    with pytest.raises(ValueError, match=pattern):
        make()


def test_a_choice_in_an_architecture_is_refused_with_the_block():
    with pytest.raises(ValueError, match=r"conv.*Space|Conv.*Space"):
        Architecture((1, 8, 8), (Conv(choice(8, 16)),), 10)
