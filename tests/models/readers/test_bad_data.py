"""Each kind of unusable data is one error that has the numbers and the first examples."""

import gzip
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from archsieve.models.image_files.errors import DataError
from archsieve.models.readers.read_index import read_index

from .conftest import Labelled, add_member, as_csv, as_folder, as_hugging_face, as_saved_to_disk, as_shards, images


def manifest(text: str) -> Callable[[Path], Path]:
    def write(root: Path) -> Path:
        as_csv(images(n=2), root)
        (root / "m.csv").write_text(text)
        return root / "m.csv"

    return write


def no_label_column(root: Path) -> Path:
    return manifest("path,labl\nflat/0000.bin.png,a\n")(root)


def encoded(encoding: str) -> Callable[[Path], Path]:
    def write(root: Path) -> Path:
        as_csv(images(n=2), root)
        (root / "m.csv").write_bytes("path,label\nflat/0000.bin.png,café\nflat/0001.bin.png,thé\n".encode(encoding))
        return root / "m.csv"

    return write


def mixed_json(root: Path) -> Path:
    as_csv(images(n=2), root)
    rows = [{"path": "flat/0000.bin.png", "label": 1}, {"path": "flat/0001.bin.png", "label": "cat"}]
    (root / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return root / "m.jsonl"


def list_of_texts(root: Path) -> Path:
    (root / "m.json").write_text('["flat/0000.bin.png"]')
    return root / "m.json"


def unlabelled_test(root: Path) -> Path:
    folder = as_folder(images(n=2, splits=("train",)), root)
    (folder / "test").mkdir()
    (folder / "test" / "1.png").write_bytes(b"1")
    return folder


def shard_in_latin_1(root: Path) -> Path:
    with tarfile.open(root / "photos.tar", "w", encoding="latin-1", format=tarfile.GNU_FORMAT) as tar:
        add_member(tar, "café/0.png", b"0")
    return root / "photos.tar"


def spreadsheet(root: Path) -> Path:
    (root / "labels.xlsx").write_bytes(b"PK")
    return root / "labels.xlsx"


def regression(root: Path) -> Path:
    rows = [f"flat/{k:04}.bin.png,{0.37 * k}" for k in range(6)]
    return manifest("path,y\n" + "\n".join(rows))(root)


def float_column(root: Path) -> Path:
    as_csv(images(n=2), root)
    paths = [f"flat/{k:04}.bin.png" for k in range(6)]
    parquet.write_table(pa.table({"path": paths, "label": np.linspace(0, 1, 6)}), root / "m.parquet")
    return root / "m.parquet"


def split_without_class(root: Path) -> Path:
    rows = [f"flat/{k:04}.bin.png,{'abb'[k // 2]},{'train' if k % 2 else 'test'}" for k in range(6)]
    return manifest("path,label,split\n" + "\n".join(row for row in rows if ",a,test" not in row))(root)


def cut_shard(n_bytes: int) -> Callable[[Path], Path]:
    def write(root: Path) -> Path:
        file = next(as_shards(images(n=3), root).iterdir())
        raw = file.read_bytes()
        file.write_bytes(raw[:n_bytes] if n_bytes > 0 else raw.rstrip(b"\0")[: -len(raw) % 512 or None])
        return file

    return write


def cut_between_members(root: Path) -> Path:
    """Cut a shard where a member ends, so that no read of a member fails."""
    file = next(as_shards(images(n=3), root).iterdir())
    with tarfile.open(file) as tar:
        end = tar.getmembers()[6].offset
    file.write_bytes(file.read_bytes()[:end])
    return file


def flipped_byte(root: Path) -> Path:
    file = next(as_shards(images(n=3), root).iterdir())
    with tarfile.open(file) as tar:
        place = tar.getmembers()[6].offset + 150  # in the checksum of a header
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    return file


def joined_shards(root: Path) -> Path:
    file = next(as_shards(images(n=3), root).iterdir())
    file.write_bytes(file.read_bytes() * 2)
    return file


def symbolic_link(root: Path) -> Path:
    return _shard_with_links(root, tarfile.SYMTYPE, "cat/0.png")


def link_to_nothing(root: Path) -> Path:
    return _shard_with_links(root, tarfile.LNKTYPE, "cat/7.png")


def _shard_with_links(root: Path, kind: bytes, target: str) -> Path:
    with tarfile.open(root / "links.tar", "w") as tar:
        add_member(tar, "cat/0.png", b"zero")
        link = tarfile.TarInfo("dog/1.png")
        link.type, link.linkname = kind, target
        tar.addfile(link)
        add_member(tar, "dog/2.png", b"two")
    return root / "links.tar"


def zipped_shard(root: Path) -> Path:
    file = next(as_shards(images(n=3), root).iterdir())
    file.write_bytes(gzip.compress(file.read_bytes()))
    return file


def image_without_label(root: Path) -> Path:
    with tarfile.open(root / "x.tar", "w") as tar:
        add_member(tar, "0.png", b"0")
        add_member(tar, "0.cls", b"cat")
        add_member(tar, "1.png", b"1")
    return root / "x.tar"


def other_schema(root: Path) -> Path:
    folder = as_hugging_face(images(n=3, splits=("train", "test")), root)
    table = pa.table({"image": pa.array([b"x"], pa.binary()), "label": ["cat"]})
    parquet.write_table(table, folder / "data" / "test-00000-of-00001.parquet")
    return folder


def no_image_column(root: Path) -> Path:
    (root / "p").mkdir()
    for k in range(2):
        parquet.write_table(pa.table({"pixels": [[1, 2]], "label": ["cat"]}), root / "p" / f"{k}.parquet")
    return root / "p"


def broken_parquet(root: Path) -> Path:
    folder = as_hugging_face(images(n=3), root)
    file = next((folder / "data").iterdir())
    file.write_bytes(file.read_bytes()[:-40])
    return folder


def label_outside(root: Path) -> Path:
    folder = as_hugging_face(images(n=3), root)
    file = next((folder / "data").iterdir())
    table = parquet.read_table(file)
    table = table.set_column(1, "label", pa.array([7, -1, *[0, 1, 2] * 2, 0]))
    parquet.write_table(table, file)
    return folder


def other_class_order(root: Path) -> Path:
    folder = as_hugging_face(images(n=3, splits=("train", "test")), root)
    file = folder / "data" / "test-00000-of-00001.parquet"
    table = parquet.read_table(file)
    features = json.loads(table.schema.metadata[b"huggingface"])
    features["info"]["features"]["label"]["names"] = ["cat", "dog", "émeu"]
    parquet.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), file)
    return folder


