"""Data sets by name: splits, limits, image sizes and hashes."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from archsieve.models.data.registry import DATASETS, ImageData, Split, load_data
from archsieve.models.data.shapes import SHAPES, describe_data
from archsieve.models.image_files.errors import DataError

GOLDEN_DIGITS = "dd29641b84113334620b044edfa3c3d3011399a39791d221c9b945c7919044f2"


def image_bytes(split: Split | None) -> set[bytes]:
    assert split is not None
    return {image.numpy().tobytes() for image in split.images}


def test_splits_of_digits_are_disjoint_and_complete(digits: ImageData) -> None:
    assert digits.test is not None
    assert len(digits.train) + len(digits.val) + len(digits.test) == 1797
    parts = [image_bytes(split) for split in (digits.train, digits.val, digits.test)]
    assert len(set.union(*parts)) == sum(map(len, parts))


def test_digits_are_stratified(digits: ImageData) -> None:
    counts = torch.cat([split.labels for split in (digits.train, digits.val, digits.test) if split]).bincount()
    assert torch.equal(digits.val.labels.bincount(), (counts * 0.2).round().long())


def test_digits_are_reproducible(digits: ImageData) -> None:
    assert load_data("digits").content_hash == digits.content_hash == GOLDEN_DIGITS


@pytest.mark.parametrize("change", [{"seed": 1}, {"val_fraction": 0.3}, {"test_fraction": 0}, {"limit": 500}])
def test_other_data_have_another_hash(digits: ImageData, change: dict[str, float]) -> None:
    assert load_data("digits", **change).content_hash != digits.content_hash  # type: ignore[arg-type]


def test_statistics_are_those_of_the_training_images(digits: ImageData) -> None:
    torch.testing.assert_close(digits.mean, digits.train.images.mean().view(1))
    normalised = digits.normalise(digits.train.images)
    torch.testing.assert_close(normalised.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalised.std(), torch.tensor(1.0), atol=1e-3, rtol=0)


def test_a_constant_channel_is_not_divided_by_zero() -> None:
    flat = Split(torch.full((4, 1, 2, 2), 7, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    data = ImageData.of("flat", ("a", "b"), train=flat, val=flat)
    assert data.normalise(flat.images / 255).isfinite().all()


def test_a_test_fraction_of_zero_gives_no_test_split() -> None:
    data = load_data("digits", test_fraction=0)
    assert data.test is None
    assert data.to("cpu").test is None


def test_limit_keeps_the_classes_in_proportion() -> None:
    data = load_data("digits", limit=200)
    assert data.test is not None
    assert len(data.train) + len(data.val) + len(data.test) == 200
    assert data.train.labels.bincount().min() >= 10


def test_image_size_resizes_the_images() -> None:
    data = load_data("digits", image_size=16, limit=100)
    assert data.input_shape == (1, 16, 16) == describe_data("digits", image_size=16).input_shape
    assert data.train.images.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_fraction": 0}, "0 < val_fraction < 1"),
        ({"val_fraction": 1.0}, "0 < val_fraction < 1"),
        ({"test_fraction": -0.1}, "0 <= test_fraction < 1"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, r"val_fraction \+ test_fraction.*0\.5 \+ 0\.5"),
        ({"limit": 0}, "limit .*got 0"),
        ({"limit": 12}, "class '.' has 1; .*`limit`"),
        ({"image_size": 0}, "image_size .*but got 0"),
        ({"image_size": 8.0}, "image_size .*but got 8.0"),
    ],
)
def test_wrong_requests_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data("digits", **options)  # type: ignore[arg-type]


IMAGES = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("part", "images", "labels", "message"),
    [
        ("train", IMAGES, [0, 1, 2, 3], r"0\.\.2, but train .* from 0 to 3"),
        ("val", IMAGES, [-1, 0, 1, 2], r"0\.\.2, but val .* from -1 to 2"),
        ("test", IMAGES, [5, 5, 5, 5], r"0\.\.2, but test .* from 5 to 5"),
        ("val", IMAGES[:0], [], r"the val split .*none"),
        (
            "test",
            IMAGES[..., :4],
            [0, 1, 2, 0],
            r"test images .*\(1, 8, 8\).*uint8 \(4, 1, 8, 4\)",
        ),
        ("train", IMAGES, [0, 1, 2], r"labels .*int64 \(4,\), but got int64 \(3,\)"),
        ("train", IMAGES.double(), [0, 1, 2, 0], r"images .*uint8 or float32 \(N, C, H, W\), but got float64"),
        ("train", IMAGES[0], [0], r"images .*uint8 or float32 \(N, C, H, W\), but got uint8 \(1, 8, 8\)"),
    ],
)
def test_splits_that_do_not_fit_are_refused(part: str, images: Tensor, labels: list[int], message: str) -> None:
    """The message has the facts of the wrong split. Unchecked, its labels would count as other classes."""
    parts = {name: (IMAGES, [0, 1, 2, 0]) for name in ("train", "val", "test")} | {part: (images, labels)}

    def assemble() -> ImageData:
        splits = {
            name: Split(pixels, torch.tensor(numbers, dtype=torch.int64)) for name, (pixels, numbers) in parts.items()
        }
        return ImageData.of("assembled", ("a", "b", "c"), **splits)

    with pytest.raises(DataError, match=message):
        assemble()


@pytest.mark.parametrize("function", [load_data, describe_data])
def test_an_unknown_name_names_the_nearest(function: object) -> None:
    assert callable(function)
    with pytest.raises(ValueError, match=r"data set 'digit'.*'digits'"):
        function("digit")


def test_both_tables_have_the_same_data_sets() -> None:
    assert set(SHAPES) == set(DATASETS)


def test_the_description_of_digits_agrees_with_the_loaded_data(digits: ImageData) -> None:
    assert describe_data("digits") == (digits.input_shape, digits.n_classes, False)


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def write_fashion(folder: Path, zipped: bool = False) -> None:
    folder.mkdir(parents=True)
    for part, n in (("train", 60), ("t10k", 20)):
        images = np.random.default_rng(n).integers(0, 256, (n, 28, 28), dtype=np.uint8)
        for stem, array in (("images-idx3", images), ("labels-idx1", np.arange(n, dtype=np.uint8) % 10)):
            raw = idx_bytes(array)
            file = folder / f"{part}-{stem}-ubyte{'.gz' * zipped}"
            file.write_bytes(gzip.compress(raw) if zipped else raw)


@pytest.mark.parametrize("below", [".", "FashionMNIST/raw"])
@pytest.mark.parametrize("zipped", [False, True])
def test_fashion_mnist_is_read_plain_and_gzipped(tmp_path: Path, below: str, zipped: bool) -> None:
    write_fashion(tmp_path / "f" / below, zipped)
    data = load_data("fashion-mnist", path=tmp_path / "f")
    assert describe_data("fashion-mnist") == (data.input_shape, data.n_classes, False)
    assert data.test is not None
    assert (len(data.train), len(data.val), len(data.test)) == (50, 10, 20)


def test_fashion_mnist_of_debian_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("archsieve.models.data.fashion_mnist.DEBIAN_FOLDER", tmp_path / "debian")
    write_fashion(tmp_path / "debian", zipped=True)
    assert load_data("fashion-mnist").n_classes == 10


@pytest.mark.parametrize(
    "broken", [b"", b"\x00\x00\x08\x03", b"\x1f\x8b12345", idx_bytes(np.zeros((2, 28, 28), np.uint8))[:-1]]
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_broken_idx_file_is_named(tmp_path: Path, broken: bytes, zipped: bool) -> None:
    write_fashion(tmp_path / "f", zipped)
    (tmp_path / "f" / f"train-images-idx3-ubyte{'.gz' * zipped}").write_bytes(broken)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte .*IDX file"):
        load_data("fashion-mnist", path=tmp_path / "f")


@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10", "cifar100", "svhn"])
def test_a_missing_data_set_is_one_error_with_path_and_fix(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"nowhere(?s:.)*set path(?s:.)*download = true"):
        load_data(name, path=tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())
