"""The values of metrics are those of scikit-learn, also where classes are absent; custom metrics are checked."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

import archsieve as av
from archsieve.models.metrics.compute import (
    CALIBRATION_BINS,
    compute_metrics,
    compute_of_probabilities,
    expected_calibration_error,
)

QUICK = range(60)
ALL = range(60, 1060)
NAMES = (
    *("accuracy", "top_1_accuracy", "top_2_accuracy", "balanced_accuracy", "f1_macro", "f1_weighted"),
    *("roc_auc", "average_precision", "log_loss", "brier", "expected_calibration_error", "cohen_kappa"),
)


def case(seed):
    """Return labels and logits of a random case: in every second one, a class has no label or no prediction."""
    rng = np.random.default_rng(seed)
    n_classes = int(rng.integers(2, 6))
    labels = rng.integers(0, n_classes, int(rng.integers(4, 30)))
    logits = (rng.normal(size=(len(labels), n_classes)) + np.eye(n_classes)[labels] * rng.integers(0, 3)).round(2)
    if seed % 4 == 1:
        labels[labels == labels[0]] = (labels[0] + 1) % n_classes
    if seed % 4 == 2:
        logits[:, int(rng.integers(n_classes))] = -20
    return torch.from_numpy(labels), torch.from_numpy(logits)


def reference(name, y, p):
    """Return scikit-learn's value of a metric for labels (N,) and probabilities (N, K)."""
    classes, predicted = np.arange(p.shape[1]), p.argmax(1)
    binary = p.shape[1] == 2
    one_hot = np.eye(p.shape[1])[y]
    return {
        "accuracy": lambda: sk.accuracy_score(y, predicted),
        "top_1_accuracy": lambda: np.mean(
            [np.argsort(row, kind="stable")[-1] == k for row, k in zip(p, y, strict=True)]
        ),
        "top_2_accuracy": lambda: 1.0 if binary else sk.top_k_accuracy_score(y, p, k=2, labels=classes),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(y, predicted),
        "f1_macro": lambda: sk.f1_score(y, predicted, average="macro"),
        "f1_weighted": lambda: sk.f1_score(y, predicted, average="weighted"),
        "f1": lambda: sk.f1_score(y, predicted),
        "roc_auc": lambda: sk.roc_auc_score(y, p[:, 1]) if binary else sk.roc_auc_score(one_hot, p),
        "average_precision": lambda: (
            sk.average_precision_score(y, p[:, 1])
            if binary
            else np.mean([sk.average_precision_score(y == k, p[:, k]) for k in classes])
        ),
        "log_loss": lambda: sk.log_loss(y, p, labels=classes),
        "brier": lambda: sk.brier_score_loss(y, p[:, 1]) if binary else float(((p - one_hot) ** 2).sum(1).mean()),
        "expected_calibration_error": lambda: calibration_error(y, p),
        "cohen_kappa": lambda: sk.cohen_kappa_score(y, predicted, weights="quadratic"),
    }[name]()


def calibration_error(y, p):
    """The definition of Guo et al., bin by bin."""
    confidence, hit = p.max(1), p.argmax(1) == y
    total = 0.0
    for index in range(CALIBRATION_BINS):
        inside = (confidence > index / CALIBRATION_BINS) & (confidence <= (index + 1) / CALIBRATION_BINS)
        if inside.any():
            total += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    return total


def largest_difference(name, seeds):
    """Return the largest difference from scikit-learn; NaN only where one of two values is NaN."""
    differences = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of the absent classes
        for seed in seeds:
            labels, logits = case(seed)
            (value,) = compute_metrics([name], labels, logits).values()
            expected = reference(name, labels.numpy(), logits.softmax(1).numpy())
            differences.append(0.0 if math.isnan(value) and math.isnan(expected) else abs(value - expected))
    return max(differences) if not any(map(math.isnan, differences)) else math.nan


@pytest.mark.parametrize("name", NAMES)
def test_the_values_are_those_of_scikit_learn(name):
    assert largest_difference(name, QUICK) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_values_of_a_thousand_cases_are_those_of_scikit_learn(name):
    assert largest_difference(name, ALL) < 1e-6


