"""Data sets by name: load, limit and split them."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from ...spaces.architectures.architecture import check_input_shape
from ...spaces.parameters.lookup import check_part_name, check_unregistered, look_up
from ...spaces.parameters.task_kinds import DATASETS_WITH_TEXTS
from ...spaces.parameters.user_code import ERRORS, at_definition, module_of, prints_to_stderr, raised
from ..image_files.errors import DataError
from ..image_files.locations import Location, location
from ..readers.dataset_items import is_datasets
from ..storage.choice import AUTO, CacheLocation, StorageChoice, StorageOptions
from .dataset import ImageData, Request, Source, Split
from .equal_images import numbered
from .fashion_mnist import load_fashion_mnist
from .image_folder import load_image_folder, load_items
from .pixel_notes import pixel_notes
from .shapes import (
    IMAGE_FOLDER,
    IMAGES,
    N_TRAINING_IMAGES,
    SHAPES,
    WITHOUT_FILES,
    DataShape,
)
from .splits import missing_parts, stratified_sample, stratified_split
from .torchvision_sets import load_cifar10, load_cifar100, load_svhn

__all__ = ["DATASETS", "ImageData", "Split", "load_data", "register_dataset"]


def load_digits(request: Request) -> Source:
    """Load scikit-learn's digits in one part, float32 (1797, 1, 8, 8) in [0, 1]."""
    from sklearn.datasets import load_digits as bundled

    bunch = bundled()
    # The pixels are whole numbers from 0 to 16: divided by 16 they are exact in float32.
    images = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16
    return Source(tuple(str(digit) for digit in range(10)), Split(images, torch.from_numpy(bunch.target).long()))


DATASETS: dict[str, Callable[[Request], Any]] = {
    "digits": load_digits,
    "fashion-mnist": load_fashion_mnist,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "svhn": load_svhn,
    IMAGES: load_image_folder,
    IMAGE_FOLDER: load_image_folder,
}


Loader = Callable[[Request], Any]  # returns a Source, or what read_items reads


def register_dataset(
    name: str,
    *,
    input_shape: tuple[int, int, int],
    classes: int,
    n_training: int | None = None,
    multi_label: bool = False,
) -> Callable[[Loader], Loader]:
    """Register a custom data set under ``name``, as a decorator of its loader.

    The loader takes a :class:`Request` and returns a :class:`Source`: class names and the splits that there are. It may
    also return a map-style ``torch.utils.data.Dataset``, or a mapping of splits to them, whose items are images with
    labels: see :func:`~archsieve.models.readers.dataset_items.read_items`. A missing validation or test split is carved
    from the training images. ``input_shape`` is (C, H, W) of one image, and ``classes`` their number: a search must
    know both before it loads anything. ``n_training`` is the number of training and validation images, which a forecast
    of the run time needs.

    Raises ``ValueError`` for a name that is not possible or taken by another loader, ``TypeError`` for a loader that
    cannot be called with a request.
    """
    check_part_name(name, "register_dataset", "data set")
    shape = DataShape(check_input_shape(input_shape), classes, multi_label)
    if type(classes) is not int or classes < 2:
        raise ValueError(f"data set {name!r} must have at least 2 classes, but got {classes!r}; use 10, for example")
    if n_training is not None and (type(n_training) is not int or n_training < 1):
        raise ValueError(
            f"n_training of data set {name!r} must be a whole number of at least 1, but got {n_training!r}; "
            "leave it out if it is unknown"
        )

    def register(load: Loader) -> Loader:
        if name in DATASETS_WITH_TEXTS:
            raise ValueError(
                f"the name of a data set must be unique, but {name!r} is a built-in data set with texts; "
                "choose another name"
            )
        _check_loader(name, load)
        check_unregistered(DATASETS.get(name), load, "name of a data set", name)
        DATASETS[name], SHAPES[name] = load, shape
        if n_training is not None:
            N_TRAINING_IMAGES[name] = n_training
        return load

    return register


def _check_loader(name: str, load: Any) -> None:
    """Raise ``TypeError`` unless ``load`` can be called with a request."""
    if not callable(load):
        raise TypeError(f"the loader of data set {name!r} must be a function, but got {load!r}; write it with def")
    try:
        inspect.signature(load).bind(None)
    except ValueError:  # some functions in C have no signature
        return
    except TypeError:
        raise TypeError(
            f"the loader of data set {name!r} must be a function of (request), but "
            f"{getattr(load, '__qualname__', load)} has {inspect.signature(load)}; correct its parameters"
        ) from None


def load_data(name: str, *, path: str | Location | None = None, **options: Any) -> ImageData:
    """Load the data set ``name`` on the CPU, split into train, val and test.

    The publisher's splits are kept. A missing ``val`` is split off from ``train``, stratified by class and drawn by
    ``seed``. ``test`` is split off only if the publisher made neither ``val`` nor ``test``; with ``test_fraction=0``
    it is None. Fractions are relative to the published ``train`` part.

    ``path`` is the folder of the files (``./data`` by default); for own images, "images", also a manifest, tar shards,
    Parquet files or arrays, or a URL of them: see :func:`~archsieve.models.readers.read_index.read_index`. The
    ``options`` are the other fields of :class:`~archsieve.models.data.dataset.Request`, such as ``image_size``, which
    own images require.

    Own images are split so that equal images and the images of a group are in one part. With ``decoding_rules=1`` they
    have the pixels, order, splits and hash of version 0.1.0, which its runs need.

    Raises ``ValueError`` for an unknown name and :class:`DataError` for data that cannot be used.
    """
    load = look_up(DATASETS, name, "data set")
    request = Request(None if path is None else location(path), **options)
    source = _loaded(name, load, request)
    _check_storage(name, source, request.storage)
    # Limit before resizing, so that only the images that are kept are resized.
    source = _map_parts(source, lambda split: _limited(split, request.limit, request.seed))
    source = _map_parts(source, lambda split: _resize(split, request.image_size))
    parts = _complete_parts(source, request)
    # images that were decoded were observed then, and those of the built-in data sets are known
    seen = () if source.decoding is not None or name in WITHOUT_FILES else pixel_notes(parts.values())
    notes = (*source.notes, *seen)
    data = ImageData.of(name, source.classes, **parts, notes=notes, content_hash=source.content_hash)
    storage = source.storage or _arrays(data)
    cache = CacheLocation(request.storage.cache, request.storage.write)
    kept = {name: getattr(source, name) for name in ("skipped", "decoding", "files")}
    data = replace(data, **kept, storage=storage, cache=cache)
    _check_shape(data, SHAPES[name], request.image_size)
    return data


