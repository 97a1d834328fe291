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
    assert (profile.conv_macs, profile.linear_macs) == (25 * 3 * 8, 25 * (8 * 24 + 8 * 8))
    assert (profile.attention_macs, profile.other_macs) == (2 * 25 * 25 * 8, 0)
    assert profile.macs == profile.conv_macs + profile.linear_macs + profile.attention_macs
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
    assert "values" in profile.notes[0]
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
    assert profile.linear_macs == 5 * (8 * 24 + 8 * 8)
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
    assert report["macs"] == report["conv_macs"] + report["linear_macs"] + report["attention_macs"]
    assert report["total_macs"] == report["macs"] + report["other_macs"]
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


class Inference(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)

    @torch.inference_mode()
    def forward(self, x):
        return self.out(self.conv(x).mean((2, 3)))


class Cosine(nn.Linear):
    """A linear layer with a low-rank adapter that compares directions."""

    def __init__(self):
        super().__init__(8, 4, bias=False)
        self.down, self.up = nn.Parameter(torch.ones(2, 8)), nn.Parameter(torch.ones(4, 2))

    def forward(self, x):
        return functional.linear(functional.normalize(x), functional.normalize(self.weight + self.up @ self.down))


class Products(nn.Module):
    def forward(self, x):
        return torch.outer(x[0], x[0]).sum() + torch.kron(x, x)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(8, 4)

    def forward(self, tokens, mask):
        return self.out(tokens * mask)


class Careless(nn.Module):
    """Changes its buffer, and draws from the global random generators."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        return x * float(torch.rand(())) if float(self.calls) > 0 else x


def test_layers_with_a_computed_weight_are_linear():
    for module, linear in [
        (nn.utils.parametrizations.weight_norm(nn.Linear(8, 4)), 5 * 32),
        (nn.utils.parametrizations.spectral_norm(nn.Linear(8, 4)), 5 * 32 + 36),  # and two products for the norm
        (Cosine(), 5 * 32 + 64),  # and the product of the adapter
    ]:
        profile = profile_module(module, (5, 8))
        assert (profile.linear_macs, profile.macs, profile.unknown) == (linear, linear, ())


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # torch deprecates torch.jit
def test_inference_mode_scripts_and_every_precision_are_counted():
    expected = (36 * 27 * 8, 32)
    modules = [Inference(), Inference().half(), Inference().bfloat16(), Inference().double()]
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    modules += [torch.jit.script(plain), torch.jit.trace(plain, torch.zeros(1, 3, 8, 8))]
    for module in modules:
        profile = profile_module(module, (3, 8, 8))
        assert (profile.conv_macs, profile.linear_macs, profile.device) == (*expected, "meta")
        assert profile.unknown == ()


def test_parallel_modules_are_counted_like_the_module_in_them():
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    alone, parallel = (profile_module(one, (3, 16, 16)) for one in (module, nn.DataParallel(module)))
    assert (parallel.params, parallel.macs, parallel.notes) == (alone.params, alone.macs, ())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # torch deprecates quantised tensors
def test_quantised_layers_are_counted_and_their_weights_named():
    module = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(8, 4)), {nn.Linear})
    profile = profile_module(module, (8,))
    assert (profile.linear_macs, profile.unknown) == (32, ())
    assert any("36 quantised weights" in note for note in profile.notes)


def test_outer_products_and_complex_products_are_named():
    operators = [row.operator for row in profile_module(Products(), (8,)).not_counted]
    assert operators.count("aten.mul.outer_product") == 1
    complex_linear = profile_module(nn.Linear(8, 4, dtype=torch.complex64), (8,))
    assert complex_linear.macs == 32
    assert "aten.addmm" in complex_linear.notes[0]
    convolution = profile_module(nn.Conv2d(3, 4, 3, dtype=torch.complex64), (3, 8, 8))
    assert convolution.conv_macs == 3 * 36 * 27 * 4  # torch runs three real convolutions


def test_several_inputs_and_integers_are_counted_or_the_cure_is_named():
    tokens, embedding = torch.zeros(1, 8), nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 4))
    for inputs in ((tokens, tokens), {"tokens": tokens, "mask": tokens}):
        assert profile_module(Two(), inputs=inputs).macs == 32
    assert profile_module(embedding, inputs=torch.zeros(1, 16, dtype=torch.int64)).macs == 16 * 32
    with pytest.raises(ValueError, match=r"inputs=\(images"):
        profile_module(Two(), (8,))
    with pytest.raises(ValueError, match=r"torch\.int64"):
        profile_module(embedding, (16,))
    with pytest.raises(ValueError, match="neither"):
        profile_module(embedding)


def test_buffers_and_random_states_do_not_change():
    module, state = Careless(), torch.get_rng_state()
    assert profile_module(module, (8,)).device == "cpu"
    assert module.calls.item() == 0
    assert torch.equal(torch.get_rng_state(), state)


class Stateful(nn.Module):
    """Changes its attributes in each forward pass, and shares a layer, a list and itself with its child."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = self.first
        self.passes, self.by_kind, self.kept = [], {"all": {"n": [0]}}, {3}
        self.child = nn.Identity()
        self.child.passes, self.child.parents = self.passes, [self]

    def forward(self, x):
        self.passes.append(1)
        self.by_kind["all"]["n"][0] += 1
        self.kept.add(4)
        assert self.child.passes is self.passes
        assert self.child.parents[0] is self
        return self.second(self.first(x))


def test_what_a_forward_pass_changes_is_copied_with_its_structure():
    module = Stateful()
    profile = profile_module(module, (4,))
    assert (profile.params, profile.macs) == (20, 32)
    assert (module.passes, module.by_kind, module.kept) == ([], {"all": {"n": [0]}}, {3})
    assert not module.first._forward_hooks
