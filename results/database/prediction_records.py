"""Stored predictions: what the network of a trial predicts for the validation images at its best epoch.

Shapes: N validation images of which M are kept, K classes, T kept classes of an image.
"""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .reader import StoreReader
from .records import PREDICTIONS, Trial

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_IMAGES = 20_000  # kept images of a trial
MAX_CLASSES = 2**16  # a class is stored in two bytes
MAX_VALUES = 1_000_000  # probabilities of a trial: no document may claim more
# name -> type of the stored values, in the order in which they are stored
_COLUMNS = {"index": "<u4", "labels": "<u2", "predicted": "<u2", "rank": "<u2", "label_probability": "<f4"}


@dataclass(frozen=True, eq=False)
class StoredPredictions:
    """The predictions of one trial, of images with one label each or with any number of labels.

    ``n_images`` is N. ``index`` (M,) are the positions of the kept images in the validation images.
    """

    n_images: int
    n_classes: int
    index: "NDArray[np.int64]"
    labels: "NDArray[Any]"

    def __len__(self) -> int:
        return len(self.index)

    def is_paired_with(self, other: "StoredPredictions") -> bool:
        """Return whether both are predictions of the same images, with the same labels."""
        return (
            (self.n_images, self.n_classes) == (other.n_images, other.n_classes)
            and np.array_equal(self.index, other.index)
            and np.array_equal(self.labels, other.labels)
        )

    def hits(self, k: int = 1) -> "NDArray[np.bool_]":
        """Return for which images (M,) the prediction is right, or the label is among the ``k`` highest scores."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Return the predictions as JSON types: the arrays are compressed and written as base64 text."""
        raise NotImplementedError

    @staticmethod
    def from_json(detail: Any) -> "StoredPredictions":
        """Return the predictions of :meth:`to_json`; raise ``ValueError`` for values that are not such predictions."""
        if not isinstance(detail, Mapping) or not isinstance(detail.get("data"), str):
            raise ValueError(f"predictions must be a table with data, got {str(detail)[:60]!r}")
        kind = LabelPredictions if detail.get("multi_label") is True else Predictions
        return kind.of_table(detail)


def _packed(parts: "list[NDArray[Any]]") -> str:
    content = b"".join(part.tobytes() for part in parts)
    return b64encode(zlib.compress(content, 6)).decode("ascii")


def _check_index(index: "NDArray[np.int64]", n_images: int) -> None:
    if (index >= n_images).any() or (np.diff(index) <= 0).any():
        raise ValueError("predictions must be of different images, in ascending order")


def _check_shares(shares: "NDArray[np.float64]") -> None:
    if not ((shares >= 0) & (shares <= 1)).all():  # the comparisons are false for NaN
        raise ValueError("predictions must have probabilities in [0, 1]")


@dataclass(frozen=True, eq=False)
class LabelPredictions(StoredPredictions):
    """The predictions of one trial for images with any number of labels.

    ``labels`` and ``predicted`` are bool (M, K). ``logits`` (M, K) are rounded to float16. Rounded probabilities would
    be 1 above 0.9998, and the log loss of a wrong one far too large.
    """

    labels: "NDArray[np.bool_]"
    predicted: "NDArray[np.bool_]"
    logits: "NDArray[np.float64]"

    @property
    def probabilities(self) -> "NDArray[np.float64]":
        """The probabilities (M, K) of the classes."""
        shares: NDArray[np.float64] = np.exp(-np.logaddexp(0, -self.logits))
        return shares

    def hits(self, k: int = 1) -> "NDArray[np.bool_]":
        """Return the images (M,) of which every label is right."""
        right: NDArray[np.bool_] = (self.labels == self.predicted).all(1)
        return right

    def to_json(self) -> dict[str, Any]:
        bits = [np.packbits(self.labels), np.packbits(self.predicted)]
        parts = [self.index.astype("<u4"), *bits, self.logits.astype("<f2")]
        counts = {"n_images": self.n_images, "n": len(self), "n_classes": self.n_classes}
        return {**counts, "multi_label": True, "data": _packed(parts)}

    @classmethod
    def of_table(cls, detail: Mapping[str, Any]) -> "LabelPredictions":
        """Return the predictions of the table of :meth:`to_json`; raise ``ValueError`` for other values."""
        n_images, n, k = _counts(detail)
        n_bytes = (n * k + 7) // 8
        index, *bits, logits = _unpacked(detail["data"], [(n, "<u4"), (n_bytes, "u1"), (n_bytes, "u1"), (n * k, "<f2")])
        labels, predicted = (np.unpackbits(part, count=n * k).astype(bool).reshape(n, k) for part in bits)
        _check_index(index := index.astype(np.int64), n_images)
        if not np.isfinite(logits).all():
            raise ValueError("predictions must have finite scores")
        return cls(n_images, k, index, labels, predicted, logits.astype(np.float64).reshape(n, k))


