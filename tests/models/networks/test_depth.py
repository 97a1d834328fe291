"""The order of layers and stages, the head, and drop path, of architectures and of networks of timm and torchvision."""

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from archsieve.models.networks.adapters import add_adapters, weights_of
from archsieve.models.networks.backbones import backbone
from archsieve.models.networks.build import build, build_for
from archsieve.models.networks.depth import head_of, head_path, layers_of, stages_of
from archsieve.models.networks.drop_path import set_drop_path, switch_off_drop_path
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, GlobalAverage, Residual
from archsieve.spaces.recipes.recipe import Recipe

RESIDUAL = Architecture((3, 16, 16), (Conv(8), Residual(8), Residual(16), GlobalAverage()), 5)


@pytest.mark.parametrize(
    ("name", "layers", "stages", "head"),
    [
        ("timm:resnet18", 10, 6, "fc"),
        ("timm:efficientnet_lite0", 18, 9, "classifier"),
        ("timm:convnext_atto", 14, 6, "head.fc"),
        ("torchvision:resnet18", 10, 6, "fc"),
        ("torchvision:efficientnet_b0", 19, 10, "classifier.1"),
        ("torchvision:vit_b_16", 15, 4, "heads.head"),
    ],
)
def test_parts_of_published_networks(name: str, layers: int, stages: int, head: str) -> None:
    network = backbone(name, device="meta")
    assert (len(layers_of(network)), len(stages_of(network)), head_path(network)) == (layers, stages, head)
    for parts in (layers_of(network), stages_of(network)):
        assert sorted(id(p) for part in parts for p in part) == sorted(id(p) for p in network.parameters())
        assert any(p is network.get_submodule(head).weight for p in parts[-1])


@pytest.mark.parametrize(
    "name",
    [
        "timm:resnet18",
        "timm:efficientnet_lite0",
        "timm:convnext_atto",
        "torchvision:mobilenet_v2",
        "torchvision:alexnet",
    ],
)
def test_adapters_do_not_change_the_layers(name: str) -> None:
    network = backbone(name, classes=3)
    weights, parts = [id(weight) for weight in weights_of(network)], (layers_of, stages_of)
    plain = [parts_of_weights(divide(network), weights) for divide in parts]
    add_adapters(network, head_of(network), rank=2, alpha=1.0, seed=0)
    assert [id(weight) for weight in weights_of(network)] == weights
    assert [parts_of_weights(divide(network), weights) for divide in parts] == plain
    for divided in (layers_of(network), stages_of(network)):
        assert sorted(id(p) for part in divided for p in part) == sorted(id(p) for p in network.parameters())


def parts_of_weights(parts: list[list[nn.Parameter]], weights: list[int]) -> list[list[int]]:
    """For each part the positions of its weights."""
    return [sorted(weights.index(id(p)) for p in part if id(p) in weights) for part in parts]


def test_parts_of_an_architecture_are_its_blocks() -> None:
    network = build(RESIDUAL, device="meta")
    assert [len(list(network[i].parameters())) for i in (0, 1, 2, 4)] == [len(stage) for stage in stages_of(network)]
    assert head_path(network) == "4.0"


def test_parts_of_a_backbone_inside_a_network_are_those_of_timm() -> None:
    network = nn.Sequential(nn.Sequential(backbone("timm:resnet18", classes=0, device="meta")), nn.Linear(512, 3))
    assert (len(layers_of(network)), len(stages_of(network)), head_path(network)) == (10, 6, "1")


def test_drop_path_leaves_out_residual_branches_in_training_only() -> None:
    plain, dropped = build(RESIDUAL, seed=0), build_for(RESIDUAL, Recipe(drop_path=0.8), seed=0)
    assert [m.p for m in dropped.modules() if isinstance(m, StochasticDepth)] == pytest.approx([0.4, 0.8])
    images = torch.rand(4, 3, 16, 16)
    assert torch.equal(plain.eval()(images), dropped.eval()(images))
    assert list(plain.state_dict()) == list(dropped.state_dict())
    block = dropped[1].train()  # the shortcut of the first residual block is the identity
    inputs = torch.rand(64, 8, 16, 16)
    left_out = (block(inputs) == inputs).flatten(1).all(1)
    assert 10 < left_out.sum() < 42
    switch_off_drop_path(dropped)
    assert not (block(inputs) == inputs).flatten(1).all(1).any()


@pytest.mark.parametrize(
    ("name", "count"),
    [("timm:resnet18", 7), ("timm:vgg11", 0), ("torchvision:efficientnet_b0", 16), ("torchvision:resnet18", 0)],
)
def test_drop_path_acts_where_the_library_has_it(name: str, count: int) -> None:
    network = backbone(name, device="meta")
    names = list(network.state_dict())
    assert set_drop_path(network, 0.3) == count
    assert list(network.state_dict()) == names


def test_drop_path_has_no_effect_on_a_plain_network() -> None:
    assert set_drop_path(build(Architecture((3, 16, 16), (Conv(8), GlobalAverage()), 5)), 0.5) == 0
