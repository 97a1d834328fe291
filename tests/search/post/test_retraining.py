"""Retrain a trial, build an ensemble of several, export one."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from archsieve.models.export.classifier import ImageModel
from archsieve.models.export.teacher import load_teacher
from archsieve.results.database.artifacts import verified_path
from archsieve.results.database.store import open_store
from archsieve.search.api.model import load_model
from archsieve.search.post.ensemble import ensemble_run
from archsieve.search.post.predict import load_recorded_model
from archsieve.search.post.retrain import experiment_and_data, load_best_model, retrain_trial, seeds_of
from archsieve.search.post.teacher_trials import with_teacher_files
from archsieve.search.runs.session import search
from archsieve.spaces.recipes.recipe import Recipe

from ..conftest import small


@pytest.fixture(scope="module")
def finished(tmp_path_factory, ray_running):
    """Return a finished run of four trials, and the folder of the runs."""
    runs = tmp_path_factory.mktemp("runs")
    torch.set_num_threads(2)  # unlike the workers: retraining must set their number, or it gives other numbers
    yield search(small(recipe={"epochs": 3}), name="run", runs=runs), runs
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def retrained(finished):
    outcome, runs = finished
    with open_store(outcome.database) as store:
        return retrain_trial(store, outcome.best[0], runs, seeds=2)


def test_the_seed_of_the_trial_reproduces_its_metrics(finished, retrained):
    outcome, _ = finished
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


def test_the_saved_weights_give_the_recorded_metrics(finished, retrained):
    outcome, runs = finished
    best = outcome.best[0]
    with open_store(outcome.database, read_only=True) as store:
        rows = store.artifacts(best.trial)
        models = {row["uri"]: ImageModel.load(verified_path(runs, row)) for row in rows}
        (event,) = [event for event in store.events("run") if event["kind"] == "retrained"]
        best_model = load_best_model(store, best, runs)
        with pytest.raises(ValueError, match=rf"trial {outcome.best[-1].trial} .*archsieve train"):
            load_best_model(store, outcome.best[-1], runs)
    assert event["detail"] == retrained
    assert [row["uri"] for row in rows] == [row["weights"] for row in retrained["networks"]]
    with open_store(outcome.database, read_only=True) as store:
        _, data = experiment_and_data(store, best)
    for row in retrained["networks"]:
        hits = models[row["weights"]].scores(data.val.images).argmax(1) == data.val.labels
        assert float(hits.float().mean()) == pytest.approx(row["val_accuracy"])
    assert best_model.about["val_accuracy"] == max(row["val_accuracy"] for row in retrained["networks"])


def test_the_temperature_is_recorded_and_in_the_model_file(finished, retrained):
    _, runs = finished
    for row in retrained["networks"]:
        model = ImageModel.load(runs / row["weights"])
        calibration = model.about["calibration"]
        assert model.temperature == row["temperature"] == calibration["temperature"]
        assert calibration["loss_before"] == pytest.approx(row["val_loss"], rel=1e-4)
        assert row["calibrated_val_loss"] == calibration["loss_after"] <= calibration["loss_before"]
        assert calibration["n"] > 0


def test_only_the_weights_of_the_best_network_are_loaded(finished, retrained):
    outcome, runs = finished
    worst = runs / min(retrained["networks"], key=lambda network: network["val_accuracy"])["weights"]
    content = worst.read_bytes()
    try:
        worst.write_bytes(content[:-4] + b"\xff\xff\xff\xff")
        with open_store(outcome.database, read_only=True) as store:
            best = load_recorded_model(store, "run", runs)
            assert best.about["val_accuracy"] == max(row["val_accuracy"] for row in retrained["networks"])
        worst.write_bytes(content[:-4])
        with (
            open_store(outcome.database, read_only=True) as store,
            pytest.raises(ValueError, match=f"{worst.name} has .* bytes instead"),
        ):
            load_recorded_model(store, "run", runs)
    finally:
        worst.write_bytes(content)


def test_a_trial_and_a_run_predict_with_their_best_network(finished, retrained, line, tmp_path):
    outcome, runs = finished
    database, best = ("--db", str(outcome.database)), outcome.best[0]
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save(tmp_path / "digit.png")
    row = max(retrained["networks"], key=lambda network: network["val_accuracy"])
    (expected,) = load_model(runs / row["weights"]).predict(tmp_path / "digit.png", top=1)
    for name in (str(best.trial), f"run:{best.number}", "run"):
        code, out, err = line("predict", name, "digit.png", "--json", *database)
        assert code == 0, err
        (prediction,) = json.loads(out)
        assert prediction == {
            "image": "digit.png",
            "class": expected[0][0],
            "probability": pytest.approx(expected[0][1]),
        }


def test_a_teacher_may_be_a_trial(finished, retrained, tmp_path):
    outcome, runs = finished
    best, worst = outcome.best[0], outcome.best[-1]
    numbers = {trial.trial: number for number, trial in enumerate(sorted(outcome.trials, key=lambda one: one.trial))}
    named = f"run:{numbers[best.trial]}"
    experiment = small(recipe={"epochs": 1, "teacher": [named, "none", "timm:resnet18"]})
    assert experiment.file.recipe["teacher"][0] == named
    changed = with_teacher_files(experiment, outcome.database, runs)
    file, *others = changed.file.recipe["teacher"]
    assert others == ["none", "timm:resnet18"]
    assert file in {str((runs / one["weights"]).resolve()) for one in retrained["networks"]}
    data = changed.task.load(changed.file.model_copy(update={"recipe": {"teacher": file}}))[0]
    assert load_teacher(Recipe(teacher=file), data) is not None
    with pytest.raises(ValueError, match=rf"trial {worst.trial} has no weights.*archsieve train {worst.trial}"):
        with_teacher_files(small(recipe={"teacher": f"run:{numbers[worst.trial]}"}), outcome.database, runs)
    with pytest.raises(ValueError, match="number 99"):
        with_teacher_files(small(recipe={"teacher": "run:99"}), outcome.database, runs)
    with pytest.raises(ValueError, match=r"'run:0'.*file"):
        load_teacher(Recipe(teacher="run:0"), data)


def test_an_ensemble_is_selected_on_validation_images_and_tested_with_its_members(finished):
    outcome, runs = finished
    with open_store(outcome.database) as store:
        report = ensemble_run(store, "run", runs, top=3)
        assert [event["detail"] for event in store.events("run") if event["kind"] == "ensemble"] == [report]
    members = report["members"]
    assert [member["trial"] for member in members] == [trial.trial for trial in outcome.best[:3]]
    assert report["val_accuracy"] >= max(member["val_accuracy"] for member in members)
    test_accuracies = [member["test_accuracy"] for member in members if member["count"]]
    assert report["mean_member_test_accuracy"] == pytest.approx(sum(test_accuracies) / len(test_accuracies))
    assert 0 < report["test_accuracy"] <= 1


def test_the_command_line_trains_exports_and_puts_together(finished, retrained, line, tmp_path):
    outcome, _ = finished
    database, best = ("--db", str(outcome.database)), outcome.best[0].trial
    code, out, err = line("train", str(best), "--epochs", "1", "--seeds", "2", *database)
    assert code == 0, err
    assert f"trial {best}, 1 epochs" in out
    assert "n = 2" in out  # the mean and the standard deviation of two seeds
    code, out, err = line("export", str(best), "-o", "net.safetensors", *database)
    assert code == 0, err
    for fact in ("Nx1x8x8", "Nx10", "difference from torch 0;", "seed"):
        assert fact in out
    assert ImageModel.load(tmp_path / "net.safetensors").classes == tuple("0123456789")
    code, _, err = line("export", str(best), "-o", "net.safetensors", *database)
    assert code == 2
    assert "--force" in err
    code, out, err = line("ensemble", "run", "--top", "2", "--json", *database)
    assert code == 0, err
    assert len(json.loads(out)["members"]) == 2
    code, _, err = line("db", "check", "--deep", *database)
    assert code == 0, err


DEVICE = """
[device]
name = "stand-in"
format = "onnx-int8"
run = "{python} device.py {{model}}"
retries = 0

