"""The forecast of a search: true to the space, starts no Ray, writes nothing."""

import json

import pytest

from archsieve.search.experiment.dry_run import forecast, forecast_lines

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


def test_what_will_happen_is_said_and_nothing_happens(folder, line):
    code, out, err = line("search", "tiny.toml", "--dry-run")
    assert (code, err) == (0, "")
    assert "9 trials of at most 2 epochs by gp, scheduler asha" in out
    assert "stages, 2 distinct architectures; budget: params <= 20.0k" in out
    assert "inside: 2, a share of 1" in out
    assert "note: recipe.lr is a list of one and so fixed" in out
    assert "note: there are 2 networks and recipes for 9 trials: the search ends early" in out
    assert "unknown: how many trials asha stops early" in out
    assert sorted(folder.iterdir()) == [folder / "tiny.toml"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("recipe.lr_end=[0.001, 0.5]", "recipe.lr_end may be 0.5: a schedule that ends above a hundredth"),
        ('recipe.schedule=["cosine", "constant"]', "the learning rate does not fall"),
        ("recipe.lr_end=0.01", ""),
    ],
)
def test_a_learning_rate_that_hardly_falls_is_noted(folder, line, setting, said):
    code, out, _ = line("search", "tiny.toml", "--dry-run", "-s", setting)
    assert code == 0
    assert (said or "recipe.lr is a list of one") in out
    assert ("lr_end" in out or "does not fall" in out) == bool(said)


def test_a_scheduler_that_stops_nobody_is_noted(folder, line):
    said = "asha stops nobody: search.grace_epochs is the last epoch; lower it"
    assert said not in line("search", "tiny.toml", "--dry-run")[1]
    assert said in line("search", "tiny.toml", "--dry-run", "-s", "search.grace_epochs=2")[1]


def test_the_json_has_the_figures(folder, line):
    code, out, _ = line("search", "tiny.toml", "--dry-run", "--json", "--name", "other")
    told = json.loads(out)
    assert (code, told["run"], told["size"], told["feasible"], told["trials"]) == (0, "other", 2, 2, 9)
    assert told["data"]["n_train"] + told["data"]["n_val"] + told["data"]["n_test"] == 200
    assert 0 < told["memory_bytes"]["least"] <= told["memory_bytes"]["median"] <= told["memory_bytes"]["most"]
    assert 0 < told["seconds"]["least"] <= told["seconds"]["median"] <= told["seconds"]["most"]
    assert sorted(folder.iterdir()) == [folder / "tiny.toml"]


@pytest.mark.parametrize(
    ("resources", "elsewhere", "said"),
    [
        ({"gpus_per_trial": 0.5}, False, "on GPUs"),
        ({"gpus_per_trial": "auto"}, False, "on GPUs"),
        ({"cpus_per_trial": 100_000}, False, "asks for 100000 cores"),
        ({}, True, "on a cluster"),
    ],
)
def test_a_time_that_cannot_be_told_is_not(resources, elsewhere, said):
    told = forecast(small(resources=resources), "x", elsewhere=elsewhere)
    assert told["seconds"] is None
    assert said in told["unknown"][0]
    assert any(said in line for line in forecast_lines(told))


def test_what_lies_outside_the_budget_is_counted_out():
    told = forecast(small(budget={"params": "5k"}), "x")
    assert 0 < told["feasible"] < told["size"]
    assert told["feasible_share"] == told["feasible"] / told["size"]


def test_a_mistake_in_the_data_is_said(folder, line):
    code, out, err = line("search", "tiny.toml", "--dry-run", "-s", "data.limit=5")
    assert (code, out) == (2, "")
    assert "raise `limit`" in err


def test_a_name_that_is_taken_is_refused(tmp_path, line):
    from archsieve.results.database.store import open_store

    (tmp_path / "tiny.toml").write_text(SEARCH)
    with open_store(tmp_path / "runs" / "archsieve.db", create=True) as store:
        data = {"content_hash": "d", "name": "d"}
        store.create_run("tiny", {}, "random", 0, data, {})
    code, _, err = line("search", "tiny.toml", "--dry-run")
    assert code == 2
    assert "'tiny' exists" in err
