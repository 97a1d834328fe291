"""An index of as many images as ImageNet has: its memory, and the number of its rows."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

N_CLASSES, N_IMAGES = 1000, 1280
# resident memory is measured in a process of its own, after the same imports
MEASURE = """
import resource, sys
from archsieve.models.readers.read_index import read_index
import pyarrow.compute, pyarrow.csv
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
index = read_index(sys.argv[1])
index.labels
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(index), len(index.classes), index.table.nbytes, (peak - before) * 1024)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Class folders of empty files: hard links, because 1.28 million files would take as many inodes."""
    root = tmp_path_factory.mktemp("tree")
    for label in range(N_CLASSES):
        folder = root / f"n{label:08}"
        folder.mkdir()
        (folder / f"n{label:08}_0.JPEG").touch()
        for k in range(1, N_IMAGES):
            os.link(folder / f"n{label:08}_0.JPEG", folder / f"n{label:08}_{k}.JPEG")
    yield root
    shutil.rmtree(root)  # pytest would keep a million entries for the next runs


def measure(path: Path) -> tuple[int, int, int, int]:
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    n, classes, table_bytes, peak_bytes = map(int, done.stdout.split())
    return n, classes, table_bytes, peak_bytes


@pytest.mark.slow
def test_a_folder_tree_of_1_28_million_files(tree: Path) -> None:
    n, classes, table_bytes, peak_bytes = measure(tree)
    assert (n, classes) == (N_CLASSES * N_IMAGES, N_CLASSES)
    assert table_bytes < 100e6
    assert peak_bytes < 300e6


@pytest.mark.slow
def test_a_manifest_of_1_28_million_rows(tree: Path, tmp_path: Path) -> None:
    with (tree / "labels.csv").open("w") as out:
        out.write("path,label,split\n")
        for label in range(N_CLASSES):
            name = f"n{label:08}"
            out.writelines(f"{name}/{name}_{k}.JPEG,{name},{'train' if k % 10 else 'val'}\n" for k in range(N_IMAGES))
    n, classes, table_bytes, peak_bytes = measure(tree / "labels.csv")
    assert (n, classes) == (N_CLASSES * N_IMAGES, N_CLASSES)
    assert table_bytes < 100e6
    assert peak_bytes < 1e9
