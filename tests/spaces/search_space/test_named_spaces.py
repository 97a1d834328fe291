"""Named spaces contain the published networks of their family; stages expand to the expected templates."""

import random

import pytest

from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.catalogue import CATALOGUE, named
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Inception, Pool, Residual
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.feasibility import cheapest
from archsieve.spaces.constrained.indexing import architecture_at, index_of, walk
from archsieve.spaces.constrained.sampling import sample_one
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.search_space.named import MIN_FINAL_SIDE, NAMED_SPACES, named_space
from archsieve.spaces.search_space.space import Space
from archsieve.spaces.search_space.stages import stage

SIZES = {
    "mixed": 632_904,
    "alexnet-space": 748_800,
    "vgg-space": 3_483_648,
    "inception-space": 686_128_968,
    "resnet-space": 45_034_530,
    "cifar-resnet-space": 2_983_473,
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
        assert side >= min(MIN_FINAL_SIDE, *input_shape[1:])


def test_named_space_with_another_input_shape_and_classes():
    space = named_space("resnet-space", input_shape=(3, 64, 64), classes=100)
    assert (space.input_shape, space.classes, space.name) == ((3, 64, 64), 100, "resnet-space")


def test_space_that_cannot_take_its_input_gives_the_reason():
    with pytest.raises(
        ValueError,
        match=r"space 'vgg-space' .*no architecture: block [\w.-]+ \(conv-pool\): .*kernel \d+ on \d+ pixels",
    ):
        ConstrainedSpace(named_space("vgg-space", input_shape=(3, 16, 16)))


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
    for name in ("conv-pool", "residual", "bottleneck", "inception"):
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
        (("conv-pool", 1, 8, [3, 4]), r"conv-pool: kernel .*odd.* 4$"),
        (("residual", [1, 1], 8), r"options .*differ.*\b1\b"),
    ],
)
def test_invalid_stage_is_refused(arguments, pattern):
    with pytest.raises(ValueError, match=pattern):
        stage(*arguments)
