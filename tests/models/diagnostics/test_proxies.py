"""Zero-cost proxies: each against its formula computed in another way, their invariances, and reasons for no score."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archsieve.models.data.dataset import in_unit_range
from archsieve.models.diagnostics.zero_cost_proxies import PROXIES, Probe, probe, proxy_scores
from archsieve.models.networks.build import build
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import (
    Conv,
    ConvNeXtBlock,
    ConvPool,
    DenseBlock,
    GlobalAverage,
    Inception,
    InvertedResidual,
    LocalContrast,
    Residual,
)

PLAIN = Architecture((1, 8, 8), (Conv(4, norm=False), Conv(6, norm=False), GlobalAverage()), 10)
NORMED = Architecture((1, 8, 8), (Conv(4), ConvPool(8, convs=2), Residual(8), Inception(16), GlobalAverage()), 10)
MODERN = Architecture(
    (1, 8, 8),
    (
        *(Conv(4), InvertedResidual(8, squeeze=0.25), InvertedResidual(act="hardswish", squeeze_form="expanded")),
        *(ConvNeXtBlock(12), DenseBlock(2, 4), GlobalAverage()),
    ),
    10,
)
LINEAR = Architecture((1, 8, 8), (Conv(4, norm=False, act="none"),), 10)


@pytest.fixture(scope="module")
def batch(few_digits) -> Probe:
    return probe(few_digits, seed=3, n_images=16)


def score(name: str, architecture: Architecture, batch: Probe) -> float | str:
    return proxy_scores([name], architecture, batch)[name]


@pytest.mark.parametrize("architecture", [PLAIN, NORMED, MODERN], ids=["plain", "normed", "modern"])
@pytest.mark.parametrize("name", PROXIES)
def test_every_proxy_is_finite_and_reproducible(name, architecture, batch):
    before = torch.get_rng_state()
    value = score(name, architecture, batch)
    assert isinstance(value, float)
    assert math.isfinite(value)
    assert value == score(name, architecture, batch)
    assert torch.equal(before, torch.get_rng_state())


def test_grad_norm_is_the_sum_of_the_layers_norms(batch):
    network = build(PLAIN, seed=batch.seed)
    weights = [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    loss = F.cross_entropy(network(batch.images), batch.labels)
    norms = [float(gradient.square().sum()) ** 0.5 for gradient in torch.autograd.grad(loss, weights)]
    assert len(norms) == 3
    assert score("grad_norm", PLAIN, batch) == pytest.approx(sum(norms), rel=1e-5)


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "normed"])
def test_synflow_is_layers_times_the_sum_of_all_paths(norm, batch):
    """Without biases R is linear in each layer's weights, so theta * dR/dtheta sums to R in each layer.

    This also holds with batch norm, because synflow removes it.
    """
    architecture = Architecture((1, 8, 8), (Conv(4, norm=norm), Conv(6, norm=norm), GlobalAverage()), 10)
    network = build(architecture, seed=batch.seed).double()
    ones = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    for layer in (layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)):
        weight = layer.weight.detach().abs()
        ones = F.conv2d(ones, weight, padding=1) if isinstance(layer, nn.Conv2d) else ones.mean((2, 3)) @ weight.T
    assert score("synflow", architecture, batch) == pytest.approx(math.log(3 * float(ones.sum())), rel=1e-12)


@pytest.mark.parametrize(
    "blocks",
    [
        (LocalContrast(), Conv(4), GlobalAverage()),
        (Conv(4), Residual(8, preactivation=True, stride=2, shortcut="A"), GlobalAverage()),
    ],
    ids=["contrast", "preactivation"],
)
def test_synflow_removes_norms_without_an_error(blocks, batch):
    """Contrast normalisation maps a constant image to zero, and a ReLU after a norm works in place."""
    assert isinstance(score("synflow", Architecture((1, 8, 8), blocks, 10), batch), float)


def test_synflow_uses_no_data(batch):
    other = replace(batch, images=torch.rand_like(batch.images), labels=batch.labels.flip(0))
    assert score("synflow", NORMED, other) == score("synflow", NORMED, batch)


def test_synflow_of_a_deep_network_does_not_overflow(batch):
    deep = Architecture((1, 8, 8), (Conv(64), *(Residual(64),) * 60, GlobalAverage()), 10)
    assert score("synflow", deep, batch) > math.log(torch.finfo(torch.float32).max)


def test_naswot_counts_agreeing_units_pair_by_pair(batch):
    few = Probe(batch.images[:5], batch.labels[:5], batch.seed)
    codes = []
    x = few.images
    for layer in build(PLAIN, seed=few.seed).modules():
        if isinstance(layer, nn.Conv2d):
            x = F.conv2d(x, layer.weight, layer.bias, padding=1)
            codes.append((x > 0).flatten(1))
            x = x.clamp(min=0)
    code = torch.cat(codes, dim=1)
    kernel = torch.tensor([[float((a == b).sum()) for b in code] for a in code], dtype=torch.float64)
    assert kernel[0, 0] == 64 * 10
    assert score("naswot", PLAIN, few) == pytest.approx(float(torch.logdet(kernel)), rel=1e-9)


def test_naswot_ignores_order_and_labels(batch):
    reversed_batch = replace(batch, images=batch.images.flip(0), labels=batch.labels * 0)
    assert score("naswot", PLAIN, reversed_batch) == pytest.approx(score("naswot", PLAIN, batch), rel=1e-6)


def test_naswot_without_a_score_gives_the_reason(batch):
    twice = replace(batch, images=torch.cat([batch.images, batch.images[:1]]), labels=batch.labels.repeat(2)[:17])
    assert "same code" in score("naswot", PLAIN, twice)
    assert "no nonlinearity" in score("naswot", LINEAR, batch)


def test_jacob_cov_equals_gradients_computed_one_by_one(batch):
    few = Probe(batch.images[:6], batch.labels[:6], batch.seed)
    network = build(PLAIN, seed=few.seed)
    rows = []
    for image in few.images:
        one = image[None].clone().requires_grad_()
        rows.append(torch.autograd.grad(network(one).sum(), one)[0].flatten().double())
    centred = torch.stack([(row - row.mean()) / (row - row.mean()).norm() for row in rows])
    values = (
        torch.linalg.svdvals(centred).square() + 1e-5
    )  # eigenvalues of the correlations are squared singular values
    assert score("jacob_cov", PLAIN, few) == pytest.approx(-float((values.log() + 1 / values).sum()), rel=1e-4)


def test_jacob_cov_is_lowest_where_all_gradients_are_the_same(batch):
    """A linear network has the same gradient for every image: all correlations are 1, so one eigenvalue is N."""
    n, k = len(batch.images), 1e-5
    expected = -(math.log(n + k) + 1 / (n + k) + (n - 1) * (math.log(k) + 1 / k))
    assert score("jacob_cov", LINEAR, batch) == pytest.approx(expected, rel=1e-3)
    assert score("jacob_cov", PLAIN, batch) > expected


def test_params_and_macs_equal_the_closed_form(batch):
    built = build(NORMED)
    assert score("params", NORMED, batch) == sum(p.numel() for p in built.parameters())
    assert score("macs", NORMED, batch) == NORMED.cost.macs


def test_probe_has_training_images_only(few_digits):
    whole = probe(few_digits, seed=0, n_images=10_000)
    assert len(whole.images) == len(few_digits.train)
    first = probe(few_digits, seed=1)
    assert first.images.shape == (64, 1, 8, 8)
    train = few_digits.normalise(in_unit_range(few_digits.train.images))
    rows = {row.numpy().tobytes() for row in train}
    assert all(row.numpy().tobytes() in rows for row in first.images)
    assert torch.equal(first.images, probe(few_digits, seed=1).images)
    assert not torch.equal(first.images, probe(few_digits, seed=2).images)


def test_reason_replaces_a_score_that_cannot_be_computed(batch):
    one = Probe(batch.images[:1], batch.labels[:1], 0)
    with_vector_norm = Architecture((1, 8, 8), (Conv(4), GlobalAverage()), 10)
    assert isinstance(score("jacob_cov", with_vector_norm, one), str)
    wrong = replace(batch, images=batch.images[:, :, :3, :3])  # too small: torch raises
    assert "RuntimeError" not in score("grad_norm", LINEAR, wrong)
    assert isinstance(score("grad_norm", LINEAR, wrong), str)
    broken = replace(batch, images=batch.images * math.nan)
    assert "nan" in score("grad_norm", PLAIN, broken)
    with pytest.raises(ValueError, match=r"'synflo'.*'synflow'"):
        proxy_scores(["synflo"], PLAIN, batch)
