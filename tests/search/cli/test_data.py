"""``archsieve data`` and ``archsieve init PATH``: what is in own images, and a search file for them."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from archsieve.models.data.registry import load_data
from archsieve.models.storage.choice import StorageOptions
from archsieve.search.api.searching import _data_table
from archsieve.search.experiment.search_file import load_experiment
from archsieve.search.experiment.timed_budget import StepTime, propose, sides_below

from ...models.readers.conftest import as_csv, as_folder, images


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders with copies, one conflict, one constant image, one odd file."""
    root = as_folder(images(n_classes=3, n=6, copies=2), tmp_path)
    (root / "dog" / "also-cat.png").write_bytes((root / "cat" / "0003.png").read_bytes())
    Image.new("RGB", (20, 10), "red").save(root / "cat" / "red.png")
    (root / "cat" / "torn.png").write_bytes(b"\x89PNG\r\n")
    return root


def test_data_shows_what_is_wrong(line: Any, photos: Path) -> None:
    code, out, err = line("data", "folder", "--image-size", "8", "-o", "sheet.png", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert report["reader"] == "folder"
    assert report["classes"] == {"cat": 10, "dog": 9, "émeu": 8}
    assert report["splits"] == {"train": 27}
    assert (report["rows"], report["constant"], report["odd"]) == (27, 1, 1)
    assert (report["duplicates"], report["conflicts"]) == (7, 2)
    assert (report["width"], report["height"]["max"]) == ({"min": 6, "median": 6.0, "max": 20}, 10)
    assert report["channels"] == {"RGB": 26}
    assert report["storage"]["kind"] == "memory"
    assert report["storage"]["bytes"] == 27 * 3 * 8 * 8
    assert "also-cat.png (dog)" in str(report["examples"]["conflicts"])
    assert "torn.png" in report["examples"]["odd"][0]
    with Image.open("sheet.png") as sheet:
        assert np.asarray(sheet).std() > 10
    code, out, _ = line("data", "folder")
    assert code == 0
    assert "red.png" in out


def test_data_of_a_search_file_and_a_manifest(line: Any, tmp_path: Path) -> None:
    as_csv(images(n=2, splits=("train", "test")), tmp_path)
    (tmp_path / "s.toml").write_text('[data]\nname = "images"\npath = "manifest.csv"\nimage_size = 16\n')
    reports = [
        json.loads(line("data", *arguments, "--json")[1])
        for arguments in (("s.toml",), ("manifest.csv", "--column", "label=Class", "--image-size", "16"))
    ]
    for report in reports:
        assert (report["reader"], report["splits"], report["image_size"]) == ("manifest", {"train": 6, "test": 6}, 16)
        assert report["overlap"] is None


def test_data_finds_the_cache_of_a_search(line: Any, tmp_path: Path) -> None:
    root = as_folder(images(n_classes=3, n=9), tmp_path)
    Path("mine.toml").write_text(
        '[data]\nname = "images"\npath = "folder"\nimage_size = 8\nlimit = 20\nseed = 3\ncache = "caches"\n'
    )
    code, out, _ = line("data", "mine.toml", "--json")
    assert (code, json.loads(out)["storage"]["kind"]) == (0, "memory")
    storage = StorageOptions("cache", "caches")
    load_data("images", path=root, image_size=8, limit=20, seed=3, storage=storage)
    code, out, _ = line("data", "mine.toml", "--json")
    assert (code, json.loads(out)["storage"]["kind"]) == (0, "cache")
    assert json.loads(out)["storage"]["bytes"] == 20 * 3 * 8 * 8
    assert json.loads(out)["rows"] == 27


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gone",), "gone does not"),
        (("digits.toml",), "'digits'"),
        (("folder", "--column", "label"), "ROLE=NAME"),
        (("folder", "-o", "sheet.unknown"), "sheet.unknown"),
    ],
)
def test_bad_arguments_of_data(line: Any, photos: Path, arguments: tuple[str, ...], message: str) -> None:
    Path("digits.toml").write_text("")
    Path("digits.toml").write_text('[data]\nname = "digits"\n')
    code, _, err = line("data", *arguments)
    assert code == 2
    assert message in err


