"""Health: each problem is found in its curve and no other one; a stored finding is shown once."""

import math

import pytest

from archsieve.results.analysis.health import FINDING, event_details, findings, findings_of
from archsieve.results.database.training_records import lrs_found
from archsieve.results.report.analysis_sections import health_section
from archsieve.results.report.run_data import RunData


def curve(train_loss, train_accuracy, val_loss, val_accuracy):
    metrics = {
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "val_loss": val_loss,
        "val_accuracy": val_accuracy,
    }
    return {name: list(enumerate(values, start=1)) for name, values in metrics.items()}


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
def test_a_curve_with_one_problem_has_one_finding(kind):
    (finding,) = findings(CASES[kind], 10)
    assert finding.kind == kind
    assert ";" in finding.message  # the facts, then what to do


def test_a_low_share_of_images_with_all_labels_right_is_no_problem():
    predicted = {"classes": 7, "top_share": 0.4, "multi_label": True}
    for kind in ("loss-without-accuracy", "underfit"):
        assert findings(CASES[kind], 10, predicted=predicted) == []
    for kind in ("overfit", "rising"):
        assert [finding.kind for finding in findings(CASES[kind], 10, predicted=predicted)] == [kind]
    (finding,) = findings(HEALTHY, 10, predicted={**predicted, "top_share": 0.999})
    assert "same set of labels, and 7 sets" in finding.message


def test_a_healthy_curve_has_no_findings():
    assert findings(HEALTHY, 10, predicted={"classes": 10, "top_share": 0.12}) == []


def test_a_rising_validation_loss_is_an_overfit():
    overfitted = curve([2.0, 0.5, 0.1], [0.4, 0.9, 0.97], [1.0, 0.5, 0.9], [0.5, 0.9, 0.9])
    assert [finding.kind for finding in findings(overfitted, 10)] == ["overfit"]


def test_predictions_of_a_single_class_are_a_collapse_at_any_accuracy():
    skewed = curve([0.5, 0.4, 0.4], [0.9, 0.9, 0.9], [0.4, 0.4, 0.4], [0.9, 0.9, 0.9])
    assert findings(skewed, 2) == []
    (finding,) = findings(skewed, 2, predicted={"classes": 1, "top_share": 1.0})
    assert finding.kind == "collapse"
    assert "100.0%" in finding.message
    assert "1 of 2 classes" in finding.message


def test_a_trial_that_diverged_in_its_first_epoch_has_a_finding_without_a_curve():
    assert [finding.kind for finding in findings({}, 10, diverged=True)] == ["diverged"]
    assert findings({}, 10) == []


def test_a_finding_that_was_stored_twice_is_shown_once(store, new_run, propose):
    run = new_run()
    first, second = propose(run, "f0"), propose(run, "f1")
    assert list(health_section(RunData(store, store.run(run)))) == []
    # twice, as after a driver was killed and resumed
    for detail in [*event_details(findings(CASES["overfit"], 10))] * 2:
        store.add_event(run, "info", FINDING, detail, second.trial)
    assert findings_of(store, run) == {second.trial: findings(CASES["overfit"], 10)}
    (section,) = health_section(RunData(store, store.run(run)))
    assert "1 of 2 trials" in section
    assert "overfit 1" in section
    assert section.count("<td>overfit</td>") == 1
    store.add_event(run, "info", "lr_found", {"lr": 0.5, "tries": []}, first.trial)
    assert lrs_found(store, run, first.trial) == [{"lr": 0.5, "tries": []}]
    assert lrs_found(store, run, second.trial) == []


CORRECT_GRADIENTS = {"worst": 2e-9, "wrong": []}
WRONG_GRADIENTS = {"worst": 0.9, "wrong": ["0.weight", "1.weight", "2.weight", "3.weight"]}


@pytest.mark.parametrize("kind", ["diverged", "rising"])
@pytest.mark.parametrize(
    ("examined", "facts"),
    [
        (None, ["lower recipe.lr", 'recipe.lr = "auto"']),
        ({"gradients": CORRECT_GRADIENTS, "lr": 0.25}, ["recipe.lr = 0.25", "correct", "2.0e-09"]),
        ({"gradients": None, "lr": 0.25}, ["recipe.lr = 0.25"]),
        ({"gradients": CORRECT_GRADIENTS, "lr": None}, ["no tried learning rate", "lower recipe.lr", "2.0e-09"]),
        ({"gradients": WRONG_GRADIENTS, "lr": None}, ["0.weight, 1.weight, 2.weight ", "wrong", "9.0e-01"]),
    ],
)
def test_a_finding_of_divergence_includes_the_results_of_the_diagnosis(kind, examined, facts):
    (finding,) = findings(CASES[kind], 10, examined=examined)
    assert [fact for fact in facts if fact not in finding.message] == []
    # The gradients are mentioned exactly if they were checked, and wrong ones leave out the learning rate.
    gradients = examined and examined["gradients"]
    assert ("relative error" in finding.message) == (gradients is not None)
    if gradients is WRONG_GRADIENTS:
        assert "recipe.lr" not in finding.message
