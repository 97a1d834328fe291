"""Profiler: operators are counted, free by convention or reported as unknown; differences from fvcore are explained."""

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
    """Two heads over the pixels of an image, with a frozen scale."""

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
    """Runs the second convolution only if the image is bright."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x):
        x = self.one(x)
        return self.two(x) if x.mean() > 1e9 else x


def test_catalogue_network_has_its_closed_form_cost():
    architecture = named("resnet20-cifar")
    profile, closed_form = (
        profile_module(build(architecture, device="meta"), architecture.input_shape),
        cost(architecture),
    )
    assert (profile.params, profile.macs, profile.activations) == (
        closed_form.params,
        closed_form.macs,
        closed_form.activations,
    )
    assert (profile.total_macs, profile.device, profile.notes) == (closed_form.macs, "meta", ())
    assert sum(row.macs for row in profile.modules) == closed_form.macs
    assert sum(row.params for row in profile.modules) == closed_form.params


def test_total_is_half_of_torchs_counter_with_attention_separate():
    module = nn.Sequential(nn.Conv2d(3, 8, 1), Attention())
    profile = profile_module(module, (3, 5, 5))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.to("meta")(torch.empty(1, 3, 5, 5, device="meta"))
    assert profile.total_macs == counter.get_total_flops() // 2
    assert profile.macs == 25 * (3 * 8 + 8 * 24 + 8 * 8)
    assert (profile.attention_macs, profile.other_macs) == (2 * 25 * 25 * 8, 0)
    assert profile.params_total - profile.params == 8
    assert {row.name: row.macs for row in profile.modules}["1"] == profile.attention_macs


def test_profiled_module_is_unchanged():
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout())
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    profile_module(module, (3, 8, 8), cross_check="fvcore")
    assert module.training
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert all(p.requires_grad for p in module.parameters())


def test_unknown_operators_are_named():
    profile = profile_module(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), Fourier()), (3, 8, 8))
    assert [(row.operator, row.calls, row.why) for row in profile.unknown] == [("aten._fft_c2c", 1, "unknown")]
    assert any("aten._fft_c2c" in note for note in profile.notes)
    assert ("aten.relu", "activation") in [(row.operator, row.why) for row in profile.not_counted]


def test_value_dependent_path_is_counted_once_and_noted():
    profile = profile_module(Gate(), (3, 8, 8))
    assert (profile.device, profile.macs) == ("cpu", 3 * 4 * 9 * 36)
    assert "depends on values" in profile.notes[0]
    idle = next(row for row in profile.modules if row.name == "two")
    assert (idle.calls, idle.macs, idle.params) == (0, 0, 148)
    assert profile.notes[1].startswith("148 parameters")
    assert profile.notes[1].endswith("two.weight, two.bias")


def test_weights_read_by_another_module_are_not_idle():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x)[0]

    profile = profile_module(Mixed(), (5, 8))
    assert profile.notes == ()
    assert profile.macs == 5 * (8 * 24 + 8 * 8)
    assert profile.attention_macs == 2 * 5 * 5 * 8


def test_shared_weights_count_once_and_their_macs_each_call():
    conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    profile = profile_module(nn.Sequential(conv, conv), (4, 6, 6))
    assert (profile.params, profile.macs) == (144, 2 * 144 * 36)
    assert [(row.calls, row.params, row.macs) for row in profile.modules] == [(2, 144, 2 * 144 * 36)]


def test_differences_from_fvcore_are_explained_and_add_up():
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding="same"), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), Attention()
    )
    profile = profile_module(module, (3, 8, 8), cross_check="fvcore")
    other = profile.cross_check
    whys = {row.operator: row.why for row in other.differences}
    assert whys["batch_norm"].startswith("normalisation")
    assert whys["adaptive_avg_pool2d"].startswith("pooling")
    assert 'padding="same"' in whys["convolution"]
    assert "1 aten::scaled_dot_product_attention" in whys["matrix product"]
    assert profile.total_macs + sum(row.theirs - row.ours for row in other.differences) == other.total_macs
    assert "aten::_convolution_mode" in [row.operator for row in other.not_counted]


def test_module_on_meta_is_cross_checked_too():
    profile = profile_module(build(named("resnet20-cifar"), device="meta"), (3, 32, 32), cross_check="fvcore")
    assert profile.cross_check.total_macs - profile.macs == sum(row.theirs for row in profile.cross_check.differences)


@pytest.mark.parametrize(
    ("module", "shape", "pattern"),
    [
        (nn.Conv2d(3, 4, 3), (5, 8, 8), r"\(1, 5, 8, 8\).*Conv2d failed"),
        (nn.LazyConv2d(4, 3), (3, 8, 8), "lazy"),
    ],
)
def test_module_that_cannot_run_is_an_error(module, shape, pattern):
    with pytest.raises(ValueError, match=pattern):
        profile_module(module, shape)


def test_unknown_cross_check_gets_the_nearest_name():
    with pytest.raises(ValueError, match=r"'fvcor'.*'fvcore'"):
        profile_module(nn.ReLU(), (3, 8, 8), cross_check="fvcor")


def test_profile_is_json_serialisable():
    report = json.loads(json.dumps(profile_module(Attention(), (8, 4, 4), cross_check="fvcore").to_json()))
    assert report["total_macs"] == report["macs"] + report["attention_macs"] + report["other_macs"]
    assert report["flops"] == 2 * report["macs"]
    assert {"name", "kind", "out_shape", "params", "macs"} <= set(report["layers"][0])


def test_latency_and_peak_memory_are_measured():
    measurement = measure_latency(nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU()), (3, 128, 128), n=5, warmup=1)
    assert 0 < measurement.latency_ms_p50 <= measurement.latency_ms_p90
    assert measurement.peak_memory_bytes is None or measurement.peak_memory_bytes > 64 * 27 * 4
    assert (measurement.device, measurement.n, measurement.warmup) == ("cpu", 5, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_an_error():
    with pytest.raises(ValueError, match=r"cuda.*use cpu"):
        measure_latency(nn.ReLU(), (3, 8, 8), device="cuda")
