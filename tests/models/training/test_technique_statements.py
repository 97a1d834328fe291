"""Statements of the lecture about initial statistics, overfitting a subset, invariance, units and filters."""

import random
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archsieve.models.data.dataset import Split, in_unit_range
from archsieve.models.data.registry import load_data
from archsieve.models.diagnostics.activation_statistics import unit_statistics
from archsieve.models.diagnostics.run_checks import DiagnosticContext, diagnose
from archsieve.models.networks.build import build
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.catalogue import named
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Linear, Residual
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.sampling import sample_one
from archsieve.spaces.recipes.recipe import Recipe
from archsieve.spaces.search_space.named import named_space

RECIPE = Recipe(lr=0.1, batch_size=64)
DEFAULT = ConstrainedSpace(
    named_space("mixed"), Budget(params="60k", macs="6M")
)  # of examples/digits.toml and `archsieve init`
N_OVERFIT_IMAGES = 128  # of the check "overfit"
MAX_RESIDUAL_RUN = 2  # residual blocks in a row; each adds its variance to the sum


@pytest.fixture(scope="module")
def data():
    return load_data("digits")


def context_of(architecture, data, **options):
    return DiagnosticContext(lambda seed: build(architecture, seed=seed), data, **{"recipe": RECIPE, **options})


def finding_of(context, check):
    (finding,) = diagnose(context, [check])
    return finding


def random_architecture(seed):
    return sample_one(DEFAULT, random.Random(seed))


def longest_run(architecture):
    """Return the largest number of consecutive residual blocks, whose variances add up."""
    longest = run = 0
    for block in architecture.blocks:
        run = run + 1 if isinstance(block, Residual) else 0
        longest = max(longest, run)
    return longest


def test_default_architectures_start_with_similar_deviations_and_no_lost_unit(data):
    """The activation deviations of all layers are within a factor of 2; only long residual stacks exceed it."""
    for seed in range(24):
        architecture = random_architecture(seed)
        finding = finding_of(context_of(architecture, data), "start")
        assert finding.metrics["lost"] < 0.01, architecture
        if longest_run(architecture) <= MAX_RESIDUAL_RUN:
            assert finding.metrics["ratio"] <= 2, architecture
        assert finding.rating == ("good" if finding.metrics["ratio"] <= 2 else "watch"), architecture


@pytest.mark.parametrize(
    ("name", "side", "budget"),
    [("mixed", 32, Budget(params="500k", macs="50M")), ("inception-space", 64, Budget(params="1M", macs="60M"))],
)
def test_normalised_spaces_of_larger_images_start_with_similar_deviations(data, name, side, budget):
    constrained = ConstrainedSpace(named_space(name, input_shape=(3, side, side), classes=10), budget)
    small = data.normalise(in_unit_range(data.train.images[:64]))
    images = F.interpolate(small, size=(side, side), mode="bilinear").repeat(1, 3, 1, 1)
    for seed in range(4):
        architecture = sample_one(constrained, random.Random(seed))
        layers = unit_statistics(build(architecture, seed=0), images, training=True)
        lost = sum(layer.dead + layer.constant + layer.saturated for layer in layers)
        assert lost < 0.01 * sum(layer.units for layer in layers), architecture
        if longest_run(architecture) <= MAX_RESIDUAL_RUN:
            assert max(x.std for x in layers) <= 2 * min(x.std for x in layers), architecture


@pytest.mark.parametrize("name", ["alexnet-space", pytest.param("vgg-space", marks=pytest.mark.slow)])
def test_spaces_without_norms_are_flagged_if_their_start_is_bad(data, name):
    """Some of their units are dead at the start, and the check reports it before training."""
    side = 67
    constrained = ConstrainedSpace(
        named_space(name, input_shape=(3, side, side), classes=10), Budget(params="4M", macs="200M")
    )
    large = F.interpolate(data.val.images[:64].float(), size=(side, side)).repeat(1, 3, 1, 1).to(data.val.images.dtype)
    wide = replace(data, val=Split(large, data.val.labels[:64]), mean=data.mean.repeat(3), std=data.std.repeat(3))
    ratings = set()
    for seed in range(4):
        finding = finding_of(context_of(sample_one(constrained, random.Random(seed)), wide), "start")
        within = finding.metrics["ratio"] <= 2 and finding.metrics["lost"] <= 0.01
        assert finding.rating == ("good" if within else "watch")
        ratings.add(finding.rating)
    assert "watch" in ratings


