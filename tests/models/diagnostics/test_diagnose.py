"""The checks of ``archsieve doctor``: a healthy network has no bad finding, and each planted fault is identified."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archsieve.models.data.dataset import Split
from archsieve.models.data.registry import load_data
from archsieve.models.diagnostics.activation_statistics import unit_statistics
from archsieve.models.diagnostics.divergence import MAX_CHECKED_MACS, diagnose_divergence
from archsieve.models.diagnostics.filters import filter_grid, smoothness
from archsieve.models.diagnostics.gradients import MAX_ERROR, relative_errors
from archsieve.models.diagnostics.run_checks import CHECKS, DiagnosticContext, diagnose, summarise
from archsieve.models.networks.build import build
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import (
    Conv,
    ConvNeXtBlock,
    ConvPool,
    DenseBlock,
    DepthwiseSeparable,
    Fire,
    FusedInvertedResidual,
    GlobalAverage,
    GroupedBottleneck,
    Inception,
    InvertedResidual,
    Linear,
    Residual,
    ShuffleUnit,
)
from archsieve.spaces.recipes.recipe import Recipe

NETWORK = Architecture((1, 8, 8), (Conv(12), Residual(12), Residual(16, stride=2), GlobalAverage()), 10)
RECIPE = Recipe(lr=0.1, batch_size=64)


@pytest.fixture(scope="module")
def data():
    torch.set_num_threads(1)
    return load_data("digits")


@pytest.fixture
def context(data):
    return DiagnosticContext(lambda seed: build(NETWORK, seed=seed), data, RECIPE)


def run_check(context, check):
    (finding,) = diagnose(context, [check])
    return finding


def test_healthy_network_has_no_bad_finding(context):
    findings = list(diagnose(context))
    assert [finding.check for finding in findings] == list(CHECKS)
    assert {finding.check: finding.rating for finding in findings if finding.rating == "bad"} == {}
    assert summarise(findings).startswith("healthy")
    metrics = {finding.check: finding.metrics for finding in findings}
    assert metrics["overfit"]["error"] == metrics["overfit"]["shuffled_error"] == 0
    assert metrics["labels"]["val"] > 0.9
    assert metrics["invariance"]["shift 1 px"] > metrics["invariance"]["turn 30 deg"]
    assert metrics["speed"]["step_ms"] == pytest.approx(
        sum(metrics["speed"][f"{name}_ms"] for name in ("data", "forward", "backward", "update"))
    )


@pytest.mark.parametrize(
    "block",
    [
        *(Conv(4), ConvPool(4), Residual(4, stride=2), Inception(8), Linear(6)),
        *(InvertedResidual(squeeze=0.5), FusedInvertedResidual(6), DepthwiseSeparable(6, act="hardswish")),
        *(GroupedBottleneck(6, groups=2), ConvNeXtBlock(layer_scale=1), ShuffleUnit(), Fire(8), DenseBlock(2, 2)),
    ],
    ids=lambda block: block.kind,
)
def test_gradients_are_correct_in_every_block(data, block):
    blocks = (Conv(4), block) if isinstance(block, Linear) else (Conv(4), block, GlobalAverage())
    network = Architecture((1, 8, 8), blocks, 10)
    errors = relative_errors(DiagnosticContext(lambda seed: build(network, seed=seed), data, RECIPE))
    # a depthwise convolution between two norms cancels the scale of the first one: its slope is almost only rounding
    depthwise = isinstance(block, InvertedResidual | DepthwiseSeparable | ShuffleUnit)
    assert max(errors.values()) < (MAX_ERROR if depthwise else 1e-4)


class WrongGradient(torch.autograd.Function):
    """The identity with a gradient that is 1.3 times too large."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        return slope * 1.3


class WrongLayer(nn.Module):
    def forward(self, x):
        return WrongGradient.apply(x)


def test_wrong_backward_pass_is_located(context):
    def make(seed):
        network = build(NETWORK, seed=seed)
        return nn.Sequential(network[0], WrongLayer(), *network[1:])

    finding = run_check(replace(context, make=make), "gradients")
    assert finding.rating == "bad"
    assert finding.metrics["wrong"]
    assert all(
        name.startswith("0.") for name in finding.metrics["wrong"]
    )  # gradients after the faulty layer are correct
    assert finding.metrics["wrong"][0] in finding.evidence
    assert finding.metrics["worst"] == pytest.approx(0.3 / 1.3, rel=0.01)


