"""Own image features as zero-shot data: an .npz file, or the field's files res101.mat and att_splits.mat.

The features of an image are a vector of F entries; as an image it has F channels of one pixel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..image_files.errors import DataError
from .arrays import open_npz
from .class_texts import vector_text
from .split_names import normalised

FEATURES_MAT, SPLITS_MAT = "res101.mat", "att_splits.mat"
MAT_FIELDS = {
    FEATURES_MAT: ("features", "labels"),
    SPLITS_MAT: ("att", "allclasses_names", "trainval_loc", "test_seen_loc", "test_unseen_loc"),
}


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """The content of a file: ``features`` (N, F), ``labels`` (N,), ``classes`` (K,), and what it has in addition.

    ``texts`` are of the classes, or their attributes as numbers. ``is_test`` (N,) marks test images of seen classes.
    ``unseen`` and ``validation`` are the names of the classes of a published split.
    """

    features: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    texts: tuple[str, ...] | None = None
    is_test: np.ndarray | None = None
    unseen: tuple[str, ...] | None = None
    validation: tuple[str, ...] | None = None


def feature_width(path: Path) -> int:
    """Return F without reading the features. Raises :class:`DataError` for a path without features."""
    file = _features_path(path)
    if file.suffix == ".mat":
        from scipy.io import whosmat

        try:
            shapes = {name: shape for name, shape, _ in whosmat(file)}
        except NotImplementedError:  # MATLAB 7.3
            return int(_read_mat(file, FEATURES_MAT)["features"].shape[0])
        except ValueError as error:
            raise DataError(f"{file} must be a MATLAB file, but cannot be read: {error}; save it again") from None
        _check_fields(file, FEATURES_MAT, shapes)
        return int(shapes["features"][0])
    with open_npz(file) as arrays:
        _check_arrays(file, arrays)
        return int(_checked_features(file, arrays["features"]).shape[1])


def read_features(path: Path) -> FeatureFile:
    """Read an .npz file, or a folder with res101.mat and att_splits.mat (or the path of the first).

    An .npz file has ``features`` (N, F), ``labels`` (N,) as names or as indices in ``classes``, and may have
    ``classes`` (K,), ``texts`` (K,) or ``attributes`` (K, p), and ``test`` (N,) bool. Raises :class:`DataError` with
    the fields that are missing.
    """
    file = _features_path(path)
    content = _of_mat(file) if file.suffix == ".mat" else _of_npz(file)
    _checked_features(file, content.features)
    if len(content.features) != len(content.labels):
        raise DataError(
            f"every row of features needs a label, but {file} has {len(content.features):,} rows and "
            f"{len(content.labels):,} labels; save both of the same images"
        )
    with np.errstate(over="ignore"):  # a number beyond float32 is infinity
        is_finite = np.isfinite(content.features.astype(np.float32, copy=False)).all()
    if not is_finite:
        raise DataError(f"features must be finite float32 numbers, but {file} has NaN or infinity; compute them again")
    if len(set(content.classes)) < len(content.classes):
        twice = next(name for name in content.classes if content.classes.count(name) > 1)
        raise DataError(f"the names of classes must be different, but {file} has {twice!r} twice; rename one")
    return content


def _checked_features(file: Path, features: np.ndarray) -> np.ndarray:
    """Return ``features``; raise :class:`DataError` unless they are real numbers (N, F) of at least one image."""
    if features.ndim != 2 or 0 in features.shape or features.dtype.kind not in "fiub":
        raise DataError(
            f"features must be numbers (N, F), a row for each image, but those of {file} are {features.dtype} "
            f"{features.shape}; save one row of numbers for each image"
        )
    return features


def _features_path(path: Path) -> Path:
    file = path / FEATURES_MAT if path.is_dir() else path
    if not file.is_file() or file.suffix not in (".npz", ".mat"):
        raise DataError(
            f"features must be an .npz file or a folder with {FEATURES_MAT} and {SPLITS_MAT}, but there is no {file}; "
            "correct path"
        )
    return file


def _check_arrays(file: Path, arrays: Any) -> None:
    if missing := [name for name in ("features", "labels") if name not in arrays.files]:
        raise DataError(
            f"a file of features needs the arrays features and labels, but {file} has no {missing[0]}, only "
            f"{', '.join(sorted(arrays.files))}; rename it"
        )


def _of_npz(file: Path) -> FeatureFile:
    with open_npz(file) as arrays:
        _check_arrays(file, arrays)
        names, labels = _classes_of(file, arrays)
        texts = None
        for name in ("texts", "attributes"):
            if name not in arrays.files:
                continue
            texts = _texts_of(file, name, arrays[name], len(names))
            break
        is_test = arrays["test"] if "test" in arrays.files else None
        if is_test is not None and (is_test.shape != labels.shape or is_test.dtype.kind not in "biu"):
            raise DataError(
                f"test must be true or false for each of the {len(labels):,} images, but that of {file} is "
                f"{is_test.dtype} {is_test.shape}; save one bool for each image"
            )
        return FeatureFile(arrays["features"], labels, names, texts, None if is_test is None else is_test.astype(bool))


def _texts_of(file: Path, name: str, rows: np.ndarray, n_classes: int) -> tuple[str, ...]:
    """Return the texts or attributes, the array ``name``, as texts of the classes."""
    if rows.ndim not in (1, 2) or len(rows) != n_classes:
        raise DataError(
            f"{name} need one row for each class, but {file} has {len(rows) if rows.ndim else 0} rows and {n_classes} "
            "classes; save them in the order of classes"
        )
    if rows.dtype.kind in "US":
        return tuple(map(str, rows.astype(str).tolist()))
    rows = rows.reshape(n_classes, -1)
    if rows.dtype.kind not in "fiub" or not np.isfinite(rows).all():
        raise DataError(f"{name} must be texts or finite numbers, but {file} has others; complete them")
    return tuple(map(vector_text, rows))


def _classes_of(file: Path, arrays: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the class names and the labels (N,) as indices in them."""
    labels = arrays["labels"]
    labels = labels.ravel() if labels.ndim == 2 and labels.shape[1] == 1 else labels  # a column, as MATLAB saves it
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "USiuf":
        raise DataError(
            f"labels must be a name or a number for each image, (N,), but those of {file} are {labels.dtype} "
            f"{labels.shape}; save one for each image"
        )
    if labels.dtype.kind in "US":
        used, indices = np.unique(_names(labels), return_inverse=True)
        if "classes" not in arrays.files:
            return tuple(used.tolist()), indices.astype(np.int64)
        names = _names(arrays["classes"])
        if unknown := sorted(set(used.tolist()) - set(names)):
            raise DataError(f"labels must be names of classes, but {file} has {unknown[0]!r}; add it to classes")
        return tuple(names), np.array([names.index(name) for name in used])[indices].astype(np.int64)
    if "classes" not in arrays.files:
        raise DataError(f"labels that are numbers need the array classes, but {file} has none; save the class names")
    names = _names(arrays["classes"])
    if (labels != np.floor(labels)).any():  # NaN, too
        raise DataError(f"labels must be whole numbers or names, but {file} has fractions or NaN; number the classes")
    if labels.min() < 0 or labels.max() >= len(names):
        raise DataError(
            f"labels must be from 0 to {len(names) - 1}, but {file} has {labels.min()} to {labels.max()}; "
            "number the classes from 0"
        )
    return tuple(names), labels.astype(np.int64)


