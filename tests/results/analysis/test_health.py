"""Health: each planted case is named, a healthy curve is not, and what was found is shown once."""

import math

import pytest

from archsieve.results.analysis.health import FINDING, details, findings, findings_of
from archsieve.results.database.training_records import lrs_found
from archsieve.results.report.analysis_sections import health_section


def curve(train_loss, train_accuracy, val_loss, val_accuracy):
    figures = {
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "val_loss": val_loss,
        "val_accuracy": val_accuracy,
    }
    return {name: list(enumerate(values, start=1)) for name, values in figures.items()}


HEALTHY = curve([2.0, 0.8, 0.3], [0.4, 0.8, 0.95], [1.9, 0.7, 0.4], [0.5, 0.8, 0.92])
CASES = {
    "diverged": curve([2.0, math.inf], [0.4, 0.1], [1.9, 2.0], [0.5, 0.1]),
    "rising": curve([2.0, 2.5, 4.0], [0.4, 0.3, 0.3], [1.9, 2.5, 3.0], [0.5, 0.3, 0.2]),
    "collapse": curve([2.4, 2.31, 2.3], [0.1, 0.11, 0.1], [2.3, 2.3, 2.3], [0.0972, 0.0972, 0.0972]),
    "loss-without-accuracy": curve([2.0, 1.0, 0.5], [0.1, 0.1, 0.1], [2.0, 1.0, 0.6], [0.08, 0.11, 0.1]),
    "underfit": curve([2.0, 1.6, 1.5], [0.3, 0.4, 0.45], [1.9, 1.6, 1.5], [0.3, 0.4, 0.44]),
    "overfit": curve([2.0, 0.5, 0.01], [0.4, 0.9, 1.0], [1.9, 1.1, 1.2], [0.4, 0.7, 0.7]),
}


@pytest.mark.parametrize("kind", CASES)
def test_each_planted_case_is_named_and_nothing_else(kind):
    (finding,) = findings(CASES[kind], 10)
    assert finding.kind == kind
    assert ";" in finding.said  # the facts, then the cure


def test_a_healthy_curve_shows_nothing():
    assert findings(HEALTHY, 10, predicted={"classes": 10, "top_share": 0.12}) == []


def test_a_validation_loss_that_turns_is_an_overfit():
    turned = curve([2.0, 0.5, 0.1], [0.4, 0.9, 0.97], [1.0, 0.5, 0.9], [0.5, 0.9, 0.9])
    assert [finding.kind for finding in findings(turned, 10)] == ["overfit"]


def test_predictions_of_one_class_are_a_collapse_whatever_the_accuracy():
    skewed = curve([0.5, 0.4, 0.4], [0.9, 0.9, 0.9], [0.4, 0.4, 0.4], [0.9, 0.9, 0.9])
    assert findings(skewed, 2) == []
    (finding,) = findings(skewed, 2, predicted={"classes": 1, "top_share": 1.0})
    assert finding.kind == "collapse"
    assert "100.0% of predictions are one class, 1 of 2" in finding.said


def test_a_trial_that_diverged_in_its_first_epoch_has_no_curve_and_says_so():
    assert [finding.kind for finding in findings({}, 10, diverged=True)] == ["diverged"]
    assert findings({}, 10) == []


def test_what_was_found_is_kept_and_shown_once(store, new_run, propose):
    run = new_run()
    first, second = propose(run, "f0"), propose(run, "f1")
    assert list(health_section(store, run, 2)) == []
    for detail in [*details(findings(CASES["overfit"], 10))] * 2:  # as of a driver that died and said it again
        store.add_event(run, "info", FINDING, detail, second.trial)
    found = findings_of(store, run)
    assert found == {second.trial: findings(CASES["overfit"], 10)}
    (section,) = health_section(store, run, 2)
    assert "Found in 1 of 2 trials: overfit 1." in section
    assert section.count("<td>overfit</td>") == 1
    store.add_event(run, "info", "lr_found", {"lr": 0.5, "tries": []}, first.trial)
    assert lrs_found(store, run, first.trial) == [{"lr": 0.5, "tries": []}]
    assert lrs_found(store, run, second.trial) == []


RIGHT = {"worst": 2e-9, "wrong": []}
WRONG = {"worst": 0.9, "wrong": ["0.weight", "1.weight", "2.weight", "3.weight"]}


@pytest.mark.parametrize("kind", ["diverged", "rising"])
@pytest.mark.parametrize(
    ("examined", "cure"),
    [
        (None, 'lower recipe.lr, warm up, or take lr = "auto"'),
        (
            {"gradients": RIGHT, "lr": 0.25},
            "recipe.lr = 0.25 trains on a subset; backward is right, to a relative error of 2.0e-09",
        ),
        ({"gradients": None, "lr": 0.25}, "recipe.lr = 0.25 trains on a subset"),
        ({"gradients": RIGHT, "lr": None}, "no rate trains, lower recipe.lr"),
        (
            {"gradients": WRONG, "lr": None},
            "mend backward first: it disagrees with differences at 0.weight, 1.weight, 2.weight, relative",
        ),
    ],
)
def test_the_cure_of_a_divergence_is_what_was_found_on_the_spot(kind, examined, cure):
    (finding,) = findings(CASES[kind], 10, examined=examined)
    assert cure in finding.said
