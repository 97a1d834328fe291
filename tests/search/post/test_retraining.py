"""What one does with a trial: train it again, put several together, take it elsewhere."""

import json

import pytest
import torch

from archsieve.models.export.classifier import ImageModel
from archsieve.results.database.artifacts import checked
from archsieve.results.database.store import open_store
from archsieve.search.post.ensemble import ensemble_run
from archsieve.search.post.retrain import kept_model, loaded, retrain_trial, seeds_of
from archsieve.search.runs.session import search

from ..conftest import small


@pytest.fixture(scope="module")
def found(tmp_path_factory, ray_running):
    """A finished run of four trials, and the folder of its runs."""
    runs = tmp_path_factory.mktemp("runs")
    torch.set_num_threads(2)  # not as its workers have: by other sums come other numbers
    return search(small(recipe={"epochs": 3}), name="run", runs=runs), runs


@pytest.fixture(scope="module")
def retrained(found):
    outcome, runs = found
    with open_store(outcome.database) as store:
        return retrain_trial(store, outcome.best[0], runs, seeds=2)


def test_the_trials_own_seed_gives_its_own_figures_and_another_seed_others(found, retrained):
    outcome, _ = found
    first, second = retrained["networks"]
    best = outcome.best[0]
    assert (first["seed"], first["val_accuracy"], first["best_epoch"], first["test_accuracy"]) == (
        best.seed,
        best.val_accuracy,
        best.best_epoch,
        best.test_accuracy,
    )
    assert second["seed"] != best.seed
    assert second["val_loss"] != first["val_loss"]
    assert seeds_of(best, 3) == seeds_of(best, 3)


def test_the_weights_lie_beside_the_store_and_give_the_figures_that_were_said(found, retrained):
    outcome, runs = found
    best = outcome.best[0]
    with open_store(outcome.database, read_only=True) as store:
        rows = store.artifacts(best.trial)
        models = {row["uri"]: ImageModel.load(checked(runs, row)) for row in rows}
        (event,) = [event for event in store.events("run") if event["kind"] == "retrained"]
        chosen = kept_model(store, best, runs)
        with pytest.raises(ValueError, match=rf"trial {outcome.best[-1].trial} has no weights.*archsieve train"):
            kept_model(store, outcome.best[-1], runs)
    assert event["detail"] == retrained
    assert [row["uri"] for row in rows] == [row["weights"] for row in retrained["networks"]]
    with open_store(outcome.database, read_only=True) as store:
        _, data = loaded(store, best)
    for row in retrained["networks"]:
        hits = models[row["weights"]].scores(data.val.images).argmax(1) == data.val.labels
        assert float(hits.float().mean()) == pytest.approx(row["val_accuracy"])
    assert chosen.about["val_accuracy"] == max(row["val_accuracy"] for row in retrained["networks"])


def test_an_ensemble_is_chosen_on_validation_images_and_tested_beside_its_members(found):
    outcome, runs = found
    with open_store(outcome.database) as store:
        told = ensemble_run(store, "run", runs, top=3)
        assert [event["detail"] for event in store.events("run") if event["kind"] == "ensemble"] == [told]
    members = told["members"]
    assert [member["trial"] for member in members] == [trial.trial for trial in outcome.best[:3]]
    assert told["val_accuracy"] >= max(member["val_accuracy"] for member in members)
    inside = [member["test_accuracy"] for member in members if member["count"]]
    assert told["mean_member_test_accuracy"] == pytest.approx(sum(inside) / len(inside))
    assert 0 < told["test_accuracy"] <= 1


def test_the_command_line_trains_exports_and_puts_together(found, retrained, command, tmp_path):
    outcome, _ = found
    asked, best = ("--db", str(outcome.database)), outcome.best[0].trial
    code, out, err = command("train", str(best), "--epochs", "1", "--seeds", "2", *asked)
    assert code == 0, err
    assert f"trial {best}, 1 epochs" in out
    assert "(sd), n = 2" in out
    code, out, err = command("export", str(best), "-o", "net.safetensors", *asked)
    assert code == 0, err
    assert "images Nx1x8x8 in [0, 1] -> Nx10; largest difference from torch 0; weights of seed" in out
    assert ImageModel.load(tmp_path / "net.safetensors").classes == tuple("0123456789")
    code, _, err = command("export", str(best), "-o", "net.safetensors", *asked)
    assert code == 2
    assert "is there already" in err
    code, out, err = command("ensemble", "run", "--top", "2", "--json", *asked)
    assert code == 0, err
    assert len(json.loads(out)["members"]) == 2
    code, _, err = command("db", "check", "--deep", *asked)
    assert code == 0, err


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (("train", "99"), 2, "no trial has the id 99"),
        (("train", "worst", "--device", "tpu"), 2, "--device is cpu, cuda or cuda:1, but got 'tpu'"),
        (("export", "worst", "--format", "onx"), 2, "unknown format 'onx'; did you mean 'onnx'"),
        (("export", "worst", "-o", "none/net.onnx"), 2, "there is no none; make it first"),
        (("export", "worst"), 2, "has no weights: a search keeps figures alone; train it again first: archsieve train"),
        (("ensemble", "rum"), 2, "did you mean 'run'"),
    ],
)
def test_bad_input_is_one_clear_error(found, command, asked, code, said):
    outcome, _ = found
    asked = tuple(str(outcome.best[-1].trial) if word == "worst" else word for word in asked)
    got, out, err = command(*asked, "--db", str(outcome.database))
    assert (got, out) == (code, ""), err
    assert said in err
    assert "Traceback" not in err
