"""Digits: scikit-learn's 1,797 handwritten digits of 8x8 (Alpaydin and Kaynak 1998), embedded, nothing to fetch."""

import torch

from .dataset import Request, Source, Split


def load_digits(request: Request) -> Source:
    """All images in one part, float32 (1797, 1, 8, 8): the sixteen levels of grey are exact fractions of [0, 1]."""
    from sklearn.datasets import load_digits as bundled

    bunch = bundled()
    images = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16
    return Source(tuple(str(digit) for digit in range(10)), Split(images, torch.from_numpy(bunch.target).long()))
