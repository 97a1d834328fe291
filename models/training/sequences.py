"""Sequences: several heads read a string of symbols from one image, one head its length and one head each position.

P(S | X) = P(L | H) P(S_1 | H) ... P(S_L | H) (Goodfellow et al. 2014, arXiv 1312.6082). The heads share all layers
before them. Their joint distribution is written out with one score per string, so that a string is an ordinary class:
cross-entropy is the sum of the cross-entropies of the heads, and accuracy counts whole strings.

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
    """Turn scores of heads (B, heads) into log-probabilities (B, strings) of all strings of 1 to ``length`` symbols.

    The first ``length`` scores are those of the length head; then follow ``symbols`` scores for each position. Strings
    have the order of :func:`sequence_classes`. With K symbols there are K + K^2 + ... + K^length of them, so this is
    for short strings only. Raises ``ValueError`` for a length below 1 or fewer than two symbols.
    """

    def __init__(self, length: int, symbols: int) -> None:
        super().__init__()
        if length < 1 or symbols < 2:
            raise ValueError(
                f"length must be at least 1 and symbols at least 2, but got length={length}, symbols={symbols}; "
                "use values such as 2 and 10"
            )
        self.length, self.symbols = length, symbols
        self.heads = length * (1 + symbols)

    def forward(self, scores: Tensor) -> Tensor:
        """Return log-probabilities (B, strings); the probabilities of an image sum to 1."""
        lengths = log_softmax(scores[:, : self.length], 1)
        positions = log_softmax(scores[:, self.length :].view(-1, self.length, self.symbols), 2)
        # All prefixes of one length are the prefixes one symbol shorter, each continued by every symbol.
        strings, prefixes = [], scores.new_zeros(len(scores), 1)
        for position in range(self.length):
            prefixes = (prefixes.unsqueeze(2) + positions[:, position].unsqueeze(1)).flatten(1)
            strings.append(prefixes + lengths[:, position : position + 1])
        return torch.cat(strings, 1)


def sequence_classes(length: int, symbols: str = DIGITS) -> tuple[str, ...]:
    """Return all strings of 1 to ``length`` symbols, shorter ones first, then in the order of ``symbols``."""
    lengths = range(1, length + 1)
    return tuple("".join(string) for n in lengths for string in itertools.product(symbols, repeat=n))


def digit_strings(length: int = 3, *, n_train: int = 6_000, n_val: int = 1_000, n_test: int = 1_000) -> ImageData:
    """Return images (1, 8, 8 * length) of strings of scikit-learn's digits; the class of an image is its string.

    All lengths are equally frequent, and so are the digits at a position. The digit images of a split come from the
    same split of ``digits``, so that no handwritten digit of a test image was trained on. Pixels after the end of a
    string are black.
    """
    digits, names = load_data("digits"), sequence_classes(length)
    assert digits.test is not None
    parts = {"train": (digits.train, n_train), "val": (digits.val, n_val), "test": (digits.test, n_test)}
    splits = {
        part: _draw_strings(source, n, length, names, seed) for seed, (part, (source, n)) in enumerate(parts.items())
    }
    return ImageData.of(f"digit-strings-{length}", names, train=splits["train"], val=splits["val"], test=splits["test"])


def _draw_strings(source: Split, n: int, length: int, names: tuple[str, ...], seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    by_digit = [(source.labels == digit).nonzero().flatten() for digit in range(len(DIGITS))]
    label_of = {name: label for label, name in enumerate(names)}
    images, labels = [], []
    for _ in range(n):
        string = torch.randint(
            0, len(DIGITS), (int(torch.randint(1, length + 1, (1,), generator=generator)),), generator=generator
        )
        chosen = [
            by_digit[digit][torch.randint(0, len(by_digit[digit]), (1,), generator=generator)] for digit in string
        ]
        image = source.images[torch.cat(chosen)].permute(1, 2, 0, 3).flatten(2)  # digits next to each other
        images.append(pad(image, (0, 8 * length - image.shape[2])))
        labels.append(label_of["".join(map(str, string.tolist()))])
    return Split(torch.stack(images), torch.tensor(labels))


def symbol_accuracy(predicted: Tensor, labels: Tensor, classes: tuple[str, ...]) -> float:
    """Return the share (0..1) of positions of all true strings at which the predicted string has the true symbol.

    ``predicted`` and ``labels`` (N,) are indices in ``classes``.
    """
    pairs = [(classes[guess], classes[true]) for guess, true in zip(predicted.tolist(), labels.tolist(), strict=True)]
    n_correct = sum(int(a == b) for guess, true in pairs for a, b in zip(guess, true, strict=False))
    return n_correct / sum(len(true) for _, true in pairs)
