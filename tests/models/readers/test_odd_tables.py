"""Tables as people and programs write them: delimiters, spaces, lists of JSON, and paths of another machine."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from archsieve.models.data.equal_images import EqualImages
from archsieve.models.image_files.errors import DataError
from archsieve.models.readers.read_index import read_index

from .conftest import as_csv, as_folder, as_hugging_face, images

ROWS = [(f"flat/{k:04}.bin.png", "abba"[k % 4], "train" if k < 4 else "test") for k in range(8)]
MORE = ["where, when, light", *["Oslo, noon, dark"] * 8]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the images ``flat/0000.bin.png`` to ``flat/0007.bin.png``."""
    as_csv(images(n=4, n_classes=2), tmp_path)
    return tmp_path


def table(delimiter: str, header: tuple[str, ...] = ("path", "label", "split"), end: str = "\n") -> str:
    return end.join(delimiter.join(row) for row in (header, *ROWS)) + end


def with_more_commas() -> str:
    """Return a table with semicolons and a column of which the name has a comma, too."""
    return "\n".join(f"{line};{more}" for line, more in zip(table(";").splitlines(), MORE, strict=True))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("semicolons.csv", "\ufeff" + table(";")),
        ("tabs.csv", table("\t")),
        ("pipes.csv", table("|", end="\r\n")),
        ("commas.tsv", table(",")),
        ("more-commas.csv", with_more_commas()),
        ("spaces.csv", table(", ")),
        ("windows.csv", table(",", end="\r\n").replace("/", "\\")),
        ("list.json", json.dumps([dict(zip(("path", "label", "split"), row, strict=True)) for row in ROWS])),
    ],
)
def test_every_form_of_a_table_is_the_same_data(root: Path, name: str, text: str) -> None:
    (root / "plain.csv").write_text(table(","))
    (root / name).write_bytes(text.encode())
    found, plain = read_index(root / name), read_index(root / "plain.csv")
    assert (found.classes, found.splits.tolist()) == (("a", "b"), [0] * 4 + [2] * 4)
    assert found.content_hash == plain.content_hash


@pytest.mark.parametrize(
    "path",
    ["/data/photos/flat/0000.bin.png", "C:\\flat\\0000.bin.png", "FLAT/0000.BIN.PNG", "flat/0000.bin", "0000.bin.png"],
)
def test_a_missing_path_names_the_file_that_it_may_mean(root: Path, path: str) -> None:
    (root / "m.csv").write_text(f"path,label\n{path},a\nflat/0001.bin.png,b\n")
    with pytest.raises(DataError, match=r"1 of 2 do not.* is the first one flat/0000\.bin\.png\? "):
        read_index(root / "m.csv")


def test_a_missing_path_without_a_similar_file_has_no_suggestion(root: Path) -> None:
    (root / "m.csv").write_text("path,label\nflat/gone.png,a\nflat/0001.bin.png,b\n")
    with pytest.raises(DataError, match=r"flat/gone\.png") as raised:
        read_index(root / "m.csv")
    assert "is the first one" not in str(raised.value)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("cat", "Cat"), "'Cat', 'cat' differ only in case"),
        (("polar bear", "polar_bear"), "'polar bear', 'polar_bear' differ"),
        (("1", "1.0"), "'1', '1.0' differ"),
        (("cat;dog", "dog;cat", "cat", "dog"), "label_separator = ';'"),
        (("cat, dog,", "owl, cat", "dog", "owl"), "label_separator = ','"),
        (("12345678901234567890", "12345678901234567891"), None),
        (("Smith, John", "Miller, Ann"), None),
    ],
)
def test_names_of_classes_that_may_be_a_mistake_are_noted(
    root: Path, labels: tuple[str, ...], words: str | None
) -> None:
    rows = [f'{path},"{labels[k % len(labels)]}"' for k, (path, _, _) in enumerate(ROWS)]
    (root / "m.csv").write_text("\n".join(["path,label", *rows]))
    notes = read_index(root / "m.csv").notes
    assert notes == () if words is None else words in notes[0]


def test_names_of_class_folders_that_differ_in_case_are_noted(root: Path) -> None:
    folder = as_folder(images(n=2), root)
    (folder / "dog").rename(folder / "CAT")
    assert "'CAT', 'cat' differ only in case" in read_index(folder).notes[0]


def test_an_image_column_is_the_one_with_images(tmp_path: Path) -> None:
    folder = as_hugging_face(images(n=3), tmp_path)
    file = next((folder / "data").iterdir())
    plain, found = read_index(folder), parquet.read_table(file)
    keys = pa.array([b"key%d" % k for k in range(found.num_rows)], pa.binary())
    other = tmp_path / "keys.parquet"
    parquet.write_table(found.add_column(0, "key", keys).replace_schema_metadata(found.schema.metadata), other)
    assert read_index(other).content_hash == plain.content_hash


def test_what_would_wait_for_a_writer_is_refused(root: Path) -> None:
    os.mkfifo(root / "pipe.csv")
    with pytest.raises(DataError, match=r"pipe\.csv is no regular file"):
        read_index(root / "pipe.csv")
    folder = as_folder(images(n=2), root)
    os.mkfifo(folder / "cat" / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png is not; remove it"):
        _ = read_index(folder).digests


def test_empty_files_are_no_equal_images(root: Path) -> None:
    folder = as_folder(images(n=2), root)
    for label in ("cat", "dog"):
        (folder / label / "empty.png").touch()
    assert EqualImages.of(read_index(folder)).sets == ()
