"""Own image features as zero-shot data: an .npz file, or the field's files res101.mat and att_splits.mat.

The features of an image are a vector of F entries; as an image it has F channels of one pixel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..image_files.errors import DataError
from .class_texts import vector_text

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
    with np.load(file, allow_pickle=False) as arrays:
        _check_arrays(file, arrays)
        return int(arrays["features"].shape[1])


def read_features(path: Path) -> FeatureFile:
    """Read an .npz file, or a folder with res101.mat and att_splits.mat (or the path of the first).

    An .npz file has ``features`` (N, F), ``labels`` (N,) as names or as indices in ``classes``, and may have
    ``classes`` (K,), ``texts`` (K,) or ``attributes`` (K, p), and ``test`` (N,) bool. Raises :class:`DataError` with
    the fields that are missing.
    """
    file = _features_path(path)
    content = _of_mat(file) if file.suffix == ".mat" else _of_npz(file)
    if len(content.features) != len(content.labels):
        raise DataError(
            f"every row of features needs a label, but {file} has {len(content.features):,} rows and "
            f"{len(content.labels):,} labels; save both of the same images"
        )
    if not np.isfinite(content.features).all():
        raise DataError(f"features must be finite numbers, but {file} has NaN or infinity; compute them again")
    return content


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
    with np.load(file, allow_pickle=False) as arrays:
        _check_arrays(file, arrays)
        names, labels = _classes_of(file, arrays)
        texts = None
        for name in ("texts", "attributes"):
            if name not in arrays.files:
                continue
            rows = arrays[name]
            if len(rows) != len(names):
                raise DataError(
                    f"{name} need one row for each class, but {file} has {len(rows)} rows and {len(names)} classes; "
                    "save them in the order of classes"
                )
            texts = tuple(map(str, rows.tolist())) if rows.ndim == 1 else tuple(map(vector_text, rows))
            break
        is_test = arrays["test"].astype(bool) if "test" in arrays.files else None
        return FeatureFile(arrays["features"], labels, names, texts, is_test)


def _classes_of(file: Path, arrays: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the class names and the labels (N,) as indices in them."""
    labels = arrays["labels"]
    if labels.dtype.kind in "US":
        used, indices = np.unique(labels.astype(str), return_inverse=True)
        if "classes" not in arrays.files:
            return tuple(used.tolist()), indices.astype(np.int64)
        names = arrays["classes"].astype(str).tolist()
        if unknown := sorted(set(used.tolist()) - set(names)):
            raise DataError(f"labels must be names of classes, but {file} has {unknown[0]!r}; add it to classes")
        return tuple(names), np.array([names.index(name) for name in used])[indices].astype(np.int64)
    if "classes" not in arrays.files:
        raise DataError(f"labels that are numbers need the array classes, but {file} has none; save the class names")
    names = arrays["classes"].astype(str).tolist()
    if labels.min() < 0 or labels.max() >= len(names):
        raise DataError(
            f"labels must be from 0 to {len(names) - 1}, but {file} has {labels.min()} to {labels.max()}; "
            "number the classes from 0"
        )
    return tuple(names), labels.astype(np.int64)


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
        if found.size and found.max() >= len(labels):
            raise DataError(
                f"{field} must be rows of the {len(labels):,} features, but has {found.max() + 1:,}; use the files of "
                "one data set"
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
