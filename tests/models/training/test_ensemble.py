"""Ensembles: averaged probabilities of networks that are selected greedily."""

import pytest
import torch

from archsieve.models.training.ensemble import (
    average_probabilities,
    average_weights,
    metric_values,
    metrics_on_test,
    select_members,
    selection_score,
)
from archsieve.models.training.evaluate import accuracy
from archsieve.spaces.metrics.registry import register_metric

LABELS = torch.tensor([0, 1, 0, 1])


def predicting(*classes, by=0.9):
    """Return probabilities (N, 2) of a network that predicts these classes, each with probability ``by``."""
    probabilities = torch.full((len(classes), 2), 1 - by)
    probabilities[torch.arange(len(classes)), torch.tensor(classes)] = by
    return probabilities


def test_networks_with_different_errors_are_better_together():
    members = torch.stack(
        [predicting(0, 1, 0, 0, by=0.9), predicting(0, 1, 1, 1, by=0.9), predicting(1, 1, 0, 1, by=0.9)]
    )
    counts = select_members(members, LABELS, 6)
    assert accuracy(average_probabilities(members, counts), LABELS) == 1.0
    assert all(accuracy(member, LABELS) == 0.75 for member in members)
    assert counts == [1, 1, 1]


def test_a_network_that_lowers_the_accuracy_is_left_out():
    good, bad = predicting(0, 1, 0, 1), predicting(1, 0, 1, 0)
    assert select_members(torch.stack([bad, good]), LABELS, 4) == [0, 1]


def test_a_network_may_be_selected_more_than_once():
    """The best network has one narrow error: a share of the other corrects it, and a larger share does harm."""
    strong = torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.55, 0.45]])
    weak = torch.tensor([[0.2, 0.8], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    counts = select_members(torch.stack([strong, weak]), LABELS, 5)
    assert counts[0] > counts[1] > 0
    assert selection_score(average_probabilities(torch.stack([strong, weak]), counts), LABELS)[0] == 1.0


def test_weights_are_averaged_and_counters_kept():
    states = [
        {"w": torch.tensor([1.0, 3.0]), "n": torch.tensor(7)},
        {"w": torch.tensor([2.0, 5.0]), "n": torch.tensor(9)},
    ]
    mean = average_weights(states)
    assert mean["w"].tolist() == [1.5, 4.0]
    assert (mean["w"].dtype, mean["n"]) == (torch.float32, 7)


def test_the_mean_is_weighted_by_the_counts():
    members = torch.stack([predicting(0, by=1.0), predicting(1, by=1.0)])
    assert average_probabilities(members, [3, 1]).tolist() == [[pytest.approx(0.75), pytest.approx(0.25)]]


def test_a_custom_metric_that_fails_on_test_images_is_left_out_with_its_reason():
    @register_metric("narrow")
    def narrow(labels, scores):
        return 1 / (len(labels) - 4)

    values, problems = metrics_on_test(predicting(0, 1, 0, 0), LABELS, ("narrow", "f1_macro"))
    assert values["test_accuracy"] == 0.75
    assert set(values) == {"test_accuracy", "test_f1_macro"}
    assert [problem.split(" ", 1)[0] for problem in problems] == ["narrow"]
    assert "ZeroDivisionError" in problems[0]


def test_with_several_labels_an_image_is_right_if_all_its_labels_are():
    labels = torch.tensor([[True, False], [True, True], [False, False]])
    probabilities = torch.tensor([[0.9, 0.2], [0.7, 0.4], [0.1, 0.3]])
    values = metrics_on_test(probabilities, labels, ("f1_macro",)).values
    assert values["test_accuracy"] == pytest.approx(2 / 3)
    assert values["test_accuracy"] == metric_values(probabilities, labels, ())["val_accuracy"]
