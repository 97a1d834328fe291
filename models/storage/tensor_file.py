"""Tensors that are computed once per machine and kept in the cache folder, in a safetensors file."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from ..image_files.errors import DataError
from .cache_build import locked
from .choice import CacheLocation, cache_folder

log = logging.getLogger("archsieve")

NOT_WRITTEN = "%s cannot be written: %s; it is computed in each process"
Tensors = Mapping[str, Tensor]


def cached_tensors(name: str, location: CacheLocation, compute: Callable[[], Tensors]) -> Tensors:
    """Return the tensors in the file ``name`` of the cache folder; they are computed and written if it is missing.

    One process computes, others wait for it. The file is mapped: the processes of a machine share its memory, so the
    tensors must not be changed in place. Where nothing can be written, the tensors are computed for this process.
    """
    try:
        path = cache_folder(location.folder) / name
    except DataError:  # no home folder
        return compute()
    if (tensors := _read(path)) is not None:
        return tensors
    if not location.write:
        return compute()
    try:
        with locked(path):
            # another process may have written it while this one waited for the lock
            return _read(path) or _written(path, compute())
    except OSError as error:  # of the lock
        log.warning(NOT_WRITTEN, path, error)
        return compute()


def _read(path: Path) -> Tensors | None:
    """Return the tensors in ``path``; None if there is no complete file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        return None
    except SafetensorError as error:
        log.warning("%s is damaged: %s; it is computed again", path, error)
        return None


def _written(path: Path, tensors: Tensors) -> Tensors:
    """Write ``tensors`` to ``path`` and return them, mapped; the file is complete or does not exist."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    partial = path.with_suffix(".partial")  # the caller holds the lock, so the name may be fixed
    try:
        save_file(dict(tensors), partial)
        partial.replace(path)
    except (OSError, SafetensorError) as error:  # such as a full disk
        log.warning(NOT_WRITTEN, path, error)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return _read(path) or tensors