def one_class_name(root: Path) -> Path:
    return as_hugging_face(images(n=3, n_classes=1), root)


def archive(root: Path) -> Path:
    (root / "photos.zip").write_bytes(b"PK")
    return root / "photos.zip"


def float_arrays(root: Path) -> Path:
    np.savez(root / "x.npz", images=np.zeros((4, 5, 5)), labels=np.arange(4) % 2)
    return root / "x.npz"


def unlike_arrays(root: Path) -> Path:
    np.savez(root / "x.npz", images=np.zeros((4, 5, 5), np.uint8), labels=np.arange(3) % 2)
    return root / "x.npz"


def nameless_arrays(root: Path) -> Path:
    np.savez(root / "x.npz", a=np.zeros(3))
    return root / "x.npz"


def truncated_arrays(root: Path) -> Path:
    path = unlike_arrays(root)
    path.write_bytes(path.read_bytes()[:-60])
    return path


def pickled_array(root: Path) -> Path:
    np.save(root / "images.npy", np.array([{}], object), allow_pickle=True)
    np.save(root / "labels.npy", np.array([1]))
    return root / "images.npy"


def saved_to_disk(root: Path) -> Path:
    (root / "hub" / "train").mkdir(parents=True)
    (root / "hub" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    return root / "hub"


def saved_split_of_no_use(root: Path) -> Path:
    folder = as_saved_to_disk(images(splits=("train", "test")), root)
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "unsupervised"]}')
    return folder


