"""Strings read by several heads: one joint distribution, one loss, whole strings right."""

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


def test_all_strings_together_have_probability_one(scores):
    assert HEADS(scores).shape == (7, 4 + 16 + 64)
    assert torch.allclose(HEADS(scores).exp().sum(1), torch.ones(7, dtype=torch.float64))


@pytest.mark.parametrize("string", ["a", "dc", "bad"])
def test_cross_entropy_of_a_string_is_the_sum_of_the_heads_own(scores, string):
    label = torch.full((7,), STRINGS.index(string))
    by_hand = cross_entropy(scores[:, :3], torch.full((7,), len(string) - 1))
    for place, symbol in enumerate(string):
        head = scores[:, 3 + 4 * place : 7 + 4 * place]
        by_hand += cross_entropy(head, torch.full((7,), "abcd".index(symbol)))
    assert torch.allclose(cross_entropy(HEADS(scores), label), by_hand)


def test_places_behind_the_end_have_no_gradient(scores):
    scores.requires_grad_()
    cross_entropy(HEADS(scores), torch.full((7,), STRINGS.index("dc"))).backward()
    assert scores.grad is not None
    assert scores.grad[:, 3 + 8 :].abs().max() < 1e-12
    assert scores.grad[:, : 3 + 8].abs().min() > 0


def test_symbols_are_counted_where_the_true_string_has_them():
    said = torch.tensor([STRINGS.index(string) for string in ("bad", "a", "ab")])
    true = torch.tensor([STRINGS.index(string) for string in ("bac", "ab", "ab")])
    assert symbol_accuracy(said, true, STRINGS) == 5 / 7


def test_what_is_no_string_is_refused():
    with pytest.raises(ValueError, match="a place at least and two symbols"):
        SequenceScores(0, 10)


def test_strings_of_digits_are_learned():
    data = digit_strings(2, n_train=1500, n_val=300, n_test=50)
    assert (data.input_shape, data.n_classes) == ((1, 8, 16), 110)
    heads = SequenceScores(2, 10)
    network = Architecture(data.input_shape, (ConvPool(16), Conv(24), Linear(64)), heads.heads)
    run = Fit(nn.Sequential(build(network, seed=0), heads), data, Recipe(epochs=6, batch_size=64, lr=0.1), seed=0)
    while not run.done:
        run.step()
    said = predict(run.module, data.val.images, data).argmax(1)
    whole = float((said == data.val.labels).double().mean())
    assert whole == pytest.approx(run.history[-1].val_accuracy)
    assert whole > 0.5  # of 110 strings
    assert symbol_accuracy(said, data.val.labels, data.classes) > whole
    assert len(data.classes[data.val.labels[0]]) in (1, 2)
