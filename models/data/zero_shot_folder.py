"""Zero-shot data from files: pictures in folders, an article ``CLASS.txt`` for each class.

Image folders, CUB-200 in its published layout, and Flowers102 as torchvision keeps it.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from .dataset import Request, Split
from .errors import DataError
from .folder_layout import list_splits
from .image_folder import read_files
from .shapes import required_for_folder
from .torchvision_sets import fetching
from .zero_shot import ZeroShotSource, held_out


def load_folder(request: Request, texts: Path) -> ZeroShotSource:
    """The images of ``path/CLASS/*``, and ``texts/CLASS.txt``; a fifth of each class tests it where it is seen.

    Where the publisher split the images into train, val and test, the images of test do.
    """
    _, root = required_for_folder(request.path, request.image_size)
    classes, files = list_splits(root)
    listed = [entry for part in files.values() for entry in part]
    published = torch.tensor([part == "test" for part, entries in files.items() for _ in entries])
    return _source(classes, listed, published if "test" in files else None, request, texts)


def load_cub(request: Request, texts: Path) -> ZeroShotSource:
    """CUB-200 (2010 or 2011) in its published layout: ``images.txt``, ``classes.txt`` and two more lists.

    The publisher's test images test the seen classes; all images of a class do where it is unseen.
    """
    if request.path is None:
        raise DataError("data set 'cub-200' needs a path, but got none; set path to the folder with images.txt")
    root = request.path
    names = _table(root / "classes.txt")
    classes = tuple(names[key] for key in sorted(names, key=int))
    place = {key: k for k, key in enumerate(sorted(names, key=int))}
    labels, trained = _table(root / "image_class_labels.txt"), _table(root / "train_test_split.txt")
    images = _table(root / "images.txt")
    if strange := [key for key in images if labels.get(key) not in place or key not in trained]:
        raise DataError(
            f"every image needs a class and a part, but image {strange[0]} of {root / 'images.txt'} has not both; "
            "unpack the archive again"
        )
    listed = [(root / "images" / path, place[labels[key]]) for key, path in images.items()]
    published = torch.tensor([trained[key] == "0" for key in images])
    return _source(classes, listed, published, request, texts)


def load_flowers(request: Request, texts: Path) -> ZeroShotSource:
    """Oxford Flowers102 from torchvision's files in ``path``; texts are named as its classes, ``pink primrose.txt``.

    torchvision's train and val pictures are trained on where their class is seen, those of its test part test it.
    """
    if request.path is None or request.image_size is None:
        raise DataError("data set 'flowers102' needs path and image_size; set both, as in image_size = 64")
    from torchvision.datasets import Flowers102

    names = tuple(Flowers102.classes)
    listed: list[tuple[Path, int]] = []
    published: list[bool] = []
    for part in ("train", "val", "test"):
        with fetching("Flowers102", request.path):
            found = Flowers102(request.path, part, download=request.download)
        listed += [(Path(file), int(label)) for file, label in zip(found._image_files, found._labels, strict=True)]
        published += [part == "test"] * len(found)
    return _source(names, listed, torch.tensor(published), request, texts)


def read_texts(folder: Path, classes: Sequence[str]) -> tuple[str, ...]:
    """The articles ``folder/CLASS.txt``, UTF-8, in the order of ``classes``.

    Raises :class:`DataError` where a class has none, an article is empty, or an article is of no class.
    """
    if not folder.is_dir():
        raise DataError(f"texts are a folder of CLASS.txt, but there is no folder {folder}; set texts to it")
    there = {file.stem: file for file in sorted(folder.glob("*.txt"))}
    if missing := [name for name in classes if name not in there]:
        raise DataError(
            f"every class needs a text, but {len(missing)} of {len(classes)} have none, the first is {missing[0]!r}; "
            f"write {folder / (missing[0] + '.txt')}"
        )
    if stray := sorted(set(there) - set(classes)):
        raise DataError(
            f"every text needs a class with pictures, but {len(stray)} have none, the first is {there[stray[0]]}; "
            "remove it, or add pictures"
        )
    return tuple(_text(there[name]) for name in classes)


def _text(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"texts are UTF-8, but byte {error.start} of {file} cannot be read; save it so") from None
    if not text.strip():
        raise DataError(f"every class needs a text with a word in it, but {file} is empty; write one")
    return text


def _source(
    classes: tuple[str, ...], listed: list[tuple[Path, int]], held: Tensor | None, request: Request, texts: Path
) -> ZeroShotSource:
    articles = read_texts(texts, classes)  # before the pictures: it takes no time
    if request.image_size is None:
        raise DataError("pictures of many sizes need image_size; set it to a side in pixels, as in 64")
    labels = torch.tensor([label for _, label in listed])
    images = read_files([file for file, _ in listed], request.image_size)
    held = held_out(labels, request.seed) if held is None else held
    return ZeroShotSource(classes, articles, Split(images, labels), held, torch.ones_like(held))


def _table(file: Path) -> dict[str, str]:
    """The lines ``key value`` of one of CUB's lists."""
    if not file.is_file():
        raise DataError(f"CUB-200 in its published layout has {file.name}, but there is no {file}; set path to it")
    lines = [line.split(maxsplit=1) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if broken := [line for line in lines if len(line) != 2]:
        raise DataError(f"lines of {file} are a number and a value, but one is {broken[0]}; unpack it again")
    return {key: value.strip() for key, value in lines}
