"""Zero-shot data: pictures with labels, a text for each class, and classes that training never sees.

Shapes: N pictures (N, C, H, W), K classes of which S are seen and U are unseen; S + U = K.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from .dataset import ImageData, Split
from .errors import DataError
from .folds import fold_indices

HELD_SHARE = 0.2  # of the pictures, or groups of pictures, of a seen class: what it is tested on


@dataclass(frozen=True, eq=False)
class ZeroShotSource:
    """Pictures and texts as a loader finds them, before classes are seen or unseen.

    ``held`` (N,) bool says which pictures of a seen class test it, ``probes`` (N,) bool which pictures of an unseen
    class may. ``groups`` (N,) int64 are pictures of a kind that lie on one side of any split (the faces of glyphs).
    """

    classes: tuple[str, ...]
    texts: tuple[str, ...]
    pictures: Split
    held: Tensor
    probes: Tensor
    groups: Tensor | None = None

    def __post_init__(self) -> None:
        check_texts(self.classes, self.texts)
        there = torch.bincount(self.pictures.labels, minlength=len(self.classes))
        if missing := [name for name, count in zip(self.classes, there.tolist(), strict=True) if not count]:
            raise DataError(
                f"every class needs a picture, but {len(missing)} with a text have none, the first is {missing[0]!r}; "
                "add pictures, or remove the text"
            )


@dataclass(frozen=True, eq=False)
class ZeroShotData:
    """Seen classes to train on, unseen classes to be recognised from their text alone.

    ``train`` and ``test_seen`` hold pictures of ``seen`` classes, ``test_unseen`` those of ``unseen`` ones; labels
    count through all K ``classes``. ``mean`` and ``std`` (C,) are those of the training pictures in [0, 1].
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

    @classmethod
    def of(cls, name: str, source: ZeroShotSource, unseen: Tensor) -> "ZeroShotData":
        """The data of ``source`` whose classes ``unseen`` (U,) are never trained on."""
        labels = source.pictures.labels
        hidden = torch.isin(labels, unseen)
        parts = {
            "train": ~hidden & ~source.held,
            "test_seen": ~hidden & source.held,
            "test_unseen": hidden & source.probes,
        }
        rows = {part: mask.nonzero().squeeze(1) for part, mask in parts.items()}
        splits = {part: source.pictures.take(index) for part, index in rows.items()}
        seen = torch.tensor([k for k in range(len(source.classes)) if k not in set(unseen.tolist())])
        _check_parts(source.classes, splits, {"train": seen, "test_seen": seen, "test_unseen": unseen})
        # the statistics of training pictures, and a digest of all pixels
        told = ImageData.of(
            name, source.classes, train=splits["train"], val=splits["test_seen"], test=splits["test_unseen"]
        )
        digest = sha256(f"{told.content_hash}{json.dumps([source.texts, unseen.tolist()])}".encode()).hexdigest()
        groups = source.groups[rows["train"]] if source.groups is not None else None
        return cls(
            name, source.classes, source.texts, seen, unseen, **splits, mean=told.mean, std=told.std,
            content_hash=digest, groups=groups,
        )  # fmt: skip

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one picture."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def texts_of(self, classes: Tensor) -> list[str]:
        """The texts of ``classes``, in their order."""
        return [self.texts[k] for k in classes.tolist()]

    def normalise(self, images: Tensor) -> Tensor:
        """Pictures (B, C, H, W) in [0, 1] with the training mean at 0 and deviation at 1."""
        mean, std = (tensor.to(images.device).view(-1, 1, 1) for tensor in (self.mean, self.std))
        return (images - mean) / std


def validation_folds(data: ZeroShotData, count: int, *, seed: int, used: int | None = None) -> list[ZeroShotData]:
    """The seen classes of ``data`` in ``count`` folds by class: each fold's classes are unseen once.

    Nothing of the unseen test classes is in a fold, not even their texts, and nothing of any test picture: a fold is
    made of training pictures alone. What tests its seen classes is a fifth of them, whole groups where there are any.
    ``used`` makes the first few only, all where left out. Raises :class:`DataError` where there are fewer classes than
    folds.
    """
    place = {int(k): i for i, k in enumerate(data.seen)}
    labels = torch.tensor([place[int(k)] for k in data.train.labels])
    classes = tuple(data.classes[k] for k in data.seen.tolist())
    held = _held(labels, data.groups, seed)
    probes = held if data.groups is not None else torch.ones_like(held)
    source = ZeroShotSource(
        classes, tuple(data.texts_of(data.seen)), Split(data.train.images, labels), held, probes, data.groups
    )
    folds = fold_indices(labels, classes, count, seed=seed, by="class")
    return [
        ZeroShotData.of(f"{data.name}, class fold {number} of {count}", source, classes_in(labels[val]))
        for number, (_, val) in enumerate(folds[:used], start=1)
    ]


