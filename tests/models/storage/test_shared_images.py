"""Workers share the memory of the images: nothing copies them, and nothing writes to them."""

import mmap
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archsieve.models.data.dataset import ImageData, Split
from archsieve.models.data.folds import cross_folds
from archsieve.models.storage.images import Joined, MovedPerBatch, RowsOf, StoredImages, TensorImages, batches_of
from archsieve.models.storage.sharing import as_tensor
from archsieve.models.training.trainer import fit
from archsieve.spaces.recipes.recipe import Recipe

Net = Callable[..., nn.Sequential]


def random_images(n: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, 3, 8, 8), dtype=np.uint8))


def shared_copy(data: ImageData) -> ImageData:
    """What a worker gets: the data, unpickled over read-only buffers."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(data, protocol=5, buffer_callback=buffers.append)
    received: ImageData = pickle.loads(pickled, buffers=[buffer.raw().toreadonly() for buffer in buffers])
    return received


def test_the_pixels_travel_outside_of_the_pickle_and_are_not_copied(digits: ImageData) -> None:
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(digits, protocol=5, buffer_callback=buffers.append)
    assert len(pickled) < 10_000
    raw = [buffer.raw() for buffer in buffers]
    assert sum(view.nbytes for view in raw) >= sum(split.images.nbytes for split in digits.splits)
    received = pickle.loads(pickled, buffers=raw)
    for before, after in zip(digits.splits, received.splits, strict=True):
        assert after.images.data_ptr() == before.images.data_ptr()  # one memory
        assert after.labels.data_ptr() == before.labels.data_ptr()
        assert torch.equal(after.images, before.images)


def test_moving_to_the_cpu_does_not_copy(digits: ImageData) -> None:
    moved = digits.to("cpu")
    assert moved.train.images.data_ptr() == digits.train.images.data_ptr()
    view = TensorImages(digits.train.images)
    assert view.to("cpu") is view


def test_folds_are_views_with_the_pixels_and_hashes_of_copies(digits: ImageData) -> None:
    pool = torch.cat([digits.train.images, digits.val.images])
    labels = torch.cat([digits.train.labels, digits.val.labels])
    for fold in cross_folds(digits, 3, seed=0):
        assert isinstance(fold.train.images, RowsOf)
        assert isinstance(fold.train.images.images, Joined)
        first = fold.train.images.images.parts[0]
        assert first[0:1].shape == (1, 1, 8, 8)
        copied = ImageData.of(
            fold.name,
            fold.classes,
            train=Split(pool[fold.train.images.rows], labels[fold.train.images.rows]),
            val=Split(pool[fold.val.images.rows], labels[fold.val.images.rows]),
            test=digits.test,
        )
        assert torch.equal(copied.train.images, fold.train.images[:])
        assert copied.content_hash == fold.content_hash
        assert torch.equal(copied.mean, fold.mean)
        assert torch.equal(copied.std, fold.std)


@pytest.mark.parametrize(
    "wrap", [TensorImages, lambda images: MovedPerBatch(TensorImages(images), torch.device("cpu"))]
)
def test_views_index_as_tensors_do(wrap: Callable[[Tensor], StoredImages]) -> None:
    tensor, rows = random_images(20), torch.tensor([19, 3, 3, 0, 7])
    joined = Joined([wrap(tensor[:12]), wrap(tensor[12:])])
    view = RowsOf(joined, rows)
    for images, expected in ((joined, tensor), (view, tensor[rows])):
        assert (images.shape, images.dtype, images.dim(), len(images)) == (
            expected.shape,
            expected.dtype,
            4,
            len(expected),
        )
        assert images.nbytes == expected.nbytes
        assert torch.equal(images[:], expected)
        assert torch.equal(images[1:4], expected[1:4])
        assert torch.equal(images[-1], expected[-1])
        assert torch.equal(images[torch.tensor([4, 0])], expected[torch.tensor([4, 0])])
        assert torch.equal(torch.cat(list(batches_of(images, 3))), expected)
        with pytest.raises(IndexError):
            images[len(images)]


def test_views_of_the_same_images_are_pickled_once() -> None:
    images = TensorImages(random_images(1000))
    views = [RowsOf(images, torch.arange(start, 1000)) for start in range(4)]
    pickled = pickle.dumps(views, protocol=5)
    assert len(pickled) < images.nbytes + 4 * 8 * 1000 + 4096
    received = pickle.loads(pickled)
    assert all(view.images is received[0].images for view in received)
    assert torch.equal(received[3][:], images.tensor[3:])


RECIPES = (
    Recipe(epochs=2, batch_size=32, lr=0.05),
    Recipe(epochs=2, batch_size=32, lr=0.05, augmentation="standard", noise_std=0.1, elastic_alpha_px=2.0),
    Recipe(epochs=2, batch_size=32, lr=0.05, averaging="ema", auxiliary="rotation", find_lr=True, activation_l1=1e-4),
    Recipe(epochs=2, batch_size=32, lr=0.05, auxiliary="reconstruction", dropout=0.1, l1=1e-5),
)


@pytest.mark.parametrize("recipe", RECIPES, ids=["plain", "augmented", "averaged", "auxiliary"])
def test_training_writes_to_no_image(few_digits: ImageData, small_net: Net, tmp_path: Path, recipe: Recipe) -> None:
    """The pages of the images are read-only: a write to them would end this process."""
    data = replace(few_digits, train=_read_only(few_digits.train, tmp_path), val=_read_only(few_digits.val, tmp_path))
    shared = fit(small_net(), data, recipe, seed=0)
    assert shared == fit(small_net(), few_digits, recipe, seed=0)


def _read_only(split: Split, folder: Path) -> Split:
    file = folder / f"{len(list(folder.iterdir()))}.bin"
    file.write_bytes(split.images[:].numpy().tobytes())
    with file.open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)
    array = np.frombuffer(mapped, np.float32).reshape(split.images.shape)
    return Split(as_tensor(array), split.labels)  # torch's warning about such arrays would fail the test


def test_a_worker_trains_on_read_only_buffers_to_the_same_figures(few_digits: ImageData, small_net: Net) -> None:
    received = shared_copy(few_digits)
    assert fit(small_net(), received, RECIPES[0], seed=1) == fit(small_net(), few_digits, RECIPES[0], seed=1)
