"""Zero-shot data: labelled images, a text for each class, and classes that no network is trained on.

Shapes: N images (N, C, H, W), K classes, S of them seen and U unseen; S + U = K.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from ..image_files.decoding_rules import Decoding
from ..image_files.errors import DataError
from ..storage.images import stored
from .dataset import ImageData, Split
from .folds import fold_indices

TEST_FRACTION = 0.2  # of the images, or groups of images, of a seen class


@dataclass(frozen=True, eq=False)
class ZeroShotSource:
    """Images and texts of a loader, before the classes are split into seen and unseen ones.

    ``test_if_seen`` (N,) bool marks the images that are test images if their class is seen; ``test_if_unseen`` (N,)
    bool those that are test images if their class is unseen. ``groups`` (N,) int64 numbers images that must be in the
    same part of any split (for glyphs: the images of one face). ``copies`` (N,) int64 are equal for equal images and
    for images of one group, such as one patient; None if all differ. ``notes`` and ``skipped`` are as in
    :class:`~archsieve.models.data.dataset.Source`. Raises :class:`DataError` if a class has no image or a text has no
    word.
    """

    classes: tuple[str, ...]
    texts: tuple[str, ...]
    samples: Split
    test_if_seen: Tensor
    test_if_unseen: Tensor
    groups: Tensor | None = None
    copies: Tensor | None = None
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    decoding: Decoding | None = None

    def __post_init__(self) -> None:
        check_texts(self.classes, self.texts)
        counts = torch.bincount(self.samples.labels, minlength=len(self.classes))
        if missing := [name for name, count in zip(self.classes, counts.tolist(), strict=True) if not count]:
            raise DataError(
                f"every class with a text needs an image, but {len(missing)} have none, the first is {missing[0]!r}; "
                "add images, or remove the text"
            )


@dataclass(frozen=True, eq=False)
class ZeroShotData:
    """Seen classes for training, and unseen classes that a model must recognise from their texts alone.

    ``train`` and ``test_seen`` contain images of the ``seen`` classes, ``test_unseen`` those of the ``unseen`` ones.
    Labels are indices in all K ``classes``. ``mean`` and ``std`` (C,) are those of the training images in [0, 1].
    ``content_hash`` covers class names, texts, pixels, labels and the unseen classes. ``groups`` and ``copies`` are
    those of the training images; ``skipped`` and ``notes`` those of the :class:`ZeroShotSource`, with a note on test
    images that are training images, too. ``validation`` names the validation classes of a published split,
    and ``decoding`` is how files became images.
    """

    name: str
    classes: tuple[str, ...]
    texts: tuple[str, ...]
    seen: Tensor
    unseen: Tensor
    train: Split
    test_seen: Split
    test_unseen: Split
    mean: Tensor
    std: Tensor
    content_hash: str
    groups: Tensor | None = None
    copies: Tensor | None = None
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    validation: tuple[str, ...] | None = None
    decoding: Decoding | None = None

    @classmethod
    def of(cls, name: str, source: ZeroShotSource, unseen: Tensor) -> "ZeroShotData":
        """Split ``source`` so that no image of the classes ``unseen`` (U,) is in ``train``.

        Raises :class:`DataError` if a part has no image, or no image of a class that it needs.
        """
        labels = source.samples.labels
        is_unseen = torch.isin(labels, unseen)
        parts = {
            "train": ~is_unseen & ~source.test_if_seen,
            "test_seen": ~is_unseen & source.test_if_seen,
            "test_unseen": is_unseen & source.test_if_unseen,
        }
        rows = {part: mask.nonzero().squeeze(1) for part, mask in parts.items()}
        splits = {part: source.samples.subset(index) for part, index in rows.items()}
        seen = torch.tensor([k for k in range(len(source.classes)) if k not in set(unseen.tolist())])
        _check_parts(source.classes, splits, {"train": seen, "test_seen": seen, "test_unseen": unseen})
        # ImageData computes the statistics of the training images and a hash of all pixels and labels.
        image_data = ImageData.of(
            name, source.classes, train=splits["train"], val=splits["test_seen"], test=splits["test_unseen"]
        )
        digest = sha256(f"{image_data.content_hash}{json.dumps([source.texts, unseen.tolist()])}".encode()).hexdigest()
        groups, copies = (
            None if numbers is None else numbers[rows["train"]] for numbers in (source.groups, source.copies)
        )
        return cls(
            name, source.classes, source.texts, seen, unseen, splits["train"], splits["test_seen"],
            splits["test_unseen"], mean=image_data.mean, std=image_data.std, content_hash=digest, groups=groups,
            copies=copies, notes=(*source.notes, *_overlap_notes(source, rows)), skipped=source.skipped,
            decoding=source.decoding,
        )  # fmt: skip

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def has_vectors(self) -> bool:
        """Whether the images are vectors, of one pixel in each channel."""
        return self.input_shape[1:] == (1, 1)

    def texts_of(self, classes: Tensor) -> list[str]:
        """Return the texts of ``classes``, in their order."""
        return [self.texts[k] for k in classes.tolist()]

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise images (B, C, H, W) in [0, 1] by the training mean and deviation, on the device of the images."""
        mean, std = (tensor.to(images.device).view(-1, 1, 1) for tensor in (self.mean, self.std))
        return (images - mean) / std


