"""Folders that ``save_to_disk`` of Hugging Face ``datasets`` wrote: which Arrow files have the rows of a data set."""

import json
from collections.abc import Sequence
from typing import Any

from ...spaces.parameters.lookup import unknown
from ..image_files.errors import DataError
from ..image_files.locations import Location
from .split_names import SPLIT_NAMES, split_of

SPLITS_FILE, STATE_FILE = "dataset_dict.json", "state.json"


def is_saved(names: Sequence[str]) -> bool:
    """Return whether a folder with files of these ``names`` was written by ``save_to_disk``."""
    return SPLITS_FILE in names or STATE_FILE in names


def data_files(folder: Location, names: Sequence[str]) -> list[Location]:
    """Return the Arrow files of a saved data set, or of all its splits, in the order of their rows.

    Other Arrow files in the folders are caches of computed columns. Raises :class:`DataError` for a damaged folder, and
    for a split that is not for training, validation or test.
    """
    if SPLITS_FILE not in names:
        return _of_split(folder)
    splits = _listed(folder / SPLITS_FILE, "splits")
    for split in splits:
        if split_of(split) is None:
            raise DataError(f"{folder}: {unknown('split', split, SPLIT_NAMES)}; save the data set without it")
    return [file for split in splits for file in _of_split(folder / split)]


def _of_split(folder: Location) -> list[Location]:
    try:
        return [folder / entry["filename"] for entry in _listed(folder / STATE_FILE, "_data_files")]
    except (KeyError, TypeError):
        raise _damaged(folder / STATE_FILE, "the entries of '_data_files' have no 'filename'") from None


def _listed(file: Location, key: str) -> list[Any]:
    try:
        with file.open("rb") as content:
            values = json.load(content)[key]
    except OSError as error:
        raise _damaged(file, error.strerror or str(error)) from None
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(file, f"{type(error).__name__}: {error}") from None
    if not isinstance(values, list) or not values:
        raise _damaged(file, f"{key!r} is no list with entries")
    return values


def _damaged(file: Location, reason: str) -> DataError:
    return DataError(f"a saved data set must be complete, but {file} is not: {reason}; call save_to_disk again")
