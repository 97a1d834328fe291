"""CIFAR and SVHN from small files in their published layouts."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from archsieve.models.data.dataset import ImageData
from archsieve.models.data.registry import load_data
from archsieve.models.data.shapes import describe_data


def published_pixels(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)


def write_cifar(folder: Path, files: dict[str, int], label_key: str, meta: tuple[str, str], n_classes: int) -> None:
    folder.mkdir()
    for name, n in files.items():
        batch = {"data": published_pixels(n).reshape(n, -1), label_key: [k % n_classes for k in range(n)]}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / meta[0]).write_bytes(pickle.dumps({meta[1]: [f"class {k}" for k in range(n_classes)]}))


def check(name: str, data: ImageData, counts: tuple[int, int, int], first_test_image: np.ndarray) -> None:
    assert describe_data(name) == (data.input_shape, data.n_classes, False)
    assert data.test is not None
    assert (len(data.train), len(data.val), len(data.test)) == counts
    assert data.train.images.dtype == torch.uint8
    assert torch.equal(data.test.images[0], torch.from_numpy(first_test_image))


@pytest.fixture(autouse=True)
def _skip_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5=None: Path(path).exists())
    monkeypatch.setattr("torchvision.datasets.svhn.SVHN._check_integrity", lambda self: True)


def test_cifar10(tmp_path: Path) -> None:
    files = {f"data_batch_{k}": 20 for k in range(1, 6)} | {"test_batch": 10}
    write_cifar(tmp_path / "cifar-10-batches-py", files, "labels", ("batches.meta", "label_names"), 10)
    check("cifar10", load_data("cifar10", path=tmp_path), (80, 20, 10), published_pixels(10)[0])


def test_cifar100(tmp_path: Path) -> None:
    files = {"train": 500, "test": 100}
    write_cifar(tmp_path / "cifar-100-python", files, "fine_labels", ("meta", "fine_label_names"), 100)
    check("cifar100", load_data("cifar100", path=tmp_path), (400, 100, 100), published_pixels(100)[0])


def test_svhn(tmp_path: Path) -> None:
    for part, n in (("train", 50), ("test", 20)):
        labels = np.array([k % 10 or 10 for k in range(n)])  # the published files label the digit 0 as 10
        pixels = published_pixels(n).transpose(2, 3, 1, 0)
        savemat(tmp_path / f"{part}_32x32.mat", {"X": pixels, "y": labels.reshape(-1, 1)})
    check("svhn", load_data("svhn", path=tmp_path), (40, 10, 20), published_pixels(20)[0])
