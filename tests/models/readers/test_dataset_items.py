"""Data sets of Python: the rule for images and labels, splits, storages, and errors in one message."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset

from archsieve.models.data.in_memory import register_items
from archsieve.models.data.registry import DATASETS, load_data, register_dataset
from archsieve.models.data.shapes import N_TRAINING_IMAGES, SHAPES
from archsieve.models.image_files.errors import DataError
from archsieve.models.image_files.items import pixel_array
from archsieve.models.readers.dataset_items import read_items
from archsieve.models.readers.read_index import read_index

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (24, 6, 6, 3), dtype=np.uint8)
LABELS = np.arange(24) % 2


class Items(Dataset):
    """Images in one of the forms that a data set may return."""

    def __init__(self, form=Image.fromarray, label=int, **attributes):
        self.form, self.label = form, label
        self.__dict__.update(attributes)

    def __len__(self):
        return len(PIXELS)

    def __getitem__(self, row):
        return self.form(PIXELS[row]), self.label(LABELS[row])


def as_tensor(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)


FORMS = {
    "PIL": Image.fromarray,
    "array": np.asarray,
    "tensor": as_tensor,
    "float array": lambda pixels: pixels / 255,
    "float tensor": lambda pixels: as_tensor(pixels).float() / 255,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_data_set_of_the_array_file(form, tmp_path):
    np.savez(tmp_path / "x.npz", images=PIXELS, labels=LABELS)
    expected, index = read_index(tmp_path / "x.npz"), read_items(Items(FORMS[form]))
    assert (index.classes, index.content_hash) == (expected.classes, expected.content_hash)
    assert [index.unchanged_source(row) for row in range(24)] == [expected.source(row) for row in range(24)]


def test_classes_are_those_of_the_attribute_also_of_a_subset():
    named = Items(classes=["yak", "ant"])
    index = read_items({"train": Subset(named, range(20)), "test": Subset(named, range(20, 24))})
    assert index.classes == ("ant", "yak")
    assert index.labels[:2].tolist() == [1, 0]
    assert {split: len(rows) for split, rows in index.rows.items()} == {"train": 20, "test": 4}
    assert read_items(Items(label=lambda label: ("yak", "ant")[label])).content_hash == read_items(named).content_hash
    assert read_items(Items(label=torch.tensor, classes=["yak", "ant"])).content_hash == read_items(named).content_hash


SEVERAL = [["ant"], ["yak", "ant"], [], ["yak"]]


class Several(Items):
    """Several labels, weights and groups, in one of the forms that a data set may return."""

    def __init__(self, label, weight=None, **attributes):
        super().__init__(label=label, weight=weight, **attributes)

    def __getitem__(self, row):
        image, labels = Image.fromarray(PIXELS[row]), self.label(SEVERAL[row % 4])
        weight = {} if self.weight is None else {"weight": self.weight(row), "group": torch.tensor(row // 3)}
        return {"image": image, "labels": labels, **weight}


def _indicators(labels):
    return torch.tensor([name in labels for name in ("yak", "ant")])


SEVERAL_FORMS = {
    "names": Several(list),
    "numbers": Several(lambda labels: [["yak", "ant"].index(name) for name in labels], classes=["yak", "ant"]),
    "tensor": Several(_indicators, classes=["yak", "ant"]),
    "float array": Several(lambda labels: _indicators(labels).float().numpy(), classes=("yak", "ant")),
}


@pytest.mark.parametrize("form", SEVERAL_FORMS)
def test_several_labels_in_every_form_are_those_of_a_manifest(form, tmp_path):
    index = read_items(SEVERAL_FORMS[form])
    assert (index.classes, index.multi_label) == (("ant", "yak"), True)
    assert index.labels[:4].tolist() == [[True, False], [True, True], [False, False], [False, True]]
    assert index.content_hash == read_items(SEVERAL_FORMS["names"]).content_hash
    assert [note for note in index.notes if note.startswith("6 of 24 images have no label")]


def test_weights_and_groups_of_mappings(tmp_path):
    weighted = Several(list, weight=lambda row: row / 2)
    name = register_items(weighted, 6)
    try:
        data = load_data(name)
        assert register_items(Several(list, weight=lambda row: row), 6) != name
        assert SHAPES[name].multi_label
    finally:
        for registered in [other for other in DATASETS if other.startswith("items-")]:
            del DATASETS[registered], SHAPES[registered], N_TRAINING_IMAGES[registered]
    row_of = {pixels.transpose(2, 0, 1).tobytes(): row for row, pixels in enumerate(PIXELS)}
    rows = [[row_of[image.numpy().tobytes()] for image in split.images[:]] for split in data.splits]
    assert sorted(row for part in rows for row in part) == list(range(24))
    assert [split.weights.tolist() for split in data.splits] == [[row / 2 for row in part] for part in rows]
    sides = [{row // 3 for row in part} for part in rows]
    assert sum(map(len, sides)) == len(set().union(*sides)) == 8  # no group is in two splits
    with pytest.raises(DataError, match="row 3 has -1"):
        read_items(Several(list, weight=lambda row: row if row != 2 else -1))
    with pytest.raises(DataError, match="item 0 of train is str heavy"):
        read_items(Several(list, weight=lambda row: "heavy"))


def test_items_may_be_mappings():
    class Columns(Items):
        def __getitem__(self, row):
            image, label = super().__getitem__(row)
            return {"image": image, "label": label}

    assert read_items(Columns()).content_hash == read_items(Items()).content_hash


@pytest.mark.parametrize("storage", ["memory", "cache", "stream"])
def test_a_registered_loader_may_return_data_sets(storage, tmp_path, monkeypatch):
    monkeypatch.setenv("ARCHSIEVE_CACHE", str(tmp_path))
    np.savez(tmp_path / "x.npz", images=PIXELS, labels=LABELS)
    expected = load_data("images", path=tmp_path / "x.npz", image_size=6, seed=3)
    register_dataset("own-items", input_shape=(3, 6, 6), classes=2)(lambda request: Items())
    try:
        data = load_data("own-items", seed=3, storage=storage)
    finally:
        del DATASETS["own-items"], SHAPES["own-items"]
    assert data.content_hash == expected.content_hash
    assert data.storage.kind == storage
    data = pickle.loads(pickle.dumps(data))
    assert all(one.images[:].equal(other.images[:]) for one, other in zip(data.splits, expected.splits, strict=True))


def test_grey_images_of_a_registered_shape(tmp_path):
    register_dataset("grey-items", input_shape=(1, 4, 4), classes=2)(lambda request: Items(lambda x: x[..., 0]))
    try:
        assert load_data("grey-items").input_shape == (1, 4, 4)
        assert load_data("grey-items", image_size=6).input_shape == (1, 6, 6)
    finally:
        del DATASETS["grey-items"], SHAPES["grey-items"]


def test_kinds_of_pil_images():
    grey = Image.fromarray(PIXELS[0, :, :, 0])
    assert pixel_array(grey, "x").shape == (6, 6)
    assert pixel_array(grey.convert("LA"), "x").shape == (6, 6, 4)
    assert pixel_array(grey.convert("CMYK"), "x").shape == (6, 6, 3)
    deep = pixel_array(Image.fromarray(PIXELS[0, :, :, 0].astype(np.uint16) * 257), "x")
    assert (deep.dtype, deep.shape) == (np.uint16, (6, 6))
    turned = Image.fromarray(PIXELS[0, :3])
    turned.info["exif"] = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    assert pixel_array(turned, "x").shape == (6, 3, 3)


class Raising(Items):
    def __getitem__(self, row):
        if row == 7:
            raise OSError("no such slice")
        return super().__getitem__(row)


class Triples(Items):
    def __getitem__(self, row):
        return (*super().__getitem__(row), row)


class Stream(IterableDataset):
    def __iter__(self):
        yield from ()


def noisy(pixels):
    return np.random.default_rng().integers(0, 256, pixels.shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (Raising(), r"item 7 of train .*OSError: no such slice"),
        (Items(noisy), r"item.*random transforms|random transforms"),
        (Items(lambda pixels: pixels.astype(np.int64)), r"item 0 of train is int64 \(6, 6, 3\)"),
        (Items(lambda pixels: pixels * 1.0), r"item 0 of train is float64 with values from 0 to"),
        (Items(lambda pixels: pixels.transpose(2, 0, 1)), r"item 0 of train is ndarray \(3, 6, 6\)"),
        (Items(lambda pixels: "cat.png"), r"item 0 of train is str"),
        (Items(label=lambda label: [[0, 1]]), r"item 0 of train is list \[0, 1\]"),
        (Items(label=lambda label: "ab"[label] if label else [0]), "lists of numbers, text"),
        (Items(label=lambda label: ["a"] if label else [0]), "lists of numbers, lists of text"),
        (Items(label=lambda label: []), "none"),
        (Items(label=lambda label: [0, 2], classes=["a", "b"]), r"0\.\.1 .*24 are not: 2"),
        (Items(label=lambda label: np.ones(2 + label)), "arrays of 2, arrays of 3"),
        (Items(label=lambda label: np.array([1, label, 2]), classes=["a", "b"]), "have 3 and 'classes' has 2"),
        (Items(label=lambda label: np.array([1, label - 1])), "-1"),
        (Items(label=lambda label: 0.5), r"item 0 of train is float 0\.5"),
        (Items(label=lambda label: 0), r"one, '0'"),
        (Items(classes=["one"]), r"0\.\.0 .*12"),
        ({"train": Items(), "tets": Items()}, "'tets'"),
        ({"train": Items(), "test": Items(classes=["a", "b"])}, "classes"),
        ({"train": Stream()}, "map style"),
        ({"train": Subset(Items(), [])}, "needs items"),
        ({"train": Items(), "val": [(PIXELS[0], 0)]}, "val is a list"),
        (Triples(), "item 0 of train is a tuple"),
    ],
)
def test_a_data_set_that_cannot_be_used_is_one_error(data, words):
    with pytest.raises(DataError, match=words):
        read_items(data)
