"""Backbones: networks of timm and torchvision by name, and as an option of a choice in a space."""

import json

import pytest
import torch

from archsieve.models.networks.backbones import backbone, published_input
from archsieve.models.networks.build import build
from archsieve.models.profiling import backbone_costs
from archsieve.models.profiling.backbone_costs import kept_bytes, measure_backbone
from archsieve.models.profiling.profiler import profile_module
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.catalogue import named
from archsieve.spaces.architectures.cost import cost, layer_costs
from archsieve.spaces.blocks.base import ShapeError
from archsieve.spaces.blocks.standard import Backbone, Conv, GlobalAverage, block_from_json
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.feasibility import most_expensive
from archsieve.spaces.parameters.domains import choice
from archsieve.spaces.search_space.space import Space

SMALL = "timm:test_resnet.r160_in1k"


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("timm:resnet18", "resnet18"),
        ("timm:resnet50", "resnet50"),
        ("torchvision:vgg16", "vgg16"),
        ("torchvision:googlenet", "googlenet"),
    ],
)
def test_the_profile_of_a_library_network_agrees_with_the_closed_form(name, reference):
    profile, expected = profile_module(backbone(name, device="meta"), (3, 224, 224)), cost(named(reference))
    assert (profile.params, profile.macs, profile.total_macs) == (expected.params, expected.macs, expected.macs)
    assert profile.activations == expected.activations
    assert (profile.unknown, profile.notes) == ((), ())


def test_the_macs_of_a_transformer_are_linear_layers_and_attention():
    profile = profile_module(backbone("timm:vit_tiny_patch16_224", device="meta"), (3, 224, 224))
    assert profile.attention_macs == 12 * 2 * 197 * 197 * 192
    assert profile.conv_macs + profile.linear_macs == 1_074_851_328
    assert (profile.macs, profile.other_macs) == (1_074_851_328 + profile.attention_macs, 0)


@pytest.mark.parametrize("name", [SMALL, "torchvision:resnet18", "torchvision:mobilenet_v3_small"])
def test_zero_classes_give_a_network_without_classifier(name):
    network = backbone(name, classes=0, device="meta").eval()
    assert network(torch.empty(2, 3, 64, 64, device="meta")).dim() == 2


def test_classes_channels_and_published_input():
    network = backbone(SMALL, classes=7, in_channels=1, device="meta").eval()
    assert network(torch.empty(2, 1, 64, 64, device="meta")).shape == (2, 7)
    assert published_input(network) == (3, 160, 160)
    assert published_input(torch.nn.ReLU()) == (3, 224, 224)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:resnet81", r"timm network 'resnet81'.*'resnet18'.*timm \d[\d.]*.*\d,\d{3}"),
        ("torchvision:vgg61", r"torchvision network 'vgg61'.*'vgg1"),
        ("tim:resnet18", r"'tim'.*'timm'"),
        ("timm:hf-hub:someone/something", "unknown timm network .*someone/something"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_names(name, message):
    with pytest.raises(ValueError, match=message):
        backbone(name)


def test_a_constructor_that_computes_with_tensors_is_moved_to_meta():
    network = backbone("torchvision:regnet_x_400mf", device="meta")
    assert {p.device.type for p in network.parameters()} == {"meta"}


def test_torchvision_networks_take_three_channels():
    with pytest.raises(ValueError, match=r"3 .*got 1.*timm"):
        backbone("torchvision:resnet18", in_channels=1)


def test_a_backbone_in_a_space_is_built_with_the_measured_cost(tmp_path):
    cache = tmp_path / "costs.json"
    block = measure_backbone(SMALL, (3, 64, 64), cache=cache)
    space = Space((3, 64, 64), (choice(block, (Conv(8), GlobalAverage())),), 10)
    constrained = ConstrainedSpace(space, Budget(params=cost(Architecture((3, 64, 64), (block,), 10)).params))
    assert constrained.size == 2
    largest, _ = most_expensive(constrained)
    assert str(largest) == f"backbone name={SMALL}"
    assert Architecture.from_json(json.loads(json.dumps(largest.to_json()))) == largest
    network = build(largest, seed=0)
    assert sum(p.numel() for p in network.parameters()) == cost(largest).params
    assert profile_module(network, (3, 64, 64)).macs == cost(largest).macs
    assert sum(row.macs for row in layer_costs(largest)) == cost(largest).macs
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 10)


def test_a_cost_is_measured_once(tmp_path, monkeypatch):
    cache = tmp_path / "costs" / "backbones.json"
    first = measure_backbone(SMALL, (3, 64, 64), cache=cache)
    monkeypatch.setattr(backbone_costs, "_measure", lambda name, shape: pytest.fail("measured again"))
    assert measure_backbone(SMALL, (3, 64, 64), cache=cache) == first
    assert [path.name for path in cache.parent.iterdir()] == ["backbones.json"]


@pytest.mark.parametrize("name", ["resnet20-cifar", "plain20-cifar"])
def test_kept_bytes_on_meta_agree_with_the_closed_form(name):
    architecture = named(name)
    n_pixels, n_scores = 3 * 32 * 32, 10
    expected = cost(architecture).kept_bytes - 4 * (n_pixels + n_scores)
    assert kept_bytes(build(architecture, device="meta"), (3, 32, 32)) == pytest.approx(expected, rel=0.1)


def test_a_cost_is_valid_for_its_input_shape_only():
    block = Backbone("timm:resnet18", (3, 64, 64), 512, 1, 1, 1, 1)
    with pytest.raises(
        ShapeError, match=r"measured on \(3, 64, 64\) .* use measure_backbone\('timm:resnet18', \(3, 32"
    ):
        Architecture((3, 32, 32), (block,), 10)
    assert block_from_json(json.loads(json.dumps(block.to_json()))) == block


def test_a_backbone_needs_a_name():
    with pytest.raises(ValueError, match="name must be the name of a network"):
        Backbone("resnet18", (3, 64, 64), 512, 1, 1, 1, 1)
