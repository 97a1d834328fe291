"""NumPy files: ``.npz`` with images and labels, as of MedMNIST and Keras, or ``images.npy`` and ``labels.npy``."""

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa

from ..image_files.byte_access import ARRAY_MEMBER, load_array
from ..image_files.errors import DataError
from ..image_files.index import SPLITS, Index, index_table
from .label_sets import Labels, encode_indicators, label_notes
from .labels import check_split_classes, encode_labels

# the arrays of each split, images and labels, in the spellings of NumPy, MedMNIST and Keras
PAIRS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "train": (("images", "labels"), ("x", "y"), ("train_images", "train_labels"), ("x_train", "y_train")),
    "val": (("val_images", "val_labels"), ("x_val", "y_val"), ("x_valid", "y_valid")),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}


def read_arrays(path: Path) -> Index:
    """Return the index of the arrays in an .npz file, or of an .npy file with images next to its labels.

    Images are uint8 (N, H, W), (N, H, W, C) or (N, C, H, W), labels (N,) or (N, 1),
    or (N, K) of 0 and 1 where an image may have several of the classes "0" to "K-1". The labels of ``NAME.npy`` are in
    ``labels.npy``, or in a file with "labels" in the place of "images". Raises :class:`DataError`.
    """
    parts = _npz_parts(path) if path.suffix.lower() == ".npz" else {"train": (path.name, *_npy_arrays(path))}
    for images, array, labels in parts.values():
        _check(f"{path.parent / images}", array, labels)
    counts = [len(labels) for _, _, labels in parts.values()]
    classes, codes = _encoded([labels for _, _, labels in parts.values()], f"the labels of {path}")
    containers = pa.array([name for name, _, _ in parts.values()], pa.string())
    table = index_table(
        pa.DictionaryArray.from_arrays(pa.array(np.repeat(np.arange(len(parts), dtype=np.int32), counts)), containers),
        pa.array([""] * len(codes), pa.string()),
        codes,
        np.repeat(np.array([SPLITS.index(split) for split in parts], np.int8), counts),
        offset=np.concatenate([np.arange(n) for n in counts]),
        length=np.zeros(len(codes), np.int64),
    )
    return check_split_classes(Index(classes, "array", str(path.parent), table, label_notes(codes)))


def _encoded(parts: list[np.ndarray], where: str) -> Labels:
    n_columns = [1 if labels.ndim == 1 else labels.shape[1] for labels in parts]
    if min(n_columns) < max(n_columns):
        raise DataError(
            f"the labels of all splits must have the same number of columns, but {where} have {min(n_columns)} and "
            f"{max(n_columns)}; write them again"
        )
    if n_columns[0] == 1:
        return encode_labels(pa.array(np.concatenate([labels.reshape(-1) for labels in parts])), where)
    matrix = np.concatenate(parts)
    return encode_indicators({str(k): pa.array(matrix[:, k]) for k in range(n_columns[0])}, where)


@contextmanager
def open_npz(path: Path) -> Iterator[Any]:
    """Open the arrays of an .npz file; raise :class:`DataError` if it is damaged, or an array has Python objects."""
    try:
        with path.open("rb") as file:  # a broken file is closed, too
            arrays = np.load(file, allow_pickle=False)
            if isinstance(arrays, np.ndarray):
                raise DataError(f"an .npz file must be written by np.savez, but {path} is one array; save it again")
            with arrays:
                yield arrays
    except DataError:
        raise
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise DataError(
            f"an array file must be complete and must not contain Python objects, but {path} is not valid: {error}; "
            "save it again"
        ) from None


Part = tuple[str, np.ndarray, np.ndarray]  # name of the container, images, labels


def _npz_parts(path: Path) -> dict[str, Part]:
    with open_npz(path) as arrays:
        names = {name.lower(): name for name in arrays.files}
    parts: dict[str, Part] = {}
    for split, pairs in PAIRS.items():
        for images, labels in pairs:
            if images in names and labels in names and split not in parts:
                container = f"{path.name}{ARRAY_MEMBER}{names[images]}"
                parts[split] = container, load_array(path, names[images]), load_array(path, names[labels])
    if "train" not in parts:
        raise DataError(
            f"an .npz file needs images and labels, such as 'images' and 'labels' or 'train_images' and "
            f"'train_labels', but {path} has {', '.join(map(repr, names.values()))}; save it with these names"
        )
    return parts


def _npy_arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    candidates = [path.with_name(path.name.replace("images", "labels")), path.with_name("labels.npy")]
    labels = next((file for file in candidates if file != path and file.is_file()), None)
    if labels is None or not path.is_file():
        missing = path if not path.is_file() else candidates[-1]
        raise DataError(f"images in an .npy file need labels next to it, but {missing} does not exist; save it there")
    return load_array(path, ""), load_array(labels, "")


def _check(where: str, images: np.ndarray, labels: np.ndarray) -> None:
    channels_last = images.ndim == 4 and images.shape[3] in (1, 3, 4)
    channels_first = images.ndim == 4 and images.shape[1] in (1, 3, 4)
    if images.dtype != np.uint8 or not (images.ndim == 3 or channels_last or channels_first):
        raise DataError(
            f"images must be uint8 (N, H, W), (N, H, W, C) or (N, C, H, W) with 1, 3 or 4 channels, but {where} is "
            f"{images.dtype} {images.shape}; convert them: floats in [0, 1] with (255 * x).round().astype('uint8'), "
            "whole numbers in 0..255 with x.astype('uint8')"
        )
    if labels.ndim not in (1, 2) or len(labels) != len(images) or 0 in labels.shape[1:]:
        raise DataError(
            f"labels must be (N,), or (N, K) of 0 and 1, for the {len(images):,} images of {where}, but have the shape "
            f"{labels.shape}; give one number or one class name for each image, or one column for each class"
        )
