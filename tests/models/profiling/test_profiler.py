"""The profiler: every operator counted, called free, or named as unknown; fvcore's differences explained."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from archsieve.models.networks.build import build
from archsieve.models.profiling.latency import measure_latency
from archsieve.models.profiling.profiler import profile_module
from archsieve.spaces.architectures.catalogue import named
from archsieve.spaces.architectures.cost import cost


class Attention(nn.Module):
    """Two heads over the pixels of a picture, with a frozen scale."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.scale = nn.Parameter(torch.ones(8), requires_grad=False)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = (part.unflatten(2, (2, 4)).transpose(1, 2) for part in self.qkv(tokens).chunk(3, dim=2))
        return self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)) * self.scale


class Fourier(nn.Module):
    def forward(self, x):
        return torch.fft.fft2(x).real


class Gate(nn.Module):
    """Takes the second convolution only where the picture is bright."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x):
        x = self.one(x)
        return self.two(x) if x.mean() > 1e9 else x


def test_a_catalogue_network_costs_its_closed_form():
    architecture = named("resnet20-cifar")
    found, price = profile_module(build(architecture, device="meta"), architecture.input_shape), cost(architecture)
    assert (found.params, found.macs, found.activations) == (price.params, price.macs, price.activations)
    assert (found.total_macs, found.device, found.notes) == (price.macs, "meta", ())
    assert sum(row.macs for row in found.modules) == price.macs
    assert sum(row.params for row in found.modules) == price.params


def test_the_total_is_half_of_torchs_counter_and_attention_stands_apart():
    module = nn.Sequential(nn.Conv2d(3, 8, 1), Attention())
    found = profile_module(module, (3, 5, 5))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.to("meta")(torch.empty(1, 3, 5, 5, device="meta"))
    assert found.total_macs == counter.get_total_flops() // 2
    assert found.macs == 25 * (3 * 8 + 8 * 24 + 8 * 8)
    assert (found.attention_macs, found.other_macs) == (2 * 25 * 25 * 8, 0)
    assert found.params_total - found.params == 8
    assert {row.name: row.macs for row in found.modules}["1"] == found.attention_macs


def test_the_module_is_left_as_it_was():
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout())
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    profile_module(module, (3, 8, 8), witness="fvcore")
    assert module.training
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert all(p.requires_grad for p in module.parameters())


def test_what_nobody_counts_is_named():
    found = profile_module(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), Fourier()), (3, 8, 8))
    assert [(row.operator, row.calls, row.why) for row in found.unknown] == [("aten._fft_c2c", 1, "unknown")]
    assert any("nobody counts aten._fft_c2c" in note for note in found.notes)
    assert ("aten.relu", "activation") in [(row.operator, row.why) for row in found.not_counted]


def test_a_path_that_depends_on_values_is_counted_once_and_said():
    found = profile_module(Gate(), (3, 8, 8))
    assert (found.device, found.macs) == ("cpu", 3 * 4 * 9 * 36)
    assert "depends on values" in found.notes[0]
    idle = next(row for row in found.modules if row.name == "two")
    assert (idle.calls, idle.macs, idle.params) == (0, 0, 148)
    assert found.notes[1] == (
        "148 parameters are read by nothing in evaluation mode, as of auxiliary heads: two.weight, two.bias"
    )


def test_weights_that_another_module_reads_are_no_idle_ones():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x)[0]

    found = profile_module(Mixed(), (5, 8))
    assert found.notes == ()
    assert found.macs == 5 * (8 * 24 + 8 * 8)
    assert found.attention_macs == 2 * 5 * 5 * 8


def test_shared_weights_count_once_and_work_each_time():
    conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    found = profile_module(nn.Sequential(conv, conv), (4, 6, 6))
    assert (found.params, found.macs) == (144, 2 * 144 * 36)
    assert [(row.calls, row.params, row.macs) for row in found.modules] == [(2, 144, 2 * 144 * 36)]


def test_fvcores_differences_are_explained_and_add_up():
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding="same"), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), Attention()
    )
    found = profile_module(module, (3, 8, 8), witness="fvcore")
    witness = found.witness
    whys = {row.operator: row.why for row in witness.differences}
    assert whys["batch_norm"].startswith("normalisation")
    assert whys["adaptive_avg_pool2d"].startswith("pooling")
    assert 'padding="same"' in whys["convolution"]
    assert "1 aten::scaled_dot_product_attention" in whys["matrix product"]
    assert found.total_macs + sum(row.theirs - row.ours for row in witness.differences) == witness.total_macs
    assert "aten::_convolution_mode" in [row.operator for row in witness.not_counted]


def test_a_module_on_meta_has_witnesses_too():
    found = profile_module(build(named("resnet20-cifar"), device="meta"), (3, 32, 32), witness="fvcore")
    assert found.witness.total_macs - found.macs == sum(row.theirs for row in found.witness.differences)


@pytest.mark.parametrize(
    ("module", "shape", "said"),
    [
        (nn.Conv2d(3, 4, 3), (5, 8, 8), r"must take a batch of shape \(1, 5, 8, 8\), but Conv2d failed"),
        (nn.LazyConv2d(4, 3), (3, 8, 8), "wait for their first input; run it once"),
    ],
)
def test_what_cannot_run_says_why(module, shape, said):
    with pytest.raises(ValueError, match=said):
        profile_module(module, shape)


def test_an_unknown_witness_gets_the_nearest():
    with pytest.raises(ValueError, match="unknown witness 'fvcor'; did you mean 'fvcore'"):
        profile_module(nn.ReLU(), (3, 8, 8), witness="fvcor")


def test_a_profile_is_json():
    told = json.loads(json.dumps(profile_module(Attention(), (8, 4, 4), witness="fvcore").to_json()))
    assert told["total_macs"] == told["macs"] + told["attention_macs"] + told["other_macs"]
    assert told["flops"] == 2 * told["macs"]
    assert {"name", "kind", "out_shape", "params", "macs"} <= set(told["layers"][0])


def test_latency_and_peak_memory_are_measured():
    found = measure_latency(nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU()), (3, 128, 128), n=5, warmup=1)
    assert 0 < found.latency_ms_p50 <= found.latency_ms_p90
    assert found.peak_memory_bytes is None or found.peak_memory_bytes > 64 * 27 * 4
    assert (found.device, found.n, found.warmup) == ("cpu", 5, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_said():
    with pytest.raises(ValueError, match="torch sees none; use cpu"):
        measure_latency(nn.ReLU(), (3, 8, 8), device="cuda")
