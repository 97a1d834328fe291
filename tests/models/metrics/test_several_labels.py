"""Losses are those of torch, and metrics of several labels those of scikit-learn, also for degenerate classes."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import nn

from archsieve.models.metrics.compute import compute_metrics, compute_of_probabilities
from archsieve.models.metrics.label_losses import LabelLoss
from archsieve.models.metrics.several_labels import OF_PREDICTIONS, OF_PROBABILITIES
from archsieve.spaces.metrics.registry import BUILT_IN

NAMES = (*OF_PREDICTIONS, *OF_PROBABILITIES)


def case(seed):
    """Return labels and logits: in most cases a class, an image or all images have no labels, or all of them."""
    rng = np.random.default_rng(seed)
    n, n_classes = int(rng.integers(1, 25)), int(rng.integers(2, 6))
    labels = rng.random((n, n_classes)) < rng.choice([0.1, 0.5, 0.9])
    logits = (rng.normal(size=labels.shape) + (labels - 0.5) * rng.integers(0, 4)).round(1)
    labels[:, int(rng.integers(n_classes))] &= seed % 7 != 1
    labels[:, int(rng.integers(n_classes))] |= seed % 7 == 2
    labels[int(rng.integers(n))] &= seed % 7 != 3
    labels &= seed % 7 != 4
    logits -= 60.0 * (seed % 7 == 5)  # nothing is predicted, with probabilities near 0
    return torch.from_numpy(labels), torch.from_numpy(logits)


def reference(name, y, p):
    """Return scikit-learn's value for labels (N, K) and probabilities (N, K)."""
    has = (p > 0.5).astype(int)
    return {
        "accuracy": lambda: sk.accuracy_score(y, has),
        **{
            f"f1_{average}": lambda average=average: sk.f1_score(y, has, average=average)
            for average in ("macro", "weighted", "micro", "samples")
        },
        "roc_auc": lambda: sk.roc_auc_score(y, p, average="macro"),
        "average_precision": lambda: sk.average_precision_score(y, p, average="macro"),
        "log_loss": lambda: np.mean([sk.log_loss(y[:, k], p[:, k], labels=[0, 1]) for k in range(y.shape[1])]),
        "brier": lambda: np.mean([sk.brier_score_loss(y[:, k], p[:, k], pos_label=1) for k in range(y.shape[1])]),
    }[name]()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seeds", [range(28), pytest.param(range(28, 1028), marks=pytest.mark.slow)])
def test_values_are_those_of_scikit_learn(name, seeds):
    worst, n_finite = 0.0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn, for absent classes
        for seed in seeds:
            labels, logits = case(seed)
            (value,) = compute_metrics([name], labels, logits).values()
            expected = reference(name, labels.numpy().astype(int), logits.sigmoid().numpy())
            assert math.isnan(value) == math.isnan(expected), seed
            if not math.isnan(value):
                worst, n_finite = max(worst, abs(value - expected)), n_finite + 1
    assert worst < 1e-6
    assert n_finite > len(seeds) / 4


def test_every_metric_for_several_labels_is_computed():
    assert set(NAMES) == {name for name, metric in BUILT_IN.items() if metric.multi_label}
    labels, logits = case(0)
    of_probabilities = compute_of_probabilities(NAMES, labels, logits.sigmoid())
    assert of_probabilities == pytest.approx(compute_metrics(NAMES, labels, logits), nan_ok=True)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 4, generator=generator)
    return logits, torch.arange(12) % 4, torch.rand(12, 4, generator=generator) < 0.4


CLASS_WEIGHTS = torch.tensor([0.5, 2.0, 0.0, 3.0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("class_weights", [None, CLASS_WEIGHTS])
def test_loss_of_one_label_is_that_of_torch(batch, smoothing, class_weights):
    logits, labels, _ = batch
    loss = LabelLoss(class_weights, smoothing)
    torch_loss = nn.CrossEntropyLoss(weight=class_weights, label_smoothing=smoothing)
    assert loss(logits, labels) == pytest.approx(float(torch_loss(logits, labels)))
    assert loss(logits, labels, torch.full((12,), 7.0)) == pytest.approx(float(torch_loss(logits, labels)))
    # a weight of 3 is the same as three copies of the image
    weights = torch.tensor([3.0, 0.0, *[1.0] * 10])
    repeated = torch.tensor([0, 0, 0, *range(2, 12)])
    assert loss(logits, labels, weights) == pytest.approx(float(torch_loss(logits[repeated], labels[repeated])))


@pytest.mark.parametrize("pos_weight", [None, CLASS_WEIGHTS])
def test_loss_of_several_labels_is_that_of_torch(batch, pos_weight):
    logits, _, labels = batch
    loss, torch_loss = LabelLoss(pos_weight, multi_label=True), nn.BCEWithLogitsLoss(pos_weight=pos_weight)
    assert loss(logits, labels) == pytest.approx(float(torch_loss(logits, labels.float())))
    weights = torch.tensor([3.0, 0.0, *[1.0] * 10])
    repeated = torch.tensor([0, 0, 0, *range(2, 12)])
    expected = torch_loss(logits[repeated], labels[repeated].float())
    assert loss(logits, labels, weights) == pytest.approx(float(expected))
    smooth = LabelLoss(smoothing=0.2, multi_label=True)(logits, labels)
    assert smooth == pytest.approx(float(nn.BCEWithLogitsLoss()(logits, labels.float() * 0.8 + 0.1)))


def test_a_batch_whose_weights_are_all_zero_has_no_gradient(batch):
    logits, one, several = batch
    for labels in (one, several):
        given = logits.clone().requires_grad_()
        LabelLoss(multi_label=labels is several)(given, labels, torch.zeros(12)).backward()
        assert not given.grad.any()
