"""Data at a URL: the same index as from the folder, images that are read from the URL, and errors in one message."""

import json
import os
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import fsspec
import pytest

from archsieve.models.data.registry import load_data
from archsieve.models.image_files.errors import DataError
from archsieve.models.image_files.index import Index
from archsieve.models.image_files.locations import RemotePath, location
from archsieve.models.readers.read_index import read_classes, read_index

from .conftest import FORMS, add_member, as_csv, as_folder, as_shards, images


@pytest.fixture
def memory():
    """Return a function that uploads a folder to fsspec's memory and returns its URL."""
    files = fsspec.filesystem("memory")

    def upload(folder: Path) -> str:
        for file in folder.rglob("*"):
            if file.is_file():
                files.pipe_file(f"/{folder.name}/{file.relative_to(folder)}", file.read_bytes())
        return f"memory://{folder.name}"

    yield upload
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def contents(index: Index) -> list[bytes]:
    sources = [index.source(row) for row in range(len(index))]
    assert all(isinstance(source, bytes) for source in sources)
    return sources


@pytest.mark.parametrize("name", FORMS)
def test_a_url_gives_the_index_of_the_folder(name: str, memory, tmp_path: Path) -> None:
    data = images(splits=("train", "test") if name not in ("tsv",) else (None,), n=3, copies=1)
    path = FORMS[name](data, tmp_path)
    url = f"{memory(tmp_path)}/{path.relative_to(tmp_path)}"
    local, remote = read_index(path), read_index(url)
    assert (remote.classes, remote.content_hash) == (local.classes, local.content_hash)
    assert read_classes(url) == (local.classes, False)
    assert sorted(contents(remote)) == sorted(one.content for one in data)
    assert all(remote.name(row).startswith(url.rpartition("/")[0]) for row in range(len(remote)))
    assert remote.unchanged_source(0) == contents(remote)[0]


@pytest.mark.parametrize("storage", ["memory", "cache", "stream"])
def test_images_at_a_url_are_those_of_the_folder(storage: str, memory, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ARCHSIEVE_CACHE", str(tmp_path / "cache"))
    folder = as_folder(images(splits=("train", "val")), tmp_path)
    local = load_data("images", path=folder, image_size=8)
    remote = load_data("images", path=memory(folder), image_size=8, storage=storage)
    assert remote.content_hash == local.content_hash
    assert all(one.images[:].equal(other.images[:]) for one, other in zip(remote.splits, local.splits, strict=True))


def test_a_manifest_may_name_urls(memory, tmp_path: Path) -> None:
    data = images(n=2)
    manifest = as_csv(data, tmp_path)
    url = memory(tmp_path / "flat")
    manifest.write_text(manifest.read_text().replace("flat/", f"{url}/"))
    index = read_index(manifest)
    assert sorted(contents(index)) == sorted(one.content for one in data)
    manifest.write_text(manifest.read_text().replace("0003.bin", "0003.gone"))
    with pytest.raises(DataError, match=r"1 of 6 .*memory://flat/0003\.gone"):
        read_index(manifest)


def test_shards_at_a_url_by_pattern(memory, tmp_path: Path) -> None:
    folder = as_shards(images(splits=("train", "val"), n=3), tmp_path)
    url = memory(folder)
    assert read_index(f"{url}/*.tar").content_hash == read_index(folder).content_hash
    assert len(read_index(f"{url}/train-{{000..000}}.tar")) == 9


def test_a_shard_at_the_top_of_a_file_system(memory, tmp_path: Path) -> None:
    """A list of labels in a shard, and a URL without a folder."""
    with tarfile.open(tmp_path / "top.tar", "w") as tar:
        for k, one in enumerate(images(n=2)):
            add_member(tar, f"{k}.json", json.dumps({"labels": [one.label, "any"]}).encode())
            add_member(tar, f"{k}.png", one.content)
    fsspec.filesystem("memory").pipe_file("/top.tar", (tmp_path / "top.tar").read_bytes())
    local, remote = read_index(tmp_path / "top.tar"), read_index("memory://top.tar")
    assert (remote.multi_label, remote.content_hash) == (True, local.content_hash)
    assert contents(remote) == [local.source(row) for row in range(6)]
    assert location("s3://one/x.tar").parent.parent / "two" == location("s3://two")


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    folder = as_folder(images(n=2), tmp_path)
    assert location(folder.as_uri()) == folder
    assert read_index(folder.as_uri()).content_hash == read_index(folder).content_hash


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://nothing/here", "memory://nothing/here"),
        ("nope://bucket/images", "nope"),
        ("memory://nothing/x.npz", r"x\.npz"),
    ],
)
def test_a_url_without_data_is_one_error(url: str, words: str, memory) -> None:
    with pytest.raises(DataError, match=words):
        read_index(url)


def test_a_file_that_was_written_again_has_another_version(memory, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"one")
    file = location(f"{memory(tmp_path)}/x.png")
    assert isinstance(file, RemotePath)
    before = file.stat()
    (tmp_path / "x.png").write_bytes(b"two")
    memory(tmp_path)
    assert file.stat() != before


def test_data_sets_in_a_folder_refuse_a_url(memory) -> None:
    with pytest.raises(DataError, match="s3://bucket"):
        load_data("cifar10", path="s3://bucket/cifar")


PREPARE = """
import pickle, sys
from pathlib import Path
from archsieve.search.cluster.node_data import _prepare
for stored in pickle.loads(Path(sys.argv[1]).read_bytes()):
    print(_prepare([stored]))
"""


def test_a_machine_that_cannot_see_the_url_says_so(memory, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ARCHSIEVE_CACHE", str(tmp_path / "cache"))
    url = memory(as_folder(images(splits=("train", "val"), n=2), tmp_path))
    data = [load_data("images", path=url, image_size=8, storage=storage) for storage in ("cache", "stream")]
    (tmp_path / "sent").write_bytes(pickle.dumps([one.train.images for one in data]))
    # fsspec's memory is that of a process, so another one is a machine without the data
    command = [sys.executable, "-c", PREPARE, str(tmp_path / "sent")]
    environment = {**os.environ, "ARCHSIEVE_CACHE": str(tmp_path / "other")}
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert printed.count("memory://folder/") >= 2
    assert "None" not in printed.splitlines()
    assert not list(tmp_path.glob("other/*.pixels"))
