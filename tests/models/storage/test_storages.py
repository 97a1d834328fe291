"""The three storages give the same pixels, statistics and training, bit for bit."""

import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from archsieve.models.data.dataset import Request
from archsieve.models.data.folds import cross_folds
from archsieve.models.data.image_folder import SplitIndex
from archsieve.models.data.registry import ImageData, load_data
from archsieve.models.image_files.errors import DataError
from archsieve.models.networks.build import build_for
from archsieve.models.storage.choice import StorageOptions
from archsieve.models.storage.images import RowsOf
from archsieve.models.storage.mapped import MappedImages
from archsieve.models.storage.streamed import StreamedImages
from archsieve.models.training.evaluate import evaluate
from archsieve.models.training.trainer import Fit
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, GlobalAverage
from archsieve.spaces.recipes.recipe import Recipe

Folder = Callable[..., Path]
KINDS = ("memory", "cache", "stream")
ARCHITECTURE = Architecture((3, 12, 12), (Conv(8), GlobalAverage()), 2)
RECIPE = Recipe(epochs=3, batch_size=8, lr=0.05, augmentation="standard")


@pytest.fixture
def load(image_folder: Folder, tmp_path: Path) -> Callable[..., ImageData]:
    folder = image_folder(n=24)

    def load(kind: str, **options: object) -> ImageData:
        storage = StorageOptions(kind, str(tmp_path / "cache"))
        return load_data("images", path=folder, image_size=12, storage=storage, **options)  # type: ignore[arg-type]

    return load


def figures(data: ImageData) -> tuple[object, ...]:
    fit = Fit(build_for(ARCHITECTURE, RECIPE, seed=0), data, RECIPE, seed=0)
    while not fit.done:
        fit.step()
    assert data.test is not None
    return fit.history, evaluate(fit.module, data.test, data), [p.tolist() for p in fit.module.parameters()]


def test_all_storages_give_the_same_data_and_training(load: Callable[..., ImageData]) -> None:
    data = {kind: load(kind) for kind in KINDS}
    for one in data.values():
        assert one.storage is not None
        assert one.storage.bytes == 48 * 3 * 12 * 12
    assert [one.storage.kind for one in data.values() if one.storage] == list(KINDS)
    first = data["memory"]
    assert isinstance(first.train.images, torch.Tensor)
    for kind, kept in (("cache", MappedImages), ("stream", StreamedImages)):
        other = data[kind]
        assert isinstance(other.train.images, RowsOf)
        assert isinstance(other.train.images.images, kept)
        assert other.content_hash == first.content_hash
        assert torch.equal(other.mean, first.mean)
        assert torch.equal(other.std, first.std)
        for one, two in zip(other.splits, first.splits, strict=True):
            assert torch.equal(one.images[:], two.images)
            assert torch.equal(one.labels, two.labels)
        assert figures(other) == figures(first)


def test_folds_are_the_same_in_all_storages(load: Callable[..., ImageData]) -> None:
    folds = [cross_folds(load(kind), 3, seed=1) for kind in KINDS]
    for first, *others in zip(*folds, strict=True):
        for other in others:
            assert other.content_hash == first.content_hash
            assert torch.equal(other.mean, first.mean)
            assert torch.equal(other.std, first.std)
            assert torch.equal(other.train.images[:], first.train.images[:])
    assert len({fold.content_hash for fold in folds[0]}) == 3


@pytest.mark.parametrize("kind", ["cache", "stream"])
def test_stored_images_are_pickled_without_their_pixels(load: Callable[..., ImageData], kind: str) -> None:
    data = load(kind)
    received = pickle.loads(pickle.dumps(data))
    assert torch.equal(received.train.images[:], data.train.images[:])
    few, many = (len(pickle.dumps(load(kind, limit=limit))) for limit in (10, 48))
    assert many - few < 38 * 3 * 12 * 12 / 2  # names, digests, labels and sums, but no pixels


def test_a_machine_without_the_cache_file_builds_its_own(load: Callable[..., ImageData], tmp_path: Path) -> None:
    data = load("cache")
    pixels, pickled = data.train.images[:].clone(), pickle.dumps(data)
    for file in (tmp_path / "cache").iterdir():
        file.unlink()
    received = pickle.loads(pickled)
    assert torch.equal(received.train.images[:], pixels)
    assert [file.suffix for file in (tmp_path / "cache").iterdir() if file.suffix != ".lock"] == [".pixels"]


def test_a_machine_without_the_images_learns_which_are_missing(load: Callable[..., ImageData], tmp_path: Path) -> None:
    pickled = {kind: pickle.dumps(load(kind)) for kind in ("cache", "stream")}
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    for file in (tmp_path / "cache").iterdir():
        file.unlink()
    for content in pickled.values():
        images = pickle.loads(content).train.images
        with pytest.raises(DataError, match=str(tmp_path / "images")):
            images.prepare()


def test_a_machine_with_other_images_learns_which_differ(load: Callable[..., ImageData]) -> None:
    images = load("stream").train.images.images
    index = images.images.index
    Path(index.name(0)).write_bytes(Path(index.name(5)).read_bytes())
    with pytest.raises(DataError, match=re.escape(f"{index.name(0)} differs")):
        images.prepare()


