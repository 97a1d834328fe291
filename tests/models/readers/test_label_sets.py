"""Several labels for each image: the same classes, splits and hash in every form; wrong labels are refused."""

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from archsieve.models.data.registry import load_data
from archsieve.models.data.splits import stratified_sample
from archsieve.models.image_files.errors import DataError
from archsieve.models.image_files.index import label_set_numbers
from archsieve.models.readers.labels import encode_labels
from archsieve.models.readers.read_index import read_classes, read_index

CLASSES = ("cat", "dog", "émeu")
SETS = [("cat",), ("émeu", "cat"), (), ("dog",), ("cat", "dog", "émeu"), ("dog", "émeu")]
SIZES = {"image_size": 8, "seed": 3}
WITH_SEPARATOR = {"label_separator": ";"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Return a folder with 60 images, and their contents, sets of labels and weights."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    rows = []
    for k in range(60):
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(out, "PNG")
        (root / f"{k}.png").write_bytes(out.getvalue())
        rows.append((f"{k}.png", out.getvalue(), SETS[k % len(SETS)]))
    return root, rows


def write(path, lines):
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def separated(photos):
    root, rows = photos
    return write(root / "separated.csv", ["path,label", *(f"{name}, {' ; '.join(s)}" for name, _, s in rows)])


def indicators(photos):
    root, rows = photos
    cells = [",".join("1" if name in s else "0" for name in reversed(CLASSES)) for _, _, s in rows]
    lines = [f"{name},{cell}" for (name, _, _), cell in zip(rows, cells, strict=True)]
    return write(root / "indicators.csv", [f"path,{','.join(reversed(CLASSES))}", *lines[::-1]])


def json_lines(photos):
    root, rows = photos
    return write(root / "lists.jsonl", [json.dumps({"path": name, "labels": list(s)}) for name, _, s in rows])


def list_column(photos):
    root, rows = photos
    table = pa.table(
        {"path": [name for name, _, _ in rows], "label": pa.array([list(s) for *_, s in rows], pa.list_(pa.string()))}
    )
    parquet.write_table(table, root / "lists.parquet")
    return root / "lists.parquet"


def hugging_face(photos):
    """The names of the classes are in the schema, in an order of their own."""
    root, rows = photos
    names = ["émeu", "dog", "cat"]
    table = pa.table(
        {
            "image": [{"bytes": content, "path": name} for name, content, _ in rows],
            "label": pa.array([[names.index(one) for one in s] for *_, s in rows], pa.list_(pa.int64())),
        }
    )
    features = {"label": {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    parquet.write_table(table.replace_schema_metadata(metadata), root / "images.parquet")
    return root / "images.parquet"


def shard(photos, suffix="json"):
    root, rows = photos
    with tarfile.open(root / f"{suffix}.tar", "w") as tar:
        for name, content, s in rows:
            text = json.dumps({"label": list(s)}) if suffix == "json" else ";".join(s)
            for member, data in ((name, content), (f"{name.split('.')[0]}.{suffix}", text.encode())):
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return root / f"{suffix}.tar"


FORMS = {
    "separated": (separated, WITH_SEPARATOR),
    "indicators": (indicators, {"columns": {"label": list(CLASSES)}}),
    "json lines": (json_lines, {}),
    "list column": (list_column, {}),
    "hugging face": (hugging_face, {}),
    "json shard": (shard, {}),
    "text shard": (lambda photos: shard(photos, "txt"), WITH_SEPARATOR),
}


@pytest.fixture(scope="module")
def forms(photos):
    return {name: (make(photos), options) for name, (make, options) in FORMS.items()}


def test_every_form_has_the_same_classes_splits_and_hash(forms):
    seen = set()
    for path, options in forms.values():
        index = read_index(path, **options)
        assert (index.classes, index.multi_label) == (CLASSES, True)
        assert read_classes(path, **options) == (CLASSES, True)
        assert "10 of 60 images have no label" in index.notes[-1]
        data = load_data("images", path=path, **SIZES, **options)
        assert [len(split) for split in data.splits] == [36, 12, 12]
        splits = [(bytes(split.images[:].numpy()), bytes(split.labels.numpy())) for split in data.splits]
        seen.add((index.content_hash, data.content_hash, *splits))
    assert len(seen) == 1


def test_the_labels_of_a_row_are_those_of_its_image(forms, photos):
    expected = {name: {*s} for name, _, s in photos[1]}
    for name in ("separated", "indicators", "list column"):
        path, options = forms[name]
        index = read_index(path, **options).canonical()
        for row in range(len(index)):
            has = {one for one, is_there in zip(CLASSES, index.labels[row], strict=True) if is_there}
            assert has == expected[index.table["file"][row].as_py()]


def test_arrays_have_a_column_for_each_class(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    labels = (np.arange(20)[:, None] >> np.arange(12)[None, :] % 4) & 1
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    index = read_index(tmp_path / "x.npz")
    assert index.classes == tuple(sorted(map(str, range(12))))
    assert np.array_equal(index.labels, labels[:, [int(name) for name in index.classes]].astype(bool))
    np.savez(tmp_path / "x.npz", images=images, labels=labels * 0.5)
    with pytest.raises(DataError, match=r"10 of 20 rows of column '0' of the labels .*'0\.5'"):
        read_index(tmp_path / "x.npz")


def test_weights_are_a_part_of_the_data_and_not_of_the_order(photos):
    root, rows = photos
    lines = [f"{name},{s[0]},{k // 6 % 2 + 0.5}" for k, (name, _, s) in enumerate(rows) if s]
    forward = write(root / "forward.csv", ["path,label,weight", *lines])
    backward = write(root / "backward.csv", ["path,label,weight", *lines[::-1]])
    without = write(root / "without.csv", ["path,label", *(line.rsplit(",", 1)[0] for line in lines)])
    data = [load_data("images", path=path, **SIZES) for path in (forward, backward, without)]
    assert data[0].content_hash == data[1].content_hash != data[2].content_hash
    assert data[0].train.weights.tolist() == data[1].train.weights.tolist()
    assert sorted(set(data[0].val.weights.tolist())) == [0.5, 1.5]
    assert data[2].train.weights is None
    assert "'weight' weigh the images" in "".join(data[0].notes)


WEIGHTED = "path,label,weight\n0.png,a,{}\n1.png,b,1\n2.png,a,1\n3.png,b,1"
WRONG = {
    "negative weight": (WEIGHTED.format("-2"), {}, "weights must be .*1 of 4 rows.*row 1 has -2"),
    "NaN weight": (WEIGHTED.format("nan"), {}, "1 of 4 rows.*row 1 has nan"),
    "no weight": (WEIGHTED.format(""), {}, "row 1 has none"),
    "separator that never occurs": (
        "path,label\n0.png,a\n1.png,b",
        {"label_separator": "|"},
        r"label_separator must occur .*'\|' is in none of the 2 rows.*'a'",
    ),
    "empty separator": ("path,label\n0.png,a\n1.png,b", {"label_separator": ""}, "label_separator must be a text"),
    "separator and columns": (
        "path,a,b\n0.png,1,0\n1.png,0,1",
        {"label_separator": ";", "columns": {"label": ["a", "b"]}},
        "2 columns and label_separator is ';'",
    ),
    "missing column": (
        "path,cat,dog\n0.png,1,0\n1.png,0,1",
        {"columns": {"label": ["cat", "dgo"]}},
        "no column 'dgo'.*'dog'",
    ),
    "one column in a list": ("path,a\n0.png,1", {"columns": {"label": ["a"]}}, "at least two different names"),
    "a list of paths": ("a,b,label\n0.png,1,x", {"columns": {"path": ["a", "b"]}}, "path must be the name of one"),
    "another value": (
        "path,a,b\n0.png,1,0\n1.png,-1,1",
        {"columns": {"label": ["a", "b"]}},
        "1 of 2 rows of column 'a' of .*'-1'",
    ),
    "regression in a column": (
        "path,a,b\n" + "\n".join(f"{k}.png,{k / 7},0" for k in range(30)),
        {"columns": {"label": ["a", "b"]}},
        "column 'a' of .*30 different numbers.*regression",
    ),
    "one class": ("path,label\n0.png,a;a\n1.png,a", WITH_SEPARATOR, "at least two classes.*one, 'a'"),
    "a split without a class": (
        "path,label,split\n0.png,a;b,train\n1.png,b,val",
        WITH_SEPARATOR,
        "val of .* has none of 1 of 2 classes: a",
    ),
    "a class that no image has": (
        "path,a,b,c\n0.png,1,0,0\n1.png,0,1,0",
        {"columns": {"label": ["a", "b", "c"]}},
        "none of 1 of 3 classes: c",
    ),
    "prices": ("path,label\n" + "\n".join(f"{k}.png,{k * k * 100}" for k in range(40)), {}, "40 different.*regression"),
    "a number for each image": ("path,label\n" + "\n".join(f"{k}.png,{k}" for k in range(40)), {}, "regression.*id7"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_labels_are_refused(name, photos):
    text, options, problem = WRONG[name]
    path = write(photos[0] / "wrong.csv", [text])
    with pytest.raises(DataError, match=problem):
        load_data("images", path=path, **SIZES, **options)


def test_weights_of_training_images_must_not_all_be_zero(photos):
    lines = [f"{k}.png,{'ab'[k % 2]},{'train' if k < 40 else 'val'},{int(k >= 40)}" for k in range(60)]
    path = write(photos[0] / "zero.csv", ["path,label,split,weight", *lines])
    with pytest.raises(DataError, match=r"weights of training images must not all be 0.*40"):
        load_data("images", path=path, **SIZES)


def test_numbers_of_classes_are_no_regression(photos):
    lines = [f"{k}.png,{10 + k % 12}" for k in range(60)]
    assert len(read_index(write(photos[0] / "ages.csv", ["path,label", *lines])).classes) == 12


def test_a_separator_is_refused_where_labels_are_no_text(forms, tmp_path):
    with pytest.raises(DataError, match="lists of labels"):
        read_index(forms["json lines"][0], label_separator=";")
    for name in "ab":
        (tmp_path / "folder" / name).mkdir(parents=True)
        (tmp_path / "folder" / name / "x.png").write_bytes(b"")
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 4, 4), np.uint8), labels=[0, 1])
    for path, what in ((tmp_path / "folder", "class folders"), (tmp_path / "x.npz", "arrays")):
        for read in (read_index, read_classes):
            with pytest.raises(DataError, match=f"{what} and label_separator is ';'"):
                read(path, label_separator=";")
            with pytest.raises(DataError, match=f"{what} and columns has 'label'"):
                read(path, columns={"label": "species"})


def test_codes_outside_of_the_classes_and_missing_lists_are_refused(tmp_path):
    image = [{"bytes": b"x", "path": None}] * 3
    features = {"label": {"feature": {"names": ["a", "b"]}}}
    for labels, problem in (
        ([[0], [1, 2], []], r"in 0\.\.1 .*: 2"),
        ([[0], None, [1]], "1 of 3 rows.*rows 2"),
        ([[0], [0, 1, 0], [1]], "each label once, but row 2 .* has 0, 1, 0"),
        ([[0], [1], [0, None]], "1 of 3 rows .* rows 3"),
    ):
        table = pa.table({"image": image, "label": pa.array(labels, pa.list_(pa.int64()))})
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        parquet.write_table(table.replace_schema_metadata(metadata), tmp_path / "x.parquet")
        with pytest.raises(DataError, match=problem):
            read_index(tmp_path / "x.parquet")


def test_lists_of_fixed_length_are_lists(tmp_path):
    image = [{"bytes": bytes([k]), "path": None} for k in range(2)]
    table = pa.table({"image": image, "label": pa.array([["a", "b"], ["c", "a"]], pa.list_(pa.string(), 2))})
    parquet.write_table(table, tmp_path / "x.parquet")
    assert read_index(tmp_path / "x.parquet").labels.tolist() == [[True, True, False], [True, False, True]]


@pytest.mark.parametrize("limit", [50, 400, 700])
def test_a_sample_keeps_the_share_of_each_label_where_every_set_is_rare(limit):
    labels = np.random.default_rng(0).random((1000, 20)) < 0.3
    labels = labels[np.argsort(label_set_numbers(labels), kind="stable")]  # the canonical order
    sample = stratified_sample(torch.from_numpy(labels), limit, seed=0)
    assert len(sample.unique()) == limit
    assert np.abs(labels[sample.numpy()].mean(0) - labels.mean(0)).max() < 1 / limit**0.5


def test_every_image_with_one_label_is_noted(photos):
    rows = [f"{k}.png,{int(k % 2)},{int(k % 2 == 0)}" for k in range(10)]
    path = write(photos[0] / "one_hot.csv", ["path,odd,even", *rows])
    assert "exactly one label" in read_index(path, columns={"label": ["odd", "even"]}).notes[0]


def test_equal_images_with_other_sets_of_labels_are_noted(photos, tmp_path):
    root, rows = photos
    content = rows[0][1]
    for k in range(3):
        (root / f"copy{k}.png").write_bytes(content)
    lines = [f"{name},{';'.join(s)}" for name, _, s in rows]
    path = write(root / "copies.csv", ["path,label", *lines, "copy0.png,cat", "copy1.png,cat;dog"])
    notes = " ".join(load_data("images", path=path, **SIZES, **WITH_SEPARATOR).notes)
    assert "3 images are equal to one of another class" in notes
    assert "(cat, dog)" in notes


def test_whole_numbers_are_the_same_classes_as_text_and_as_numbers():
    numbers = encode_labels(pa.array([3.0, 10.0, 3.0]), "a Parquet file")
    texts = encode_labels(pa.array(["3.0", " 10.00", "3.0"]), "a CSV file")
    assert numbers[0] == texts[0] == ("10", "3")
    assert numbers[1].tolist() == texts[1].tolist() == [1, 0, 1]
    for names in (("2.0", "b"), ("3.0", "v3.0")):  # not all are whole numbers
        assert encode_labels(pa.array(names), "a CSV file")[0] == names
