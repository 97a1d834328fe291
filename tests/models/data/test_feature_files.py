"""Own features and texts of classes: the files of the field, published splits, and bad files."""

import json

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat

from archsieve.models.data.class_folds import ClassFolds
from archsieve.models.data.text_features import encoder_from_state, fit_text
from archsieve.models.data.zero_shot_registry import load_zero_shot
from archsieve.models.image_files.errors import DataError
from archsieve.models.readers.class_texts import read_class_texts
from archsieve.models.readers.feature_files import feature_width

NAMES = ("ant", "bee", "cat", "dog", "elk", "fox")
WIDTH, EACH = 5, 10
RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(6), EACH)
FEATURES = RNG.normal(size=(60, WIDTH)).astype(np.float32)
ATTRIBUTES = RNG.random((6, 3))


@pytest.fixture
def mat(tmp_path):
    """The files of the field: fox is unseen, elk is a validation class, two images of each seen class test it."""

    def write(**changed):
        position = np.arange(60) % EACH
        seen, test = LABELS < 5, position < 2
        rows = {
            "trainval_loc": seen & ~test,
            "train_loc": (LABELS < 4) & ~test,
            "val_loc": (LABELS == 4) & ~test,
            "test_seen_loc": seen & test,
            "test_unseen_loc": LABELS == 5,
        }
        locations = {name: np.flatnonzero(mask)[:, None] + 1 for name, mask in rows.items()}
        cells = np.array([[name] for name in NAMES], dtype=object)
        splits = {"att": ATTRIBUTES.T, "allclasses_names": cells, **locations, **changed}
        savemat(tmp_path / "att_splits.mat", {name: value for name, value in splits.items() if value is not None})
        savemat(tmp_path / "res101.mat", {"features": FEATURES.T, "labels": LABELS[:, None] + 1})
        return tmp_path

    return write


def test_the_files_of_the_field_have_features_attributes_and_proposed_splits(mat):
    data = load_zero_shot("features", path=mat())
    assert data.classes == NAMES
    assert (data.unseen.tolist(), data.validation) == ([5], ("elk",))
    assert (len(data.train), len(data.test_seen), len(data.test_unseen)) == (40, 10, 10)
    assert torch.equal(data.test_unseen.images.flatten(1), torch.from_numpy(FEATURES[50:]))
    assert torch.equal(data.normalise(data.train.images), data.train.images)
    (fold,) = ClassFolds.of(data, None, 0.2, seed=0).folds
    assert [fold.classes[k] for k in fold.unseen.tolist()] == ["elk"]
    assert torch.equal(fold.normalise(fold.train.images[:]), fold.train.images[:])
    encoder = fit_text("vectors", data.classes, data.texts)
    lengths = np.linalg.norm(ATTRIBUTES, axis=1, keepdims=True)
    assert encoder(data.classes, data.texts).numpy() == pytest.approx(ATTRIBUTES / lengths, rel=1e-5)
    again = encoder_from_state(encoder.state())
    assert torch.equal(again(["new"], ["1 2 2"]), torch.tensor([[1.0, 2.0, 2.0]]) / 3)
    with pytest.raises(DataError, match=r"'new' has 2"):
        encoder(["new"], ["1 2"])


def as_matlab_7_3(file):
    """Write a MATLAB 5 file again as MATLAB 7.3: HDF5 after a header, with reversed axes and references for cells."""
    h5py = pytest.importorskip("h5py")
    arrays = {name: value for name, value in loadmat(file).items() if not name.startswith("_")}
    with h5py.File(file, "w", userblock_size=512) as content:
        for name, value in arrays.items():
            if value.dtype.kind != "O":
                content[name] = value.T
                continue
            texts = ([[ord(character)] for character in str(cell[0])] for cell in value.ravel())
            cells = [content.create_dataset(f"#refs#/{k}", data=text) for k, text in enumerate(texts)]
            references = content.create_dataset(name, (1, len(cells)), dtype=h5py.ref_dtype)
            references[0] = [cell.ref for cell in cells]
    with file.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124, b" ") + b"\x00\x02IM")


def test_files_of_matlab_7_3_are_read_alike(mat):
    folder = mat()
    expected = load_zero_shot("features", path=folder)
    for file in folder.glob("*.mat"):
        as_matlab_7_3(file)
    assert feature_width(folder) == WIDTH
    data = load_zero_shot("features", path=folder)
    assert (data.classes, data.validation, data.content_hash) == (NAMES, ("elk",), expected.content_hash)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"att": None}, "no att, only allclasses_names, test_seen_loc"),
        ({"att": ATTRIBUTES.T[:, :5]}, "att needs a column for each of the 6 classes"),
        ({"test_unseen_loc": np.array([[60], [1]])}, "'ant' is in trainval_loc and in test_unseen_loc"),
        ({"test_seen_loc": np.array([[99]])}, "test_seen_loc must be rows of the 60 features, but has 99"),
        ({"test_seen_loc": np.array([[0]])}, "test_seen_loc must be rows of the 60 features, but has 0"),
        ({"allclasses_names": np.array([["ant"], ["bee"]], dtype=object)}, "labels must be from 1 to 2"),
    ],
)
def test_files_that_do_not_fit_are_named(mat, changed, message):
    with pytest.raises(DataError, match=message):
        load_zero_shot("features", path=mat(**changed))


