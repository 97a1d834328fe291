"""Latency predictor: exact for times that follow its assumption, plausible for measured times."""

import random

import pytest
from scipy.stats import spearmanr

from archsieve.models.networks.build import build
from archsieve.models.profiling.latency import measure_latency
from archsieve.models.profiling.latency_predictor import LatencyPredictor, features, fit_latency, leave_one_out_ms
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.cost import layer_costs
from archsieve.spaces.blocks.layers import Act, Branches, Convolution
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Inception, Residual
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.sampling import sample_one
from archsieve.spaces.search_space.named import named_space


@pytest.fixture(scope="module")
def networks() -> list[Architecture]:
    constrained, rng = ConstrainedSpace(named_space("mixed")), random.Random(0)
    return [sample_one(constrained, rng, "log-macs") for _ in range(60)]


def linear_ms(architecture: Architecture) -> float:
    """An artificial machine: 20 us per pass, 10 us per convolution, 4 us per other layer, 1 ns per 10 MACs."""
    rows = layer_costs(architecture)
    layers = sum(0.010 if row.kind == "convolution" else 0.004 for row in rows)
    return 0.020 + layers + 1e-7 * architecture.cost.macs


def test_features_are_layer_counts_numbers_moved_and_macs():
    assert features(Convolution(4, 3, padding=1), (2, 8, 8)) == {
        "convolution layers": 1,
        "convolution numbers": 2 * 64 + 4 * 64 + 72,
        "convolution macs": 72 * 64,
    }
    assert features(Convolution(2, 3, padding=1, groups=2), (2, 8, 8))["depthwise convolution macs"] == 2 * 9 * 64
    assert features(Act(), (4, 8, 8)) == {"activation layers": 1, "activation numbers": 2 * 4 * 64}
    join = Branches(((Convolution(4, 3, padding=1),), ()), "add")
    assert features(join, (4, 8, 8)) == {"branches layers": 1, "branches numbers": 2 * 4 * 64}


def test_times_linear_in_the_layers_are_learned_from_16_networks(networks):
    fitted = fit_latency(networks[:16], [linear_ms(network) for network in networks[:16]])
    assert all(weight >= 0 for weight in fitted.weights.values())
    errors = sorted(abs(fitted.latency_ms(network) / linear_ms(network) - 1) for network in networks[16:])
    assert errors[len(errors) // 2] < 0.02
    assert errors[-1] < 0.1


def test_depthwise_convolutions_have_a_time_of_their_own():
    """An artificial machine on which the multiply-accumulates of depthwise convolutions take ten times as long."""
    space = named_space("mobile-space", input_shape=(3, 32, 32), classes=10)
    constrained, rng = ConstrainedSpace(space), random.Random(0)
    mobile = [sample_one(constrained, rng) for _ in range(40)]

    def depthwise_ms(architecture: Architecture) -> float:
        rows = [row for row in layer_costs(architecture) if row.kind == "convolution"]
        slow = sum(row.macs for row in rows if row.params in (size * size * row.in_shape[0] for size in (3, 5, 7)))
        return linear_ms(architecture) + 9e-7 * slow

    fitted = fit_latency(mobile[:20], [depthwise_ms(network) for network in mobile[:20]])
    assert fitted.weights["depthwise convolution macs"] > 3 * fitted.weights["convolution macs"]
    errors = sorted(abs(fitted.latency_ms(network) / depthwise_ms(network) - 1) for network in mobile[20:])
    assert errors[len(errors) // 2] < 0.05
    assert errors[-1] < 0.25


def test_more_layers_are_never_predicted_to_be_faster(networks):
    fitted = fit_latency(networks[:16], [linear_ms(network) for network in networks[:16]])
    for network in networks[:5]:
        longer = Architecture(network.input_shape, (Conv(16), *network.blocks), network.classes)
        assert fitted.latency_ms(longer) > fitted.latency_ms(
            Architecture(network.input_shape, network.blocks, network.classes)
        )


def test_leave_one_out_predictions_ignore_the_network_itself(networks):
    times = [linear_ms(network) for network in networks[:8]]
    before = leave_one_out_ms(networks[:8], times)
    times[3] *= 100  # an outlier must not influence its own prediction
    assert leave_one_out_ms(networks[:8], times)[3] == before[3]
    assert leave_one_out_ms(networks[:1], times[:1]) == [None]


def test_unmeasured_layer_kind_gets_the_mean_layer_time():
    plain = [Architecture((1, 8, 8), (Conv(width, norm=False, act="none"),), 10) for width in (4, 8, 16)]
    fitted = fit_latency(plain, [linear_ms(network) for network in plain])
    assert "pooling layers" not in fitted.weights
    pooled = Architecture((1, 8, 8), (ConvPool(8, norm=False, act="none"),), 10)
    unpooled = Architecture((1, 8, 8), (Conv(8, norm=False, act="none"),), 10)
    assert fitted.latency_ms(pooled) > 0
    assert fitted.nanoseconds(*_pool(pooled)) == round(fitted.weights["layer of a kind never measured"]) > 0
    assert fitted.latency_ms(unpooled) > 0


def _pool(architecture):
    """The pooling layer of the first block, and its input shape."""
    return next(architecture.walk()).layers[-1:], (8, 8, 8)


def test_predictions_survive_json_and_canonical_architectures(networks):
    fitted = fit_latency(networks[:8], [linear_ms(network) for network in networks[:8]])
    restored, timed = (
        LatencyPredictor.from_json(fitted.to_json()),
        ConstrainedSpace(named_space("mixed"), latency_model=fitted),
    )
    for network in networks:
        assert restored.latency_ms(network) == fitted.latency_ms(network) == fitted.latency_ms(network.canonical())
        assert timed.latency_ns(network) == round(1e6 * fitted.latency_ms(network))


@pytest.mark.parametrize("times", [[0.0, 1.0], [-1.0, 1.0]])
def test_latencies_must_be_above_zero(times, networks):
    with pytest.raises(ValueError, match=r"above 0.*(0\.0|-1\.0)"):
        fit_latency(networks[:2], times)


def test_predictions_rank_measured_networks():
    """Networks from 10^4 to 10^8 multiply-accumulates differ more than the noise of a busy machine."""
    networks = [
        Architecture((1, 16, 16), (Conv(width), *blocks, GlobalAverage()), 10)
        for width in (4, 16, 64, 128)
        for blocks in ((), (Residual(width),), (ConvPool(2 * width, convs=2), Inception(max(16, width))))
    ]
    times = [measure_latency(build(network, seed=0), network.input_shape, n=9).latency_ms_p50 for network in networks]
    assert spearmanr(leave_one_out_ms(networks, times), times).statistic > 0.6


def test_measuring_keeps_the_random_state():
    import torch

    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    measurement = measure_latency(
        build(Architecture((1, 8, 8), (Conv(4),), 10), seed=0), (1, 8, 8), n=2, precision="bf16"
    )
    assert torch.equal(torch.rand(3), expected)
    assert measurement.precision == "bf16"
