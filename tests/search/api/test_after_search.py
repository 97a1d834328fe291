"""After a search from Python: ensemble, diagnosis, one architecture without a search, trials of other tools."""

import numpy as np
import pytest
import torch

import archsieve as av

from ..conftest import ONE_WORKER

SPACE = av.Space((1, 8, 8), [av.Conv(av.choice(4, 8)), av.GlobalAverage()], classes=10)
RECIPE = {"epochs": 1, "lr": av.Range(0.05, 0.2)}


def test_a_run_gives_an_ensemble_and_a_diagnosis(ray_running, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    show: av.Callback = lambda recorder: seen.append(len(recorder.store.trials("small")))  # noqa: E731
    data = {"name": "digits", "limit": 200}
    result = av.run_search(
        data=data, space=SPACE, recipe=RECIPE, trials=2, name="small", callbacks=[show], settings=ONE_WORKER
    )
    assert max(seen) == 2
    selected = av.ensemble("small", top=2)
    assert {member.trial for member in selected.members} == {trial.trial for trial in result.trials}
    assert sum(member.count for member in selected.members) >= 1
    assert selected.val_accuracy >= max(member.val_accuracy for member in selected.members if member.count)
    assert 0 <= selected.test_accuracy <= 1
    (gradients,) = av.diagnose(result.best[0], ["gradients"])
    assert (gradients.check, gradients.rating in ("good", "watch", "bad")) == ("gradients", True)
    assert av.diagnose("small:0", ["start"], database="runs/archsieve.db")[0].check == "start"
    with pytest.raises(ValueError, match="'gradients'"):
        av.diagnose("small:0", ["gradient"])


class Tiles:
    """A map-style data set: dark and bright images with noise."""

    classes = ("dark", "bright")

    def __len__(self):
        return 60

    def __getitem__(self, number):
        pixels = np.random.default_rng(number).integers(0, 100, (10, 10, 3)) + 150 * (number % 2)
        return torch.from_numpy(pixels.astype(np.uint8)).permute(2, 0, 1), number % 2


def test_a_data_set_of_python_is_searched_and_its_best_trial_trained(ray_running, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = {"epochs": 3, "lr": 0.1, "batch_size": 8}
    result = av.run_search(data=Tiles(), image_size=8, space="mixed", recipe=recipe, trials=1, name="tiles")
    (trial,) = result.best
    model = av.train(trial, device="cpu")
    assert model.architecture.input_shape == (3, 8, 8)
    assert set(model.classes) == {"dark", "bright"}
    with pytest.raises(TypeError, match="Dataset"):
        av.run_search(data=iter(()))


def test_one_architecture_is_trained_without_a_search(tmp_path):
    digits = av.load_data("digits", limit=200)
    architecture = av.sample(SPACE, seed=1)[0]
    model = av.train_architecture(architecture, digits, {"epochs": 2, "lr": 0.2}, seed=3, device="cpu")
    assert model.architecture == architecture
    assert (model.about["seed"], model.about["recipe"]["lr"]) == (3, 0.2)
    predicted = zip(model.predict(digits.val.images), digits.val.labels, strict=True)
    right = [label == digits.classes[k] for label, k in predicted]
    assert sum(right) / len(right) == pytest.approx(model.about["val_accuracy"])
    calibration = model.about["calibration"]
    assert calibration["n"] == len(digits.val.labels)
    probabilities = model.predict_proba(digits.val.images).double()
    loss = -probabilities[range(len(digits.val)), digits.val.labels].log().mean()
    assert float(loss) == pytest.approx(calibration["loss_after"], rel=1e-3)
    assert calibration["loss_after"] < calibration["loss_before"]
    again = av.train_architecture(architecture, digits, av.Recipe(epochs=2, lr=0.2), seed=3, device="cpu")
    assert again.about == model.about
    assert av.load_model(model.save(tmp_path / "model.safetensors")).about == model.about
    with pytest.raises(ValueError, match=r"\.safetensors, but got 'model\.pt'"):
        model.save("model.pt")
    for write in (model.save, model.export):
        with pytest.raises(FileNotFoundError, match=r"folder '[^']*missing'"):
            write(tmp_path / "missing" / "model.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]
    with pytest.raises(ValueError, match=r"\(1, 8, 8\).*\(3, 224, 224\)"):
        av.train_architecture("resnet18", digits)
    with pytest.raises(ValueError, match="'lr'"):
        av.train_architecture(architecture, digits, {"lrr": 0.1})
    with pytest.raises(av.DataError, match="limit"):
        av.load_data("digits", limit=0)


def test_an_optuna_study_becomes_a_run(tmp_path):
    import optuna

    study = optuna.create_study(direction="maximize", study_name="widths")
    distributions = {"width": optuna.distributions.IntDistribution(4, 64)}
    for width, value in ((8, 0.91), (16, 0.94)):
        study.add_trial(optuna.create_trial(value=value, params={"width": width}, distributions=distributions))

    def network(params):
        return av.Architecture((1, 8, 8), (av.Conv(params["width"]), av.GlobalAverage()), 10)

    database = tmp_path / "archsieve.db"
    trials = av.import_trials(study, data="digits", architecture=network, database=database)
    assert [trial.val_accuracy for trial in trials] == [0.91, 0.94]
    with av.open_results(database) as results:
        assert results.best(run="widths")[0] == trials[1]
    with pytest.raises(TypeError, match="one metric"):
        av.import_trials(study, data="digits", metric={"val_accuracy": "acc"}, database=database)