def test_an_npz_file_has_texts_of_any_source(tmp_path):
    (tmp_path / "texts.json").write_text(json.dumps({name: [f"{name} one", f"{name} two"] for name in (*NAMES, "gnu")}))
    np.savez(tmp_path / "f.npz", features=FEATURES, labels=np.array(NAMES)[LABELS])
    data = load_zero_shot("features", path=tmp_path / "f.npz", texts=tmp_path / "texts.json", unseen=["cat"])
    assert data.texts[0] == "ant one\x1eant two"
    assert "1 classes have a text and no images, the first is 'gnu'" in data.notes[0]
    encoder = fit_text("tfidf", data.classes, data.texts)
    one, two = encoder(["a", "b"], ["ant one", "ant two"])
    mean = (one + two) / (one + two).norm()
    assert torch.allclose(encoder(["ant"], ["ant one\x1eant two"])[0], mean)
    np.savez(tmp_path / "f.npz", features=FEATURES, labels=LABELS, classes=np.array(NAMES), attributes=ATTRIBUTES)
    assert fit_text("vectors", *(load_zero_shot("features", path=tmp_path / "f.npz").texts,) * 2).width == 3


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": LABELS[:59]}, "60 rows and 59 labels"),
        ({"labels": None}, "no labels, only attributes, classes, features"),
        ({"labels": LABELS + 1}, "labels must be from 0 to 5"),
        ({"attributes": ATTRIBUTES[:4]}, "4 rows and 6 classes"),
        ({"attributes": None}, "texts or attributes"),
        ({"features": np.where(FEATURES > 2, np.nan, FEATURES)}, "finite"),
        ({"features": FEATURES * np.float64(1e300)}, "finite float32"),
        ({"features": FEATURES[:, 0]}, r"numbers \(N, F\).*float32 \(60,\)"),
        ({"features": FEATURES.astype(str)}, r"numbers \(N, F\).*<U"),
        ({"features": FEATURES.astype(object)}, "must not contain Python objects"),
        ({"labels": LABELS + 0.5}, "fractions"),
        ({"labels": np.stack([LABELS, LABELS], 1)}, r"\(60, 2\)"),
        ({"classes": np.array(["ant", *NAMES[:5]])}, "'ant' twice"),
        ({"attributes": np.where(ATTRIBUTES > 0.5, np.nan, ATTRIBUTES)}, "attributes must be texts or finite"),
        ({"test": np.zeros(5, bool)}, r"test must be true or false.*bool \(5,\)"),
    ],
)
def test_npz_files_that_do_not_fit_are_named(tmp_path, arrays, message):
    content = {"features": FEATURES, "labels": LABELS, "classes": np.array(NAMES), "attributes": ATTRIBUTES, **arrays}
    np.savez(tmp_path / "f.npz", **{name: value for name, value in content.items() if value is not None})
    with pytest.raises(DataError, match=message):
        load_zero_shot("features", path=tmp_path / "f.npz")


@pytest.mark.parametrize("content", [b"hello", b"PK\x03\x04 truncated", None])
def test_a_file_that_is_no_npz_is_named(tmp_path, content):
    file = tmp_path / "f.npz"
    if content is None:  # one array
        with file.open("wb") as out:
            np.save(out, FEATURES)
    else:
        file.write_bytes(content)
    for read in (feature_width, read_class_texts):
        with pytest.raises(DataError, match=r"f\.npz is"):
            read(file)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"train": ["ant", "bee"], "test": ["ant"]}, "'ant' is in two"),
        ({"train": ["ant", "bee", "cat", "dog"], "val": ["elk"], "test": ["yak"]}, "'yak' has none"),
        ({"learn": ["ant"]}, "is different"),
    ],
)
def test_splits_of_classes_that_cannot_be_used(tmp_path, mat, split, message):
    (tmp_path / "split.json").write_text(json.dumps(split))
    with pytest.raises(DataError, match=message):
        load_zero_shot("features", path=mat(), class_split=tmp_path / "split.json")


def test_a_published_split_replaces_that_of_the_file(tmp_path, mat):
    split = {"train": ["ant", "bee", "cat", "fox"], "val": ["dog"], "test": ["elk"]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    data = load_zero_shot("features", path=mat(), class_split=tmp_path / "split.json")
    assert (data.unseen.tolist(), data.validation) == ([4], ("dog",))


def test_an_article_is_read_as_it_is(tmp_path):
    """A form feed, as between the pages of a PDF, does not make two texts; hidden files are no texts."""
    (tmp_path / "owl.txt").write_text("page one\fpage two")
    (tmp_path / "._owl.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "wren").mkdir()
    (tmp_path / "wren" / "1.txt").write_text("one")
    (tmp_path / "wren" / "2.txt").write_text("two")
    assert read_class_texts(tmp_path) == {"owl": "page one\fpage two", "wren": "one\x1etwo"}


def test_texts_that_cannot_be_read_or_distinguished(tmp_path):
    (tmp_path / "latin.json").write_bytes('{"a": "\xe9"}'.encode("latin-1"))
    with pytest.raises(DataError, match=r"UTF-8.*latin\.json"):
        read_class_texts(tmp_path / "latin.json")
    np.savez(tmp_path / "v.npz", classes=np.array(NAMES), vectors=ATTRIBUTES[:2])
    with pytest.raises(DataError, match=r"6 classes and vectors of shape \(2, 3\)"):
        read_class_texts(tmp_path / "v.npz")
    np.savez(tmp_path / "f.npz", features=FEATURES, labels=np.array(NAMES)[LABELS])
    (tmp_path / "t.json").write_text(json.dumps(dict.fromkeys(NAMES, "an animal")))
    with pytest.raises(DataError, match="'ant' and 'bee' are equal"):
        load_zero_shot("features", path=tmp_path / "f.npz", texts=tmp_path / "t.json")
