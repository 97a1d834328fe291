"""Named spaces contain the published networks of their family; stages expand to the expected templates."""

import random

import pytest

from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.catalogue import CATALOGUE, named
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import (
    Conv,
    ConvNeXtBlock,
    ConvPool,
    DenseBlock,
    GlobalAverage,
    Inception,
    InvertedResidual,
    Linear,
    Pool,
    Residual,
    ShuffleUnit,
)
from archsieve.spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from archsieve.spaces.constrained.feasibility import cheapest, check_feasible
from archsieve.spaces.constrained.indexing import architecture_at, index_of, walk
from archsieve.spaces.constrained.mutation import crossover, mutate
from archsieve.spaces.constrained.sampling import sample, sample_one
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.search_space.encoding import decisions_of
from archsieve.spaces.search_space.modern_spaces import MIN_LAST_SIDE
from archsieve.spaces.search_space.named import NAMED_SPACES, named_space
from archsieve.spaces.search_space.space import Space
from archsieve.spaces.search_space.stages import STACKS, STRIDED_BLOCKS, stage

SIZES = {
    "mixed": 632_904,
    "alexnet-space": 748_800,
    "vgg-space": 3_483_648,
    "inception-space": 686_128_968,
    "resnet-space": 45_034_530,
    "cifar-resnet-space": 2_983_473,
    "mobile-space": 143_632_211_344_327_324_800_000,
    "regnet-space": 7_539_840,
    "convnext-space": 553_584_375,
}
NETWORKS = {
    "alexnet-space": ["alexnet-2012", "alexnet-2012-merged"],
    "vgg-space": ["vgg11", "vgg13", "vgg16", "vgg19", "vgg11-bn", "vgg13-bn", "vgg16-bn", "vgg19-bn"],
    "inception-space": ["googlenet"],
    "resnet-space": [
        *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
        *("resnet34-a", "resnet34-c", "plain18", "plain34"),
    ],
    "cifar-resnet-space": [
        *(f"resnet{depth}-cifar" for depth in (20, 32, 44, 56, 110)),
        *(f"plain{depth}-cifar" for depth in (20, 32, 44, 56)),
    ],
    "regnet-space": ["regnet_x_400mf", "regnet_y_400mf"],
    "convnext-space": ["convnext_tiny"],
}


@pytest.fixture(scope="module")
def constrained_spaces():
    return {name: ConstrainedSpace(named_space(name)) for name in NAMED_SPACES}


@pytest.mark.parametrize("name", NAMED_SPACES)
def test_named_space_has_its_size_and_a_small_graph(name, constrained_spaces):
    assert constrained_spaces[name].size == SIZES[name]
    assert sum(len(node.edges) for node in constrained_spaces[name].graph.order) < 50_000


@pytest.mark.parametrize(("name", "network"), [(name, network) for name in NETWORKS for network in NETWORKS[name]])
def test_published_network_is_in_its_space(name, network, constrained_spaces):
    architecture = named(network)
    index = index_of(constrained_spaces[name], architecture)
    assert architecture_at(constrained_spaces[name], index).fingerprint == architecture.fingerprint


@pytest.mark.parametrize("remove", [(7,), (6, 7), (3, 4), (3, 4, 6, 7)])
@pytest.mark.parametrize("network", ["alexnet-2012", "alexnet-2012-merged"])
def test_alexnet_with_removed_layers_is_in_its_space(network, remove, constrained_spaces):
    architecture = named(network, remove=remove)
    constrained = constrained_spaces["alexnet-space"]
    assert architecture_at(constrained, index_of(constrained, architecture)).fingerprint == architecture.fingerprint


def test_alexnet_of_torchvision_is_in_the_space_at_its_input_shape():
    constrained = ConstrainedSpace(named_space("alexnet-space", input_shape=(3, 224, 224)))
    architecture = named("alexnet")
    assert architecture_at(constrained, index_of(constrained, architecture)).fingerprint == architecture.fingerprint


@pytest.mark.parametrize("name", NAMED_SPACES)
def test_index_of_inverts_architecture_at(name, constrained_spaces):
    constrained, rng = constrained_spaces[name], random.Random(name)
    for index in (0, constrained.size - 1, *(rng.randrange(constrained.size) for _ in range(20))):
        assert index_of(constrained, architecture_at(constrained, index)) == index


def test_mixed_has_many_networks_within_the_budget_of_the_digits():
    constrained = ConstrainedSpace(
        named_space("mixed", input_shape=(1, 8, 8), classes=10), Budget(params="60k", macs="6M")
    )
    rng = random.Random(0)
    points = [architecture_at(constrained, rng.randrange(constrained.size)) for _ in range(400)]
    assert sum(map(constrained.allows, points)) > 20
    seen = {block.kind for _ in range(100) for block in sample_one(constrained, rng).blocks}
    assert {"conv-pool", "residual", "inception"} <= seen