def _names(array: np.ndarray) -> list[str]:
    """Return names as the names of files with texts are written."""
    return [normalised(name) for name in array.astype(str).ravel().tolist()]


def _of_mat(file: Path) -> FeatureFile:
    features, splits = _read_mat(file, FEATURES_MAT), _read_mat(file.with_name(SPLITS_MAT), SPLITS_MAT)
    names = tuple(_text(entry) for entry in np.asarray(splits["allclasses_names"]).ravel())
    labels = features["labels"].ravel().astype(np.int64) - 1  # MATLAB counts from 1
    if labels.min() < 0 or labels.max() >= len(names):
        raise DataError(
            f"labels must be from 1 to {len(names)}, the number of allclasses_names, but {file} has "
            f"{labels.min() + 1} to {labels.max() + 1}; use the files of one data set"
        )
    if splits["att"].shape[1] != len(names):
        raise DataError(
            f"att needs a column for each of the {len(names)} classes, but has the shape {splits['att'].shape}; "
            "use the files of one data set"
        )

    def rows(field: str) -> np.ndarray:
        found = splits[field].ravel().astype(np.int64) - 1
        if wrong := [row + 1 for row in found.tolist() if not 0 <= row < len(labels)]:
            raise DataError(
                f"{field} must be rows of the {len(labels):,} features, but has {wrong[0]:,}; use the files of one "
                "data set"
            )
        return found

    is_test = np.zeros(len(labels), dtype=bool)
    is_test[rows("test_seen_loc")] = True
    unseen, trained = np.unique(labels[rows("test_unseen_loc")]), np.unique(labels[rows("trainval_loc")])
    if len(both := np.intersect1d(unseen, trained)):
        raise DataError(
            f"a class is either seen or unseen, but {names[both[0]]!r} is in trainval_loc and in test_unseen_loc; "
            "use the proposed splits"
        )
    validation = None
    if "val_loc" in splits and "train_loc" in splits:
        only = np.setdiff1d(labels[rows("val_loc")], labels[rows("train_loc")])
        validation = tuple(names[k] for k in only) or None
    texts = tuple(vector_text(column) for column in splits["att"].T)
    unseen_names = tuple(names[k] for k in unseen)
    return FeatureFile(features["features"].T, labels, names, texts, is_test, unseen_names, validation)


