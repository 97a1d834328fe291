"""Equal images and groups stay on one side of every split; conflicts are counted; 0.1.0 is kept where asked for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from archsieve.models.data.dataset import Request, Split
from archsieve.models.data.equal_images import EqualImages
from archsieve.models.data.folds import cross_folds
from archsieve.models.data.group_split import grouped_split
from archsieve.models.data.image_folder import SplitIndex
from archsieve.models.data.registry import load_data
from archsieve.models.data.splits import stratified_split
from archsieve.models.image_files.errors import DataError
from archsieve.models.image_files.index import SPLITS, Index
from archsieve.models.readers.read_index import read_index


def write(folder: Path, n: int = 11, copies: int = 0) -> Path:
    """Write three classes of noise, each image ``copies`` times more."""
    rng = np.random.default_rng(5)
    for name in ("cat", "dog", "emu"):
        (folder / name).mkdir(parents=True)
        for k in range(n):
            image = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
            for copy in range(copies + 1):
                image.save(folder / name / (f"{k}.png" if copy == 0 else f"{k} - Copy ({copy}).png"))
    return folder


def digests_of(index: Index) -> dict[str, set[bytes]]:
    return {split: {row.tobytes() for row in index.digests[rows]} for split, rows in index.rows.items()}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("copies", [1, 3])
def test_copies_are_on_one_side(tmp_path: Path, seed: int, copies: int) -> None:
    split = SplitIndex.of(Request(write(tmp_path, copies=copies), 8, seed=seed))
    parts = digests_of(split.index)
    assert [len(rows) for rows in split.index.rows.values()] == pytest.approx(
        [0.6 * len(split.index), 0.2 * len(split.index), 0.2 * len(split.index)], abs=3 * (copies + 1)
    )
    assert not parts["train"] & parts["val"]
    assert not parts["train"] & parts["test"]
    assert not parts["val"] & parts["test"]
    assert f"{33 * copies} of {33 * (copies + 1)} images" in split.notes[0]


def test_equal_images_with_two_labels(tmp_path: Path) -> None:
    folder = write(tmp_path)
    for k in range(4):
        (folder / "emu" / f"as-cat-{k}.png").write_bytes((folder / "cat" / f"{k}.png").read_bytes())
    index = read_index(folder).canonical()
    equal = EqualImages.of(index)
    assert sum(map(len, equal.conflicts)) == 8
    assert all("(cat)" in one and "(emu)" in other for one, other in equal.examples(equal.conflicts))
    split = SplitIndex.of(Request(folder, 8))
    assert "8 images" in split.notes[1]
    assert len(set.union(*digests_of(split.index).values())) == sum(map(len, digests_of(split.index).values()))


def test_patients_are_on_one_side(tmp_path: Path) -> None:
    folder = write(tmp_path / "images", n=20)
    files = sorted(folder.rglob("*.png"))
    patient = {file: f"p{k % 17}" for k, file in enumerate(files)}  # most patients have images of all classes
    rows = [f"{file.relative_to(tmp_path)},{file.parent.name},{patient[file]}" for file in files]
    (tmp_path / "m.csv").write_text("path,label,patient\n" + "\n".join(rows))
    index = SplitIndex.of(Request(tmp_path / "m.csv", 8)).index
    groups = index.groups
    assert groups is not None
    parts = [set(groups[rows].tolist()) for rows in index.rows.values()]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 17
    data = load_data("images", path=tmp_path / "m.csv", image_size=8)
    for fold in cross_folds(data, 3, seed=0):
        assert fold.train.groups is not None
        assert fold.val.groups is not None
        assert not set(fold.train.groups.tolist()) & set(fold.val.groups.tolist())


def test_groups_are_a_part_of_the_content_hash(tmp_path: Path) -> None:
    files = sorted(write(tmp_path / "images", n=10).rglob("*.png"))

    def content_hash(group: Callable[[int], str] | None, step: int = 1) -> str | None:
        lines = [
            f"{files[k].relative_to(tmp_path)},{files[k].parent.name},{'val' if k % 5 == 4 else 'train'}"
            + ("" if group is None else f",{group(k)}")
            for k in range(len(files))
        ][::step]
        head = "path,label,split" + ("" if group is None else ",patient")
        (tmp_path / "m.csv").write_text("\n".join([head, *lines]))
        request = Request(tmp_path / "m.csv", 8)
        return SplitIndex.of(request).content_hash(request)

    pairs = content_hash(lambda k: f"p{k // 2}")
    assert pairs == content_hash(lambda k: f"other name {k // 2}", -1)  # names and order do not matter
    assert len({pairs, content_hash(lambda k: f"p{k // 3}"), content_hash(None)}) == 3
    assert content_hash(lambda k: f"p{k}") == content_hash(None)  # each image stands alone


def test_patients_in_two_published_splits_are_noted(tmp_path: Path) -> None:
    files = sorted(write(tmp_path / "images", n=4).rglob("*.png"))
    patients, parts = ("p1", "p2", "p3", "p1"), ("train", "val")
    rows = [
        f"{file.relative_to(tmp_path)},{file.parent.name},{parts[k % 2]},{patients[k % 4]},1.5"
        for k, file in enumerate(files)
    ]
    (tmp_path / "m.csv").write_text("path,label,split,patient,weight\n" + "\n".join(rows))
    notes = SplitIndex.of(Request(tmp_path / "m.csv", 8)).notes
    assert any("1 groups" in note and "p1" in note for note in notes)
    assert any("'weight'" in note for note in notes)


def test_folds_without_groups_are_those_of_stratified_folds(tmp_path: Path) -> None:
    data = load_data("images", path=write(tmp_path), image_size=8)
    assert data.train.groups is None
    assert [len(fold.val) for fold in cross_folds(data, 3, seed=0)] == [9, 9, 9]


def test_folds_of_copies_share_no_image(tmp_path: Path) -> None:
    data = load_data("images", path=write(tmp_path, copies=2), image_size=8)
    for fold in cross_folds(data, 3, seed=0):
        train, val = ({image.numpy().tobytes() for image in part.images[:]} for part in (fold.train, fold.val))
        assert not train & val


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(st.integers(0, 2), min_size=30, max_size=90),
    n_groups=st.integers(9, 40),
    seed=st.integers(0, 99),
)
def test_groups_are_never_divided(labels: list[int], n_groups: int, seed: int) -> None:
    of_row = np.array([*labels, 0, 1, 2])
    groups = np.random.default_rng(seed).integers(0, n_groups, len(of_row))
    groups = np.unique(groups, return_inverse=True)[1]
    try:
        parts = grouped_split(of_row, groups, {"val": 0.2, "test": 0.2}, ("a", "b", "c"), seed=seed)
    except DataError:
        return  # too few groups for a class
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(of_row)))
    in_parts = [set(groups[rows].tolist()) for rows in parts.values()]
    assert sum(map(len, in_parts)) == len(set.union(*in_parts))
    assert all(set(of_row[rows].tolist()) == {0, 1, 2} for rows in parts.values())


def test_groups_of_one_give_the_shares_of_the_stratified_split() -> None:
    labels, fractions = torch.tensor([0] * 50 + [1] * 20), {"val": 0.2, "test": 0.1}
    plain = stratified_split(labels, fractions, ("a", "b"), seed=0)
    grouped = stratified_split(labels, fractions, ("a", "b"), seed=0, groups=np.arange(70))
    assert {part: labels[rows].bincount().tolist() for part, rows in grouped.items()} == {
        part: labels[rows].bincount().tolist() for part, rows in plain.items()
    }


def test_too_few_groups_name_the_class(tmp_path: Path) -> None:
    folder = write(tmp_path)
    for file in (folder / "dog").iterdir():
        file.write_bytes((folder / "dog" / "0.png").read_bytes())
    with pytest.raises(DataError, match="'dog' has 1 groups"):
        load_data("images", path=folder, image_size=8)


def test_groups_of_an_own_data_set_must_fit() -> None:
    images, labels = torch.zeros(4, 1, 3, 3), torch.tensor([0, 1, 0, 1])
    assert Split(images, labels, torch.tensor([5, 5, 7, 7])).subset(torch.tensor([2])).groups is not None
    with pytest.raises(DataError, match=r"groups must be int64 \(4,\).*\(3,\)"):
        Split(images, labels, torch.tensor([0, 1, 2]))


# printed by version 0.1.0 for these images
HASHES_OF_0_1_0 = [
    ({}, "39e42e880d67a84124645046ebed1c0d3cdf7457ff66c583e19c630484cf0988"),
    ({"limit": 20, "seed": 3}, "84dbb956702c423d717885e258f1f969deb18e72b16c2dc6a32472ca8cec5abf"),
    (
        {"test_fraction": 0.0, "val_fraction": 0.3},
        "354dd2cfbeb2ec93f585291c0e25dddd39d2da328f7f97088abd5302e23ceab7",
    ),
]


@pytest.mark.parametrize(("options", "content_hash"), HASHES_OF_0_1_0)
def test_the_rules_of_0_1_0_give_its_order_splits_and_hash(
    tmp_path: Path, options: dict[str, float], content_hash: str
) -> None:
    folder = write(tmp_path)
    (folder / "dog" / "copy.png").write_bytes((folder / "dog" / "3.png").read_bytes())
    data = load_data("imagefolder", path=folder, image_size=8, decoding_rules=1, **options)
    assert data.content_hash == content_hash
    assert load_data("imagefolder", path=folder, image_size=8, **options).content_hash != content_hash


def test_splits_do_not_depend_on_names(tmp_path: Path) -> None:
    folder = write(tmp_path)
    before = digests_of(SplitIndex.of(Request(folder, 8)).index)
    for k, file in enumerate(sorted(folder.rglob("*.png"))):
        file.rename(file.with_name(f"{(k * 7) % 40:03}.jpg"))
    assert digests_of(SplitIndex.of(Request(folder, 8)).index) == before
    assert tuple(before) == SPLITS
