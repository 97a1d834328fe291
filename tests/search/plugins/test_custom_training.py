"""A training function, a loss and an optimizer of the user: searched, resumed, retrained, exported, and refused."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file

import archsieve as av
from archsieve.models.data.dataset import ImageData
from archsieve.models.networks.backbones import backbone
from archsieve.models.optimization.custom_parts import CustomParts
from archsieve.results.database.prediction_records import predictions_of
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.search.experiment.dry_run import forecast
from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.search_file import parse
from archsieve.search.plugins import references
from archsieve.search.tasks.classification import ImageTrialContext
from archsieve.search.trials.trial_cache import conditions

from .conftest import written

TRAINING = """
import os
from pathlib import Path
import torch
from torch.nn.functional import cross_entropy, multi_margin_loss
from torch.utils.data import DataLoader

STARTS, DIES = Path({folder!r}) / "starts.txt", Path({folder!r}) / "dies"

def train(job):
    train_with(job, lambda values: {{}})

def train_by_skill(job):
    train_with(job, lambda values: {{"skill": 1 - values["f1_macro"]}})

def train_with(job, more):
    optimizer = torch.optim.SGD(job.module.parameters(), lr=job.recipe.lr, momentum=0.9)
    job.checkpoint(optimizer=optimizer)
    with STARTS.open("a") as file:
        file.write(f"{{job.seed}} {{job.start_epoch}}\\n")
    for epoch in job.epochs():
        for images, labels in DataLoader(job.dataset(), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            cross_entropy(job.module.train()(images), labels).backward()
            optimizer.step()
        if epoch == 2 and DIES.exists():
            DIES.unlink()
            os._exit(1)  # the worker dies in the second epoch of a trial
        values = job.validate()
        job.report(epoch, **values, **more(values))

def margin(logits, labels):
    return multi_margin_loss(logits, labels)

def rmsprop(groups, recipe):
    return torch.optim.RMSprop(groups, lr=recipe.lr)

def two(job, epochs):
    pass

def wrong(job):
    job.report(1, accuracies=0.5)
"""
FILE = """
[data]
limit = 300
[budget]
params = "2k"
[space]
stages = [{{ block = "conv-pool", width = [4, 8, 12] }}]
[recipe]
epochs = 3
lr = 0.1
[search]
trials = {trials}
searcher = "random"
metric = "{metric}"
{more}
[resources]
max_concurrent = 1
"""
BY_SKILL = 'direction = "minimize"\nrecord_metrics = ["f1_macro"]\n[train]\nfunction = "own_training:train_by_skill"\n'
TRAIN = '[train]\nfunction = "own_training:train"\n'


@pytest.fixture
def project(tmp_path, import_path):
    folder = tmp_path / "project"
    folder.mkdir()
    written(folder, "own_training", TRAINING.format(folder=str(tmp_path)))
    before = dict(references._FUNCTIONS)
    yield folder
    references._FUNCTIONS.clear()
    references._FUNCTIONS.update(before)


def after_messages(out):
    """Return the JSON of a command; Ray may print before it that a worker has died."""
    return json.loads(out[out.index("{\n") :])


@pytest.mark.slow
def test_a_training_function_is_searched_resumed_retrained_and_exported(ray_running, line, project, tmp_path):
    file = project / "own.toml"
    file.write_text(FILE.format(trials=2, metric="skill", more=BY_SKILL))
    (tmp_path / "dies").touch()
    code, out, err = line("search", str(file), "--json")
    assert code == 0, err
    assert after_messages(out)["failed"] == 0
    # the trial whose worker died has continued after its first epoch
    starts = [tuple(map(int, row.split())) for row in (tmp_path / "starts.txt").read_text().splitlines()]
    ((seed, epoch),) = [start for start in starts if start[1]]
    assert (epoch, starts.count((seed, 0))) == (1, 1)
    code, out, err = line("resume", "own", "--trials", "3", "--json")
    assert code == 0, err
    assert after_messages(out)["trials"] == 3

    with open_store(tmp_path / "runs" / "archsieve.db", read_only=True) as store:
        trials, config = store.trials("own"), store.run("own").config
        assert [(trial.state, trial.epochs_done) for trial in trials] == [(TrialState.COMPLETED, 3)] * 3
        assert all(trial.params <= 2000 and trial.test_accuracy is not None for trial in trials)
        assert set(store.curve(trials[0].trial)) == {"val_accuracy", "val_loss", "f1_macro", "skill", "seconds"}
        for trial in trials:  # those of the best epoch, also of the trial that was resumed
            kept = predictions_of(store, trial)
            assert (kept.labels == kept.predicted).mean() == pytest.approx(trial.val_accuracy)
            assert trial.metrics["skill"] == min(value for _, value in store.curve(trial.trial)["skill"])
            assert sorted(store.test_metrics(trial.trial)) == ["test_f1_macro", "test_top_5_accuracy"]
    assert config["train"] == {"function": "own_training:train_by_skill", "loss": None, "optimizer": None}
    assert (config["search"]["metric"], config["search"]["minimized"]) == ("skill", ["skill"])
    assert list(config["plugins"]["recorded"]) == ["own_training"]
    assert conditions(config) != conditions({**config, "train": None})
    (died,) = [trial for trial in trials if trial.seed == seed]
    code, out, err = line("train", f"own:{died.number}", "--json")
    assert code == 0, err
    (network,) = after_messages(out)["networks"]
    assert network["f1_macro"] == died.metrics["f1_macro"]  # as if its worker had not died
    assert network["test_accuracy"] == died.test_accuracy
    code, out, _ = line("results", "best", "--run", "own", "--json", "--top", "3")
    best, *_, last = json.loads(out)
    assert best["metrics"]["skill"] <= last["metrics"]["skill"]
    assert "own_training" not in best["measured"]["reason"] != ""
    assert line("results", "compare", "own:0", "own:1", "--metric", "f1_macro")[0] == 0
    code, _, err = line("ensemble", "own")
    assert (code, "skill" in err) == (2, True)
    code, _, err = line("export", f"own:{died.number}", "-o", "net.safetensors", "--format", "safetensors")
    assert (code, (tmp_path / "net.safetensors").is_file()) == (0, True), err


@pytest.mark.slow
def test_a_loss_and_an_optimizer_are_searched_and_a_wrong_report_fails_the_search(ray_running, line, project):
    file = project / "own.toml"
    parts = {"train.loss": "own_training:margin", "train.optimizer": "own_training:rmsprop"}
    file.write_text(FILE.format(trials=1, metric="f1_macro", more=""))
    result = av.run_search(file, settings=parts, name="parts")
    assert result.trials[0].state is TrialState.COMPLETED
    assert av.train(result.best[0], device="cpu").about["f1_macro"] == result.best[0].metrics["f1_macro"]
    file.write_text(FILE.format(trials=1, metric="f1_macro", more=""))
    with pytest.raises(av.SearchFailedError, match=r"wrong.*accuracies.*'accuracy'.*own_training\.py:\d+"):
        av.run_search(file, train="own_training:wrong", name="wrong")


@pytest.mark.parametrize(
    ("table", "facts"),
    [
        ('function = "own_training:tran"', ("train.function", "'tran'", "'train'")),
        ('function = "own_training.py"', ("train.function", "MODULE:NAME", "own_training.py")),
        ('function = "own_trainings:train"', ("own_trainings", "own_training")),
        ('function = "own_training:two"', ("(job)", "(job, epochs)", "own_training.py:")),
        ('function = "own_training:STARTS"', ("own_training:STARTS", "Path")),
        ('loss = "own_training:train"', ("(logits, labels)", "(job)")),
        ('optimizer = "own_training:train"', ("(groups, recipe)", "(job)")),
        ('function = "own_training:train"\nloss = "own_training:margin"', ("train.loss", "train.function")),
        ('function = "__main__:train"', ("train", "script")),
        ("function = 3", ("train.function", "text", "3")),
        ('functions = "own_training:train"', ("functions", "'function'")),
    ],
)
def test_a_wrong_function_is_refused_before_anything_starts(table, facts, line, project, tmp_path):
    file = project / "own.toml"
    file.write_text(FILE.format(trials=1, metric="f1_macro", more=f"[train]\n{table}\n"))
    code, out, err = line("search", str(file))
    assert (code, out) == (2, "")
    assert all(fact in err for fact in facts), err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("more", "tables"),
    [("folds = 2\n", {}), ("", {"data": {"name": "glyphs"}, "search": {"searcher": "random"}, "budget": {}})],
)
def test_a_function_needs_a_search_that_it_can_train(more, tables, project, monkeypatch):
    monkeypatch.syspath_prepend(str(project))
    search = {"searcher": "random", **({"folds": 2} if more else {})}
    settings = {"train": {"function": "own_training:train"}, "search": search, **tables}
    with pytest.raises(ValueError, match=r"train\.function"):
        experiment(parse(settings))


def test_the_forecast_has_no_time_for_a_custom_function(project, monkeypatch):
    monkeypatch.syspath_prepend(str(project))
    tables = {"train": {"function": "own_training:train"}, "search": {"searcher": "random"}, "data": {"limit": 100}}
    report = forecast(experiment(parse(tables)), "own")
    assert report["seconds"] is None
    assert any("custom function" in reason for reason in report["unknown"])


def of_this_module(job):
    job.report(1, accuracy=1.0)


class Trainer:
    """A class whose method a worker would find without its object."""

    def train(self, job):
        job.report(1, accuracy=1.0)


def with_zeros(job):
    for parameter in job.module.parameters():
        parameter.data.zero_()
    job.report(1, accuracy=0.5)


def test_each_trial_of_a_function_starts_from_the_weights_of_the_file_and_is_timed(tmp_path):
    name = "timm:test_resnet"
    save_file(backbone(name).state_dict(), tmp_path / "test_resnet.safetensors")
    split = av.Split(torch.zeros(4, 3, 32, 32, dtype=torch.uint8), torch.tensor([0, 0, 1, 1]))
    data = ImageData.of("none", ("a", "b"), train=split, val=split, test=None)
    options = {"precision": "fp32", "folds": None, "fold_seed": 0, "weights": str(tmp_path)}
    context = ImageTrialContext(data, torch.device("cpu"), **options, custom=CustomParts(function=with_zeros))
    architecture = av.networks_space(name, input_shape=(3, 32, 32), classes=2).architecture({})
    sizes = []
    for _ in range(2):
        fit = context.fit(architecture, av.Recipe(train="head", epochs=1), 0)
        sizes.append(sum(parameter.detach().abs().sum().item() for parameter in fit.module.parameters()))
        fit.step()
        assert context.timed_module(fit)(torch.zeros(1, 3, 32, 32)).tolist() == [[0, 0]]
        context.close(fit)
    assert sizes[0] == sizes[1] > 0


def test_functions_of_python_are_recorded_by_their_names(project):
    assert references.reference_to(of_this_module, "train") == f"{__name__}:of_this_module"
    for function in (lambda job: None, Trainer().train, re.compile("")):
        with pytest.raises(ValueError, match="def at the top level"):
            references.reference_to(function, "train")

    def inner(job):
        pass

    with pytest.raises(ValueError, match=r"inner.*def at the top level"):
        av.run_search(train=inner)
    with pytest.raises(TypeError, match=r"^train .*3.*'my_module:train'"):
        av.run_search(train=3)