def validation_folds(
    data: ZeroShotData, count: int, *, seed: int, used: int | None = None, named: Sequence[str] | None = None
) -> list[ZeroShotData]:
    """Split the seen classes of ``data`` into ``count`` folds by class: each class is unseen in exactly one fold.

    A fold contains training images only: no unseen test class, not even its text, and no test image. The images that
    test its seen classes are a fifth of them, or whole groups if there are groups. ``used`` makes only the first so
    many folds, None all. With ``named`` validation classes there is one fold, in which they are unseen. Raises
    :class:`DataError` if there are fewer classes than folds.
    """
    # A fold knows the seen classes only, so its labels are indices in that shorter list.
    position = {int(k): i for i, k in enumerate(data.seen)}
    labels = torch.tensor([position[int(k)] for k in data.train.labels])
    classes = tuple(data.classes[k] for k in data.seen.tolist())
    test_if_seen = _draw_test_images(labels, data.groups, data.copies, seed)
    # With groups a class is tested on the same groups, whether it is seen or unseen. Without groups all images of an
    # unseen class are test images.
    test_if_unseen = test_if_seen if data.groups is not None else torch.ones_like(test_if_seen)
    source = ZeroShotSource(
        classes,
        tuple(data.texts_of(data.seen)),
        Split(stored(data.train.images), labels),  # the folds are views: together they take the memory of one
        test_if_seen,
        test_if_unseen,
        data.groups,
        data.copies,
    )
    if named is not None:
        unseen = torch.tensor(sorted(classes.index(name) for name in named))
        fold = ZeroShotData.of(f"{data.name}, named validation classes", source, unseen)
        return [replace(fold, mean=data.mean, std=data.std) if data.has_vectors else fold]
    folds = fold_indices(labels, classes, count, seed=seed, by="class")
    made = [
        ZeroShotData.of(f"{data.name}, class fold {number} of {count}", source, distinct_labels(labels[val]))
        for number, (_, val) in enumerate(folds[:used], start=1)
    ]
    # vectors are not normalised: their mean is 0 and their deviation 1
    return [replace(fold, mean=data.mean, std=data.std) if data.has_vectors else fold for fold in made]


def draw_unseen(
    classes: Sequence[str],
    *,
    fraction: float = 0.2,
    seed: int = 0,
    seen: Sequence[str] | None = None,
    unseen: Sequence[str] | None = None,
) -> Tensor:
    """Return the unseen classes, int64 (U,) ascending.

    They are those listed in ``unseen``; without ``unseen`` all that are not in ``seen``; without both ``fraction`` of
    the classes, drawn by ``seed``. Raises :class:`DataError` if a class is in both lists, in neither of two lists, or
    does not exist, and if no class is seen or none is unseen.
    """
    if len(classes) < 2:
        raise DataError(
            f"zero-shot learning needs at least one seen and one unseen class, but there is {len(classes)} class; "
            "add classes"
        )
    for name in (*(seen or ()), *(unseen or ())):
        if name not in classes:
            raise DataError(
                f"a class listed in seen or unseen must have images, but {name!r} has none; remove it from the list"
            )
    if both := sorted(set(seen or ()) & set(unseen or ())):
        raise DataError(f"a class is either seen or unseen, but {both[0]!r} is in both lists; remove it from one")
    if seen and unseen and (neither := sorted(set(classes) - set(seen) - set(unseen))):
        raise DataError(
            f"with both lists every class must be in one, but {neither[0]!r} is in neither; add it, or leave out a list"
        )
    if unseen:
        chosen = sorted(set(unseen))
    elif seen:
        chosen = sorted(set(classes) - set(seen))
    else:
        chosen = [classes[k] for k in _draw_classes(len(classes), fraction, seed)]
    if not chosen or len(chosen) == len(classes):
        raise DataError(
            f"at least one class must be seen and one unseen, but {len(chosen)} of {len(classes)} are unseen; "
            "change seen or unseen"
        )
    index = {name: k for k, name in enumerate(classes)}
    return torch.tensor(sorted(index[name] for name in chosen))


