"""Texts of classes from files: a folder of articles, JSON, or the vectors of any encoder.

A class may have several texts. They are one string with a record separator (U+001E) between two of them; encoders
average their vectors.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..image_files.errors import DataError
from .arrays import open_npz
from .split_names import is_ignored, normalised

PAGE = "\x1e"  # the record separator, between two texts of a class: no article has one, as many have form feeds


def read_class_texts(path: Path) -> dict[str, str]:
    """Return the texts in ``path`` by class.

    ``path`` is one of:

    * a folder with ``CLASS.txt``, or with ``CLASS/*.txt`` for several texts of a class, UTF-8;
    * a JSON file, ``{"CLASS": "text"}`` or ``{"CLASS": ["text", "text"]}``;
    * an .npz file with ``classes`` (K,) and ``vectors`` (K, p), such as attributes or embeddings: a text is then its
      numbers, for the kind of text "vectors".

    Raises :class:`DataError` if there is no such path, or a text cannot be read or is empty.
    """
    if path.is_dir():
        texts = {name: PAGE.join(parts) for name, parts in _folder(path)}
    elif not path.exists():
        raise DataError(
            f"texts must be a folder of CLASS.txt files, a .json or an .npz file, but there is no folder {path}; "
            "create it or correct texts"
        )
    elif path.suffix == ".npz":
        texts = _vectors(path)
    else:
        texts = _json(path)
    return {normalised(name): text for name, text in texts.items()}


def select_texts(
    texts: Mapping[str, str], classes: Sequence[str], path: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the texts of ``classes`` in their order, and the names of other classes that have a text.

    Raises :class:`DataError` if a class has no text, or two classes have equal ones: no model can distinguish them.
    """
    if missing := [name for name in classes if name not in texts]:
        fix = f"write {path / (missing[0] + '.txt')}" if path.is_dir() else f"add it to {path}"
        raise DataError(
            f"every class needs a text, but {len(missing)} of {len(classes)} have none, the first is {missing[0]!r}; "
            f"{fix}"
        )
    counts = Counter(texts[name] for name in classes)
    if len(counts) < len(classes):
        first = next(name for name in classes if counts[texts[name]] > 1)
        other = next(name for name in classes if name != first and texts[name] == texts[first])
        raise DataError(
            f"two classes need different texts to be distinguished, but those of {first!r} and {other!r} are equal; "
            "describe how they differ"
        )
    return tuple(texts[name] for name in classes), tuple(sorted(set(texts) - set(classes)))


def vector_text(vector: Sequence[float] | np.ndarray) -> str:
    """Return the entries of a vector (p,) as text, exact in float32."""
    return " ".join(f"{value:.9g}" for value in np.asarray(vector, dtype=np.float32).tolist())


def _folder(path: Path) -> Iterator[tuple[str, list[str]]]:
    for entry in sorted(path.iterdir()):
        if is_ignored(entry.name):
            continue
        if entry.is_dir():
            if files := sorted(entry.glob("*.txt")):
                yield entry.name, [_file(file) for file in files]
        elif entry.suffix == ".txt":
            yield entry.stem, [_file(entry)]


def _file(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8-sig")  # drops a byte order mark, which would stick to the first word
    except UnicodeDecodeError as error:
        raise DataError(
            f"texts must be UTF-8, but byte {error.start} of {file} cannot be read; save it as UTF-8"
        ) from None
    if not text.strip():
        raise DataError(f"every class needs a text with at least one word, but {file} is empty; write one")
    return text.replace(PAGE, " ")


def _json(path: Path) -> dict[str, str]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"texts must be JSON in UTF-8, but {path} cannot be read: {error}; correct the file") from None
    if not isinstance(content, dict):
        raise DataError(
            f'texts must be {{"CLASS": "text"}}, but {path} holds a {type(content).__name__}; write a table'
        )
    return {name: _entry(name, entry, path) for name, entry in content.items()}


def _entry(name: str, entry: Any, path: Path) -> str:
    parts = entry if isinstance(entry, list) else [entry]
    if not parts or not all(isinstance(part, str) and part.strip() for part in parts):
        raise DataError(
            f"every class needs a text or a list of texts, but {name!r} in {path} has {str(entry)[:60]!r}; write one"
        )
    return PAGE.join(part.replace(PAGE, " ") for part in parts)


def _vectors(path: Path) -> dict[str, str]:
    with open_npz(path) as arrays:
        if missing := sorted({"classes", "vectors"} - set(arrays.files)):
            raise DataError(
                f"an .npz file of texts needs the arrays classes and vectors, but {path} has no {missing[0]}, only "
                f"{', '.join(sorted(arrays.files))}; rename it"
            )
        names, vectors = arrays["classes"].astype(str).ravel().tolist(), arrays["vectors"]
    if vectors.ndim != 2 or len(vectors) != len(names):
        raise DataError(
            f"vectors must have one row for each class, but {path} has {len(names)} classes and vectors of shape "
            f"{vectors.shape}; save one row for each class"
        )
    if vectors.dtype.kind not in "fiub" or not np.isfinite(vectors).all():
        raise DataError(f"vectors must be finite numbers, but {path} has others; compute them again")
    return {name: vector_text(vector) for name, vector in zip(names, vectors, strict=True)}
