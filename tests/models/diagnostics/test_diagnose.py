"""The doctor names what is wrong: a healthy network has nothing, each planted fault is found for what it is."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archsieve.models.data.dataset import Split
from archsieve.models.data.registry import load_data
from archsieve.models.diagnostics.activation_statistics import unit_statistics
from archsieve.models.diagnostics.divergence import LARGEST_MACS, examine_divergence
from archsieve.models.diagnostics.filters import picture, smoothness
from archsieve.models.diagnostics.gradients import relative_errors
from archsieve.models.diagnostics.run_checks import CHECKS, Patient, diagnose, verdict
from archsieve.models.networks.build import build
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Inception, Linear, Residual
from archsieve.spaces.recipes.recipe import Recipe

NETWORK = Architecture((1, 8, 8), (Conv(12), Residual(12), Residual(16, stride=2), GlobalAverage()), 10)
RECIPE = Recipe(lr=0.1, batch_size=64)


@pytest.fixture(scope="module")
def data():
    torch.set_num_threads(1)
    return load_data("digits")


@pytest.fixture
def patient(data):
    return Patient(lambda seed: build(NETWORK, seed=seed), data, RECIPE)


def found(patient, check):
    (finding,) = diagnose(patient, [check])
    return finding


def test_a_healthy_network_is_healthy(patient):
    findings = list(diagnose(patient))
    assert [finding.check for finding in findings] == list(CHECKS)
    assert {finding.check: finding.verdict for finding in findings if finding.verdict == "bad"} == {}
    assert verdict(findings).startswith("healthy")
    told = {finding.check: finding.figures for finding in findings}
    assert told["overfit"]["error"] == told["overfit"]["shuffled_error"] == 0
    assert told["labels"]["val"] > 0.9
    assert told["invariance"]["shift 1 px"] > told["invariance"]["turn 30 deg"]
    assert told["speed"]["step_ms"] == pytest.approx(
        sum(told["speed"][f"{name}_ms"] for name in ("data", "forward", "backward", "update"))
    )


@pytest.mark.parametrize(
    "block", [Conv(4), ConvPool(4), Residual(4, stride=2), Inception(8), Linear(6)], ids=lambda block: block.kind
)
def test_gradients_are_right_in_every_block(data, block):
    blocks = (Conv(4), block) if isinstance(block, Linear) else (Conv(4), block, GlobalAverage())
    network = Architecture((1, 8, 8), blocks, 10)
    errors = relative_errors(Patient(lambda seed: build(network, seed=seed), data, RECIPE))
    assert max(errors.values()) < 1e-4


class Wrong(torch.autograd.Function):
    """The identity, whose backward is a third too large."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        return slope * 1.3


class WrongLayer(nn.Module):
    def forward(self, x):
        return Wrong.apply(x)


def test_a_wrong_backward_is_found_and_placed(patient):
    def make(seed):
        network = build(NETWORK, seed=seed)
        return nn.Sequential(network[0], WrongLayer(), *network[1:])

    finding = found(replace(patient, make=make), "gradients")
    assert finding.verdict == "bad"
    assert "backward is wrong at" in finding.evidence
    assert all(name.startswith("0.") for name in finding.figures["wrong"])  # what lies behind it is right
    assert finding.figures["worst"] == pytest.approx(0.3 / 1.3, rel=0.01)


def test_a_divergence_is_examined_for_a_rate_that_trains_and_for_wrong_gradients(data):
    def wrong(seed):
        network = build(NETWORK, seed=seed)
        return nn.Sequential(network[0], WrongLayer(), *network[1:])

    def examined(make, recipe, macs=NETWORK.cost.macs):
        return examine_divergence(make, data, recipe, seed=0, macs=macs)

    wild = replace(RECIPE, lr=1e30)
    told = examined(lambda seed: build(NETWORK, seed=seed), wild)
    assert told.gradients["wrong"] == []
    assert 0 < told.lr <= 1
    low = examined(lambda seed: build(NETWORK, seed=seed), replace(RECIPE, lr=told.lr / 4))
    assert low.lr <= told.lr / 8  # below the rate at which it was seen to diverge
    assert examined(lambda seed: build(NETWORK, seed=seed), wild, LARGEST_MACS + 1).gradients is None
    found = examined(wrong, wild)
    assert (found.lr, found.gradients["wrong"][0][:2]) == (None, "0.")