def saved_and_truncated(root: Path) -> Path:
    folder = as_saved_to_disk(images(), root)
    file = next(folder.glob("data-*.arrow"))
    file.write_bytes(file.read_bytes()[:-300])
    return folder


def classes_in_one_folder(root: Path) -> Path:
    as_csv(images(n=2), root)
    return root


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_label_column, r"label .*'path', 'labl'.*is it 'labl'"),
        (manifest("a,b\n1,2\n"), r"column with the path.*'a', 'b'.*data\.columns\.path"),
        (manifest(""), "first line"),
        (manifest("path,label\n"), "has none"),
        (manifest('path,label\n"x\n'), "m.csv is not valid"),
        (manifest("path,label,label\nflat/0000.bin.png,a,b\n"), "'label' twice"),
        (
            manifest("path,label\nflat/0000.bin.png,a\n" + "".join(f"gone/{k}.png,b\n" for k in range(5))),
            r"5 of 6 do not: gone/0\.png, gone/1\.png, gone/2\.png and 2 more.*relative to",
        ),
        (manifest("path,label\nflat/0000.bin.png,a\nflat/0001.bin.png,\n"), "1 of 2 rows .* none: rows 2"),
        (manifest("path,label\nflat/0000.bin.png,a\n,b\n"), "1 of 2 rows of .* have none"),
        (manifest("path,label\nflat/0000.bin.png,a\n"), "has one, 'a'"),
        (manifest("path,label,split\nflat/0000.bin.png,a,tran\nflat/0001.bin.png,b,test\n"), "tran"),
        (manifest("path,label,split\nflat/0000.bin.png,a,\nflat/0001.bin.png,b,train\n"), "1 of 2 .* rows 1; fill"),
        (manifest("path,label,weight\nflat/0000.bin.png,a,1\nflat/0001.bin.png,b,\n"), "1 of 2 .* row 2 has none"),
        (manifest("flat/0000.bin.png,a\nflat/0001.bin.png,b\n"), "first line, which must have the names"),
        (manifest("path,label\nflat/0000.bin.png,a\nflat/0001.bin.png,b,c\n"), "Row #3.*quote values"),
        (manifest("path,label\nflat/0000.bin.png,a;b\nflat/0001.bin.png,b;a\nflat/0002.bin.png,\n"), "label_separator"),
        (encoded("utf-16"), "UTF-16"),
        (encoded("utf-16-le"), "zero bytes"),
        (encoded("latin-1"), "not valid: .*save it again, as UTF-8"),
        (mixed_json, "same types in all lines"),
        (list_of_texts, "no object"),
        (unlabelled_test, "move 'test' away"),
        (shard_in_latin_1, r"b'caf.xe9/0\.png' of .*photos\.tar"),
        (spreadsheet, "save its table as CSV"),
        (regression, r"6 different numbers from 0 to 1\.85.*regression"),
        (float_column, "6 different numbers from 0 to 1: .*regression"),
        (split_without_class, r"test .*1 of 2 classes: a"),
        (cut_shard(700), "truncated"),
        (cut_shard(1500), "truncated"),
        (cut_between_members, "truncated"),
        (flipped_byte, r"header at byte [\d,]+ is damaged"),
        (joined_shards, "joined"),
        (symbolic_link, r"dog/1\.png of .*symbolic link to 'cat/0\.png'"),
        (link_to_nothing, r"dog/1\.png of .* points to 'cat/7\.png'"),
        (zipped_shard, "compressed"),
        (image_without_label, r"1\.png of .*x\.tar has none.*1\.cls"),
        (other_schema, r"label \(string\) and .*label \(int64\)"),
        (no_image_column, r"'pixels', 'label'"),
        (broken_parquet, "complete"),
        (other_class_order, r"'cat', 'dog', 'émeu'.*'émeu', 'dog', 'cat'"),
        (one_class_name, "has one, 'cat'"),
        (label_outside, r"0\.\.2 .*2 are not: -1, 7"),
        (archive, "unpack"),
        (float_arrays, r"uint8.*float64 \(4, 5, 5\)"),
        (unlike_arrays, r"4 images.*\(3,\)"),
        (truncated_arrays, r"complete.*x\.npz"),
        (nameless_arrays, "has 'a'"),
        (pickled_array, "Python objects"),
        (saved_to_disk, r"train.state\.json"),
        (saved_split_of_no_use, "'unsupervised'"),
        (saved_and_truncated, r"data-00000-of-00001\.arrow"),
        (classes_in_one_folder, r"one, 'flat'.*manifest\.csv"),
    ],
)
def test_bad_data_is_one_error(make: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_index(make(tmp_path))


def test_a_hard_link_in_a_shard_is_the_image_that_it_links_to(tmp_path: Path) -> None:
    index = read_index(_shard_with_links(tmp_path, tarfile.LNKTYPE, "cat/0.png"))
    assert [index.source(row) for row in range(len(index))] == [b"zero", b"zero", b"two"]
    assert [index.classes[label] for label in index.labels] == ["cat", "dog", "dog"]


def test_a_hard_link_to_a_label_is_the_label(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, content in (("0.png", b"0"), ("0.cls", b"cat"), ("1.png", b"1"), ("2.png", b"2"), ("2.cls", b"dog")):
            add_member(tar, name, content)
        link = tarfile.TarInfo("1.cls")
        link.type, link.linkname = tarfile.LNKTYPE, "0.cls"
        tar.addfile(link)
    index = read_index(tmp_path / "x.tar")
    assert [index.classes[label] for label in index.labels] == ["cat", "cat", "dog"]


@pytest.mark.parametrize("suffix", [".tar", ".parquet"])
def test_a_container_that_is_damaged_or_removed_after_the_listing_is_one_error(tmp_path: Path, suffix: str) -> None:
    root = (as_shards if suffix == ".tar" else as_hugging_face)(images(n=3), tmp_path)
    index = read_index(root)
    file = next(root.rglob(f"*{suffix}"))
    if suffix == ".parquet":
        file.write_bytes(b"PAR1" + bytes(200) + b"PAR1")
        with pytest.raises(DataError, match=re.escape(f"{file} is not: ")):
            index.source(0)
    file.unlink()
    for read in (lambda: index.source(0), lambda: index.digests):
        with pytest.raises(DataError, match=re.escape(f"{file} is not: No such file")):
            read()


def test_a_folder_may_have_colons_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "a::b"
    folder.mkdir()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 5, 5, 3), dtype=np.uint8)
    np.savez(folder / "x.npz", images=pixels, labels=np.arange(6) % 2)
    np.save(folder / "images.npy", pixels)
    np.save(folder / "labels.npy", np.arange(6) % 2)
    digests = [read_index(folder / name).digests for name in ("x.npz", "images.npy")]
    assert (digests[0] == digests[1]).all()
    assert len(np.unique(digests[0], axis=0)) == 6


def test_a_given_column_that_does_not_exist(tmp_path: Path) -> None:
    path = as_csv(images(n=2), tmp_path)
    with pytest.raises(DataError, match=r"columns\.label: .*'Clas'.*Class"):
        read_index(path, columns={"label": "Clas"})
    with pytest.raises(DataError, match=r"labl.*label"):
        read_index(path, columns={"labl": "Class"})


def test_shards_of_a_pattern_must_exist(tmp_path: Path) -> None:
    as_shards(images(n=2), tmp_path)
    with pytest.raises(DataError, match=r"all-001\.tar"):
        read_index(tmp_path / "shards" / "all-{000..001}.tar")


def test_numbers_with_few_values_are_classes(tmp_path: Path) -> None:
    path = as_csv([Labelled(one.content, str(k % 2 / 2), None) for k, one in enumerate(images(n=4))], tmp_path)
    assert read_index(path).classes == ("0.0", "0.5")


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = as_folder(images(n=1), tmp_path)
    (root / "cat" / "0000.png").unlink()
    (root / "cat" / "0000.png").symlink_to("0000.png")
    with pytest.raises(DataError, match=r"0000\.png .*symbolic links"):
        assert read_index(root).content_hash
