"""Ensembles: averaged probabilities, chosen greedily."""

import pytest
import torch

from archsieve.models.training.ensemble import averaged, merit, select
from archsieve.models.training.evaluate import accuracy

LABELS = torch.tensor([0, 1, 0, 1])


def sure(*classes, by=0.9):
    """Probabilities (N, 2) of a network that says these classes."""
    told = torch.full((len(classes), 2), 1 - by)
    told[torch.arange(len(classes)), torch.tensor(classes)] = by
    return told


def test_networks_that_err_apart_are_better_together():
    members = torch.stack([sure(0, 1, 0, 0, by=0.9), sure(0, 1, 1, 1, by=0.9), sure(1, 1, 0, 1, by=0.9)])
    counts = select(members, LABELS, 6)
    assert accuracy(averaged(members, counts), LABELS) == 1.0
    assert all(accuracy(member, LABELS) == 0.75 for member in members)
    assert counts == [1, 1, 1]


def test_a_network_that_only_does_harm_is_left_out():
    good, bad = sure(0, 1, 0, 1), sure(1, 0, 1, 0)
    assert select(torch.stack([bad, good]), LABELS, 4) == [0, 1]


def test_a_network_may_be_chosen_more_than_once():
    """The best alone is wrong once by a little; half of the other puts that right, and more of it does harm."""
    strong = torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.55, 0.45]])
    weak = torch.tensor([[0.2, 0.8], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    counts = select(torch.stack([strong, weak]), LABELS, 5)
    assert counts[0] > counts[1] > 0
    assert merit(averaged(torch.stack([strong, weak]), counts), LABELS)[0] == 1.0


def test_the_mean_is_weighted_by_how_often_each_was_chosen():
    members = torch.stack([sure(0, by=1.0), sure(1, by=1.0)])
    assert averaged(members, [3, 1]).tolist() == [[pytest.approx(0.75), pytest.approx(0.25)]]