def test_a_stack_with_growing_deviations_is_flagged_before_training(data):
    architecture = Architecture((1, 8, 8), (Conv(16), *(Residual(16),) * 8, GlobalAverage()), 10)
    finding = finding_of(context_of(architecture, data), "start")
    assert finding.metrics["ratio"] > 2
    assert (finding.rating, finding.metrics["lost"]) == ("watch", 0)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))])
def test_default_architectures_memorise_a_small_subset(data, seed):
    finding = finding_of(context_of(random_architecture(seed), data, seed=seed), "overfit")
    assert (finding.rating, finding.metrics["images"]) == ("good", N_OVERFIT_IMAGES)
    assert finding.metrics["error"] == finding.metrics["shuffled_error"] == 0


@pytest.mark.slow
def test_a_deep_network_memorises_with_shortcuts_only(data):
    """Within 600 steps Plain-20 learns the labels, but not all shuffled labels; ResNet-20 learns both."""
    residual, plain = (
        finding_of(context_of(named(name, input_shape=(1, 8, 8)), data), "overfit")
        for name in ("resnet20-cifar", "plain20-cifar")
    )
    assert (residual.rating, residual.metrics["error"], residual.metrics["shuffled_error"]) == ("good", 0, 0)
    assert (plain.rating, plain.metrics["error"]) == ("watch", 0)
    assert plain.evidence.startswith("shuffled labels are not learned")


def test_a_default_architecture_with_a_wrong_loss_is_flagged(data):
    def wrong_loss(scores, labels):
        """Return the cross-entropy with labels that are one too high."""
        return F.cross_entropy(scores, (labels + 1) % 10)

    cheapest = min(map(random_architecture, range(12)), key=lambda architecture: cost(architecture).macs)
    finding = finding_of(context_of(cheapest, data, loss=wrong_loss), "overfit")
    assert finding.rating == "bad"
    assert finding.metrics["error"] > 0.9


def test_the_advice_for_underfitting_depends_on_the_size(data):
    """A high training error has two causes, which the number of parameters distinguishes."""
    large = Architecture((1, 8, 8), (Conv(12), Residual(16, stride=2), GlobalAverage()), 10)

    def stuck(seed):
        network = build(large, seed=seed)
        for weights in network.parameters():
            weights.register_hook(torch.zeros_like)  # all gradients are zero, so that no step changes a weight
        return network

    finding = finding_of(DiagnosticContext(stuck, data, RECIPE), "overfit")
    assert finding.metrics["error"] > 0.5
    assert "large enough" in finding.evidence
    assert "optimisation" in finding.advice
    small = Architecture((1, 8, 8), (Conv(2), GlobalAverage()), 10)
    finding = finding_of(context_of(small, data), "overfit")
    assert finding.metrics["error"] > 0.2
    assert finding.evidence.startswith("the network is too small")
    assert "more params and macs" in finding.advice


def test_convolution_and_pooling_are_invariant_to_shifts_but_not_to_rotations(data):
    """By a shift of 2 px they lose much less than an MLP of twice the parameters, by a turn of 30 degrees as much."""
    convolutional = Architecture((1, 8, 8), (ConvPool(16, 5), ConvPool(24), GlobalAverage()), 10)
    connected = Architecture((1, 8, 8), (Linear(64, norm=True), Linear(64, norm=True)), 10)
    gains = []
    for seed in range(2):
        one, other = (
            finding_of(context_of(architecture, data, seed=seed, short_epochs=12), "invariance").metrics
            for architecture in (convolutional, connected)
        )
        assert min(one["plain"], other["plain"]) > 0.9
        gains.append({name: one[name] - other[name] for name in one})
    for gain in gains:
        assert min(gain["shift 2 px"], gain["shift -2 px"]) > 0.25
        assert gain["turn 30 deg"] < 0.25
    mean = {name: sum(gain[name] for gain in gains) / len(gains) for name in gains[0]}
    assert mean["turn 30 deg"] < mean["shift 2 px"] / 2


