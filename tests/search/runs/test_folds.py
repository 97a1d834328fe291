"""A search by cross-validation: a trial has the mean over its folds in every epoch, also after a resume."""

import pytest

from archsieve.models.data.folds import cross_folds, fold_seed
from archsieve.models.data.registry import load_data
from archsieve.models.networks.build import build
from archsieve.models.training.cross_validation import FoldedFit, FoldedResult
from archsieve.models.training.trainer import Fit
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.search.runs.session import resume, search
from archsieve.search.trials.failure_policy import Stop, StopKind
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.recipes.recipe import Recipe

from ..conftest import small

EPOCHS = 3


def folded(**settings):
    return small(recipe={"epochs": EPOCHS}, search={"trials": 2, "folds": 3, **settings})


def curves(outcome):
    with open_store(outcome.database, read_only=True) as store:
        return [store.curve(trial.trial) for trial in outcome.trials]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, ray_running):
    return search(folded(), name="folds", runs=tmp_path_factory.mktemp("runs"))


def test_a_trial_is_the_mean_of_a_network_in_each_fold(outcome):
    data = load_data("digits", limit=300)
    for trial, curve in zip(outcome.trials, curves(outcome), strict=True):
        assert trial.state is TrialState.COMPLETED
        architecture, recipe = Architecture.from_json(trial.architecture), Recipe.from_json(trial.recipe)
        seeds = [fold_seed(trial.seed, fold) for fold in range(3)]
        parts = zip(cross_folds(data, 3, seed=0), seeds, strict=True)
        fits = [Fit(build(architecture, seed=seed), fold, recipe, seed=seed) for fold, seed in parts]
        direct = FoldedFit(fits, FoldedResult)
        while not direct.done:
            direct.step()
        for name in ("val_accuracy", "val_accuracy_std", "val_loss"):
            expected = [(result.epoch, pytest.approx(getattr(result, name), abs=1e-4)) for result in direct.history]
            assert curve[name] == expected
        assert trial.val_accuracy == max(value for _, value in curve["val_accuracy"])
        assert trial.test_accuracy is not None


@pytest.mark.slow
def test_a_stopped_run_resumes_with_all_folds(outcome, tmp_path):
    def stop_midway(recorder):
        if any(trial.epochs_done == 1 for trial in recorder.store.history(recorder.run_id)):
            recorder.stop(Stop(StopKind.SIGNAL, "test"))

    first = search(folded(), name="broken", runs=tmp_path, on_change=stop_midway)
    assert not first.complete
    assert any(0 < trial.epochs_done < EPOCHS for trial in first.trials)
    resumed = resume("broken", runs=tmp_path)
    assert resumed.complete
    for curve, expected in zip(curves(resumed), curves(outcome), strict=True):
        # Durations are measured, so they differ between runs.
        assert {name: curve[name] for name in expected if name not in ("seconds", "latency_ms")} == {
            name: expected[name] for name in expected if name not in ("seconds", "latency_ms")
        }
    assert [t.test_accuracy for t in resumed.trials] == [t.test_accuracy for t in outcome.trials]


def test_more_folds_than_images_of_a_class_are_refused_before_a_run_is_created(tmp_path):
    too_many = small(data={"limit": 60}, search={"folds": 20})
    with pytest.raises(ValueError, match=r"20 folds.*class '\d' has \d "):
        search(too_many, name="many", runs=tmp_path)
    assert not (tmp_path / "archsieve.db").exists()


def test_one_fold_is_refused():
    with pytest.raises(ValueError, match=r"search.folds .*2.* got 1"):
        small(search={"folds": 1})
