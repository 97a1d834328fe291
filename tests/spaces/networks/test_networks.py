"""Networks of timm and torchvision: the table, patterns of names, and spaces that keep a budget."""

import json
import random
import subprocess
import sys

import pytest

from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.blocks.backbone import Network
from archsieve.spaces.blocks.base import ShapeError
from archsieve.spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from archsieve.spaces.constrained.feasibility import cheapest, check_feasible
from archsieve.spaces.constrained.mutation import mutate
from archsieve.spaces.constrained.sampling import count, sample
from archsieve.spaces.networks.listing import SORT_KEYS, list_networks
from archsieve.spaces.networks.networks_space import network_name, networks_space, published_network
from archsieve.spaces.networks.patterns import select
from archsieve.spaces.networks.table import TABLE, network_table
from archsieve.spaces.search_space.encoding import decisions_of
from archsieve.spaces.search_space.space import Space

SMALL = Budget(params="5M", macs="600M")


def test_the_table_is_small_and_complete():
    table = network_table()
    assert TABLE.stat().st_size < 1_000_000
    assert len({network.family for network in table.values()}) > 10
    for name, network in table.items():
        assert name == network.name
        assert bool(network.costs) != bool(network.refused), name
        if not network.refused:
            assert network.size in network.costs, name
            assert network.features > 0
            assert len(network.mean) == len(network.std) == network.channels
            assert network.interpolation in ("bicubic", "bilinear")
            assert 0.5 < network.crop_pct <= 1
            assert all(costs.macs > 0 and costs.peak_bytes > 0 for costs in network.costs.values()), name


# parameters and multiply-accumulates that torchvision publishes with its weights (parameters with the classifier)
@pytest.mark.parametrize(
    ("name", "params", "gmacs", "top1"),
    [
        ("torchvision:resnet50", 25_557_032, 4.09, 80.858),
        ("torchvision:mobilenet_v3_large", 5_483_032, 0.22, 75.274),
        ("torchvision:vit_b_16", 86_567_656, 17.56, 81.072),
        ("torchvision:swin_t", 28_288_354, 4.49, 81.474),
    ],
)
def test_costs_and_accuracies_are_those_that_torchvision_publishes(name, params, gmacs, top1):
    network = network_table()[name]
    cost = Architecture((3, network.size, network.size), (network.block(network.size),), 1000).cost
    assert cost.params == params
    assert cost.macs / 1e9 == pytest.approx(gmacs, abs=0.01)
    assert network.top1 == top1


def test_patterns_select_names_wildcards_and_families():
    assert [network.name for network in select("torchvision:resnet18")] == ["torchvision:resnet18"]
    family = {network.name for network in select("torchvision:resnet")}
    assert {"torchvision:resnet18", "torchvision:wide_resnet50_2", "torchvision:resnext50_32x4d"} <= family
    names = [network.name for network in select(["torchvision:resnet*", "torchvision:resnet18"])]
    assert len(names) == len(set(names)) == 5
    assert all(network.tag for network in select("timm:*", pretrained=True))
    assert len(select("timm:*", pretrained=True)) <= len(select("timm:*"))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("torchvision:resnet19", "torchvision:resnet18"),
        ("torchvision:mobilnet*", "torchvision:mobilenet"),
        ("resnet18", '"timm:"'),
        ("tim:*", '"timm:"'),
        ("torchvision:squeezenet1_0", "linear layer"),
        (3, '"timm:"'),
        ([], "at least one"),
        ("timm:" + 1000 * "x", "timm:xxx"),
    ],
)
def test_a_pattern_without_a_match_is_answered_with_the_nearest_names(pattern, expected):
    with pytest.raises(ValueError, match=r"; ") as error:
        select(pattern)
    assert expected in str(error.value)
    assert len(str(error.value)) < 500


def test_a_space_of_networks_counts_draws_and_mutates_inside_the_budget():
    space = networks_space("torchvision:*", input_shape=(3, 64, 64), classes=10)
    constrained = ConstrainedSpace(space, SMALL)
    listed = list_networks("torchvision:*", SMALL, classes=10)
    everything = [Architecture((3, 64, 64), (n.block(n.size),), 10) for n in select("torchvision:*")]
    fitting = [architecture for architecture in everything if SMALL.allows(architecture.cost)]
    assert constrained.size == len(everything)
    assert int(count(constrained)) == len(fitting) == len(listed.rows) > 5
    drawn = sample(constrained, 300, random.Random(0))
    assert {one.fingerprint for one in drawn} == {one.fingerprint for one in fitting}
    least = min(fitting, key=lambda one: one.cost.params)
    assert cheapest(constrained, "params")[0].fingerprint == least.fingerprint
    decisions = decisions_of(space, drawn[0])
    assert decisions is not None
    changed = mutate(constrained, decisions, random.Random(0))
    assert changed is not None
    assert SMALL.allows(space.architecture(changed).cost)
    assert Space.from_json(json.loads(json.dumps(space.to_json()))) == space
    assert Architecture.from_json(drawn[0].to_json()) == drawn[0]
    assert published_network(drawn[0]).name == network_name(drawn[0])
    with pytest.raises(BudgetError, match="params"):
        check_feasible(ConstrainedSpace(space, Budget(params="1k")))