def _loaded(name: str, load: Loader, request: Request) -> Source:
    """Return what a loader returns as a source.

    Raises :class:`DataError` if it is something else, and for an exception of a custom loader :class:`PluginError`, or
    :class:`DataError` if it is one; both name the line.
    """
    try:
        with prints_to_stderr():
            loaded = load(request)
    except ERRORS as error:
        if module_of(load) is None:
            raise
        named = raised(f"the loader of data set {name!r}", error, load)
        raise (DataError(str(named)) if isinstance(error, DataError) else named) from error
    if isinstance(loaded, Source):
        return replace(loaded, classes=_class_names(name, loaded.classes))
    if not is_datasets(loaded):
        raise DataError(
            f"the loader of data set {name!r} must return a Source or a map-style data set, but returned "
            f"{type(loaded).__name__}{at_definition(load)}; return archsieve.Source(...)"
        )
    shape = SHAPES[name]
    assert shape is not None  # register_dataset sets it
    channels, height, width = shape.input_shape
    if height != width:
        raise DataError(
            f"the images of a map-style data set become square, but {name!r} is registered with {height} x {width} "
            "pixels; register a square shape, or return archsieve.Source(...)"
        )
    return load_items(loaded, replace(request, image_size=request.image_size or height, channels=channels))


def _class_names(name: str, classes: Any) -> tuple[str, ...]:
    """Return the class names of a source. Raises :class:`DataError` if they are not texts, or not all different."""
    names = tuple(classes) if isinstance(classes, list | tuple) else ()
    if not names or not all(isinstance(one, str) for one in names) or len(set(names)) < len(names):
        raise DataError(
            f"the classes of data set {name!r} must be a tuple of different texts, but are {str(classes)[:80]}; give "
            "each class a name of its own"
        )
    return names


def _arrays(data: ImageData) -> StorageChoice:
    n_bytes = sum(split.images.nbytes for split in data.splits)
    return StorageChoice("memory", f"the images of {data.name} are arrays", n_bytes)


def _check_storage(name: str, source: Source, storage: StorageOptions) -> None:
    if source.storage is None and storage.kind not in (AUTO, "memory"):
        raise DataError(
            f"storage must be auto or memory for {name!r}, whose images are arrays in memory, but got "
            f"{storage.kind!r}; leave it out"
        )


def _check_shape(data: ImageData, declared: DataShape | None, image_size: int | None) -> None:
    """Raise where the loaded data are not what was registered: a search plans its networks by the latter."""
    if not data.mean.isfinite().all():
        raise DataError(f"the images of data set {data.name!r} must be finite numbers, but some are not; correct them")
    if declared is None:
        return
    channels, height, width = declared.input_shape
    expected = (channels, image_size or height, image_size or width), declared.n_classes
    if data.multi_label != declared.multi_label:
        raise DataError(
            f"data set {data.name!r} is registered with multi_label={declared.multi_label}, but its loader returned "
            f"labels {tuple(data.train.labels.shape)}; correct one of them"
        )
    if (data.input_shape, data.n_classes) != expected:
        raise DataError(
            f"data set {data.name!r} is registered with images {expected[0]} and {expected[1]} classes, but its loader "
            f"returned images {data.input_shape} and {data.n_classes} classes; correct one of them"
        )


def _limited(split: Split, limit: int | None, seed: int) -> Split:
    if limit is None or limit >= len(split):
        return split  # not a copy
    return split.subset(stratified_sample(split.labels, limit, seed=seed))


def _map_parts(source: Source, change: Callable[[Split], Split]) -> Source:
    val, test = (change(split) if split is not None else None for split in (source.val, source.test))
    return replace(source, train=change(source.train), val=val, test=test)


def _complete_parts(source: Source, request: Request) -> dict[str, Split]:
    """Return all parts of ``source``; missing ones are split off from ``train``."""
    published = {part: split for part in ("val", "test") if (split := getattr(source, part)) is not None}
    fractions = missing_parts(published, request.val_fraction, request.test_fraction)
    if not fractions:
        return {"train": source.train, **published}  # not a copy
    groups = None if source.train.groups is None else numbered(source.train.groups.numpy())
    index = stratified_split(source.train.labels, fractions, source.classes, seed=request.seed, groups=groups)
    return published | {part: source.train.subset(members) for part, members in index.items()}


def _resize(split: Split, image_size: int | None) -> Split:
    if image_size is None or split.images.shape[2:] == (image_size, image_size):
        return split
    from torchvision.transforms.v2.functional import resize

    return replace(split, images=resize(split.images[:], [image_size, image_size], antialias=True))
