"""A folder of pictures with a folder of articles: searched, and its model used on classes that were never there."""

import itertools

import pytest
import torch
from PIL import Image

from archsieve.models.zero_shot_model import ZeroShotModel
from archsieve.search.experiment import experiment
from archsieve.search.search_file import parse
from archsieve.search.session import search

PLACES, COLOURS = (
    ("left", "right", "top", "bottom"),
    {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220)},
)
BOXES = {"left": (0, 0, 4, 8), "right": (4, 0, 8, 8), "top": (0, 0, 8, 4), "bottom": (0, 4, 8, 8)}


def drawn(place: str, colour: str, shade: int) -> Image.Image:
    picture = Image.new("RGB", (8, 8), (shade, shade, shade))
    picture.paste(tuple(min(255, part + shade) for part in COLOURS[colour]), BOXES[place])
    return picture


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, ray_running):
    """Half a picture in one of three colours; each article says which half and which colour."""
    at = tmp_path_factory.mktemp("halves")
    (at / "texts").mkdir()
    for place, colour in itertools.product(PLACES, COLOURS):
        folder = at / "images" / f"{colour}-{place}"
        folder.mkdir(parents=True)
        for shade in range(20):
            drawn(place, colour, shade).save(folder / f"{shade}.png")
        (at / "texts" / f"{colour}-{place}.txt").write_text(f"A picture whose {place} half is {colour}.")
    tables = {
        "data": {
            "name": "imagefolder",
            "path": str(at / "images"),
            "texts": str(at / "texts"),
            "image_size": 8,
            "unseen": ["red-left", "green-top"],
        },
        "budget": {"params": "20k"},
        "space": {"stages": [{"block": "conv-pool", "width": [8, 16]}] * 2, "features": 16},
        "recipe": {
            "epochs": 12,
            "batch_size": 32,
            "lr": 0.01,
            "k": 16,
            "hidden": 24,
            "loss": "softmax",
            "similarity": "cosine",
        },
        "search": {"trials": 1, "searcher": "random"},
        "zero_shot": {"baselines": ["ridge"], "explained": 2},
    }
    return search(experiment(parse(tables)), name="halves", runs=at / "runs")


def test_the_named_classes_are_the_unseen_ones(outcome):
    table = outcome.zero_shot
    assert (table["seen"], table["unseen"], table["test_unseen"]) == (10, 2, 40)
    for row in table["rows"]:
        assert 0 <= row["h_calibrated"] <= 1
    assert table["words"] == len({"a", "picture", "whose", "half", "is", *PLACES, *COLOURS})


def test_a_class_is_added_by_text_alone(outcome):
    model = ZeroShotModel.load(outcome.database.parent / outcome.zero_shot["model"])
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
