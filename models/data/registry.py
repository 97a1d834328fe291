"""Data sets by name: load, limit and split them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from ...spaces.architectures.architecture import check_input_shape
from ...spaces.parameters.lookup import check_unregistered, look_up
from ...spaces.parameters.task_kinds import DATASETS_WITH_TEXTS
from ..image_files.errors import DataError
from .dataset import ImageData, Request, Source, Split
from .fashion_mnist import load_fashion_mnist
from .image_folder import load_image_folder
from .shapes import IMAGE_FOLDER, N_TRAINING_IMAGES, SHAPES, DataShape, check_image_size
from .splits import stratified_sample, stratified_split
from .torchvision_sets import load_cifar10, load_cifar100, load_svhn

__all__ = ["DATASETS", "ImageData", "Split", "load_data", "register_dataset"]


def load_digits(request: Request) -> Source:
    """Load scikit-learn's digits in one part, float32 (1797, 1, 8, 8) in [0, 1]."""
    from sklearn.datasets import load_digits as bundled

    bunch = bundled()
    # The pixels are whole numbers from 0 to 16: divided by 16 they are exact in float32.
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


Loader = Callable[[Request], Source]


def register_dataset(
    name: str, *, input_shape: tuple[int, int, int], classes: int, n_training: int | None = None
) -> Callable[[Loader], Loader]:
    """Register a custom data set under ``name``, as a decorator of its loader.

    The loader takes a :class:`Request` and returns a :class:`Source`: class names and the splits that there are. A
    missing validation or test split is carved from the training images. ``input_shape`` is (C, H, W) of one image,
    and ``classes`` their number: a search must know both before it loads anything. ``n_training`` is the number of
    training and validation images, which a forecast of the run time needs.

    Raises ``ValueError`` for a name that is taken by another loader.
    """
    shape = DataShape(check_input_shape(input_shape), classes)
    if type(classes) is not int or classes < 2:
        raise ValueError(f"data set {name!r} must have at least 2 classes, but got {classes!r}; use 10, for example")

    def register(load: Loader) -> Loader:
        if name in DATASETS_WITH_TEXTS:
            raise ValueError(
                f"the name of a data set must be unique, but {name!r} is a built-in data set with texts; "
                "choose another name"
            )
        check_unregistered(DATASETS.get(name), load, "name of a data set", name)
        DATASETS[name], SHAPES[name] = load, shape
        if n_training is not None:
            N_TRAINING_IMAGES[name] = n_training
        return load

    return register


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
    """Load the data set ``name`` on the CPU, split into train, val and test.

    The publisher's splits are kept. A missing ``val`` is split off from ``train``, stratified by class and drawn by
    ``seed``. ``test`` is split off only if the publisher made neither ``val`` nor ``test``; with ``test_fraction=0``
    it is None. Fractions are relative to the published ``train`` part.

    ``path`` is the folder of the files (``./data`` by default). ``image_size`` is the side in pixels to which images
    are resized; only ``imagefolder`` requires it. ``limit`` keeps at most so many images of each published part, with
    the classes in proportion. Files are downloaded only if ``download`` is True.

    Raises ``ValueError`` for an unknown name and :class:`DataError` for data that cannot be used.
    """
    load = look_up(DATASETS, name, "data set")
    _check_fractions(val_fraction, test_fraction)
    _check_limit(limit)
    check_image_size(image_size)
    source = load(Request(Path(path) if path is not None else None, image_size, limit, seed, download))
    if not isinstance(source, Source):
        raise DataError(
            f"the loader of data set {name!r} must return a Source, but returned {type(source).__name__}; "
            "return archsieve.Source(...)"
        )
    # Limit before resizing, so that only the images that are kept are resized.
    source = _map_parts(source, lambda split: split.take(stratified_sample(split.labels, limit, seed=seed)))
    source = _map_parts(source, lambda split: _resize(split, image_size))
    parts = _complete_parts(source, val_fraction, test_fraction, seed)
    data = ImageData.of(name, source.classes, **parts)
    _check_shape(data, SHAPES[name], image_size)
    return data


def _check_shape(data: ImageData, declared: DataShape | None, image_size: int | None) -> None:
    """Raise where the loaded data are not what was registered: a search plans its networks by the latter."""
    if declared is None:
        return
    channels, height, width = declared.input_shape
    expected = (channels, image_size or height, image_size or width), declared.n_classes
    if (data.input_shape, data.n_classes) != expected:
        raise DataError(
            f"data set {data.name!r} is registered with images {expected[0]} and {expected[1]} classes, but its loader "
            f"returned images {data.input_shape} and {data.n_classes} classes; correct one of them"
        )


def _map_parts(source: Source, change: Callable[[Split], Split]) -> Source:
    val, test = (change(split) if split is not None else None for split in (source.val, source.test))
    return replace(source, train=change(source.train), val=val, test=test)


def _complete_parts(source: Source, val_fraction: float, test_fraction: float, seed: int) -> dict[str, Split]:
    """Return all parts of ``source``; missing ones are split off from ``train``."""
    fractions = {"val": val_fraction} if source.val is None else {}
    if source.val is None and source.test is None and test_fraction > 0:
        fractions["test"] = test_fraction
    index = stratified_split(source.train.labels, fractions, source.classes, seed=seed)
    published = {part: split for part in ("val", "test") if (split := getattr(source, part)) is not None}
    return published | {part: source.train.take(members) for part, members in index.items()}


def _resize(split: Split, image_size: int | None) -> Split:
    if image_size is None or split.images.shape[2:] == (image_size, image_size):
        return split
    from torchvision.transforms.v2.functional import resize

    return Split(resize(split.images, [image_size, image_size], antialias=True), split.labels)


def _check_fractions(val_fraction: float, test_fraction: float) -> None:
    if not 0 < val_fraction < 1:
        raise DataError(f"`0 < val_fraction < 1` must hold, but got {val_fraction!r}; use a number such as 0.2")
    if not 0 <= test_fraction < 1:
        raise DataError(f"`0 <= test_fraction < 1` must hold, but got {test_fraction!r}; use a number such as 0.2")
    if val_fraction + test_fraction >= 1:
        raise DataError(
            f"`val_fraction + test_fraction < 1` must hold, but got {val_fraction} + {test_fraction}; "
            "lower one of them, so that training images remain"
        )


def _check_limit(limit: int | None) -> None:
    if limit is not None and (type(limit) is not int or limit < 1):
        raise DataError(
            f"limit must be a whole number of images of at least 1, but got {limit!r}; use a number such as 1000"
        )
