"""A zero-shot search on a folder of images and a folder of texts, and its model used on new classes."""

import contextlib
import gc
import io
import itertools
import json
import sys
from pathlib import Path

import onnxruntime
import pytest
import torch
from PIL import Image

from archsieve.models.data.text_features import encoder_from_state
from archsieve.models.zero_shot.saved_model import ZeroShotModel
from archsieve.results.database.store import open_store
from archsieve.results.database.zero_shot_records import (
    CALIBRATED_H,
    METRIC_NOTES,
    SELECTION_NOTE,
    TABLE_COLUMNS,
    latest_test_table,
)
from archsieve.search.cli.main import main

HALVES = ("left", "right", "top", "bottom")
COLOURS = {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220)}
BOXES = {"left": (0, 0, 4, 8), "right": (4, 0, 8, 8), "top": (0, 0, 8, 4), "bottom": (0, 4, 8, 8)}


def draw_image(half: str, colour: str, shade: int) -> Image.Image:
    """Draw an image with one half in a colour; ``shade`` (0 to 255) varies its brightness."""
    image = Image.new("RGB", (8, 8), (shade, shade, shade))
    image.paste(tuple(min(255, part + shade) for part in COLOURS[colour]), BOXES[half])
    return image


FILE = """
name = "halves"
[data]
name = "imagefolder"
path = "images"
texts = "texts"
image_size = 8
unseen = ["red-left", "green-top"]
[budget]
params = "20k"
[space]
features = 16
[[space.stages]]
block = "conv-pool"
width = [8, 16]
[[space.stages]]
block = "conv-pool"
width = [8, 16]
[recipe]
epochs = 12
batch_size = 32
lr = 0.01
k = 16
hidden = 24
loss = "softmax"
similarity = "cosine"
[search]
trials = 1
searcher = "random"
[zero_shot]
baselines = ["random", "ridge"]
explained = 2
"""


@pytest.fixture(scope="module")
def halves(tmp_path_factory, ray_running):
    """Search with the command line; return the folder and the output of the command.

    The classes are images with one half in one of three colours; each text names the half and the colour.
    """
    root = tmp_path_factory.mktemp("halves")
    (root / "texts").mkdir()
    for half, colour in itertools.product(HALVES, COLOURS):
        folder = root / "images" / f"{colour}-{half}"
        folder.mkdir(parents=True)
        for shade in range(20):
            draw_image(half, colour, shade).save(folder / f"{shade}.png")
        (root / "texts" / f"{colour}-{half}.txt").write_text(f"A picture whose {half} half is {colour}.")
    (root / "search.toml").write_text(FILE)
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        patch.chdir(root)
        patch.setattr(sys, "argv", ["archsieve", "search", "search.toml"])
        with pytest.raises(SystemExit) as exit_:
            main()
    gc.enable()  # the command line turns it off
    assert exit_.value.code == 0
    return root, output.getvalue()


def table(halves):
    with open_store(halves[0] / "runs" / "archsieve.db", read_only=True) as store:
        return latest_test_table(store, "halves")


def test_the_command_prints_the_table_and_the_meaning_of_its_metrics(halves):
    out = halves[1]
    for text in (CALIBRATED_H, "2 unseen classes (40 images)"):
        assert text in out
    starts = ("trial 1 ", "random  ", "ridge  ")  # a row of the table, not a sentence
    rows = [line.split() for line in out.splitlines() if line.startswith(starts)]
    assert [row[0] for row in rows] == ["trial", "random", "ridge"]
    assert {len(row) for row in rows[1:]} == {1 + len(TABLE_COLUMNS)}
    for text in (METRIC_NOTES, SELECTION_NOTE, "text network"):
        assert text in out


def test_the_unseen_classes_are_those_of_the_search_file(halves):
    results = table(halves)
    assert (results["seen"], results["unseen"], results["test_unseen"]) == (10, 2, 40)
    for row in results["rows"]:
        assert 0 <= row["h_calibrated"] <= 1
    assert results["words"] == len({"a", "picture", "whose", "half", "is", *HALVES, *COLOURS})