def test_divergence_report_has_a_working_rate_or_wrong_gradients(data):
    def make(seed):
        return build(NETWORK, seed=seed)

    def make_wrong(seed):
        network = build(NETWORK, seed=seed)
        return nn.Sequential(network[0], WrongLayer(), *network[1:])

    def report(make, recipe, macs=NETWORK.cost.macs):
        return diagnose_divergence(make, data, recipe, seed=0, macs=macs)

    too_large = replace(RECIPE, lr=1e30)
    healthy = report(make, too_large)
    assert healthy.gradients["wrong"] == []
    assert 0 < healthy.lr <= 1
    lower = report(make, replace(RECIPE, lr=healthy.lr / 4))
    assert lower.lr <= healthy.lr / 8  # below the rate that diverged
    assert report(make, too_large, MAX_CHECKED_MACS + 1).gradients is None
    wrong = report(make_wrong, too_large)
    assert (wrong.lr, wrong.gradients["wrong"][0][:2]) == (None, "0.")


def test_wrong_loss_is_identified(context):
    def label_free_loss(scores, labels):
        """The mean square of the scores: it falls to zero with any labels."""
        return scores.square().mean() + 0 * F.cross_entropy(scores, labels)

    finding = run_check(replace(context, loss=label_free_loss), "overfit")
    assert finding.rating == "bad"
    assert "loss is wrong" in finding.evidence
    first, last = finding.metrics["losses"]
    assert last < first
    assert finding.metrics["error"] > 0.5


def test_too_large_learning_rate_gets_a_better_one(context):
    finding = run_check(replace(context, recipe=replace(RECIPE, lr=500.0)), "rate")
    assert finding.rating == "bad"
    assert "learning rate is far too large" in finding.evidence
    better = finding.metrics["found"]
    assert better < 500 / 8
    assert finding.advice == f"set lr = {better:g}"
    assert run_check(replace(context, recipe=replace(RECIPE, lr=better / 4)), "rate").rating == "good"


def test_dead_layer_is_named_before_and_after_training(data):
    network = Architecture((1, 8, 8), (Conv(8, norm=False), Conv(8, norm=False), GlobalAverage()), 10)

    def make(seed):
        built = build(network, seed=seed)
        with torch.no_grad():
            built[1][0].bias.fill_(-1000.0)
        return built

    context = DiagnosticContext(make, data, RECIPE, short_epochs=1)
    at_start, trained = run_check(context, "start"), run_check(context, "units")
    assert at_start.rating == trained.rating == "bad"
    for finding in (at_start, trained):
        assert "the layer 1.1 is dead" in finding.evidence
        (layer,) = [row for row in finding.metrics["layers"] if row["name"] == "1.1"]
        assert layer["dead"] == layer["units"] == 8


def test_shuffled_labels_are_identified(context):
    generator = torch.Generator().manual_seed(0)

    def shuffled(split):
        return Split(split.images, split.labels[torch.randperm(len(split), generator=generator)])

    data = replace(context.data, train=shuffled(context.data.train), val=shuffled(context.data.val))
    finding = run_check(replace(context, data=data, short_images=256, short_epochs=30), "labels")
    assert finding.rating == "bad"
    assert "shuffled" in finding.evidence
    assert finding.metrics["val"] < finding.metrics["train"]


def test_too_small_network_is_identified(data):
    network = Architecture((1, 8, 8), (Conv(1), GlobalAverage()), 10)
    finding = run_check(DiagnosticContext(lambda seed: build(network, seed=seed), data, RECIPE), "overfit")
    assert finding.rating == "bad"
    assert "too small" in finding.evidence
    assert finding.metrics["params"] < finding.metrics["images"] * 4
    assert "more params and macs" in finding.advice


