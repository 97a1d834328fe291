"""``archsieve predict`` with model files: what is printed and written, and what cannot be predicted."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from archsieve.models.data.dataset import ImageData, Split
from archsieve.models.export.classifier import ImageModel
from archsieve.models.export.formats import export
from archsieve.models.networks.build import build
from archsieve.search.api.model import load_model
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, GlobalAverage

ARCHITECTURE = Architecture((3, 8, 8), (Conv(4), GlobalAverage()), 3)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A model of three classes as net.safetensors and net.onnx, made once: the export to ONNX takes seconds."""
    folder = tmp_path_factory.mktemp("model")
    images = torch.randint(0, 256, (9, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split = Split(images, torch.arange(9) % 3)
    data = ImageData.of("made", ("cat", "dog", "owl"), train=split, val=split)
    model = ImageModel.of(ARCHITECTURE, build(ARCHITECTURE, seed=0).state_dict(), data, {"val_accuracy": 0.5})
    model.save(folder / "net.safetensors")
    (folder / "net.onnx").write_bytes(export(model, "onnx").content)
    return folder


@pytest.fixture
def files(model_folder, tmp_path):
    """The folder of a test, with the model files, and five images and a text in the folder photos."""
    shutil.copytree(model_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for k in range(5):
        Image.fromarray(rng.integers(0, 256, (12, 9, 3), dtype=np.uint8)).save(tmp_path / "photos" / f"{k}.png")
    (tmp_path / "photos" / "notes.txt").write_text("not an image")
    return tmp_path


def test_json_has_one_entry_for_each_image_in_order(line, files):
    code, out, err = line("predict", "net.safetensors", "photos", "photos/0.png", "--json", "--batch-size", "2")
    assert code == 0, err
    assert "1 files in photos" in err
    rows = json.loads(out)
    assert [row["image"] for row in rows] == [*(f"photos/{k}.png" for k in range(5)), "photos/0.png"]
    assert all(set(row) == {"image", "class", "probability"} for row in rows)
    model = load_model(files / "net.safetensors")
    expected = model.predict(files / "photos", top=1)
    assert [row["class"] for row in rows[:5]] == model.predict(files / "photos")
    assert [row["probability"] for row in rows[:5]] == pytest.approx([ranking[0][1] for ranking in expected], abs=1e-6)


def test_an_onnx_file_predicts_the_same(line, files):
    answers = [json.loads(line("predict", f"net.{suffix}", "photos", "--json", "--top", "3")[1])
               for suffix in ("safetensors", "onnx")]  # fmt: skip
    for ours, theirs in zip(*answers, strict=True):
        assert (ours["image"], ours["class"]) == (theirs["image"], theirs["class"])
        assert [entry["class"] for entry in ours["top"]] == [entry["class"] for entry in theirs["top"]]
        assert [entry["probability"] for entry in ours["top"]] == pytest.approx(
            [entry["probability"] for entry in theirs["top"]], abs=1e-4
        )
        assert sum(entry["probability"] for entry in ours["top"]) == pytest.approx(1, abs=1e-5)


def test_a_csv_file_has_a_row_for_each_class(line, files):
    code, out, err = line("predict", "net.safetensors", "photos", "-o", "one.csv")
    assert code == 0, err
    assert "one.csv: 5 images" in out
    with (files / "one.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "class", "probability", "error"]
    assert len(rows) == 5
    code, _, err = line("predict", "net.safetensors", "photos", "-o", "one.csv", "--top", "2")
    assert code == 2
    assert "--force" in err
    assert line("predict", "net.safetensors", "photos", "-o", "one.csv", "--top", "2", "--force")[0] == 0
    with (files / "one.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["rank"]) for row in rows[:3]] == [
        ("photos/0.png", "1"),
        ("photos/0.png", "2"),
        ("photos/1.png", "1"),
    ]


def test_a_table_is_printed_without_options(line, files):
    code, out, err = line("predict", "net.safetensors", "photos/0.png")
    assert code == 0, err
    assert out.splitlines()[0].split() == ["image", "class", "probability"]
    assert "photos/0.png" in out


def test_an_image_that_cannot_be_decoded_is_named_and_the_others_are_predicted(line, files):
    (files / "photos" / "1.png").write_bytes(b"\x89PNG broken")
    code, out, err = line("predict", "net.safetensors", "photos", "--json")
    assert code == 3
    rows = json.loads(out)
    assert [row["image"] for row in rows] == [f"photos/{k}.png" for k in range(5)]
    assert [set(row) - {"image"} for row in rows[:2]] == [{"class", "probability"}, {"error"}]
    assert "photos/1.png" in rows[1]["error"]
    assert "photos/1.png" in err
    assert "1 of 5" in err
    assert line("predict", "net.safetensors", "photos", "-o", "some.csv", "--top", "2")[0] == 3
    with (files / "some.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["image"], row["rank"], bool(row["error"])) for row in table[1:4]] == [
        ("photos/0.png", "2", False),
        ("photos/1.png", "", True),
        ("photos/2.png", "1", False),
    ]
    code, out, err = line("predict", "net.onnx", "photos/1.png", "--json")
    assert (code, [set(row) for row in json.loads(out)]) == (3, [{"image", "error"}])


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (("none.safetensors", "photos"), ("none.safetensors",)),
        (("photos/notes.txt", "photos"), ("notes.txt",)),
        (("foreign.safetensors", "photos"), ("foreign.safetensors", "archsieve train")),
        (("net.safetensors", "none.png"), ("none.png",)),
        (("net.safetensors", "empty"), ("empty", "no files")),
        (("net.safetensors", "texts"), ("texts", "a.txt")),
        (("net.safetensors", "photos", "--device", "tpu"), ("--device", "'tpu'")),
        (("net.safetensors", "photos", "-o", "none/x.csv"), ("none",)),
        (("net.safetensors", "photos", "-o", "x.json"), ("--output", "x.json")),
        (("net.safetensors", "photos", "--top", "0"), ("--top",)),
        (("net.pt2", "photos"), ("net.pt2", "torch.export")),
        (("net.safetensors",), ("IMAGE",)),
    ],
)
def test_bad_input_is_one_clear_error(line, files, arguments, facts):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, files / "foreign.safetensors")
    (files / "empty").mkdir()
    (files / "texts").mkdir()
    (files / "texts" / "a.txt").write_text("text")
    before = sorted(files.rglob("*"))
    code, out, err = line("predict", *arguments)
    assert (code, out) == (2, ""), err
    assert [fact for fact in facts if fact not in err] == [], err
    assert "Traceback" not in err
    assert sorted(files.rglob("*")) == before
