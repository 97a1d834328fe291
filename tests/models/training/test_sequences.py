"""Strings read by several heads: joint distribution, loss and accuracy of whole strings."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from archsieve.models.networks.build import build
from archsieve.models.training.evaluate import predict
from archsieve.models.training.sequences import SequenceScores, digit_strings, sequence_classes, symbol_accuracy
from archsieve.models.training.trainer import Fit
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, ConvPool, Linear
from archsieve.spaces.recipes.recipe import Recipe

HEADS = SequenceScores(length=3, symbols=4)
STRINGS = sequence_classes(3, "abcd")


@pytest.fixture
def scores():
    return torch.randn(7, HEADS.heads, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_probabilities_of_all_strings_sum_to_one(scores):
    assert HEADS(scores).shape == (7, 4 + 16 + 64)
    assert torch.allclose(HEADS(scores).exp().sum(1), torch.ones(7, dtype=torch.float64))


@pytest.mark.parametrize("string", ["a", "dc", "bad"])
def test_cross_entropy_of_a_string_is_the_sum_over_the_heads(scores, string):
    label = torch.full((7,), STRINGS.index(string))
    expected = cross_entropy(scores[:, :3], torch.full((7,), len(string) - 1))
    for position, symbol in enumerate(string):
        head = scores[:, 3 + 4 * position : 7 + 4 * position]
        expected += cross_entropy(head, torch.full((7,), "abcd".index(symbol)))
    assert torch.allclose(cross_entropy(HEADS(scores), label), expected)


def test_positions_after_the_end_have_no_gradient(scores):
    scores.requires_grad_()
    cross_entropy(HEADS(scores), torch.full((7,), STRINGS.index("dc"))).backward()
    assert scores.grad is not None
    assert scores.grad[:, 3 + 8 :].abs().max() < 1e-12
    assert scores.grad[:, : 3 + 8].abs().min() > 0


def test_symbol_accuracy_counts_the_positions_of_the_true_string():
    predicted = torch.tensor([STRINGS.index(string) for string in ("bad", "a", "ab")])
    true = torch.tensor([STRINGS.index(string) for string in ("bac", "ab", "ab")])
    assert symbol_accuracy(predicted, true, STRINGS) == 5 / 7


def test_a_length_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"length=0, symbols=10"):
        SequenceScores(0, 10)


def test_a_network_learns_strings_of_digits():
    data = digit_strings(2, n_train=1500, n_val=300, n_test=50)
    assert (data.input_shape, data.n_classes) == ((1, 8, 16), 110)
    heads = SequenceScores(2, 10)
    network = Architecture(data.input_shape, (ConvPool(16), Conv(24), Linear(64)), heads.heads)
    run = Fit(nn.Sequential(build(network, seed=0), heads), data, Recipe(epochs=6, batch_size=64, lr=0.1), seed=0)
    while not run.done:
        run.step()
    predicted = predict(run.module, data.val.images, data).argmax(1)
    string_accuracy = float((predicted == data.val.labels).double().mean())
    assert string_accuracy == pytest.approx(run.history[-1].val_accuracy)
    assert string_accuracy > 0.5  # 110 strings
    assert symbol_accuracy(predicted, data.val.labels, data.classes) > string_accuracy
    assert len(data.classes[data.val.labels[0]]) in (1, 2)