@pytest.mark.parametrize(
    ("input_shape", "side"),
    [
        ((1, 8, 8), 4),
        ((1, 28, 28), 7),
        ((3, 32, 32), 4),
        ((3, 64, 64), 8),
        ((3, 224, 224), 7),
        ((3, 4, 4), 4),
        ((3, 2, 2), 2),
    ],
)
def test_mixed_keeps_at_least_4_pixels_unless_the_image_is_smaller(input_shape, side):
    constrained = ConstrainedSpace(named_space("mixed", input_shape=input_shape))
    rng = random.Random(0)
    for _ in range(20):
        shapes = [shape for block, shape, *_ in architecture_at(constrained, rng.randrange(constrained.size)).walk()]
        assert shapes[-2][1:] == (side, side)
        assert side >= min(MIN_LAST_SIDE, *input_shape[1:])


def test_named_space_with_another_input_shape_and_classes():
    space = named_space("resnet-space", input_shape=(3, 64, 64), classes=100)
    assert (space.input_shape, space.classes, space.name) == ((3, 64, 64), 100, "resnet-space")


def test_space_that_cannot_take_its_input_gives_the_reason():
    with pytest.raises(
        ValueError,
        match=r"space 'vgg-space' .*no architecture: block [\w.-]+ \(conv-pool\): .*kernel \d+ on \d+ pixels",
    ):
        ConstrainedSpace(named_space("vgg-space", input_shape=(3, 16, 16)))


@pytest.mark.parametrize("name", ["mobile-space", "regnet-space", "convnext-space"])
@pytest.mark.parametrize(("side", "last"), [(224, 7), (64, 4), (32, 4), (8, 4)])
def test_modern_spaces_keep_at_least_4_pixels(name, side, last):
    space = named_space(name, input_shape=(3, side, side), classes=10)
    for index in (0, -1):  # the first or the last option of every choice
        blocks = space.fill(lambda path, options, index=index: index % len(options))
        shapes = [placed.in_shape for placed in Architecture(space.input_shape, blocks, 10).walk()]
        assert min(shape[1] for shape in shapes if len(shape) == 3) == last


def test_mobile_space_has_a_network_of_once_for_all():
    def stage_of(width, squeeze, act, stride, *blocks):
        """A stage with the given (kernel, expansion) of each block."""
        for number, (kernel, expansion) in enumerate(blocks):
            step = 1 if number else stride
            yield InvertedResidual(width, expansion, kernel, step, squeeze, "expanded", act)

    blocks = (
        *(Conv(16, 3, 2, act="hardswish"), InvertedResidual(16, 1, act="relu")),
        *stage_of(24, 0, "relu", 2, (3, 4), (5, 3)),
        *stage_of(40, 0.25, "relu", 2, (7, 6), (3, 3), (5, 4), (7, 3)),
        *stage_of(80, 0, "hardswish", 2, (3, 6), (3, 6), (5, 6)),
        *stage_of(112, 0.25, "hardswish", 1, (5, 4)),
        *stage_of(160, 0.25, "hardswish", 2, (7, 6), (5, 3), (3, 3)),
        *(Conv(960, 1, act="hardswish"), GlobalAverage(), Linear(1280, act="hardswish")),
    )
    network, space = Architecture((3, 224, 224), blocks, 1000), named_space("mobile-space")
    constrained = ConstrainedSpace(space)
    assert architecture_at(constrained, index_of(constrained, network)).fingerprint == network.fingerprint
    assert space.architecture(decisions_of(space, network)).fingerprint == network.fingerprint


@pytest.mark.parametrize(
    ("name", "budget", "tight"),
    [
        ("mobile-space", Budget(params="3M", macs="200M"), Budget(min_params="8M", macs="60M")),
        ("regnet-space", Budget(params="4M", macs="400M"), Budget(min_params="10M", macs="200M")),
        ("convnext-space", Budget(params="10M", macs="1.5G"), Budget(min_params="25M", macs="500M")),
    ],
)
def test_modern_spaces_are_sampled_and_proved_infeasible_under_a_joint_budget(name, budget, tight):
    constrained = ConstrainedSpace(named_space(name), budget)
    drawn = sample(constrained, 20, random.Random(name))
    assert len({architecture.fingerprint for architecture in drawn}) == 20
    for architecture in drawn:
        assert architecture.cost.params <= budget.params
        assert architecture.cost.macs <= budget.macs
    with pytest.raises(BudgetError, match=r"each limit alone .* not all together"):
        check_feasible(ConstrainedSpace(named_space(name), tight))


