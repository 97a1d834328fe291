"""Data sets by name: loaded, limited, split."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from ...spaces.parameters.lookup import look_up
from .dataset import ImageData, Request, Source, Split
from .errors import DataError
from .fashion_mnist import load_fashion_mnist
from .image_folder import load_image_folder
from .shapes import IMAGE_FOLDER, check_image_size
from .splits import stratified_sample, stratified_split
from .torchvision_sets import load_cifar10, load_cifar100, load_svhn

__all__ = ["DATASETS", "ImageData", "Split", "load_data"]


def load_digits(request: Request) -> Source:
    """All images in one part, float32 (1797, 1, 8, 8): the sixteen levels of grey are exact fractions of [0, 1]."""
    from sklearn.datasets import load_digits as bundled

    bunch = bundled()
    images = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16
    return Source(tuple(str(digit) for digit in range(10)), Split(images, torch.from_numpy(bunch.target).long()))


DATASETS: dict[str, Callable[[Request], Source]] = {
    "digits": load_digits,
    "fashion-mnist": load_fashion_mnist,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "svhn": load_svhn,
    IMAGE_FOLDER: load_image_folder,
}


def load_data(
    name: str,
    *,
    path: str | Path | None = None,
    image_size: int | None = None,
    val_fraction: float = 0.2,
    test_fraction: float = 0.2,
    seed: int = 0,
    limit: int | None = None,
    download: bool = False,
) -> ImageData:
    """The data set ``name`` on the CPU, split into train, val and test.

    A split that the publisher made stays as it is; a missing ``val`` is carved from ``train``, class by class and drawn
    by ``seed``. A test set is carved only where the publisher made neither ``val`` nor ``test``, and not at all where
    ``test_fraction`` is 0: then ``test`` is None. Fractions are of the images that the part is carved from.

    ``path`` is where the files lie (``./data`` by default); ``image_size`` is the side in pixels to which images are
    resized, needed for ``imagefolder`` alone; ``limit`` keeps at most so many images of each published part, the
    classes in proportion. Nothing is fetched unless ``download``.

    Raises ``ValueError`` for an unknown name and :class:`DataError` for data that cannot be used.
    """
    load = look_up(DATASETS, name, "data set")
    _check_fractions(val_fraction, test_fraction)
    _check_limit(limit)
    check_image_size(image_size)
    source = load(Request(Path(path) if path is not None else None, image_size, limit, seed, download))
    source = _each_part(source, lambda split: split.take(stratified_sample(split.labels, limit, seed=seed)))
    source = _each_part(source, lambda split: _resized(split, image_size))
    parts = _carved(source, val_fraction, test_fraction, seed)
    return ImageData.of(name, source.classes, **parts)


def _each_part(source: Source, change: Callable[[Split], Split]) -> Source:
    val, test = (change(split) if split is not None else None for split in (source.val, source.test))
    return replace(source, train=change(source.train), val=val, test=test)


def _carved(source: Source, val_fraction: float, test_fraction: float, seed: int) -> dict[str, Split]:
    fractions = {"val": val_fraction} if source.val is None else {}
    if source.val is None and source.test is None and test_fraction > 0:
        fractions["test"] = test_fraction
    index = stratified_split(source.train.labels, fractions, source.classes, seed=seed)
    made = {part: split for part in ("val", "test") if (split := getattr(source, part)) is not None}
    return made | {part: source.train.take(kept) for part, kept in index.items()}


def _resized(split: Split, image_size: int | None) -> Split:
    if image_size is None or split.images.shape[2:] == (image_size, image_size):
        return split
    from torchvision.transforms.v2.functional import resize

    return Split(resize(split.images, [image_size, image_size], antialias=True), split.labels)


def _check_fractions(val_fraction: float, test_fraction: float) -> None:
    if not 0 < val_fraction < 1:
        raise DataError(f"`0 < val_fraction < 1` must hold, but got {val_fraction!r}")
    if not 0 <= test_fraction < 1:
        raise DataError(f"`0 <= test_fraction < 1` must hold, but got {test_fraction!r}")
    if val_fraction + test_fraction >= 1:
        raise DataError(
            f"`val_fraction + test_fraction < 1` must hold, but got {val_fraction} + {test_fraction}; "
            "leave something to train on"
        )


def _check_limit(limit: int | None) -> None:
    if limit is not None and (type(limit) is not int or limit < 1):
        raise DataError(f"limit must be a whole number of images of at least 1, but got {limit!r}")