def test_a_wrong_loss_is_found(patient):
    def small(scores, labels):
        """The sum of the squares: it falls to nothing, whatever the labels say."""
        return scores.square().mean() + 0 * F.cross_entropy(scores, labels)

    finding = found(replace(patient, loss=small), "overfit")
    assert finding.verdict == "bad"
    assert finding.evidence.startswith("the loss is wrong: it falls, and accuracy stays at chance")


def test_an_absurd_learning_rate_is_found_and_a_better_one_named(patient):
    finding = found(replace(patient, recipe=replace(RECIPE, lr=500.0)), "rate")
    assert finding.verdict == "bad"
    assert finding.evidence.startswith("the learning rate is absurdly large")
    better = finding.figures["found"]
    assert finding.advice == f"set lr = {better:g}"
    assert found(replace(patient, recipe=replace(RECIPE, lr=better / 4)), "rate").verdict == "good"


def test_a_dead_layer_is_found_before_and_after_training(data):
    network = Architecture((1, 8, 8), (Conv(8, norm=False), Conv(8, norm=False), GlobalAverage()), 10)

    def make(seed):
        built = build(network, seed=seed)
        with torch.no_grad():
            built[1][0].bias.fill_(-1000.0)
        return built

    patient = Patient(make, data, RECIPE, short_epochs=1)
    at_start, trained = found(patient, "start"), found(patient, "units")
    assert at_start.verdict == trained.verdict == "bad"
    assert at_start.evidence.startswith("the layer 1.1 is dead before training")
    assert trained.evidence.startswith("the layer 1.1 is dead: no image makes it speak")


def test_shuffled_labels_are_found(patient):
    generator = torch.Generator().manual_seed(0)

    def shuffled(split):
        return Split(split.images, split.labels[torch.randperm(len(split), generator=generator)])

    data = replace(patient.data, train=shuffled(patient.data.train), val=shuffled(patient.data.val))
    finding = found(replace(patient, data=data, short_images=256, short_epochs=30), "labels")
    assert finding.verdict == "bad"
    assert finding.evidence.startswith("labels say nothing about new images, as if they were shuffled")


def test_a_network_far_too_small_is_found(data):
    network = Architecture((1, 8, 8), (Conv(1), GlobalAverage()), 10)
    finding = found(Patient(lambda seed: build(network, seed=seed), data, RECIPE), "overfit")
    assert finding.verdict == "bad"
    assert finding.evidence.startswith("the network is too small: ")
    assert "more params and macs" in finding.advice


class Constant(nn.Module):
    """Whatever it sees, it says one class; its weights change nothing."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(10))

    def forward(self, x):
        return F.one_hot(torch.full((len(x),), 3), 10) * 5.0 + 0 * self.weights


def test_a_collapsed_prediction_is_found(patient):
    finding = found(replace(patient, make=lambda seed: Constant(), short_epochs=1), "labels")
    assert finding.verdict == "bad"
    assert finding.evidence.startswith("the prediction has collapsed: 100% of the images in one class")


def test_units_that_say_the_same_or_nothing_are_counted():
    layer = nn.Sequential(nn.Linear(3, 5), nn.ReLU())
    with torch.no_grad():
        layer[0].weight[1] = layer[0].weight[0]
        layer[0].bias[:2] = 1.0
        layer[0].weight[2], layer[0].bias[2] = 0.0, -1.0  # never speaks
        layer[0].weight[3], layer[0].bias[3] = 0.0, 1.0  # always says one
    (units,) = unit_statistics(layer, torch.randn(200, 3, generator=torch.Generator().manual_seed(0)))
    assert (units.units, units.dead, units.constant, units.same) == (5, 1, 1, 1)
    assert units.max_correlation == pytest.approx(1.0)
    assert units.rank < 2.1


def test_saturated_units_and_sparse_ones_are_measured():
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


def test_filters_are_drawn_and_told_from_noise():
    ramp = torch.linspace(-1, 1, 7).repeat(7, 1)
    noise = torch.randn(7, 7, generator=torch.Generator().manual_seed(0))
    weights = torch.stack([ramp, noise]).unsqueeze(1)
    smooth = smoothness(weights)
    assert smooth[0] > 0.5 > smooth[1].abs()
    assert picture(weights).size[0] > 2 * 24


def test_an_unknown_check_names_the_nearest(patient):
    with pytest.raises(ValueError, match="unknown check 'gradient'; did you mean 'gradients'"):
        list(diagnose(patient, ["gradient"]))
