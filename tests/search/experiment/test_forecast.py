"""The forecast of a search: it matches the space, does not start Ray and writes nothing."""

import json
import re

import pytest

from archsieve.search.experiment.dry_run import forecast, forecast_lines, notes

from ..conftest import small

SEARCH = """
name = "tiny"
[data]
limit = 200
[budget]
params = "20k"
[space]
[[space.stages]]
block = "conv-pool"
width = [8, 16]
[recipe]
epochs = 2
lr = [0.1]
[search]
trials = 9
scheduler = "asha"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))
    (tmp_path / "tiny.toml").write_text(SEARCH)
    return tmp_path


def test_the_forecast_is_printed_and_nothing_is_written(folder, line):
    code, out, err = line("search", "tiny.toml", "--dry-run")
    assert (code, err) == (0, "")
    assert re.search(r"9 trials .*2 epochs .*gp.*asha", out)
    assert re.search(r"stages, 2 .*params <= 20\.0k", out)
    assert re.search(r"^inside: 2, .*\b1$", out, re.MULTILINE)
    assert re.search(r"^note: recipe\.lr .*fixed", out, re.MULTILINE)
    assert re.search(r"^note: .*ends early.* 2 .* 9 trials", out, re.MULTILINE)
    assert re.search(r"^unknown: .*asha", out, re.MULTILINE)
    assert sorted(folder.iterdir()) == [folder / "tiny.toml"]


@pytest.mark.parametrize(
    ("setting", "note"),
    [
        ("recipe.lr_end=[0.001, 0.5]", "recipe.lr_end may be 0.5"),
        ('recipe.schedule=["cosine", "constant"]', "recipe.schedule"),
        ("recipe.lr_end=0.01", ""),
    ],
)
def test_a_learning_rate_that_hardly_falls_is_noted(folder, line, setting, note):
    code, out, _ = line("search", "tiny.toml", "--dry-run", "-s", setting)
    assert code == 0
    notes = [text for text in out.splitlines() if text.startswith("note: ")]
    assert notes[0].startswith("note: recipe.lr ")
    extra = [text for text in notes if "lr_end" in text or "schedule" in text]
    assert len(extra) == bool(note)
    assert all(note in text for text in extra)


def test_a_scheduler_without_effect_is_noted(folder, line):
    note = "note: asha stops no trial"
    assert note not in line("search", "tiny.toml", "--dry-run")[1]
    assert note in line("search", "tiny.toml", "--dry-run", "-s", "search.grace_epochs=2")[1]


def test_json_has_the_numbers_of_the_forecast(folder, line):
    code, out, _ = line("search", "tiny.toml", "--dry-run", "--json", "--name", "other", "--trials", "7")
    report = json.loads(out)
    assert (code, report["run"], report["size"], report["feasible"], report["trials"]) == (0, "other", 2, 2, 7)
    assert report["data"]["n_train"] + report["data"]["n_val"] + report["data"]["n_test"] == 200
    assert 0 < report["memory_bytes"]["least"] <= report["memory_bytes"]["median"] <= report["memory_bytes"]["most"]
    assert 0 < report["seconds"]["least"] <= report["seconds"]["median"] <= report["seconds"]["most"]
    assert sorted(folder.iterdir()) == [folder / "tiny.toml"]


def test_a_search_of_more_than_an_hour_is_noted_with_the_keys_that_shorten_it(folder, line):
    def forecast_of(*settings):
        options = [part for setting in settings for part in ("-s", setting)]
        code, out, err = line("search", "tiny.toml", "--dry-run", "--json", *options)
        assert (code, err) == (0, "")
        report = json.loads(out)
        return report, [note for note in report["notes"] if "than an hour" in note]

    assert forecast_of()[1] == []
    # a fast machine needs less than an hour for a million of the trials of two epochs
    many = ("search.trials=1000000", "search.searcher=random", "recipe.epochs=200")
    report, (note,) = forecast_of(*many)
    share = 3600 / report["seconds"]["median"]
    assert 'search.time_limit = "1h"' in note
    assert f"search.trials = {int(1_000_000 * share)}" in note
    assert ("recipe.epochs" in note) == (200 * share >= 1)
    assert forecast_of(*many, "search.time_limit=50m")[1] == []


@pytest.mark.parametrize(
    ("resources", "elsewhere", "fragment"),
    [
        ({"gpus_per_trial": 0.5}, False, "on GPUs"),
        ({"gpus_per_trial": "auto"}, False, "on GPUs"),
        ({"cpus_per_trial": 100_000}, False, "100000 cores"),
        ({}, True, "on a cluster"),
    ],
)
def test_an_unknown_time_is_none_with_a_reason(resources, elsewhere, fragment):
    report = forecast(small(resources=resources), "x", elsewhere=elsewhere)
    assert report["seconds"] is None
    assert fragment in report["unknown"][0]
    assert any(fragment in line for line in forecast_lines(report))


def test_architectures_outside_the_budget_are_not_counted():
    report = forecast(small(budget={"params": "5k"}), "x")
    assert 0 < report["feasible"] < report["size"]
    assert report["feasible_share"] == report["feasible"] / report["size"]


def test_an_error_in_the_data_is_reported(folder, line):
    code, out, err = line("search", "tiny.toml", "--dry-run", "-s", "data.limit=5")
    assert (code, out) == (2, "")
    assert "`limit`" in err


def test_an_existing_run_name_is_refused(tmp_path, line):
    from archsieve.results.database.store import open_store

    (tmp_path / "tiny.toml").write_text(SEARCH)
    with open_store(tmp_path / "runs" / "archsieve.db", create=True) as store:
        data = {"content_hash": "d", "name": "d"}
        store.create_run("tiny", {}, "random", 0, data, {})
    code, _, err = line("search", "tiny.toml", "--dry-run")
    assert code == 2
    assert "'tiny' exists" in err


@pytest.fixture
def images(folder):
    """A search file for a folder with one torn image and a strip."""
    from PIL import Image

    for name, level in (("a", 50), ("b", 200)):
        (folder / "images" / name).mkdir(parents=True)
        for k in range(10):
            image = Image.new("RGB", (12, 10), (level, k, 0))
            image.putpixel((6, 5), (0, 0, 0))
            image.save(folder / "images" / name / f"{k}.png")
    (folder / "images" / "a" / "torn.png").write_bytes((folder / "images" / "a" / "0.png").read_bytes()[:60])
    strip = Image.new("RGB", (1000, 20))
    strip.putpixel((500, 10), (255, 255, 255))
    strip.save(folder / "images" / "b" / "strip.png")
    keys = '[data]\nname = "imagefolder"\npath = "images"\nimage_size = 12\n'
    (folder / "tiny.toml").write_text(SEARCH.replace("[data]\nlimit = 200\n", keys))
    return folder


def test_a_bad_image_is_an_error_or_is_left_out_and_shown(images, line):
    code, _, err = line("search", "tiny.toml", "--dry-run")
    assert code == 2
    assert "torn.png" in err
    code, out, err = line("search", "tiny.toml", "--dry-run", "--json", "-s", "data.on_bad=skip")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert sum(report["data"][part] for part in ("n_train", "n_val", "n_test")) == 21
    assert report["data"]["path"] == str(images / "images")
    strip, skipped = report["notes"][-2:]
    assert "1 of 21 images" in strip
    assert "strip.png keeps 2.0%" in strip
    assert "1 image was skipped" in skipped
    assert "torn.png" in skipped


def test_a_class_of_bad_images_is_an_error(images, line):
    for file in (images / "images" / "a").iterdir():
        file.write_bytes(b"torn" + file.name.encode())  # equal files would stay on one side of the split
    code, _, err = line("search", "tiny.toml", "--dry-run", "-s", "data.on_bad=skip")
    assert code == 2
    assert "all 11 of class 'a'" in err


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("data.resize=squash", "'crop', 'pad' or 'stretch'"),
        ("data.background=[0, 0, 300]", "data.background"),
        ("data.value_range=[9, 3]", "data.value_range"),
        ("data.on_bad=ignore", "'error' or 'skip'"),
        ("data.decoding_rules=3", "1 or 2"),
    ],
)
def test_keys_of_decoding_that_cannot_work_are_refused(images, line, setting, named):
    code, _, err = line("search", "tiny.toml", "--dry-run", "-s", setting)
    assert code == 2
    assert named in err


def test_keys_of_decoding_are_refused_for_data_without_files(folder, line):
    code, _, err = line("search", "tiny.toml", "--dry-run", "-s", "data.resize=pad")
    assert code == 2
    assert "data.resize" in err
    assert "'digits'" in err


def test_keys_without_effect_are_noted():
    stages = {"stages": [{"block": "conv-pool", "width": [8, 16]}]}
    residual = {"stages": [{"block": "residual", "width": [8, 16]}]}
    assert any("drop_path" in note for note in notes(small(space=stages, recipe={"drop_path": [0.0, 0.2]})))
    assert not any("drop_path" in note for note in notes(small(space=residual, recipe={"drop_path": 0.2})))
    head = {"train": "head", "augmentation": "standard", "lr": 0.1}
    (note,) = [note for note in notes(small(space=stages, recipe=head)) if "augmentation" in note]
    assert "lr" not in note.split(":")[0].split(".")[1].split(", ")
    both = {**head, "train": ["head", "all"]}
    assert not any("augmentation" in note for note in notes(small(space=stages, recipe=both)))


def test_a_teacher_that_is_missing_ends_the_forecast(folder, line):
    (folder / "tiny.toml").write_text(SEARCH.replace("epochs = 2", 'epochs = 2\nteacher = "missing.safetensors"'))
    code, _, message = line("search", "tiny.toml", "--dry-run")
    assert code == 2
    assert "missing.safetensors" in message