def test_skipped_images_are_no_part_of_the_hashed_data(image_folder: Folder, tmp_path: Path) -> None:
    folder = image_folder(n=20)
    (folder / "cat" / "007.png").write_bytes(b"\x89PNG and nothing else")
    request = Request(folder, 12, on_bad="skip")
    split = SplitIndex.of(request)
    bad = next(row for row in range(len(split.index)) if split.index.name(row).endswith("cat/007.png"))
    data = load_data("images", path=folder, image_size=12, on_bad="skip")
    assert data.content_hash == split.content_hash(request, [bad])
    assert data.content_hash not in (split.content_hash(request), split.content_hash(request, [bad - 1]))


def test_batches_may_be_read_in_another_order_than_announced(load: Callable[..., ImageData]) -> None:
    memory, stream = load("memory").train, load("stream").train
    batches = torch.split(torch.randperm(len(stream)), 5)
    stream.prefetch(batches)
    for batch in (batches[0], batches[3], batches[1], batches[1], torch.tensor([0])):
        assert torch.equal(stream.take(batch).images, memory.take(batch).images)
    stream.prefetch(batches[2:])
    for batch in batches[2:]:
        assert torch.equal(stream.take(batch).images, memory.take(batch).images)


def test_bad_images_are_skipped_alike(image_folder: Folder, tmp_path: Path) -> None:
    folder = image_folder(n=20)
    (folder / "cat" / "007.png").write_bytes(b"\x89PNG and nothing else")
    Image.new("RGB", (12, 12)).save(folder / "dog" / "020.png")

    def load(kind: str) -> ImageData:
        storage = StorageOptions(kind, str(tmp_path / "cache"))
        return load_data("images", path=folder, image_size=12, storage=storage, on_bad="skip")

    first, *others = [load(kind) for kind in (*KINDS, "cache")]  # the last one decodes nothing
    assert sum(map(len, first.splits)) == 40
    assert len(first.skipped) == 1
    assert "007.png" in first.skipped[0]
    assert any("020.png" in note for note in first.notes)
    for other in others:
        assert (other.skipped, other.notes) == (first.skipped, first.notes)
        assert [split.labels.tolist() for split in other.splits] == [split.labels.tolist() for split in first.splits]
        assert torch.equal(other.train.images[:], first.train.images)


def test_a_forecast_writes_no_cache_and_estimates_the_statistics(image_folder: Folder, tmp_path: Path) -> None:
    folder, cache = image_folder(n=24), tmp_path / "cache"
    storage = StorageOptions("cache", str(cache), write=False)
    data = load_data("images", path=folder, image_size=12, storage=storage)
    assert data.storage is not None
    assert data.storage.kind == "cache"
    assert not cache.exists()
    exact = load_data("images", path=folder, image_size=12)
    assert torch.equal(data.mean, exact.mean)  # of all images, because there are few
    assert torch.equal(data.train.images[:], exact.train.images)


@pytest.mark.parametrize("kind", ["cache", "stream"])
def test_arrays_stay_in_memory(kind: str) -> None:
    with pytest.raises(DataError, match="digits"):
        load_data("digits", storage=kind)
    storage = load_data("digits").storage
    assert storage is not None
    assert (storage.kind, storage.bytes) == ("memory", 1797 * 64 * 4)


def test_a_forecast_skips_bad_files_outside_its_sample(image_folder: Folder, tmp_path: Path) -> None:
    folder = image_folder(n=300)  # every second image is in the sample
    for k in range(20):
        (folder / "cat" / f"{k:03}.png").write_bytes(b"\x89PNG and nothing else" + bytes([k]))
    data = load_data("images", path=folder, image_size=12, on_bad="skip", storage=_forecast(tmp_path))
    blank = sum(int((split.images[:].flatten(1).sum(1) == 0).sum()) for split in data.splits)
    assert blank > 0
    assert 0 < len(data.skipped) == 20 - blank
    assert sum(map(len, data.splits)) == 580 + blank
    assert any("300 of 600" in note for note in data.notes)


def _forecast(tmp_path: Path) -> StorageOptions:
    return StorageOptions("cache", str(tmp_path / "unwritten"), write=False)


def test_the_sums_in_a_read_only_folder_are_used(load: Callable[..., ImageData], tmp_path: Path) -> None:
    load("stream")
    cache = tmp_path / "cache"
    (file,) = cache.glob("*.sums")
    done: list[int] = []
    options = StorageOptions("stream", str(cache), progress=lambda n, total: done.append(n))
    cache.chmod(0o500)
    try:
        load_data("images", path=tmp_path / "images", image_size=12, storage=options)
    finally:
        cache.chmod(0o700)
    assert done == []
    assert file.exists()


def test_folds_read_ahead_as_one_storage(load: Callable[..., ImageData]) -> None:
    data = load("stream")
    for fold in cross_folds(data, 3, seed=0):
        joined = fold.train.images.images
        assert isinstance(joined, RowsOf)
        assert isinstance(joined.images, StreamedImages)
        batches = torch.split(torch.randperm(len(fold.train)), 5)
        fold.train.prefetch(batches)
        for batch in batches:
            assert torch.equal(joined.images._ahead[0].rows, joined.rows[fold.train.images.rows[batch]])
            fold.train.take(batch)


def test_groups_stay_with_a_split_that_is_moved(load: Callable[..., ImageData]) -> None:
    split = replace(load("memory").train, groups=torch.arange(28))
    assert split.to("cpu").groups is not None
    assert split.to("meta").groups.shape == (28,)
