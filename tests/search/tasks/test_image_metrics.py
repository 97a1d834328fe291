"""Metrics of the classification task: checked before training; one that fails on test images keeps the training."""

import numpy as np
import pytest
import torch

import archsieve as av
from archsieve.models.training.retrain import retrain
from archsieve.search.tasks.classification import ImageTask, ImageTrialContext
from archsieve.search.trials.report import TrialReport
from archsieve.spaces.metrics.selection import Selection

from ..conftest import small

ARCHITECTURE = av.Architecture((1, 8, 8), (av.Conv(4), av.GlobalAverage()), 10)
RECIPE = av.Recipe(epochs=1)


@pytest.fixture
def data():
    return av.load_data("digits", limit=200)


@pytest.fixture
def fails_on_test(data):
    """Register a metric that fails on the test images as soon as the scores are those of a network."""

    @av.register_metric("fails_on_test")
    def fails_on_test(labels, scores):
        if np.array_equal(labels, data.test.labels.numpy()) and np.ptp(scores) > 0:
            raise ZeroDivisionError("no such class")
        return 0.5

    return Selection.of("fails_on_test", ["f1_macro"])


def test_a_metric_that_fails_on_test_images_keeps_the_training(data, fails_on_test):
    made = retrain(ARCHITECTURE, RECIPE, data, seed=0, selection=fails_on_test)
    assert list(made.test_metrics) == ["f1_macro", "top_5_accuracy"]
    assert made.problems == ("fails_on_test has no value on the test images: ZeroDivisionError: no such class",)
    assert made.best.metrics["fails_on_test"] == 0.5
    assert made.weights


@pytest.mark.parametrize("folds", [None, 2])
def test_a_trial_reports_a_metric_that_fails_on_test_images(folds, data, fails_on_test):
    options = {"precision": "fp32", "folds": folds, "fold_seed": 0, "selection": fails_on_test}
    context = ImageTrialContext(data, torch.device("cpu"), **options)
    fit = context.fit(ARCHITECTURE, RECIPE, 0)
    fit.step()
    final = context.final_metrics(fit)
    assert (list(final.test_metrics), len(final.problems)) == (["f1_macro", "top_5_accuracy"], 1)
    assert final.test_accuracy is not None
    report = TrialReport(final_metrics=final)
    assert TrialReport.from_tune(report.to_tune()).final_metrics == final


def test_a_fold_with_an_infinite_test_loss_leaves_the_metrics_out(data):
    options = {"precision": "fp32", "folds": 2, "fold_seed": 0, "selection": Selection.of("f1_macro")}
    context = ImageTrialContext(data, torch.device("cpu"), **options)
    fit = context.fit(ARCHITECTURE, RECIPE, 0)
    fit.step()
    next(reversed(fit.best_weights[1].values())).fill_(torch.nan)
    final = context.final_metrics(fit)
    assert (final.test_metrics, final.problems) == ({}, ())
    assert final.test_accuracy is not None


def test_a_metric_without_a_value_is_refused_before_training():
    @av.register_metric("by_division")
    def by_division(labels, scores):
        found = int((scores.argmax(1) == 9).sum())
        return int((labels == 9).sum()) / found

    with pytest.raises(ValueError, match=r"'by_division' .* validation images .*ZeroDivisionError"):
        ImageTask().load(small(search={"metric": "by_division"}).file)


@av.register_dataset("one-class-validated", input_shape=(1, 8, 8), classes=2)
def load_one_class(request):
    def split(*labels):
        return av.Split(torch.zeros(len(labels), 1, 8, 8, dtype=torch.uint8), torch.tensor(labels))

    return av.Source(("first", "second"), split(*[0, 1] * 20), split(*[0] * 10))


def test_the_validation_images_of_a_later_training_are_checked_with_folds():
    tables = {"data": {"name": "one-class-validated"}, "search": {"metric": "f1_macro", "folds": 2}}
    with pytest.raises(ValueError, match="validation images of at least two classes"):
        ImageTask().load(small(**tables).file)
