"""Sequences: strings of symbols read off one picture by several heads, a length and a symbol for each place.

P(S | X) = P(L | H) P(S_1 | H) ... P(S_L | H) (Goodfellow et al. 2014, arXiv 1312.6082). The heads share all layers
before them. Their joint distribution is spelled out, one score a string, so that a string is a class like any other:
cross-entropy is the sum of the heads' own, and accuracy counts whole strings.

>>> from archsieve.spaces.architectures.architecture import Architecture
>>> from archsieve.spaces.blocks.standard import Conv, Linear
>>> scores = SequenceScores(length=2, symbols=10)
>>> architecture = Architecture((1, 8, 16), (Conv(8), Linear(32)), scores.heads)
>>> network = nn.Sequential(build(architecture, seed=0), scores)
>>> tuple(network(torch.zeros(5, 1, 8, 16)).shape)
(5, 110)
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, pad

from ..data.dataset import ImageData, Split
from ..data.registry import load_data

DIGITS = "0123456789"


class SequenceScores(nn.Module):
    """Scores of the heads (B, heads) to log-probabilities of all strings of 1 to ``length`` symbols (B, strings).

    The first ``length`` scores are the length head's, then come ``symbols`` for each place. Strings are in the order of
    :func:`sequence_classes`: there are K + K^2 + ... + K^length, so this is for short strings.
    """

    def __init__(self, length: int, symbols: int) -> None:
        super().__init__()
        if length < 1 or symbols < 2:
            raise ValueError(
                f"a string has a place at least and two symbols to choose from, but got {length}, {symbols}"
            )
        self.length, self.symbols = length, symbols
        self.heads = length * (1 + symbols)

    def forward(self, scores: Tensor) -> Tensor:
        """Log-probabilities (B, strings) that add up to one for each picture."""
        lengths = log_softmax(scores[:, : self.length], 1)
        places = log_softmax(scores[:, self.length :].view(-1, self.length, self.symbols), 2)
        strings, so_far = [], scores.new_zeros(len(scores), 1)
        for place in range(self.length):
            so_far = (so_far.unsqueeze(2) + places[:, place].unsqueeze(1)).flatten(1)
            strings.append(so_far + lengths[:, place : place + 1])
        return torch.cat(strings, 1)


def sequence_classes(length: int, symbols: str = DIGITS) -> tuple[str, ...]:
    """The strings of 1 to ``length`` symbols: the shorter first, then as in a dictionary."""
    lengths = range(1, length + 1)
    return tuple("".join(string) for n in lengths for string in itertools.product(symbols, repeat=n))


def digit_strings(length: int = 3, *, n_train: int = 6_000, n_val: int = 1_000, n_test: int = 1_000) -> ImageData:
    """Pictures (1, 8, 8 * length) of strings of scikit-learn's digits, the class of each the string itself.

    Lengths are equally frequent, and so are the digits of a place. Each split is written with digits of its own: no
    handwriting that tests was trained on. What is behind the end of a string is black.
    """
    digits, names = load_data("digits"), sequence_classes(length)
    assert digits.test is not None
    parts = {"train": (digits.train, n_train), "val": (digits.val, n_val), "test": (digits.test, n_test)}
    drawn = {part: _written(source, n, length, names, seed) for seed, (part, (source, n)) in enumerate(parts.items())}
    return ImageData.of(f"digit-strings-{length}", names, **drawn)


def _written(source: Split, n: int, length: int, names: tuple[str, ...], seed: int) -> Split:
    draw = torch.Generator().manual_seed(seed)
    by_digit = [(source.labels == digit).nonzero().flatten() for digit in range(len(DIGITS))]
    place_of = {name: place for place, name in enumerate(names)}
    pictures, labels = [], []
    for _ in range(n):
        string = torch.randint(
            0, len(DIGITS), (int(torch.randint(1, length + 1, (1,), generator=draw)),), generator=draw
        )
        hands = [by_digit[digit][torch.randint(0, len(by_digit[digit]), (1,), generator=draw)] for digit in string]
        picture = source.images[torch.cat(hands)].permute(1, 2, 0, 3).flatten(2)
        pictures.append(pad(picture, (0, 8 * length - picture.shape[2])))
        labels.append(place_of["".join(map(str, string.tolist()))])
    return Split(torch.stack(pictures), torch.tensor(labels))


def symbol_accuracy(predicted: Tensor, labels: Tensor, classes: tuple[str, ...]) -> float:
    """The share of the places of all true strings at which the predicted string has the true symbol.

    ``predicted`` and ``labels`` (N,) are places in ``classes``. Whole strings right are never more than that.
    """
    pairs = [(classes[said], classes[true]) for said, true in zip(predicted.tolist(), labels.tolist(), strict=True)]
    right = sum(int(a == b) for said, true in pairs for a, b in zip(said, true, strict=False))
    return right / sum(len(true) for _, true in pairs)
