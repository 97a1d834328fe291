"""Every reader gives the same classes, splits, content hash and order for the same images."""

import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from archsieve.models.data.dataset import Request
from archsieve.models.data.image_folder import SplitIndex
from archsieve.models.data.registry import load_data
from archsieve.models.image_files.index import Index
from archsieve.models.readers.read_index import read_classes, read_index

from .conftest import FORMS, as_csv, as_folder, as_hugging_face, as_shards, images


def content(index: Index, row: int) -> bytes:
    source = index.source(row)
    return source if isinstance(source, bytes) else source.read_bytes()


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n_classes=st.integers(2, 4),
    n=st.integers(4, 6),
    splits=st.sampled_from([(None,), ("train", "test"), ("train", "val", "test")]),
    copies=st.integers(0, 2),
    split_seed=st.integers(0, 3),
)
def test_all_readers_agree(
    seed: int, n_classes: int, n: int, splits: tuple[str | None, ...], copies: int, split_seed: int
) -> None:
    data = images(seed, n_classes, n, splits, copies)
    seen = set()
    for name, form in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = form(data, Path(folder))
            index = read_index(path)
            split = SplitIndex.of(Request(path, 8, seed=split_seed)).index
            assert len(index) == len(data), name
            assert read_classes(path) == (index.classes, False)
            members = tuple((part, split.digests[rows].tobytes()) for part, rows in split.rows.items())
            seen.add((index.classes, index.content_hash, split.content_hash, members))
    assert len(seen) == 1


def test_training_images_are_equal_whatever_the_reader(tmp_path: Path) -> None:
    data = images(splits=("train", "val"), copies=1)
    loaded = [load_data("images", path=form(data, tmp_path), image_size=8) for form in (as_folder, as_shards)]
    for one, other in zip(*(each.splits for each in loaded), strict=True):
        assert one.images[:].equal(other.images[:])
        assert one.labels.equal(other.labels)
    assert loaded[0].content_hash == loaded[1].content_hash
    assert loaded[0].content_hash.startswith("files-")


def test_the_names_of_images_are_no_part_of_the_hash(folder: Path) -> None:
    before = read_index(folder).content_hash
    for file in sorted(folder.rglob("*.png")):
        file.rename(file.with_name(f"z{file.name}"))
    assert read_index(folder).content_hash == before


@pytest.mark.parametrize("change", ["pixel", "label", "split", "removed"])
def test_a_change_of_the_data_changes_the_hash(folder: Path, change: str) -> None:
    before, file = read_index(folder).content_hash, sorted((folder / "train" / "cat").iterdir())[0]
    if change == "pixel":
        Image.fromarray(np.zeros((6, 6, 3), np.uint8)).save(file)
    elif change == "removed":
        file.unlink()
    else:
        file.rename(folder / {"label": "train/dog", "split": "val/cat"}[change] / "x.png")
    assert read_index(folder).content_hash != before


@pytest.mark.parametrize("name", FORMS)
def test_an_index_can_be_pickled_and_read_elsewhere(name: str, tmp_path: Path) -> None:
    data = images(n=2)
    index = pickle.loads(pickle.dumps(read_index(FORMS[name](data, tmp_path)).canonical()))
    assert sorted(content(index, row) for row in range(len(index))) == sorted(one.content for one in data)
    assert {index.classes[label] for label in index.labels} == {one.label for one in data}
    assert all(index.name(row).startswith(str(tmp_path)) for row in range(len(index)))


def test_shards_by_pattern(tmp_path: Path) -> None:
    data = images(splits=("train", "val", "test"), n=3)
    folder = as_shards(data, tmp_path)
    whole = read_index(folder)
    assert read_index(folder / "{train,val,test}-{000..000}.tar").content_hash == whole.content_hash
    assert read_index(folder / "*.tar").content_hash == whole.content_hash
    assert len(read_index(folder / "train-*.tar")) == 9


def test_parquet_files_by_pattern_and_one_by_one(tmp_path: Path) -> None:
    folder = as_hugging_face(images(splits=("train", "test")), tmp_path)
    assert read_index(folder / "data" / "*.parquet").content_hash == read_index(folder).content_hash
    assert len(read_index(folder / "data" / "train-00000-of-00001.parquet")) == 18


@pytest.mark.parametrize("name", ["shards", "hugging face"])
def test_a_file_that_was_written_again_is_read_again(name: str, tmp_path: Path) -> None:
    hashes = []
    for seed in (0, 1):
        root = tmp_path / "data"
        root.mkdir()
        index = read_index(FORMS[name](images(seed, n=3), root))
        hashes.append((index.content_hash, content(index, 0)))
        root.rename(tmp_path / f"old {seed}")
    assert hashes[0][0] != hashes[1][0]
    assert hashes[0][1] != hashes[1][1]


def test_columns_by_option(tmp_path: Path) -> None:
    as_csv(images(n=2), tmp_path)
    text = (tmp_path / "manifest.csv").read_text().replace("Filename,Class", "scan,species")
    (tmp_path / "manifest.csv").write_text(text)
    index = read_index(tmp_path / "manifest.csv", columns={"path": "scan", "label": "species"})
    assert index.classes == ("cat", "dog", "émeu")


def test_groups_weights_and_numbers_as_labels(tmp_path: Path) -> None:
    as_folder(images(n=2), tmp_path)
    files = sorted((tmp_path / "folder").rglob("*.png"))
    rows = [f"{file.relative_to(tmp_path)};{k % 2 + 9};p{k // 2};0.5" for k, file in enumerate(files)]
    (tmp_path / "m.csv").write_text("file;y;patient;weight\n" + "\n".join(rows), encoding="utf-8-sig")
    index = read_index(tmp_path / "m.csv")
    assert index.classes == ("10", "9")
    assert index.groups is not None
    assert index.groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert index.weights is not None
    assert index.weights.tolist() == [0.5] * 6
    assert "patient" in index.notes[0]


@pytest.mark.parametrize("layout", ["medmnist", "keras", "channels first", "npy"])
def test_arrays(layout: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (12, 6, 6, 3), dtype=np.uint8), np.arange(12) % 2
    if layout == "medmnist":
        np.savez(tmp_path / "x.npz", train_images=pixels, train_labels=labels[:, None])
    elif layout == "keras":
        np.savez(tmp_path / "x.npz", x_train=pixels, y_train=labels)
    elif layout == "channels first":
        np.savez(tmp_path / "x.npz", images=pixels.transpose(0, 3, 1, 2), labels=labels)
    else:
        np.save(tmp_path / "images.npy", pixels)
        np.save(tmp_path / "labels.npy", labels)
    path = tmp_path / ("images.npy" if layout == "npy" else "x.npz")
    data = load_data("images", path=path, image_size=6, test_fraction=0)
    assert data.classes == ("0", "1")
    found = sorted(image.permute(1, 2, 0).numpy().tobytes() for split in data.splits for image in split.images[:])
    assert found == sorted(image.tobytes() for image in pixels)


def test_published_splits_of_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes, arrays = {"train": 8, "val": 4, "test": 6}, {}
    for part, n in sizes.items():
        arrays[f"{part}_images"] = rng.integers(0, 256, (n, 5, 5), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.arange(n) % 2
    np.savez(tmp_path / "mnist.npz", **arrays)
    assert {part: len(rows) for part, rows in read_index(tmp_path / "mnist.npz").rows.items()} == sizes
