"""A folder of pictures with a folder of articles: searched, and its model used on classes that were never there."""

import contextlib
import gc
import io
import itertools
import sys

import pytest
import torch
from PIL import Image

from archsieve.models.zero_shot.saved_model import ZeroShotModel
from archsieve.results.database.store import open_store
from archsieve.results.database.zero_shot_records import MEASURES, SELECTED_BY, SHOWN, table_of
from archsieve.search.cli.main import main

PLACES, COLOURS = (
    ("left", "right", "top", "bottom"),
    {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220)},
)
BOXES = {"left": (0, 0, 4, 8), "right": (4, 0, 8, 8), "top": (0, 0, 8, 4), "bottom": (0, 4, 8, 8)}


def drawn(place: str, colour: str, shade: int) -> Image.Image:
    picture = Image.new("RGB", (8, 8), (shade, shade, shade))
    picture.paste(tuple(min(255, part + shade) for part in COLOURS[colour]), BOXES[place])
    return picture


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
    """Half a picture in one of three colours; each article says which half and which colour. Searched by the command:
    the folder, and what the command printed.
    """
    at = tmp_path_factory.mktemp("halves")
    (at / "texts").mkdir()
    for place, colour in itertools.product(PLACES, COLOURS):
        folder = at / "images" / f"{colour}-{place}"
        folder.mkdir(parents=True)
        for shade in range(20):
            drawn(place, colour, shade).save(folder / f"{shade}.png")
        (at / "texts" / f"{colour}-{place}.txt").write_text(f"A picture whose {place} half is {colour}.")
    (at / "search.toml").write_text(FILE)
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.chdir(at)
        patch.setattr(sys, "argv", ["archsieve", "search", "search.toml"])
        with pytest.raises(SystemExit) as ended:
            main()
    gc.enable()  # which the command line turns off
    assert ended.value.code == 0
    return at, said.getvalue()


def table(halves):
    with open_store(halves[0] / "runs" / "archsieve.db", read_only=True) as store:
        return table_of(store, "halves")


def test_the_command_prints_the_table_and_what_its_numbers_mean(halves):
    out = halves[1]
    for said in ("calibrated H on validation classes", "on 2 unseen classes (40 images) and 10 seen ones"):
        assert said in out
    rows = [line.split() for line in out.splitlines() if line.startswith(("trial 1 ", "random ", "ridge "))]
    assert [row[0] for row in rows] == ["trial", "random", "ridge"]
    assert {len(row) for row in rows[1:]} == {1 + len(SHOWN)}
    for said in (MEASURES, SELECTED_BY, "the two, which the budget limits", "text network"):
        assert said in out


def test_the_named_classes_are_the_unseen_ones(halves):
    found = table(halves)
    assert (found["seen"], found["unseen"], found["test_unseen"]) == (10, 2, 40)
    for row in found["rows"]:
        assert 0 <= row["h_calibrated"] <= 1
    assert found["words"] == len({"a", "picture", "whose", "half", "is", *PLACES, *COLOURS})


def test_a_class_is_added_by_text_alone(halves):
    model = ZeroShotModel.load(halves[0] / "runs" / table(halves)["model"])
    assert "red-left" not in model.seen
    images = torch.stack(
        [torch.tensor(list(drawn("left", "red", s).tobytes()), dtype=torch.uint8).view(8, 8, 3) for s in range(8)]
    ).permute(0, 3, 1, 2)
    texts = {
        "blue-right": "A picture whose right half is blue.",
        "green-bottom": "A picture whose bottom half is green.",
    }
    assert "anything" not in model.predict(images, texts)
    said = model.predict(images, {**texts, "anything": "its left half is red"}, calibrate=False)
    assert said.count("anything") >= 6
