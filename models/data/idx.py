"""Arrays in the IDX format of MNIST, plain or gzipped (LeCun, http://yann.lecun.com/exdb/mnist/)."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .data_error import DataError

_UNSIGNED_BYTES = b"\x00\x00\x08"


def has_idx(path: Path) -> bool:
    """Whether ``path`` or ``path.gz`` is there."""
    return path.is_file() or _gzipped(path).is_file()


def read_idx(path: Path) -> Tensor:
    """The uint8 array in ``path``, or in ``path.gz``; raises :class:`DataError` where the file is broken."""
    try:
        raw = path.read_bytes() if path.is_file() else gzip.decompress(_gzipped(path).read_bytes())
        if raw[:3] != _UNSIGNED_BYTES:
            raise ValueError("it does not start as one of unsigned bytes")
        shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
        return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape).copy())
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise DataError(f"{path} must be a whole IDX file, but {error}; fetch it again") from None


def _gzipped(path: Path) -> Path:
    return path.with_name(path.name + ".gz")