def test_mutations_and_crossovers_of_mobile_space_keep_a_joint_budget():
    budget, rng = Budget(params="3M", macs="200M"), random.Random(0)
    constrained = ConstrainedSpace(named_space("mobile-space"), budget)
    parents = [decisions_of(constrained.space, architecture) for architecture in sample(constrained, 2, rng)]
    children = [mutate(constrained, parents[i % 2], rng) for i in range(10)]
    children += [crossover(constrained, *parents, rng) for _ in range(10)]
    found = [constrained.space.architecture(child) for child in children if child is not None]
    assert len(found) > 10
    assert all(constrained.allows(architecture) for architecture in found)


@pytest.mark.parametrize("name", CATALOGUE)
def test_name_of_a_network_gives_a_space_with_only_this_network(name):
    space = named_space(name)
    ((index, architecture),) = walk(ConstrainedSpace(space))
    assert index == 0
    assert architecture.fingerprint == named(name).fingerprint
    assert space.name == name


def test_space_of_a_network_with_another_input_shape():
    space = named_space("resnet20-cifar", input_shape=(1, 28, 28), classes=7)
    assert cheapest(ConstrainedSpace(space))[1] == cost(named("resnet20-cifar", input_shape=(1, 28, 28), classes=7))


def test_unknown_space_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"space 'vgg-spaces'.*mean 'vgg-space'"):
        named_space("vgg-spaces")
    with pytest.raises(ValueError, match=r"space 'resnet20-cifer'.*mean 'resnet20-cifar'"):
        named_space("resnet20-cifer")


def test_stage_that_halves_the_image():
    assert stage(["conv-pool", "residual", "inception"], depth=[1, 2], width=[16, 24], kernel=(3, 5)) == choice(
        ConvPool(choice(16, 24), choice(3, 5), convs=choice(1, 2)),
        repeat(Residual(choice(16, 24)), choice(1, 2), {"stride": 2}),
        (repeat(Inception(choice(16, 24)), choice(1, 2)), Pool(2)),
    )


def test_stage_that_keeps_the_image_size():
    assert stage(["conv-pool", "bottleneck", "inception"], depth=[2], width=16, halve=False) == choice(
        repeat(Conv(16), 2), repeat(Residual(16, "bottleneck"), 2), repeat(Inception(16), 2)
    )


@pytest.mark.parametrize("halve", [True, False])
def test_every_stack_halves_or_keeps_the_image_size(halve):
    for name in (*STACKS, *STRIDED_BLOCKS):
        blocks = (stage(name, [1, 2], [16, 24], (3, 5), halve), GlobalAverage())
        for _, architecture in walk(ConstrainedSpace(Space((1, 8, 8), blocks, 10))):
            *_, last, _ = architecture.walk()
            assert last.in_shape[1:] == ((4, 4) if halve else (8, 8))


def test_deeper_and_wider_stage_costs_more():
    light, heavy = (Space((1, 8, 8), (stage("residual", size, 16 * size),), 10) for size in (1, 2))
    assert cost(light.architecture({})).params < cost(heavy.architecture({})).params


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (("conv-pol", 1, 8), r"stage 'conv-pol'.*mean 'conv-pool'"),
        (([], 1, 8), "at least one option"),
        (("residual", [], 8), "at least one option"),
        (("residual", 0, 8), r"depth of a stage .*at least 1\b.* 0$"),
        (("residual", [1, 2.5], 8), r"depth of a stage .* 2\.5$"),
        (("residual", "2", 8), r"depth of a stage .* '2'$"),
        (("inception", 1, [16, True]), r"width of a stage .* True$"),
        (("inception", 1, 4), r"inception: width .*at least 8\b.* 4$"),
        (("conv-pool", 1, 8, [3, 4]), r"conv-pool: kernel .*odd.* 4; use 3 or 5$"),
        (("residual", [1, 1], 8), r"options .*differ.*\b1\b"),
        (("residual", [0, 0, 1], 8), r"options .*differ.*\b0\b"),
        (("residual", [0], 8), r"depth of a stage .*at least 1\b.* 0$"),
        (("residual", [1, False], 8), r"depth of a stage .* False$"),
    ],
)
def test_invalid_stage_is_refused(arguments, pattern):
    with pytest.raises(ValueError, match=pattern):
        stage(*arguments)


