"""The table of networks against built networks: the same costs from the profiler on the meta device."""

import pytest
import torch

from archsieve.models.networks.backbones import backbone
from archsieve.models.networks.preprocessing import published_preprocessing
from archsieve.models.profiling.network_costs import LiveBytes, network_costs
from archsieve.models.profiling.profiler import profile_module
from archsieve.spaces.networks.table import network_table

SAMPLE = ("timm:test_vit", "timm:mobilenetv3_small_050", "torchvision:mobilenet_v3_small")


def check_network(name, sizes):
    published = network_table()[name]
    for size in sizes:
        network = backbone(name, classes=0, image_size=size, device="meta")
        shape, expected = (published.channels, size, size), published.costs[size]
        costs = network_costs(network, shape)
        assert costs.features == published.features
        assert tuple(getattr(costs, field) for field in expected._fields) == expected, (name, size)
    prepared = published_preprocessing(name, network)
    assert (prepared.interpolation, prepared.crop_pct) == (published.interpolation, published.crop_pct)
    assert (prepared.size[0], prepared.mean, prepared.std) == (published.size, published.mean, published.std)


@pytest.mark.parametrize("name", SAMPLE)
def test_the_table_has_the_costs_of_built_networks(name):
    check_network(name, [min(network_table()[name].costs)])


def test_the_costs_agree_with_the_profiler():
    network = backbone("timm:test_vit", classes=0, device="meta")
    costs, profile = network_costs(network, (3, 160, 160)), profile_module(network, (3, 160, 160))
    assert costs.attention_macs > 0
    assert costs.conv_macs + costs.linear_macs + costs.attention_macs == profile.macs == profile.total_macs
    assert (costs.params, costs.activations) == (profile.params, profile.activations)


@pytest.mark.slow
def test_the_whole_table_has_the_costs_of_built_networks():
    for name, published in network_table().items():
        if published.costs:
            check_network(name, sorted(published.costs))


def test_the_peak_is_the_most_that_is_alive_at_a_time():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 1), torch.nn.Conv2d(4, 2, 1)).to("meta")
    live = LiveBytes(network)
    with torch.no_grad(), live:
        image = torch.empty(1, 1, 8, 8, device="meta")
        live.add(image)
        network(image)
    # the image is kept by the caller, and the first feature map until the second exists
    assert live.peak == 4 * 64 * (1 + 4 + 2)
