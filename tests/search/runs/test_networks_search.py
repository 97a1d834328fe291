"""A search over networks of timm and torchvision with weights, and everything that follows it."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import archsieve as av
from archsieve.models.networks.backbones import backbone
from archsieve.results.database.store import open_store
from archsieve.results.database.training_records import loaded_weights
from archsieve.search.experiment.dry_run import notes
from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.search_file import parse
from archsieve.search.experiment.stored_settings import stored_settings
from archsieve.search.searchers.features import Features
from archsieve.search.searchers.network_features import designs_of_families
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.vectorized import GraphArrays
from archsieve.spaces.networks.table import network_table

from ..conftest import ONE_WORKER

NAMES = ("timm:test_resnet", "torchvision:mobilenet_v3_small", "torchvision:shufflenet_v2_x0_5")
SIZE = 40  # pixels; the table has no costs at this size
RECIPE = {"epochs": 1, "batch_size": 32, "lr": 0.05, "dropout": 0.0}


@av.register_dataset("dark-and-bright", input_shape=(3, 24, 24), classes=2)
def load_dark_and_bright(request):
    rng = torch.Generator().manual_seed(0)

    def split(n):
        noise = torch.randint(0, 60, (2 * n, 3, 24, 24), dtype=torch.uint8, generator=rng)
        labels = torch.arange(2 * n) % 2
        return av.Split(noise + 150 * labels.to(torch.uint8).view(-1, 1, 1, 1), labels)

    return av.Source(("dark", "bright"), split(48), split(24), split(24))


@pytest.fixture(scope="module")
def searched(tmp_path_factory, ray_running):
    folder = tmp_path_factory.mktemp("networks")
    (folder / "weights").mkdir()
    torch.manual_seed(0)
    for name in NAMES:
        save_file(backbone(name).state_dict(), folder / "weights" / f"{name.partition(':')[2]}.safetensors")
    result = av.run_search(
        data="dark-and-bright",
        space={"networks": ["timm:*", "torchvision:*"], "image_size": SIZE, "weights": str(folder / "weights")},
        budget={"params": "3M"},
        recipe=RECIPE,
        trials=3,
        settings=ONE_WORKER,
        runs=folder / "runs",
        name="networks",
    )
    return folder, result


def test_every_trial_is_another_family_with_the_weights_of_its_file(searched):
    folder, result = searched
    trials = list(result.trials)
    assert [trial.state.value for trial in trials] == ["completed"] * 3, [trial.fail_reason for trial in trials]
    names = [trial.architecture["blocks"][0]["name"] for trial in trials]
    assert sorted(names) == sorted(NAMES)
    assert len({network_table()[name].family for name in names}) == 3
    assert all(trial.params <= 3_000_000 for trial in trials)
    assert {trial.architecture["blocks"][0]["size"] for trial in trials} == {SIZE}
    assert not any(SIZE in network_table()[name].costs for name in names)
    with open_store(folder / "runs" / "archsieve.db", read_only=True) as store:
        for trial, name in zip(trials, names, strict=True):
            loaded = loaded_weights(store, "networks", trial.trial)
            assert loaded["file"].endswith(f"{name.partition(':')[2]}.safetensors")
            assert len(loaded["sha256"]) == 64


def test_the_network_is_trained_exported_and_examined(searched, tmp_path, line):
    folder, result = searched
    model = av.train(result.best[0])
    facts = network_table()[model.architecture.blocks[0].name]
    assert model._trained.mean.tolist() == pytest.approx(list(facts.mean))
    model.save(tmp_path / "model.safetensors")
    images = np.random.default_rng(0).integers(0, 255, (6, 24, 24, 3), dtype=np.uint8)
    expected = model.predict_proba(images)
    assert torch.equal(av.load_model(tmp_path / "model.safetensors").predict_proba(images), expected)
    code, out, message = line(
        "results", "show", str(result.best[0].trial), "--db", str(folder / "runs/archsieve.db"), "--json"
    )
    assert code == 0, message
    assert json.loads(out)["weights"]["sha256"]
    findings = av.diagnose(result.best[0], ["start"])
    assert [finding.rating for finding in findings]


@pytest.mark.slow
def test_networks_are_exported_examined_and_joined_to_an_ensemble(searched, tmp_path, line):
    folder, result = searched
    model = av.train(result.best[0])
    model.export(tmp_path / "model.onnx")
    images = np.random.default_rng(0).integers(0, 255, (6, 24, 24, 3), dtype=np.uint8)
    exported = av.load_model(tmp_path / "model.onnx").predict_proba(images)
    torch.testing.assert_close(exported, model.predict_proba(images), atol=1e-4, rtol=1e-3)
    database, best = folder / "runs" / "archsieve.db", str(result.best[0].trial)
    Image.fromarray(images[0]).save(tmp_path / "image.png")
    for source in (best, "model.onnx"):
        code, out, message = line("predict", source, "image.png", "--json", "--db", str(database))
        assert code == 0, message
        (prediction,) = json.loads(out)
        assert prediction["probability"] == pytest.approx(float(exported[0].max()), abs=1e-3)
    code, _, message = line("doctor", best, "--check", "start", "--db", str(database))
    assert code == 0, message
    ensemble = av.ensemble("networks", top=2, database=database)
    assert 1 <= len(ensemble.members) <= 2


@pytest.mark.slow
def test_copies_of_one_network_become_a_soup(searched, ray_running, tmp_path, line):
    folder, _ = searched
    result = av.run_search(
        data="dark-and-bright",
        space={"networks": [NAMES[0]], "image_size": [32], "weights": str(folder / "weights")},
        budget={"params": "3M", "latency_ms": 1000},
        recipe={**RECIPE, "lr": [0.01, 0.02, 0.05]},
        trials=3,
        runs=folder / "runs",
        name="copies",
    )
    assert all(trial.latency_ms > 0 for trial in result.trials)
    database, file = folder / "runs/archsieve.db", tmp_path / "soup.safetensors"
    soup = ("ensemble", "copies", "--soup", "uniform", "-o", str(file))
    code, out, message = line(*soup, "--json", "--db", str(database))
    assert code == 0, message
    report = json.loads(out)
    assert [member["count"] for member in report["members"]] == [1, 1, 1]
    soup = av.load_model(file)
    members = [av.load_model(path) for path in sorted((folder / "runs/copies").glob("weights-*.safetensors"))]
    states = [member._trained.network.state_dict() for member in (soup, *members)]
    name = "1.0.weight"
    torch.testing.assert_close(states[0][name], sum(state[name] for state in states[1:]) / 3)
    data = load_dark_and_bright(None).val
    accuracy = (soup._trained.scores(data.images).argmax(1) == data.labels).float().mean()
    assert float(accuracy) == pytest.approx(report["val_accuracy"])
    # what was measured of one member is not true of the soup
    assert soup.about["calibration"]["temperature"] == soup._trained.temperature
    assert not {"seed", "recipe", "epoch"} & set(soup.about)
    with pytest.raises(FileNotFoundError, match="none"):
        av.ensemble("copies", soup="greedy", output=tmp_path / "none" / "soup.safetensors", database=database)

    greedy = av.ensemble("copies", soup="greedy", database=database)
    assert greedy.val_accuracy >= max(member.val_accuracy for member in greedy.members)
    with pytest.raises(ValueError, match=r"test_resnet.*(mobilenet|shufflenet)|(mobilenet|shufflenet).*test_resnet"):
        av.ensemble("networks", top=3, soup="uniform", database=database)
    with pytest.raises(ValueError, match="'greedy'"):
        av.ensemble("copies", soup="greedi", database=database)


def test_the_first_designs_are_of_different_families_and_features_describe_networks():
    space = av.networks_space("torchvision:*", input_shape=(3, 24, 24), classes=2)
    constrained = ConstrainedSpace(space, av.Budget(params="10M"))
    designs = designs_of_families(constrained)
    families = [network_table()[design.blocks[0].name].family for design in designs]
    assert len(set(families)) == len(designs) == 4
    assert all(constrained.allows(design) for design in designs)
    accuracies = [network_table()[design.blocks[0].name].top1 for design in designs]
    assert accuracies == sorted(accuracies, reverse=True)
    batch = GraphArrays(constrained)
    features = Features(batch)
    small, large = (
        features.of(np.array([batch.code(constrained.graph.path(one))], dtype=np.int32))[0]
        for one in (_architecture(name) for name in ("torchvision:resnet18", "torchvision:resnet152"))
    )
    # of one family: they differ in depth, accuracy and the logarithms of two costs, but in no selected option
    assert 3 <= np.count_nonzero(~np.isclose(small, large)) <= 5
    assert designs_of_families(ConstrainedSpace(av.Space((3, 8, 8), [av.Conv(8)], classes=2))) == []


def _architecture(name):
    return av.networks_space(name, input_shape=(3, 24, 24), classes=2).architecture({})


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({"networks": ["timm:test_resnot"]}, "timm:test_resnet"),
        ({"networks": ["timm:*"], "name": "mixed"}, "space.name"),
        ({"networks": ["timm:test_*"], "weights": "nothing-here"}, "nothing-here"),
        ({"networks": ["torchvision:vit_b_16"], "image_size": 33}, "33"),
        ({"networks": []}, "at least one"),
        ({"name": "mixed", "weights": "pretrained"}, "space.networks"),
        ({"network": ["timm:*"]}, "networks"),
    ],
)
def test_a_wrong_space_is_refused_before_the_search(space, expected):
    with pytest.raises(ValueError, match="; ") as error:
        experiment(parse({"data": {"name": "digits"}, "space": space, "recipe": {"epochs": 1}}))
    assert expected in str(error.value)


def settings_of(tables, **data):
    """Return the interpolation and crop_pct of the checked search file, and of its stored and restored settings."""
    made = experiment(parse({**tables, "data": {**tables["data"], **data}}))
    stored = made.to_json()
    again = parse(stored_settings(stored)).data
    pair = made.file.data.interpolation, made.file.data.crop_pct
    assert pair == (again.interpolation, again.crop_pct)
    return pair, {key: stored["data"][key] for key in ("interpolation", "crop_pct") if key in stored["data"]}, made


def test_interpolation_and_crop_are_those_of_the_networks_unless_they_are_set(tmp_path):
    tables = {"data": {"name": "images", "path": str(tmp_path), "image_size": 8}, "recipe": {"epochs": 1}}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image.png").touch()
    table = network_table()
    small, other = table["timm:test_efficientnet"], table["torchvision:resnet18"]
    assert (small.interpolation, small.crop_pct) != (other.interpolation, other.crop_pct)
    published = (small.interpolation, small.crop_pct)

    one = {**tables, "space": {"networks": [small.name], "weights": "pretrained"}}
    assert settings_of(one)[0] == published
    assert settings_of({**tables, "space": {"backbone": small.name}})[0] == published
    # each network has its own; a key that is set is that of all
    two = {**tables, "space": {"networks": [small.name, other.name], "image_size": 160, "weights": "pretrained"}}
    assert settings_of(two)[:2] == (("auto", "auto"), {"interpolation": "auto", "crop_pct": "auto"})
    assert settings_of(two, crop_pct=0.5)[0] == ("auto", 0.5)
    assert settings_of(two, resize="pad")[0] == ("auto", 1.0)
    # without networks, and in runs before these keys, the settings are as before
    assert settings_of({**tables, "space": {"name": "mixed"}})[:2] == (("bilinear", 1.0), {})
    assert settings_of(two, interpolation="bilinear", crop_pct=1.0)[:2] == (("bilinear", 1.0), {})
    assert settings_of(two, decoding_rules=1)[:2] == (("bilinear", 1.0), {})
    assert all("data.interpolation" not in note for note in notes(settings_of(one)[2]))
    made = settings_of(one, interpolation="bilinear")[2]
    assert any('data.interpolation is "bilinear"; leave it out' in note for note in notes(made))


def test_offline_without_weights_is_refused_before_the_search(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    tables = {"data": {"name": "digits"}, "space": {"networks": "timm:test_resnet", "weights": "pretrained"}}
    made = experiment(parse({**tables, "recipe": {"epochs": 1}}))
    with pytest.raises(ValueError, match=r"HF_HUB_OFFLINE.*timm:test_resnet"):
        made.task.load(made.file)
    assert made.to_json()["space"]["weights"] == "pretrained"