def test_init_recognises_a_path(line: Any, tmp_path: Path) -> None:
    as_csv(images(n=20), tmp_path)
    (tmp_path / "searches").mkdir()
    code, out, err = line("init", "manifest.csv", "--minutes", "1", "-o", "searches/mine.toml")
    assert code == 0, err
    assert "searches/mine.toml" in out
    text = Path("searches/mine.toml").read_text()
    tables = tomllib.loads(text)
    assert (tables["name"], tables["data"]["name"], tables["data"]["path"]) == ("manifest", "images", "../manifest.csv")
    assert tables["data"]["image_size"] == 16  # the images are smaller than the smallest proposal
    found = load_experiment("searches/mine.toml")
    assert found.classes == 3


def test_a_folder_with_the_name_of_a_data_set(line: Any, tmp_path: Path) -> None:
    as_folder(images(n=4), tmp_path).rename(tmp_path / "images")
    (tmp_path / "digits").mkdir()
    code, _, err = line("init", "images", "--image-size", "24", "-o", "own.toml")
    assert code == 0, err
    assert tomllib.loads(Path("own.toml").read_text())["data"]["path"] == "images"
    assert "note: images is a folder" in err
    code, _, err = line("init", "digits")
    assert (code, tomllib.loads(Path("digits.toml").read_text())["data"]["name"]) == (0, "digits")
    assert "./digits" in err
    assert _data_table("images", 24) == {"name": "images", "path": "images", "image_size": 24}
    assert _data_table("digits", None) == {"name": "digits"}
    assert _data_table(Path("digits"), 8) == {"name": "images", "path": "digits", "image_size": 8}


def test_init_with_an_image_size_times_nothing_without_minutes(line: Any, tmp_path: Path) -> None:
    as_folder(images(n=4), tmp_path)
    assert line("init", "folder", "--image-size", "24")[0] == 0
    tables = tomllib.loads(Path("folder.toml").read_text())
    assert tables["data"]["image_size"] == 24
    assert tables["search"]["trials"] == 24
    assert line("init", "digits", "--minutes", "5")[0] == 2
    assert line("init", "folder", "--minutes", "0", "-o", "x.toml")[0] == 2


def test_init_reads_the_data_as_the_options_say(line: Any, tmp_path: Path) -> None:
    as_csv(images(n=4), tmp_path)
    Path("semicolons.csv").write_text(Path("manifest.csv").read_text().replace("Class", "species").replace(",", ";"))
    code, _, err = line("init", "semicolons.csv", "--image-size", "8")
    assert code == 2
    assert "--column label=NAME" in err
    code, _, err = line("init", "semicolons.csv", "--column", "label=species", "--image-size", "8", "-o", "a.toml")
    assert code == 0, err
    assert tomllib.loads(Path("a.toml").read_text())["data"]["columns"] == {"label": "species"}
    assert load_experiment("a.toml").classes == 3
    as_folder(images(n=4, splits=("a", "b")), tmp_path)
    assert line("init", "folder", "--nested", "--image-size", "8", "-o", "b.toml")[0] == 0
    assert load_experiment("b.toml").classes == 6
    code, _, err = line("init", "digits", "--nested")
    assert (code, "own images" in err) == (2, True)


def test_more_minutes_give_a_larger_search() -> None:
    step = StepTime(per_image=1e-4, per_mac=1e-10)
    proposals = [
        propose(1000, step, minutes=m, sides=[32, 64, 128], largest_macs=10**9, concurrent=2)
        for m in (1, 10, 100, 1000)
    ]
    assert [p.image_size for p in proposals] == sorted(p.image_size for p in proposals)
    assert proposals[0].image_size < proposals[-1].image_size
    assert [p.macs for p in proposals] == sorted(p.macs for p in proposals)
    assert all(p.seconds <= 60 * m for p, m in zip(proposals[1:], (10, 100, 1000), strict=True))
    few = propose(10**6, step, minutes=1, sides=[64], largest_macs=10**9, concurrent=1)
    assert (few.image_size, few.trials) == (64, 8)
    assert few.seconds > 60


def test_images_are_not_enlarged() -> None:
    assert sides_below([(500, 375), (40, 100), (100, 70)]) == [16, 24, 32, 48, 64]
    assert sides_below([(4, 4)]) == [16]


def test_python_takes_paths_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    as_csv(images(n=2), tmp_path)
    for data in ("manifest.csv", "photos/", Path("photos"), "shards/x-{0..9}.tar"):
        assert _data_table(data, None) == {"name": "images", "path": str(data), "image_size": 64}
    assert _data_table("digits", None) == {"name": "digits"}
    assert _data_table("cifar", 32) == {"name": "cifar", "image_size": 32}