@pytest.mark.parametrize(
    ("decay", "left"), [({"lr_end": 0.05}, "0.05"), ({"schedule": "constant"}, "1"), ({"lr_end": 0.01}, "")]
)
def test_a_rate_that_hardly_falls_is_flagged(data, decay, left):
    recipe = replace(RECIPE, **decay)
    finding = finding_of(context_of(Architecture((1, 8, 8), (Linear(16),), 10), data, recipe=recipe), "rate")
    assert finding.rating == ("watch" if left else "good")
    assert (f"ends at {left} of" in finding.evidence) == bool(left)


def identity(channels):
    """Return a 1x1 convolution that copies its channels, and a nonlinearity that keeps their sign."""
    module = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.LeakyReLU(0.01))
    with torch.no_grad():
        module[0].weight.copy_(torch.eye(channels).view(channels, channels, 1, 1))
        module[0].bias.zero_()
    return module


def test_a_channel_that_hardly_varies_is_named():
    images = torch.randn(64, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    images[:, 3] *= 0.005  # variance 2.5e-5 of that of the others
    images[:, 1] *= 0.05  # variance 2.5e-3 of it: small, but above the limit
    (units,) = unit_statistics(identity(5), images)
    assert (units.low_variance, units.low_variance_units) == (0.2, (3,))
    assert (units.dead, units.constant) == (0, 0)


def test_dead_constant_and_equal_units_are_named():
    layer = nn.Sequential(nn.Linear(3, 6), nn.ReLU())
    with torch.no_grad():
        layer[0].weight.normal_(generator=torch.Generator().manual_seed(1))
        layer[0].bias.zero_()
        layer[0].weight[4] = layer[0].weight[1]
        layer[0].bias[[1, 4]] = 1.0
        layer[0].weight[2], layer[0].bias[2] = 0.0, -1.0  # zero for every input
        layer[0].weight[3], layer[0].bias[3] = 0.0, 1.0  # one for every input
    (units,) = unit_statistics(layer, torch.randn(200, 3, generator=torch.Generator().manual_seed(0)))
    assert (units.dead_units, units.constant_units, units.same_pairs) == ((2,), (3,), ((1, 4),))


def test_the_evidence_names_the_units(data):
    network = build(Architecture((1, 8, 8), (Conv(8, norm=False), GlobalAverage()), 10), seed=0)
    with torch.no_grad():
        network[0][0].weight[5] = network[0][0].weight[2]
        network[0][0].bias[[2, 5]] = 0.5
        network[0][0].bias[7] = -1000.0
    context = DiagnosticContext(lambda seed: network, data, RECIPE, trained=network)
    assert "0.1 (1 dead: 7, 0 constant, " in finding_of(context, "units").evidence
    maps = finding_of(context, "maps")
    assert "(0.1: 1 pairs: 2 and 5)" in maps.evidence


def test_equal_filters_and_noisy_filters_are_named(data):
    network = build(Architecture((1, 8, 8), (Conv(6, 7), GlobalAverage()), 10), seed=0)
    ramp = torch.linspace(-1, 1, 7).repeat(7, 1)
    smooth = [ramp, ramp.T, ramp * ramp.T, ramp.square() + ramp]
    noise = torch.randn(7, 7, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network[0][0].weight.copy_(torch.stack([*smooth, noise, 3 * smooth[1]]).unsqueeze(1))
    finding = finding_of(DiagnosticContext(lambda seed: network, data, RECIPE, trained=network), "filters")
    assert finding.metrics["similar_pairs"] == [[1, 5]]
    assert finding.metrics["noisy_filters"] == [4]
    assert "pairs (1 and 5), 1 noisy (4)" in finding.evidence
    with torch.no_grad():
        network[0][0].weight.copy_(ramp.expand(6, 1, 7, 7))
    again = finding_of(DiagnosticContext(lambda seed: network, data, RECIPE, trained=network), "filters")
    assert (again.rating, again.metrics["similar"]) == ("watch", 15)
