"""As many images as ImageNet has: the memory of their index, and of the process that starts a search on them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

N_CLASSES, N_IMAGES = 1000, 1280
# resident memory is measured in a process of its own; not ru_maxrss, which starts with the memory of the parent
PEAK = """
import re, sys
from pathlib import Path
def peak_bytes():
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
"""
# after the same imports
MEASURE = f"""{PEAK}
from archsieve.models.readers.read_index import read_index
import pyarrow.compute, pyarrow.csv
before = peak_bytes()
index = read_index(sys.argv[1])
index.labels
print(len(index), len(index.classes), index.table.nbytes, peak_bytes() - before)
"""


# what the driver of a search does before Ray starts: read, split and open the images
DRIVER = f"""{PEAK}
from archsieve.search.experiment.search_file import load_experiment
experiment = load_experiment(sys.argv[1])
data, record = experiment.task.load(experiment.file)
print(record.n_train + record.n_val, data.storage.kind, peak_bytes())
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


@pytest.mark.slow
@pytest.mark.timeout(7200)  # 1.28 million images are decoded once
@pytest.mark.parametrize("storage", ["cache", "stream"])
def test_the_driver_of_a_search_on_1_28_million_images_takes_less_than_2_gb(storage: str, tmp_path: Path) -> None:
    n = N_CLASSES * N_IMAGES
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (n, 8, 8, 3))
    rng = np.random.default_rng(0)
    for start in range(0, n, n // 10):
        images[start : start + n // 10] = rng.integers(0, 256, (n // 10, 8, 8, 3), np.uint8)
    images.flush()
    np.save(tmp_path / "labels.npy", np.arange(n) % N_CLASSES)
    (tmp_path / "search.toml").write_text(
        '[data]\nname = "images"\npath = "images.npy"\nimage_size = 8\ntest_fraction = 0.0\n'
        f'storage = "{storage}"\ncache = "{tmp_path}"\n[budget]\nparams = "200k"\n[search]\ntrials = 1\n'
    )
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "search.toml")]
    environment = {**os.environ, "ARCHSIEVE_CACHE": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    n_read, kind, peak_bytes = done.stdout.split()
    assert (int(n_read), kind) == (n, storage)
    assert int(peak_bytes) < 2e9