def test_options_of_a_stage_are_fields_of_its_blocks():
    options = {"kernel": [3, 5], "expansion": [3, 6], "squeeze": 0.25, "act": "hardswish"}
    assert stage("inverted-residual", [1, 2], 16, **options) == repeat(
        InvertedResidual(16, choice(3, 6), choice(3, 5), squeeze=0.25, act="hardswish"), choice(1, 2), {"stride": 2}
    )
    # an option goes to the blocks that have it
    assert stage(["inverted-residual", "shuffle-unit"], 2, 16, halve=False, expansion=3) == choice(
        repeat(InvertedResidual(16, 3), 2), repeat(ShuffleUnit(16), 2)
    )
    assert stage("convnext", 2, 16, halve=False) == repeat(ConvNeXtBlock(16, 7), 2)
    assert stage("dense-block", [2, 4], 12) == DenseBlock(choice(2, 4), 12, stride=2)


def test_identity_leaves_out_any_block_but_the_first():
    assert stage(["residual", "identity"], 3, 16) == stage("residual", [1, 2, 3], 16)
    assert stage(["residual", "identity"], [2, 4], 16) == stage("residual", [1, 2, 3, 4], 16)


def test_with_each_every_block_chooses_for_itself():
    template = stage(
        ["inverted-residual", "fused-inverted-residual", "identity"], 3, [16, 24], [3, 5], each=True, expansion=[3, 6]
    )
    # 2 kinds x 2 kernels x 2 expansions of each block, 2 widths, 1 to 3 blocks
    constrained = ConstrainedSpace(Space((3, 8, 8), (Conv(8), template), 10))
    assert constrained.size == 2 * (8 + 8**2 + 8**3)
    for architecture in sample(constrained, 20, random.Random(0)):
        shapes = [placed.out_shape for placed in architecture.walk()][1:-1]
        assert len(set(shapes)) == 1
        assert shapes[0][1:] == (4, 4)


@pytest.mark.parametrize("halve", [True, False])
def test_with_each_the_blocks_of_every_stack_choose_for_themselves(halve):
    def networks(*arguments, **options):
        blocks = (Conv(8), stage(*arguments, halve=halve, **options), GlobalAverage())
        return {one.fingerprint for _, one in walk(ConstrainedSpace(Space((3, 16, 16), blocks, 10)))}

    n_distinct = {"conv-pool": 2 * (2 + 2 * 2), "dense-block": 2 + 2 * 2}  # kernels; growths
    for name in STACKS:
        own = networks(name, [1, 2], [16, 24], (3, 5), each=True)
        assert networks(name, [1, 2], [16, 24], (3, 5)) <= own
        assert len(own) == n_distinct.get(name, 2 * 2)
    # 3 kinds of each block, 2 widths, 1 or 2 blocks
    mixed = ["residual", "fire", "shuffle-unit", "identity"]
    assert len(networks(mixed, 2, [16, 24], each=True)) == 2 * (3 + 3 * 3)
    template = stage([*STACKS, *STRIDED_BLOCKS], [2, 3], [16, 24], halve=halve, each=True)
    space = Space((3, 16, 16), (Conv(8), template), 10)
    for architecture in sample(ConstrainedSpace(space), 50, random.Random(0)):
        *_, last = architecture.walk()
        assert last.in_shape[1:] == ((8, 8) if halve else (16, 16))


def test_a_depth_of_0_leaves_out_the_stage():
    assert stage("residual", [0, 1, 2], 16) == choice((), stage("residual", [1, 2], 16))
    assert stage(["residual", "identity"], [0, 2], 16) == choice((), stage("residual", [1, 2], 16))
    blocks = (Conv(8), stage(["residual", "fire"], [0, 2], 16, each=True), GlobalAverage())
    assert ConstrainedSpace(Space((3, 16, 16), blocks, 10)).size == 1 + 2 * 2


@pytest.mark.parametrize(
    ("blocks", "options", "pattern"),
    [
        (["conv-pool", "residual"], {"kernel": [3, 4], "each": True}, r"conv-pool: kernel .*odd.* 4; use 3 or 5$"),
        ("residual", {"expansion": 3}, r"residual .*no expansion"),
        ("inverted-residual", {"expansions": 3}, r"option of inverted-residual 'expansions'.*mean 'expansion'"),
        (["inverted-residual", "convnext"], {"ratio": 1}, r"'ratio'.*expansion"),
        ("identity", {}, r"only identity"),
        ("inverted-residual", {"expansion": [3, 0]}, r"expansion .*above 0.* 0; use 1"),
        ("inverted-residual", {"expansion": []}, r"at least one option"),
        (["convnext", "convnext"], {}, r"options .*differ.*'convnext'"),
    ],
)
def test_invalid_options_of_a_stage_are_refused(blocks, options, pattern):
    with pytest.raises(ValueError, match=pattern):
        stage(blocks, 2, 16, **options)