class Constant(nn.Module):
    """Predicts the same class for every image; its weights have no effect."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(10))

    def forward(self, x):
        return F.one_hot(torch.full((len(x),), 3), 10) * 5.0 + 0 * self.weights


def test_collapsed_prediction_is_identified(context):
    finding = run_check(replace(context, make=lambda seed: Constant(), short_epochs=1), "labels")
    assert finding.rating == "bad"
    assert finding.metrics["same"] == 1
    assert "collapsed: 100%" in finding.evidence


def test_equal_and_dead_and_constant_units_are_counted():
    layer = nn.Sequential(nn.Linear(3, 5), nn.ReLU())
    with torch.no_grad():
        layer[0].weight[1] = layer[0].weight[0]
        layer[0].bias[:2] = 1.0
        layer[0].weight[2], layer[0].bias[2] = 0.0, -1.0  # always zero: dead
        layer[0].weight[3], layer[0].bias[3] = 0.0, 1.0  # always one: constant
    (units,) = unit_statistics(layer, torch.randn(200, 3, generator=torch.Generator().manual_seed(0)))
    assert (units.units, units.dead, units.constant, units.same) == (5, 1, 1, 1)
    assert units.max_correlation == pytest.approx(1.0)
    assert units.rank < 2.1


def test_scales_of_squeeze_and_excitation_are_no_units():
    network = build(Architecture((1, 8, 8), (Conv(4), InvertedResidual(expansion=2, squeeze=0.5)), 10), seed=0)
    layers = unit_statistics(network, torch.randn(8, 1, 8, 8))
    assert [layer.units for layer in layers] == [4, 8, 8]


def test_saturation_and_sparsity_are_measured():
    tanh = nn.Sequential(nn.Linear(1, 2), nn.Tanh())
    with torch.no_grad():
        tanh[0].weight[:, 0], tanh[0].bias[:] = torch.tensor([10_000.0, 0.1]), torch.tensor([0.5, 0.0])
    images = torch.linspace(-1, 1, 400).unsqueeze(1)
    (units,) = unit_statistics(tanh, images)
    assert (units.units, units.saturated, units.dead) == (2, 1, 0)
    one_hot = nn.Sequential(nn.Identity(), nn.ReLU())
    (sparse,) = unit_statistics(one_hot, torch.eye(16))
    (even,) = unit_statistics(one_hot, torch.ones(16, 4) + 0.01 * torch.rand(16, 4))
    assert sparse.hoyer == pytest.approx(1.0)
    assert even.hoyer < 0.01


def test_smooth_filters_differ_from_noise_and_are_drawn():
    ramp = torch.linspace(-1, 1, 7).repeat(7, 1)
    noise = torch.randn(7, 7, generator=torch.Generator().manual_seed(0))
    weights = torch.stack([ramp, noise]).unsqueeze(1)
    smooth = smoothness(weights)
    assert smooth[0] > 0.5 > smooth[1].abs()
    assert filter_grid(weights).size[0] > 2 * 24


def test_unknown_check_gets_the_nearest_name(context):
    with pytest.raises(ValueError, match=r"'gradient'.*'gradients'"):
        list(diagnose(context, ["gradient"]))


def test_the_layer_that_loses_accuracy_in_int8_is_named(data):
    architecture = Architecture((1, 8, 8), (Conv(12), Conv(16), GlobalAverage()), 10)
    context = DiagnosticContext(lambda seed: build(architecture, seed=seed), data, RECIPE)
    network = context.trained_network
    healthy = run_check(context, "int8")
    assert healthy.rating == "good", healthy.evidence
    assert healthy.metrics["val_accuracy"] > 0.8
    # one channel is larger and the next layer smaller by the same factor: the same function, but a wide range
    (_, norm), (second, _) = ([one for one in block if hasattr(one, "weight")] for block in network[:2])
    assert isinstance(norm, torch.nn.BatchNorm2d)
    with torch.no_grad():
        norm.weight[0] *= 3000
        norm.bias[0] *= 3000
        second.weight[:, 0] /= 3000
    wide = run_check(replace(context, trained=network), "int8")
    assert wide.metrics["val_accuracy"] == pytest.approx(healthy.metrics["val_accuracy"], abs=0.005)
    assert wide.rating == "bad", wide.evidence
    name = next(name for name, module in network.named_modules() if module is second)
    assert f"the layer {name} alone" in wide.evidence
    lost = wide.metrics["lost_by_layer"]
    assert max(lost, key=lost.get) == name