def test_the_image_size_is_a_choice_with_its_cost():
    name = "torchvision:mobilenet_v3_small"
    sizes = tuple(network_table()[name].costs)
    assert {32, 64, 224} <= set(sizes)
    space = networks_space(name, input_shape=(3, 64, 64), classes=10, image_size=sizes)
    constrained = ConstrainedSpace(space)
    assert constrained.size == len(sizes)
    costs = {a.blocks[0].size: a.cost for a in sample(constrained, 50, random.Random(0))}
    assert costs[32].macs < costs[64].macs < costs[224].macs
    assert costs[32].params == costs[224].params
    with pytest.raises(ValueError, match=r"101.*64"):
        networks_space(name, image_size=101)
    with pytest.raises(ValueError, match="101"):
        network_table()[name].block(101)
    for wrong in (0, -1, True, "224", []):
        with pytest.raises(ValueError, match="whole number"):
            networks_space(name, image_size=wrong)


def test_grey_images_are_repeated_and_other_channels_are_refused():
    name = "torchvision:mobilenet_v3_small"
    grey = networks_space(name, input_shape=(1, 8, 8), classes=10).architecture({})
    assert [layer.kind for layer in grey.body] == ["resize", "repeat-channels", "backbone"]
    same_size = networks_space(name, input_shape=(3, 224, 224), classes=10).architecture({})
    assert [layer.kind for layer in same_size.body] == ["backbone"]
    assert grey.cost[:3] == same_size.cost[:3]
    with pytest.raises(ValueError, match="4"):
        networks_space(name, input_shape=(4, 8, 8))
    block = network_table()[name].block(224)
    assert isinstance(block, Network)
    with pytest.raises(ShapeError, match="channels"):
        block.expand((4, 8, 8))


def test_a_list_is_sorted_and_counts_what_has_no_costs():
    for sort, key in SORT_KEYS.items():
        rows = list_networks("torchvision:*", SMALL, sort=sort).rows
        assert list(map(key, rows)) == sorted(map(key, rows))
    listed = list_networks("torchvision:*", Budget(), image_size=64)
    assert listed.n_networks == len(listed.rows) + listed.n_without_cost
    assert "torchvision:mobilenet_v3_small" in {row.network.name for row in listed.rows}
    with pytest.raises(ValueError, match="top1"):
        list_networks("torchvision:*", SMALL, sort="top")


def test_a_list_without_networks_is_an_error_that_names_what_there_is():
    smallest = min(list_networks("torchvision:*", Budget(), sort="params").rows, key=lambda row: row.cost.params)
    with pytest.raises(ValueError, match=f"{smallest.network.name}: params {smallest.cost.params:,}, macs"):
        list_networks("torchvision:*", Budget(params="1k"))
    with pytest.raises(ValueError, match=r"17 pixels; use one of .*224"):
        list_networks("torchvision:*", Budget(), image_size=17)


def test_the_command_lists_networks_without_torch(line):
    code, out, _ = line("space", "torchvision:*", "--max-params", "5M", "--pretrained", "--sort", "top1", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["feasible"] == len(found["networks"]) > 5
    assert all(row["params"] <= 5_000_000 and row["tag"] for row in found["networks"])
    accuracies = [row["top1"] for row in found["networks"]]
    assert accuracies == sorted(accuracies, reverse=True)
    code, out, _ = line("space", "torchvision:resnet18", "--classes", "10")
    assert code == 0
    assert "torchvision:resnet18" in out
    assert "69.76" in out
    code, out, _ = line("space", "torchvision:*", "--max-params", "5M", "--sample", "3", "--input", "3x64x64", "--json")
    drawn = json.loads(out)
    assert code == 0
    assert drawn["feasible"] == found["feasible"]
    assert len(drawn["sample"]) == 3
    assert all(one["params"] <= 5_000_000 for one in drawn["sample"])
    code, _, message = line("space", "torchvision:resnet19")
    assert code == 2
    assert "torchvision:resnet18" in message
    code, _, message = line("space", "mixed", "--pretrained")
    assert code == 2
    assert "mixed" in message
    script = (
        "import sys, archsieve as av; int(av.count('torchvision:*', {'params': '5M'})); print('torch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
    )