@dataclass(frozen=True, eq=False)
class Predictions(StoredPredictions):
    """The predictions of one trial for images with one label each.

    ``labels`` and ``predicted`` (M,) are classes, ``rank`` (M,) is the number of classes with a higher score than the
    label, ``label_probability`` (M,) the probability of the label. ``probabilities`` (M, T) belong to all classes in
    order if ``classes`` is None, else to ``classes`` (M, T), the most probable first. Their logarithms are stored as
    float16, so that probabilities near 1 keep their order.
    """

    labels: "NDArray[np.int64]"
    predicted: "NDArray[np.int64]"
    rank: "NDArray[np.int64]"
    label_probability: "NDArray[np.float64]"
    probabilities: "NDArray[np.float64]"
    classes: "NDArray[np.int64] | None" = None

    @property
    def confidence(self) -> "NDArray[np.float64]":
        """The probability (M,) of the predicted class."""
        highest: NDArray[np.float64] = self.probabilities.max(1)
        return highest

    def hits(self, k: int = 1) -> "NDArray[np.bool_]":
        """Return the images (M,) whose label is among the ``k`` highest scores."""
        return self.rank < k

    def to_json(self) -> dict[str, Any]:
        parts = [getattr(self, name).astype(kind) for name, kind in _COLUMNS.items()]
        parts.append(np.log(self.probabilities.clip(min=np.finfo(np.float64).tiny)).astype("<f2"))
        parts += [] if self.classes is None else [self.classes.astype("<u2")]
        return {
            **{"n_images": self.n_images, "n": len(self), "n_classes": self.n_classes},
            "top": None if self.classes is None else self.classes.shape[1],
            "logarithms": True,
            "data": _packed(parts),
        }

    @classmethod
    def of_table(cls, detail: Mapping[str, Any]) -> "Predictions":
        """Return the predictions of the table of :meth:`to_json`; raise ``ValueError`` for other values."""
        top = None if detail.get("top") is None else _count(detail, "top")
        n_images, n, k = _counts(detail, top)
        top = top or k
        kinds = [(n, kind) for kind in _COLUMNS.values()] + [(n * top, "<f2")]
        kinds += [] if detail.get("top") is None else [(n * top, "<u2")]
        arrays = _unpacked(detail["data"], kinds)
        columns: dict[str, Any] = {
            name: array.astype(np.float64 if array.dtype.kind == "f" else np.int64)
            for name, array in zip(_COLUMNS, arrays, strict=False)
        }
        probabilities = arrays[len(_COLUMNS)].astype(np.float64).reshape(n, top)
        if detail.get("logarithms") is True:  # databases of earlier versions have the probabilities themselves
            with np.errstate(over="ignore"):  # values above 1 are refused below
                probabilities = np.exp(probabilities)
        classes = None if detail.get("top") is None else arrays[-1].astype(np.int64).reshape(n, top)
        made = cls(n_images, k, **columns, probabilities=probabilities, classes=classes)
        made._check()
        return made

    def _check(self) -> None:
        """Raise ``ValueError`` for values that are no classes, positions or probabilities."""
        indices = [self.labels, self.predicted, self.rank, *([] if self.classes is None else [self.classes])]
        if any((values >= self.n_classes).any() for values in indices):
            raise ValueError("predictions must have classes below n_classes")
        _check_shares(np.concatenate([self.probabilities.ravel(), self.label_probability]))
        _check_index(self.index, self.n_images)


def _counts(detail: Mapping[str, Any], top: int | None = None) -> tuple[int, int, int]:
    """Return N, M and K, with M x T bounded; T is ``top``, or K."""
    n_images, n, k = (_count(detail, name) for name in ("n_images", "n", "n_classes"))
    if n > min(n_images, MAX_IMAGES) or k > MAX_CLASSES or (top or k) > k or n * (top or k) > MAX_VALUES:
        raise ValueError(f"predictions must be bounded, got n = {n}, n_images = {n_images}, n_classes = {k}")
    return n_images, n, k


def _count(detail: Mapping[str, Any], name: str) -> int:
    value = detail.get(name)
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} of predictions must be a whole number of at least 1, got {str(value)[:60]!r}")
    return value


def _unpacked(data: str, kinds: list[tuple[int, str]]) -> list["NDArray[Any]"]:
    """Return the arrays in ``data``, of these lengths and types; raise ``ValueError`` if the text holds others."""
    sizes = [count * np.dtype(kind).itemsize for count, kind in kinds]
    inflate = zlib.decompressobj()
    try:
        # limited, because a few bytes can expand to gigabytes
        content = inflate.decompress(b64decode(data, validate=True), sum(sizes) + 1)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"the data of predictions must be compressed base64 text, but: {error}") from None
    if len(content) != sum(sizes):
        raise ValueError(f"the data of predictions must have {sum(sizes):,} bytes, got another number")
    starts = np.cumsum([0, *sizes[:-1]])
    return [np.frombuffer(content, kind, count, int(start)) for start, (count, kind) in zip(starts, kinds, strict=True)]


def predictions_of(store: StoreReader, trial: Trial) -> StoredPredictions | None:
    """Return the stored predictions of a trial; None if there are none, as in databases of version 0.1.0.

    Raises ``ValueError`` if they have another form: a database from elsewhere may hold anything.
    """
    events = store.events(trial.run, PREDICTIONS, trial_id=trial.trial)
    # a driver that was killed between two writes and resumed has stored them twice
    return StoredPredictions.from_json(events[-1]["detail"]) if events else None
