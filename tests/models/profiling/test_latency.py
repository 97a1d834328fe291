"""The latency predictor: exact where times are what it assumes, sensible where they are measured."""

import random

import pytest
from scipy.stats import spearmanr

from archsieve.models.networks.build import build
from archsieve.models.profiling.latency import measure_latency
from archsieve.models.profiling.latency_predictor import LatencyPredictor, features, fit_latency, left_out_ms
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.layers import Act, Branches, Convolution
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Inception, Residual
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.sampling import sample_one
from archsieve.spaces.search_space.named import named_space


@pytest.fixture(scope="module")
def drawn() -> list[Architecture]:
    sieve, rng = ConstrainedSpace(named_space("mixed")), random.Random(0)
    return [sample_one(sieve, rng, "log-macs") for _ in range(60)]


def linear_ms(architecture: Architecture) -> float:
    """A made-up machine: 20 us to start, 10 us a convolution, 4 us any other layer, 1 ns for 10 MACs."""
    from archsieve.spaces.architectures.cost import layer_costs

    rows = layer_costs(architecture)
    layers = sum(0.010 if row.kind == "convolution" else 0.004 for row in rows)
    return 0.020 + layers + 1e-7 * architecture.cost.macs


def test_features_are_counts_numbers_moved_and_macs():
    assert features(Convolution(4, 3, padding=1), (2, 8, 8)) == {
        "convolution layers": 1,
        "convolution numbers": 2 * 64 + 4 * 64 + 72,
        "convolution macs": 72 * 64,
    }
    assert features(Act(), (4, 8, 8)) == {"activation layers": 1, "activation numbers": 2 * 4 * 64}
    join = Branches(((Convolution(4, 3, padding=1),), ()), "add")
    assert features(join, (4, 8, 8)) == {"branches layers": 1, "branches numbers": 2 * 4 * 64}


def test_a_machine_that_is_linear_in_the_layers_is_learned_from_a_few_networks(drawn):
    fitted = fit_latency(drawn[:16], [linear_ms(one) for one in drawn[:16]])
    assert all(weight >= 0 for weight in fitted.weights.values())
    errors = sorted(abs(fitted.latency_ms(one) / linear_ms(one) - 1) for one in drawn[16:])
    assert errors[len(errors) // 2] < 0.02
    assert errors[-1] < 0.1


def test_more_of_anything_is_never_predicted_to_be_quicker(drawn):
    fitted = fit_latency(drawn[:16], [linear_ms(one) for one in drawn[:16]])
    for one in drawn[:5]:
        longer = Architecture(one.input_shape, (Conv(16), *one.blocks), one.classes)
        assert fitted.latency_ms(longer) > fitted.latency_ms(Architecture(one.input_shape, one.blocks, one.classes))


def test_left_out_predictions_have_not_seen_the_network(drawn):
    times = [linear_ms(one) for one in drawn[:8]]
    plain = left_out_ms(drawn[:8], times)
    times[3] *= 100  # an outlier: its own prediction must not know of it
    assert left_out_ms(drawn[:8], times)[3] == plain[3]
    assert left_out_ms(drawn[:1], times[:1]) == [None]


def test_a_kind_that_was_never_measured_takes_the_mean_of_a_layer():
    plain = [Architecture((1, 8, 8), (Conv(width, norm=False, act="none"),), 10) for width in (4, 8, 16)]
    fitted = fit_latency(plain, [linear_ms(one) for one in plain])
    assert "pooling layers" not in fitted.weights
    pooled = Architecture((1, 8, 8), (ConvPool(8, norm=False, act="none"),), 10)
    unpooled = Architecture((1, 8, 8), (Conv(8, norm=False, act="none"),), 10)
    assert fitted.latency_ms(pooled) > 0
    assert fitted.nanoseconds(*_pool(pooled)) == round(fitted.weights["layer of a kind never measured"]) > 0
    assert fitted.latency_ms(unpooled) > 0


def _pool(architecture):
    """The pooling layer of a block alone, and its input shape."""
    return next(architecture.walk()).layers[-1:], (8, 8, 8)


def test_it_survives_json_and_every_way_to_write_a_network(drawn):
    fitted = fit_latency(drawn[:8], [linear_ms(one) for one in drawn[:8]])
    again, timed = (
        LatencyPredictor.from_json(fitted.to_json()),
        ConstrainedSpace(named_space("mixed"), latency_model=fitted),
    )
    for one in drawn:
        assert again.latency_ms(one) == fitted.latency_ms(one) == fitted.latency_ms(one.canonical())
        assert timed.latency_ns(one) == round(1e6 * fitted.latency_ms(one))


@pytest.mark.parametrize("times", [[0.0, 1.0], [-1.0, 1.0]])
def test_times_that_are_none_are_refused(times, drawn):
    with pytest.raises(ValueError, match="latencies above 0"):
        fit_latency(drawn[:2], times)


def test_predictions_rank_measured_networks():
    """Networks from 10^4 to 10^8 multiply-accumulates: even a busy machine cannot hide which is slower."""
    networks = [
        Architecture((1, 16, 16), (Conv(width), *blocks, GlobalAverage()), 10)
        for width in (4, 16, 64, 128)
        for blocks in ((), (Residual(width),), (ConvPool(2 * width, convs=2), Inception(max(16, width))))
    ]
    times = [measure_latency(build(one, seed=0), one.input_shape, n=9).latency_ms_p50 for one in networks]
    assert spearmanr(left_out_ms(networks, times), times).statistic > 0.6


def test_measuring_leaves_the_random_numbers_alone():
    import torch

    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    found = measure_latency(build(Architecture((1, 8, 8), (Conv(4),), 10), seed=0), (1, 8, 8), n=2, precision="bf16")
    assert torch.equal(torch.rand(3), expected)
    assert found.precision == "bf16"