def draw_test_images(
    labels: Tensor, seed: int, fraction: float = TEST_FRACTION, *, copies: Tensor | None = None
) -> Tensor:
    """Return which images test a seen class, bool (N,): about ``fraction`` of each class, drawn by ``seed``.

    A class with two different images or more has at least one test image and one training image; a single image is for
    training. Images with the same number in ``copies``, int64 (N,), are all test images or all training images.
    """
    # A fraction of each class, not of all images, so that every seen class is tested.
    rng = np.random.default_rng(seed)
    numbers = np.arange(len(labels)) if copies is None else copies.numpy()
    is_test = dict[int, bool]()  # of each number of a copy
    for label in distinct_labels(labels):
        members = rng.permutation((labels == label).nonzero().squeeze(1).numpy())
        wanted = min(max(1, round(len(members) * fraction)), len(members) - 1)
        is_test |= _draw_copies(numbers[members].tolist(), wanted, is_test)
    return torch.tensor([is_test[number] for number in numbers.tolist()], dtype=torch.bool)


def _draw_copies(numbers: Sequence[int], wanted: int, known: Mapping[int, bool]) -> dict[int, bool]:
    """Return whether each number of a class is for the test, so that at most about ``wanted`` images are.

    ``numbers`` are those of its images, in random order; those in ``known`` are decided by another class.
    """
    sizes = Counter(numbers)
    n_test = sum(size for number, size in sizes.items() if known.get(number))
    drawn = dict[int, bool]()
    for number in (number for number in sizes if number not in known):
        drawn[number] = n_test + sizes[number] <= wanted
        n_test += sizes[number] if drawn[number] else 0
    if not n_test and len(drawn) > 1:  # each image has more copies than there should be test images
        drawn[min(drawn, key=lambda number: sizes[number])] = True
    return drawn


def distinct_labels(labels: Tensor) -> Tensor:
    """Return the distinct labels, ascending."""
    return torch.from_numpy(np.unique(labels.numpy()))


def check_texts(classes: Sequence[str], texts: Sequence[str]) -> None:
    """Raise :class:`DataError` if a text has no letter and no digit."""
    for name, text in zip(classes, texts, strict=True):
        if not any(character.isalnum() for character in text):
            raise DataError(
                f"every class needs a text with at least one word, but the text of {name!r} is {text!r}; write one"
            )


def _draw_classes(n: int, fraction: float, seed: int) -> list[int]:
    if not 0 < fraction < 1:
        raise DataError(f"`0 < unseen_fraction < 1` must hold, but got {fraction!r}; use a number such as 0.2")
    count = min(max(1, round(n * fraction)), n - 1)  # at least one unseen and one seen class
    drawn: list[int] = np.random.default_rng(seed).permutation(n)[:count].tolist()
    return drawn


def _draw_test_images(labels: Tensor, groups: Tensor | None, copies: Tensor | None, seed: int) -> Tensor:
    """Return which images test a seen class, bool (N,): a fraction of every class, or whole groups."""
    if groups is None:
        return draw_test_images(labels, seed, copies=copies)
    names = distinct_labels(groups)
    count = max(1, round(TEST_FRACTION * len(names)))
    chosen = torch.from_numpy(np.random.default_rng(seed).permutation(names.numpy())[:count])
    return torch.isin(groups, chosen)


def equal_images(images: Tensor) -> Tensor | None:
    """Return a number for each of the images (N, C, H, W) that is the same for equal ones, int64 (N,).

    None if all images differ.
    """
    number_of = dict[bytes, int]()
    pixels = images.contiguous().numpy()
    numbers = [number_of.setdefault(sha256(image.data).digest(), len(number_of)) for image in pixels]
    return torch.tensor(numbers) if len(number_of) < len(numbers) else None


def _overlap_notes(source: ZeroShotSource, rows: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return a sentence for each test part with training images in it, published so or under another label."""
    if source.copies is None:
        return ()
    trained = source.copies[rows["train"]]
    notes = []
    for part in ("test_seen", "test_unseen"):
        if n := int(torch.isin(source.copies[rows[part]], trained).sum()):
            notes.append(
                f"{n:,} of {len(rows[part]):,} images of {part} are equal to a training image or of its group; the "
                "accuracy on it is too high: remove them"
            )
    return tuple(notes)


def _check_parts(classes: tuple[str, ...], splits: dict[str, Split], wanted: dict[str, Tensor]) -> None:
    """Raise if a part has no image, or lacks a class of ``wanted``; ``test_seen`` may lack classes of one image."""
    for part, members in wanted.items():
        counts = torch.bincount(splits[part].labels, minlength=len(classes))
        empty = [classes[k] for k in members.tolist() if not counts[k]]
        if empty and part != "test_seen":
            raise DataError(f"every class needs an image in {part}, but {empty[0]!r} has none; add images")
        if not len(splits[part]):
            raise DataError(f"the part {part} needs images, but has none; give each class at least two images")