@pytest.mark.parametrize("seeds", [QUICK, pytest.param(ALL, marks=pytest.mark.slow)], ids=["quick", "all"])
def test_f1_of_two_classes_is_that_of_the_second(seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        labels, logits = rng.integers(0, 2 - seed % 2, 12), rng.normal(size=(12, 2))
        value = compute_metrics(["f1"], torch.from_numpy(labels), torch.from_numpy(logits))["f1"]
        assert value == pytest.approx(sk.f1_score(labels, logits.argmax(1), zero_division=0), abs=1e-6)


def test_many_images_and_classes_are_as_in_scikit_learn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 100, 5000)
    logits = torch.from_numpy(rng.normal(size=(5000, 100)) + 2 * np.eye(100)[labels]).float()
    values = compute_metrics(NAMES, torch.from_numpy(labels), logits)
    p = logits.double().softmax(1).numpy()
    for name in ("f1_macro", "cohen_kappa", "roc_auc", "log_loss", "top_2_accuracy"):
        assert values[name] == pytest.approx(reference(name, labels, p), abs=1e-6), name
    assert list(values) == list(NAMES)


def test_probabilities_give_the_same_values_as_logits():
    labels, logits = case(0)
    from_logits = compute_metrics(NAMES, labels, logits)
    from_probabilities = compute_of_probabilities(NAMES, labels, logits.softmax(1))
    assert from_probabilities == pytest.approx(from_logits, abs=1e-12)
    certain = torch.eye(3)[torch.tensor([0, 1, 2])]
    assert compute_of_probabilities(["f1_macro"], torch.tensor([0, 1, 2]), certain) == {"f1_macro": 1.0}
    assert compute_of_probabilities(["log_loss"], torch.tensor([1, 1, 2]), certain)["log_loss"] > 10
    far = torch.tensor([[0.0, 1000.0]])  # the probability of class 0 is 0
    assert compute_metrics(["log_loss"], torch.tensor([0]), far)["log_loss"] == pytest.approx(
        -math.log(2.2e-16), abs=0.1
    )


def test_a_calibrated_network_has_no_calibration_error():
    p = np.array([[0.75, 0.25]] * 4)
    assert expected_calibration_error(np.array([0, 0, 0, 1]), p) == pytest.approx(0)
    assert expected_calibration_error(np.array([1, 1, 1, 1]), p) == pytest.approx(0.75)


@pytest.mark.parametrize("returned", [float("nan"), float("inf"), "0.5", None, True, np.array([1.0, 2.0]), [0.5]])
def test_a_custom_metric_must_return_one_finite_number(returned):
    def metric_of_test(labels, scores):
        return returned

    av.register_metric("custom_of_test")(metric_of_test)
    labels, logits = case(0)
    with pytest.raises(ValueError, match="'custom_of_test' must return"):
        compute_metrics(["custom_of_test"], labels, logits)


def test_a_custom_metric_changes_no_other_metric_and_prints_to_stderr(capsys):
    def metric_that_writes(labels, scores):
        print("called")
        labels[:], scores[:] = 0, 0
        return 0.5

    av.register_metric("custom_that_writes")(metric_that_writes)
    labels, logits = case(0)
    expected = compute_metrics(["log_loss"], labels, logits)["log_loss"]
    found = compute_metrics(["custom_that_writes", "log_loss"], labels, logits)
    assert found == {"custom_that_writes": 0.5, "log_loss": expected}
    assert capsys.readouterr() == ("", "called\n")


@pytest.mark.parametrize("returned", [0.5, 1, np.float32(0.5), np.array(0.5), torch.tensor(0.5)])
def test_a_custom_metric_gets_labels_and_probabilities(returned):
    seen = {}

    def metric_of_arrays(labels, scores):
        seen.update(labels=labels, scores=scores)
        return returned

    av.register_metric("custom_of_arrays")(metric_of_arrays)
    labels, logits = case(0)
    assert compute_metrics(["custom_of_arrays"], labels, logits.float()) == {"custom_of_arrays": float(returned)}
    assert (seen["labels"].dtype, seen["scores"].dtype) == (np.int64, np.float64)
    assert seen["scores"].shape == tuple(logits.shape)
    assert np.allclose(seen["scores"].sum(1), 1)