def test_a_new_class_needs_only_its_text(halves):
    model = ZeroShotModel.load(halves[0] / "runs" / table(halves)["model"])
    assert "red-left" not in model.seen
    images = torch.stack(
        [torch.tensor(list(draw_image("left", "red", s).tobytes()), dtype=torch.uint8).view(8, 8, 3) for s in range(8)]
    ).permute(0, 3, 1, 2)
    texts = {
        "blue-right": "A picture whose right half is blue.",
        "green-bottom": "A picture whose bottom half is green.",
    }
    assert "anything" not in model.predict(images, texts)
    predictions = model.predict(images, {**texts, "anything": "its left half is red"}, calibrate=False)
    assert predictions.count("anything") >= 6


def test_both_sides_are_exported_and_give_the_scores_of_the_model(halves, line, tmp_path):
    trial, database = table(halves)["trial"], ("--db", str(halves[0] / "runs" / "archsieve.db"))
    for side in ("image", "text"):
        export = ("export", str(trial), *database, "--format", "onnx", "--form", side, "-o", f"{side}.onnx")
        code, out, err = line(*export)
        assert (code, err) == (0, "")
        assert f"{side} side of trial {trial}" in out
    code, _, err = line("export", str(trial), *database, "--format", "onnx")
    assert (code, "--form image" in err) == (2, True)
    code, _, err = line("train", str(trial), *database)
    assert (code, f"archsieve export {trial}" in err) == (2, True)
    sessions = {side: onnxruntime.InferenceSession(tmp_path / f"{side}.onnx") for side in ("image", "text")}
    about = json.loads(sessions["text"].get_modelmeta().custom_metadata_map["archsieve"])
    encoder = encoder_from_state(about["encoder"])
    texts = {"a": "its left half is red", "b": "its top half is green"}
    images = torch.rand(3, 3, 8, 8)
    embedded = sessions["image"].run(None, {"images": images.numpy()})[0]
    vectors = encoder(list(texts), list(texts.values()))
    classifiers = sessions["text"].run(None, {"images": vectors.numpy()})[0]
    model = ZeroShotModel.load(halves[0] / "runs" / table(halves)["model"])
    scores = about["scale"] * embedded @ classifiers.T + about["bias"]
    assert scores == pytest.approx(model.scores(images, texts).numpy(), abs=1e-3)


def test_predict_recognises_classes_by_their_texts(halves, line, tmp_path):
    folder, database = halves[0], ("--db", str(halves[0] / "runs" / "archsieve.db"))
    texts = {path.stem: path.read_text() for path in (folder / "texts").iterdir()}
    new = {**texts, "red-corner": ["A picture whose left half is red.", "Red, left."]}
    (tmp_path / "texts.json").write_text(json.dumps(new))
    photos = str(folder / "images" / "blue-top")
    images = [torch.tensor(list(draw_image("top", "blue", s).tobytes()), dtype=torch.uint8) for s in range(20)]
    saved = ZeroShotModel.load(folder / "runs" / table(halves)["model"])
    expected = saved.predict(torch.stack(images).view(-1, 8, 8, 3).permute(0, 3, 1, 2), texts)
    for model in ("halves", str(folder / "runs" / table(halves)["model"])):
        code, out, err = line("predict", model, photos, *database, "--texts", str(folder / "texts"), "--json")
        assert (code, err) == (0, "")
        assert {row["image"]: row["class"] for row in json.loads(out)} == {
            str(Path(photos) / f"{shade}.png"): name for shade, name in enumerate(expected)
        }
    red = str(folder / "images" / "red-left" / "0.png")
    predict = ("predict", "halves", red, *database, "--texts", str(tmp_path / "texts.json"), "--top", "13", "--json")
    (row,) = json.loads(line(*predict)[1])
    assert {entry["class"] for entry in row["top"]} == set(new)
    assert sum(entry["probability"] for entry in row["top"]) == pytest.approx(1, abs=1e-4)
    code, _, err = line("predict", "halves", photos, *database)
    assert (code, "needs the texts of the classes" in err) == (2, True)
