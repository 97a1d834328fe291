"""Image folders as data sets."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ..image_files.decoding import read_files
from ..image_files.folder_layout import list_splits
from ..image_files.split_overlap import check_no_shared_files
from .dataset import Request, Source, Split
from .shapes import require_folder_options
from .splits import stratified_sample


def load_image_folder(request: Request) -> Source:
    """Load the images of ``path/CLASS/*`` or ``path/{train,val,test}/CLASS/*``, uint8 (N, 3, S, S), S = ``image_size``.

    Raises :class:`DataError`, which names the folder or file.
    """
    size, root = require_folder_options(request.path, request.image_size)
    classes, files = list_splits(root)
    check_no_shared_files(files)
    return Source(classes, **{part: _read(entries, size, request) for part, entries in files.items()})


def _read(files: Sequence[tuple[Path, int]], size: int, request: Request) -> Split:
    labels = torch.tensor([label for _, label in files])
    # The limit is applied before decoding, so that only the selected images are decoded.
    index = stratified_sample(labels, request.limit, seed=request.seed)
    return Split(read_files([files[k][0] for k in index.tolist()], size), labels[index])
