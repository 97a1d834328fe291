"""Class folders: spellings of splits, nested classes, names that are no data, names that differ in their form."""

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from archsieve.models.image_files.errors import DataError
from archsieve.models.readers.read_index import read_classes, read_index
from archsieve.models.readers.split_names import split_in

from .conftest import as_folder, images


@pytest.mark.parametrize(
    ("spelled", "canonical"),
    [
        (("training", "testing"), ("train", "test")),
        (("Train", "Test"), ("train", "test")),
        (("TRAIN", "Valid", "eval"), ("train", "val", "test")),
        (("train", "validation"), ("train", "val")),
        (("train", "dev"), ("train", "val")),
    ],
)
def test_spellings_of_splits(spelled: tuple[str, ...], canonical: tuple[str, ...], tmp_path: Path) -> None:
    index = read_index(as_folder(images(splits=spelled, n=2), tmp_path))
    assert {split: len(rows) for split, rows in index.rows.items()} == dict.fromkeys(canonical, 6)
    assert index.classes == ("cat", "dog", "émeu")


def test_a_test_part_without_training_images(tmp_path: Path) -> None:
    root = as_folder(images(splits=("test", "val"), n=2), tmp_path)
    with pytest.raises(DataError, match=r"training split.*'test', 'val'"):
        read_index(root)


def test_one_split_in_two_spellings(tmp_path: Path) -> None:
    root = as_folder(images(splits=("train", "val", "valid"), n=2), tmp_path)
    with pytest.raises(DataError, match=r"'val' and 'valid'"):
        read_index(root)


def test_what_archive_tools_write_is_ignored(folder: Path) -> None:
    before = read_index(folder).content_hash
    for place in (folder, folder / "train", folder / "train" / "cat"):
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
            (place / name).write_bytes(b"x")
        (place / "__MACOSX" / "train").mkdir(parents=True)
    assert read_index(folder).content_hash == before


def test_nested_classes(tmp_path: Path) -> None:
    for k, name in enumerate(("bird/owl", "bird/owl/snowy", "cat")):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "x.png").write_bytes(bytes([k]))
    assert read_index(tmp_path, nested=True).classes == ("bird/owl", "bird/owl/snowy", "cat")
    assert read_classes(tmp_path, nested=True)[0] == ("bird/owl", "bird/owl/snowy", "cat")
    with pytest.raises(DataError, match=r"owl is a folder.*nested"):
        read_index(tmp_path)


def test_a_folder_that_contains_itself(tmp_path: Path) -> None:
    as_folder(images(n=1), tmp_path)
    (tmp_path / "folder" / "cat" / "loop").symlink_to(tmp_path / "folder" / "cat", target_is_directory=True)
    with pytest.raises(DataError, match="loop"):
        read_index(tmp_path / "folder", nested=True)


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_name_that_is_not_utf8_is_named(what: str, tmp_path: Path) -> None:
    root = as_folder(images(n=1), tmp_path)
    bad = os.fsencode(root / "cat") + b"\xe9"
    Path(os.fsdecode(bad)).mkdir() if what == "folder" else Path(os.fsdecode(bad.replace(b"cat", b"cat/x"))).touch()
    with pytest.raises(DataError, match=r"UTF-8.*\\xe9"):
        read_index(root)


def test_accents_in_two_unicode_forms_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "émeu") for form in ("NFC", "NFD"))
    for split, name in (("train", composed), ("val", decomposed)):
        for k, folder in enumerate((name, "cat")):
            (tmp_path / split / folder).mkdir(parents=True)
            (tmp_path / split / folder / "x.png").write_bytes(f"{split}{k}".encode())
    index = read_index(tmp_path)
    assert index.classes == ("cat", composed)
    assert all(Path(index.source(row)).is_file() for row in range(len(index)))  # type: ignore[arg-type]


def test_a_manifest_may_name_files_in_another_unicode_form(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    (tmp_path / decomposed).mkdir()
    for name in (f"{decomposed}.png", "b.png"):
        (tmp_path / decomposed / name).write_bytes(name.encode())
    (tmp_path / "m.csv").write_text(f"path,label\n{composed}/{composed}.png,{composed}\n{composed}/b.png,b\n")
    index = read_index(tmp_path / "m.csv")
    assert index.classes == ("b", composed)
    assert all(Path(index.source(row)).is_file() for row in (0, 1))  # type: ignore[arg-type]


def test_the_split_in_a_path() -> None:
    assert split_in("data/validation-00000-of-00001.parquet") == "val"
    assert split_in("test-data/train/0.tar") == "train"
    assert split_in("digits-0.tar") is None


def test_a_table_next_to_class_folders_is_no_data_set(tmp_path: Path) -> None:
    root = as_folder(images(n=1), tmp_path)
    (root / "features.parquet").write_bytes(b"PAR1")
    assert read_index(root).reader == "folder"


def test_images_in_no_class_folder_are_noted(folder: Path) -> None:
    assert read_index(folder).notes == ()
    (folder / "labels.csv").write_text("")
    for place in ("0.PNG", "val/1.jpg", "test/2.png"):
        (folder / place).write_bytes(b"")
    index = read_index(folder)
    (note,) = index.notes
    assert note.startswith("3 images")
    assert str(folder / "0.PNG") in note
    assert len(index) == 54


def test_reading_class_folders_does_not_wait_for_pandas(tmp_path: Path) -> None:
    root = as_folder(images(splits=("train", "val"), n=2), tmp_path)
    program = (
        "import sys; from archsieve.models.readers.read_index import read_index; index = read_index(sys.argv[1])\n"
        "rows = index.canonical().part('train'); print(index.content_hash, len(rows), 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(root)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [read_index(root).content_hash, "6", "False"]