def draw_unseen(
    classes: Sequence[str],
    *,
    fraction: float = 0.2,
    seed: int = 0,
    seen: Sequence[str] | None = None,
    unseen: Sequence[str] | None = None,
) -> Tensor:
    """The unseen classes, int64 (U,) ascending: named, else all but ``seen``, else drawn by ``seed``.

    Raises :class:`DataError` for a class that is both or neither, or does not exist, and where either side is empty.
    """
    if len(classes) < 2:
        raise DataError(f"zero-shot learning needs a seen and an unseen class at least, but there is {len(classes)}")
    for name in (*(seen or ()), *(unseen or ())):
        if name not in classes:
            raise DataError(f"a class that is named seen or unseen must have pictures, but {name!r} has none")
    if both := sorted(set(seen or ()) & set(unseen or ())):
        raise DataError(f"a class is seen or unseen, but {both[0]!r} is named as both; remove it from one")
    if seen and unseen and (neither := sorted(set(classes) - set(seen) - set(unseen))):
        raise DataError(f"a class is seen or unseen, but {neither[0]!r} is named as neither; leave out a list")
    if unseen:
        chosen = sorted(set(unseen))
    elif seen:
        chosen = sorted(set(classes) - set(seen))
    else:
        chosen = [classes[k] for k in _drawn(len(classes), fraction, seed)]
    if not chosen or len(chosen) == len(classes):
        raise DataError(f"both sides need a class, but {len(chosen)} of {len(classes)} are unseen; change the split")
    place = {name: k for k, name in enumerate(classes)}
    return torch.tensor(sorted(place[name] for name in chosen))


def held_out(labels: Tensor, seed: int, share: float = HELD_SHARE) -> Tensor:
    """Which pictures test a seen class, bool (N,): a share of each class, at least one of a class that has two."""
    rng = np.random.default_rng(seed)
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in classes_in(labels):
        members = rng.permutation((labels == label).nonzero().squeeze(1).numpy())
        held[members[: min(max(1, round(len(members) * share)), len(members) - 1)]] = True
    return held


def classes_in(labels: Tensor) -> Tensor:
    """The distinct labels, ascending."""
    return torch.from_numpy(np.unique(labels.numpy()))


def check_texts(classes: Sequence[str], texts: Sequence[str]) -> None:
    """Raise where a text says nothing."""
    for name, text in zip(classes, texts, strict=True):
        if not any(character.isalnum() for character in text):
            raise DataError(f"every class needs a text with a word in it, but that of {name!r} is {text!r}; write one")


def _drawn(n: int, fraction: float, seed: int) -> list[int]:
    if not 0 < fraction < 1:
        raise DataError(f"`0 < unseen_fraction < 1` must hold, but got {fraction!r}")
    count = min(max(1, round(n * fraction)), n - 1)
    drawn: list[int] = np.random.default_rng(seed).permutation(n)[:count].tolist()
    return drawn


def _held(labels: Tensor, groups: Tensor | None, seed: int) -> Tensor:
    """A share of every class, or whole groups of which each class has others."""
    if groups is None:
        return held_out(labels, seed)
    names = classes_in(groups)
    count = max(1, round(HELD_SHARE * len(names)))
    chosen = torch.from_numpy(np.random.default_rng(seed).permutation(names.numpy())[:count])
    return torch.isin(groups, chosen)


def _check_parts(classes: tuple[str, ...], splits: dict[str, Split], wanted: dict[str, Tensor]) -> None:
    for part, known in wanted.items():
        counts = torch.bincount(splits[part].labels, minlength=len(classes))
        empty = [classes[k] for k in known.tolist() if not counts[k]]
        if empty and part != "test_seen":
            raise DataError(f"every class of the {part} pictures needs one, but {empty[0]!r} has none; add pictures")
        if not len(splits[part]):
            raise DataError(f"the {part} pictures are none; give each class two pictures at least")
