"""Zero-shot folds by class: they contain training images alone, and a resumed run uses the same folds and one test."""

import random

import pytest
import torch

from archsieve.models.data.class_folds import BackboneInit, ClassFolds
from archsieve.models.data.folds import fold_seed
from archsieve.models.diagnostics.zero_cost_proxies import probe, proxy_scores
from archsieve.results.database.store import open_store
from archsieve.results.database.zero_shot_records import TESTED, latest_test_table
from archsieve.search.runs.session import resume, search
from archsieve.search.tasks.zero_shot import zero_shot_fit
from archsieve.search.trials.failure_policy import Stop, StopKind
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.constrained.sampling import sample_one
from archsieve.spaces.recipes.zero_shot_recipe import recipe_from_json

from .test_zero_shot_search import tiny

FOLDED = {
    "search": {"folds": 2, "trials": 2},
    "recipe": {"form": "fc", "loss": "softmax", "epochs": 2},
    "zero_shot": {"baselines": ["ridge"], "explained": 0},
}


def test_the_data_of_workers_contain_no_test_data():
    experiment = tiny(**FOLDED)
    loaded, record = experiment.task.load(experiment.file)
    data, _ = loaded
    worker_data = experiment.task.for_trials(loaded)
    assert isinstance(worker_data, ClassFolds)
    unseen_classes = {data.classes[k] for k in data.unseen.tolist()}
    test_images = {bytes(image.numpy().tobytes()) for image in (*data.test_seen.images, *data.test_unseen.images)}
    train_images = {bytes(image.numpy().tobytes()) for image in data.train.images}
    for fold in worker_data.folds:
        assert unseen_classes.isdisjoint(fold.classes)
        assert unseen_classes.isdisjoint(fold.texts)
        assert set(fold.unseen.tolist()).isdisjoint(fold.train.labels.tolist())
        worker_images = {bytes(image.numpy().tobytes()) for split in worker_data.splits for image in split.images}
        assert worker_images <= train_images
        assert not (worker_images & test_images) - train_images
    assert sorted(torch.cat([fold.unseen for fold in worker_data.folds]).tolist()) == list(range(len(data.seen)))
    assert record.n_test == len(data.test_seen) + len(data.test_unseen)


def test_zero_cost_proxies_use_training_images():
    experiment = tiny()
    folds = experiment.task.for_trials(experiment.task.load(experiment.file)[0])
    architecture = sample_one(experiment.constrained, random.Random(0))
    scores = proxy_scores(["synflow", "jacob_cov"], architecture, probe(folds, 0))
    assert isinstance(scores["synflow"], float), scores
    assert isinstance(scores["jacob_cov"], float), scores


@pytest.mark.slow
def test_a_resumed_search_continues_its_folds_and_tests_once(tmp_path, ray_running):
    experiment = tiny(**FOLDED)

    def stop_midway(recorder):
        if any(trial.epochs_done == 1 for trial in recorder.store.history(recorder.run_id)):
            recorder.stop(Stop(StopKind.SIGNAL, "enough for now"))

    first = search(experiment, name="stopped", runs=tmp_path, on_change=stop_midway)
    assert (first.complete, first.zero_shot) == (False, None)
    outcome = resume("stopped", runs=tmp_path)
    assert outcome.complete
    assert outcome.zero_shot["trial"] == outcome.best[0].trial
    trial = outcome.best[0]
    folds = experiment.task.load(experiment.file)[0][1].folds
    architecture, recipe = Architecture.from_json(trial.architecture), recipe_from_json(trial.recipe)
    fits = [
        zero_shot_fit(architecture, recipe, fold, fold_seed(trial.seed, k), torch.device("cpu"), "fp32", BackboneInit())
        for k, fold in enumerate(folds)
    ]
    with open_store(outcome.database, read_only=True) as store:
        curve = store.curve(trial.trial)
    for epoch in range(2):
        results = [fit.step() for fit in fits]
        for name in ("val_accuracy", "val_roc_auc"):
            mean = sum(getattr(result, name) for result in results) / 2
            assert curve[name][epoch] == (epoch + 1, pytest.approx(mean, abs=1e-3))


@pytest.mark.slow
def test_a_run_that_stops_before_its_test_is_not_complete(tmp_path, ray_running):
    """All trials have ended, but the test is missing: a resume runs it."""
    experiment = tiny(**{**FOLDED, "search": {"trials": 1}, "recipe": {**FOLDED["recipe"], "epochs": 1}})

    def stop_at_the_end(recorder):
        if recorder.complete:
            recorder.stop(Stop(StopKind.SIGNAL, "just before the test"))

    first = search(experiment, name="late", runs=tmp_path, on_change=stop_at_the_end)
    assert [trial.state.final for trial in first.trials] == [True]
    assert (first.complete, first.zero_shot) == (False, None)
    again = resume("late", runs=tmp_path)
    assert again.complete
    assert again.zero_shot["rows"][0]["method"] == f"trial {again.best[0].trial}"
    with pytest.raises(ValueError, match=r"'late'.* complete"):
        resume("late", runs=tmp_path)


@pytest.mark.slow
def test_a_resumed_run_with_a_new_best_trial_lists_its_earlier_tests(tmp_path, ray_running):
    experiment = tiny(**{**FOLDED, "search": {"trials": 1}, "recipe": {**FOLDED["recipe"], "lr": [1e-6, 1e-2]}})
    first = search(experiment, name="more", runs=tmp_path)
    more = resume("more", trials=4, runs=tmp_path)
    assert len(more.trials) == 4
    with open_store(more.database, read_only=True) as store:
        tests = [event["detail"]["trial"] for event in store.events("more") if event["kind"] == TESTED]
        table = latest_test_table(store, "more")
    assert table["trial"] == more.best[0].trial
    assert tests == list(dict.fromkeys([first.best[0].trial, more.best[0].trial]))  # a design is tested once
    assert table["earlier"] == tests[:-1]