def _text(entry: Any) -> str:
    """Return a name, which is a text or a cell with one."""
    while isinstance(entry, np.ndarray):
        entry = entry.ravel()[0] if entry.size else ""
    return str(entry).strip()


def _read_mat(file: Path, kind: str) -> Mapping[str, np.ndarray]:
    """Return the arrays of a MATLAB file with the axes of MATLAB."""
    from scipy.io import loadmat

    if not file.is_file():
        raise DataError(f"features need {FEATURES_MAT} and {SPLITS_MAT} in one folder, but there is no {file}; add it")
    try:
        content: Mapping[str, Any] = loadmat(file)
    except NotImplementedError:  # MATLAB 7.3 is HDF5
        content = _read_hdf5(file)
    except ValueError as error:
        raise DataError(f"{file} must be a MATLAB file, but cannot be read: {error}; save it again") from None
    _check_fields(file, kind, content)
    return content


def _check_fields(file: Path, kind: str, content: Mapping[str, Any]) -> None:
    if missing := [field for field in MAT_FIELDS[kind] if field not in content]:
        present = ", ".join(sorted(name for name in content if not name.startswith("_")))
        raise DataError(
            f"{file.name} needs the fields {', '.join(MAT_FIELDS[kind])}, but {file} has no {', '.join(missing)}, "
            f"only {present}; use the file as published"
        )


def _read_hdf5(file: Path) -> Mapping[str, Any]:
    try:
        import h5py
    except ModuleNotFoundError:
        raise DataError(
            f"{file} is a file of MATLAB 7.3, which needs h5py, but it is not installed; pip install 'archsieve[mat]'"
        ) from None
    with h5py.File(file) as content:
        return {name: _hdf5_array(content, content[name]) for name in content if not name.startswith("#")}


def _hdf5_array(content: Any, entry: Any) -> Any:
    """Return an array with the axes of MATLAB, which HDF5 stores in reverse; cells of texts become texts."""
    array = np.asarray(entry)
    if array.dtype.kind != "O":
        return array.T
    return np.array(["".join(map(chr, np.asarray(content[cell]).ravel())) for cell in array.ravel()])
