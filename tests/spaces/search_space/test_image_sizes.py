"""The image size as a choice: exact costs, counts and draws; what the sizes share, and which values are refused."""

import json
import random

import pytest

from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.blocks.backbone import Resize
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.indexing import index_of, walk
from archsieve.spaces.constrained.mutation import mutate
from archsieve.spaces.constrained.sampling import count, histogram, sample
from archsieve.spaces.search_space.encoding import decisions_of
from archsieve.spaces.search_space.image_sizes import with_image_sizes
from archsieve.spaces.search_space.modern_spaces import mobile_space
from archsieve.spaces.search_space.named import named_space
from archsieve.spaces.search_space.space import Space
from archsieve.spaces.search_space.stages import stage

SHAPE = (3, 12, 12)
BUDGET = Budget(params="9k", macs="150k", ram="9kB", precision="int8")


def stages(shape):
    """Two stages of which the second may be left out."""
    return (stage("residual", [1, 2], [8, 16]), stage("fire", [0, 1], [8, 16]))


def of_size(side):
    return ConstrainedSpace(Space((3, side, side), stages(None), 10))


def test_counts_draws_and_costs_equal_those_of_each_size():
    space = Space(SHAPE, with_image_sizes(stages, SHAPE, [8, 12, 16]), 10)
    constrained = ConstrainedSpace(space, BUDGET)
    everything = [one for _, one in walk(ConstrainedSpace(space))]
    assert len({one.fingerprint for one in everything}) == constrained.size == 3 * of_size(8).size
    for one in everything:
        first, *rest = one.blocks if isinstance(one.blocks[0], Resize) else (Resize(12), *one.blocks)
        alone = Architecture((3, first.size, first.size), tuple(rest), 10).cost
        assert (one.cost.params, one.cost.macs, one.cost.activations) == alone[:3]
    fitting = {one.fingerprint for one in everything if constrained.allows(one)}
    assert 0 < len(fitting) < len(everything)
    assert count(constrained).value == count(constrained).low == len(fitting)
    assert sum(n for *_, n in histogram(constrained)) == len(fitting)
    drawn = sample(constrained, 40 * len(fitting), random.Random(0))
    assert {one.fingerprint for one in drawn} == fitting
    decisions = decisions_of(space, drawn[0])
    assert space.architecture(decisions).fingerprint == drawn[0].fingerprint
    changed = [mutate(constrained, decisions, random.Random(seed)) for seed in range(20)]
    assert all(constrained.allows(space.architecture(one)) for one in changed if one)
    assert Space.from_json(json.loads(json.dumps(space.to_json()))) == space


def test_mobile_space_chooses_depth_width_kernel_expansion_and_image_size():
    whole = named_space("mobile-space", input_shape=(3, 224, 224), image_size=[160, 224])
    without = named_space("mobile-space")
    assert without.blocks == mobile_space((3, 224, 224))  # search files of today keep their space
    assert ConstrainedSpace(whole).size == 2 * ConstrainedSpace(without).size
    at_160 = Architecture((3, 160, 160), without.fill(lambda path, options: 0), 1000)
    resized = Architecture((3, 224, 224), (Resize(160, "bilinear"), *at_160.blocks), 1000)
    assert resized.cost.macs == at_160.cost.macs
    assert index_of(ConstrainedSpace(whole), resized) >= 0
    budget = Budget(params="2M", macs="40M")
    drawn = sample(ConstrainedSpace(whole, budget), 5, random.Random(0))
    assert all(one.cost.params <= budget.params and one.cost.macs <= budget.macs for one in drawn)


def test_sizes_with_other_blocks_have_blocks_of_their_own():
    space = named_space("mixed", input_shape=(3, 64, 64), image_size=[64, 72])  # another stem above 64 pixels
    size = ConstrainedSpace(space).size
    assert size == sum(ConstrainedSpace(named_space("mixed", input_shape=(3, s, s))).size for s in (64, 72))


def test_a_network_of_the_catalogue_at_several_sizes():
    space = named_space("resnet20-cifar", image_size=[16, 32])
    assert [one.cost.macs for _, one in walk(ConstrainedSpace(space))] == [
        named_space("resnet20-cifar", input_shape=(3, side, side)).architecture({}).cost.macs for side in (16, 32)
    ]
    one = named_space("resnet20-cifar", image_size=16).architecture({})
    assert (one.input_shape, one.blocks[0]) == ((3, 32, 32), Resize(16, "bilinear"))
    with pytest.raises(ValueError, match=r"at an image size of 8: block \d+ .*"):
        named_space("alexnet-2012", image_size=[8, 227])


@pytest.mark.parametrize("wrong", [0, -1, True, 12.0, "224", [], [16, "8"]])
def test_wrong_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match=r"image_size must be .*whole number.*; use 224"):
        named_space("mixed", image_size=wrong)
