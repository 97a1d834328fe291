"""Ways to write the same function with the same cost count once in a space."""

import random

import pytest

from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, GlobalAverage, InvertedResidual, Pool, Residual
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.indexing import index_of, walk
from archsieve.spaces.constrained.sampling import count
from archsieve.spaces.parameters.domains import choice
from archsieve.spaces.search_space.space import Space

# (side of the image, options of which all compute the same function)
SAME = [
    (8, (Pool(2), Pool(2, ceil=True))),
    (7, (Pool(3, 2, 1), Pool(3, 2, 1, ceil=True))),
    (7, (Pool(3, 2, mode="average"), Pool(3, 2, mode="average", ceil=True))),
    (4, (Pool(4), Pool(4, 1), Pool(4, 2, ceil=True))),
    (1, (Conv(8, 3, 1), Conv(8, 3, 2))),
    (1, (Residual(8, stride=2, shortcut="A"), Residual(8, stride=4, shortcut="A"))),
]
DIFFERENT = [
    (7, (Pool(2), Pool(2, ceil=True))),
    (8, (Pool(3, 2), Pool(3, 2, ceil=True))),
    (8, (Pool(4), Pool(4, 2))),
    (8, (Pool(2), Pool(2, mode="average"))),
    (2, (Conv(8, 3, 1), Conv(8, 3, 2))),
]


def space_of(side, options):
    return Space((3, side, side), (Conv(4), choice(*options), GlobalAverage()), 10)


@pytest.mark.parametrize(("side", "options"), SAME)
def test_duplicates_count_once_and_every_way_to_write_them_is_in_the_space(side, options):
    constrained = ConstrainedSpace(space_of(side, options))
    assert constrained.size == count(constrained).value == len(list(walk(constrained))) == 1
    written = [Architecture((3, side, side), (Conv(4), option, GlobalAverage()), 10) for option in options]
    assert {index_of(constrained, architecture) for architecture in written} == {0}
    assert len({architecture.cost for architecture in written}) == 1


@pytest.mark.parametrize(("side", "options"), DIFFERENT)
def test_different_functions_count_apart(side, options):
    assert ConstrainedSpace(space_of(side, options)).size == 2


def test_equal_functions_with_different_costs_count_apart():
    # an inverted residual counts the output of its last norm as saved for training, a convolution of its own does not;
    # which of the two a network is decides whether it fits a limit of memory
    written = ((Conv(4, groups=4, act="relu6"), Conv(8, 1, act="none")), (InvertedResidual(8, 1),))
    one, other = (Architecture((3, 8, 8), (Conv(4), *blocks, GlobalAverage()), 10).cost for blocks in written)
    assert one[:3] == other[:3]
    assert one.kept_bytes < other.kept_bytes
    assert ConstrainedSpace(space_of(8, written)).size == 2


@pytest.mark.parametrize(("side", "options"), SAME)
def test_duplicates_compute_the_same_outputs(side, options):
    import torch

    from archsieve.models.networks.build import build

    images, outputs = torch.rand(2, 3, side, side), []
    for option in options:
        torch.manual_seed(random.Random(0).randrange(100))
        network = build(Architecture((3, side, side), (Conv(4), option, GlobalAverage()), 10)).eval()
        outputs.append(network(images))
    assert all(torch.equal(output, outputs[0]) for output in outputs)