[budget]
latency_ms = {limit}
"""


def test_a_network_is_deployed_to_a_device_in_one_command(finished, retrained, line, tmp_path, monkeypatch):
    outcome, _ = finished
    database, best = ("--db", str(outcome.database)), outcome.best[0].trial
    (tmp_path / "device.py").write_text(
        "import json, pathlib, sys\n"
        "assert len(pathlib.Path(sys.argv[1]).read_bytes()) > 1000\n"
        'print(json.dumps({"latency_ms_p50": 1.5, "latency_ms_p90": 2.0, "n": 9, "device": "a program"}))\n'
    )
    (tmp_path / "device.toml").write_text(DEVICE.format(python=sys.executable, limit=1.6))
    code, out, err = line("deploy", str(best), "--device", "device.toml", "-o", "net.onnx", *database)
    assert code == 0, err
    for fact in ("val_accuracy", "onnxruntime on", "1.5 ms (p90 2, n = 9) on stand-in, a program"):
        assert fact in out, out
    assert len(load_model(tmp_path / "net.onnx").classes) == 10
    with open_store(outcome.database, read_only=True) as store:
        (event,) = [event["detail"] for event in store.events("run", "deployed")]
        assert event["latency"]["latency_ms_p50"] == 1.5
        assert event["agreement"] > 0.9
        assert store.trial(best).latency_ms == outcome.best[0].latency_ms  # that of the device is in the event
    (tmp_path / "device.toml").write_text(DEVICE.format(python=sys.executable, limit=1.4))
    code, _, err = line("deploy", str(best), "--device", "device.toml", "-o", "net.onnx", "--force", *database)
    assert code == 3
    assert "1.5 ms is above budget.latency_ms = 1.4" in err
    (tmp_path / "device.py").write_text("import sys; sys.exit('no route to host')")
    code, _, err = line("deploy", str(best), "--device", "device.toml", "-o", "net.onnx", "--force", *database)
    assert code == 75
    assert "stand-in did not answer" in err
    for text, fact in (('[device]\nrunn = "x"', "device.runn"), ('[device]\nrun = "x"', "{model}"), ("[", "bad.toml")):
        (tmp_path / "bad.toml").write_text(text)
        code, _, err = line("deploy", str(best), "--device", "bad.toml", *database)
        assert (code, fact in err) == (2, True), err
    monkeypatch.setitem(sys.modules, "bakenn", None)  # as if it is not installed
    (tmp_path / "bad.toml").write_text('[device]\nformat = "c"')
    worst = outcome.best[-1].trial
    with open_store(outcome.database, read_only=True) as store:
        artifacts = store.artifacts(worst)
        code, _, err = line("deploy", str(worst), "--device", "bad.toml", *database)
        assert (code, "bakenn is not installed" in err) == (2, True), err
        assert store.artifacts(worst) == artifacts  # nothing was trained


@pytest.mark.slow  # needs the extra devices, whose imports take half a minute
def test_metrics_in_int8_are_recorded_with_the_trial(finished, retrained, line):
    pytest.importorskip("torchao")
    pytest.importorskip("executorch")
    outcome, _ = finished
    database, best = ("--db", str(outcome.database)), outcome.best[0]
    code, out, err = line("quantize", str(best.trial), "--json", *database)
    assert code == 0, err
    report = json.loads(out)
    assert report["float32"]["val_accuracy"] == max(row["val_accuracy"] for row in retrained["networks"])
    assert report["int8"]["val_accuracy"] == pytest.approx(report["float32"]["val_accuracy"], abs=0.05)
    assert report["onnxruntime"]["val_accuracy"] == pytest.approx(report["int8"]["val_accuracy"], abs=0.05)
    code, out, err = line("results", "best", "--metric", "int8_val_accuracy", "--json", *database)
    assert code == 0, err
    (row,) = json.loads(out)
    assert (row["trial"], row["metrics"]["int8_val_accuracy"]) == (best.trial, report["int8"]["val_accuracy"])


@pytest.mark.parametrize(
    ("arguments", "code", "facts"),
    [
        (("predict", "worst", "."), 2, ("worst-id", "archsieve train")),
        (("predict", "nun", "."), 2, ("'nun'",)),
        (("train", "99"), 2, ("trial", "99")),
        (("train", "worst", "--device", "tpu"), 2, ("--device", "'tpu'", "cuda:1")),
        (("export", "worst", "--format", "onx"), 2, ("'onx'", "did you mean 'onnx'")),
        (("export", "worst", "-o", "none/net.onnx"), 2, ("none/net.onnx",)),
        (("export", "worst"), 2, ("weights", "archsieve train")),
        (("export", "worst", "--format", "c"), 2, ("weights", "archsieve train")),
        (("export", "worst", "--format", "c", "--form", "features"), 2, ("'features'", "onnx")),
        (("deploy", "worst", "--device", "none.toml"), 2, ("none.toml", "--device")),
        (("ensemble", "rum"), 2, ("did you mean 'run'",)),
    ],
)
def test_bad_input_is_one_clear_error(finished, line, arguments, code, facts):
    outcome, _ = finished
    worst = str(outcome.best[-1].trial)
    arguments = tuple(worst if word == "worst" else word for word in arguments)
    facts = [worst if fact == "worst-id" else fact for fact in facts]
    exit_code, out, err = line(*arguments, "--db", str(outcome.database))
    assert (exit_code, out) == (code, ""), err
    assert [fact for fact in facts if fact not in err] == [], err
    assert "Traceback" not in err
