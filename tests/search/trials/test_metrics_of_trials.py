"""From the report of a worker to the store: scores, best epochs, schedulers, caches by the metric of the run."""

import pytest

from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.search.schedulers.settings import SCORE, earlier_trials
from archsieve.search.searchers.base import Proposal
from archsieve.search.trials.metrics import summary
from archsieve.search.trials.report import EpochMetrics, FailKind, Failure, TrialReport
from archsieve.search.trials.trial_cache import TrialCache
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, GlobalAverage
from archsieve.spaces.metrics.selection import Selection
from archsieve.spaces.recipes.recipe import Recipe

from ..conftest import small

BY_LOSS = Selection.of("log_loss", ["f1_macro"])
CURVE = {
    "val_accuracy": [(1, 0.9), (2, 0.8), (3, 0.8)],
    "val_loss": [(1, 1.0), (2, 0.5), (3, 0.4)],
    "train_accuracy": [(1, 0.5), (2, 0.6), (3, 0.7)],
    "train_loss": [(1, 1.0), (2, 0.9), (3, 0.8)],
    "log_loss": [(1, 1.0), (2, 0.5), (3, 0.5)],
    "f1_macro": [(1, 0.4), (2, 0.6), (3, 0.5)],
}


def test_a_report_has_the_score_that_schedulers_maximise():
    epoch = EpochMetrics.of({"epoch": 1, "val_accuracy": 0.9, "val_loss": 1.0, "metrics": {"log_loss": 0.25}})
    assert epoch.values == {"val_accuracy": 0.9, "val_loss": 1.0, "log_loss": 0.25}
    report = TrialReport((epoch,))
    assert (report.to_tune(BY_LOSS)[SCORE], report.to_tune()[SCORE]) == (-0.25, 0.9)
    assert TrialReport.from_tune(report.to_tune(BY_LOSS)) == report
    failed = TrialReport((epoch,), failure=Failure(FailKind.OOM, "no memory")).to_tune(BY_LOSS)
    assert failed[SCORE] < -1e300
    assert "epoch" not in failed
    without = TrialReport((EpochMetrics(1, {"val_accuracy": 0.9}),)).to_tune(BY_LOSS)
    assert without[SCORE] < -1e300


@pytest.mark.parametrize(
    ("selection", "epoch"),
    [(Selection(), 1), (BY_LOSS, 3), (Selection.of("f1_macro"), 2), (Selection.of("brier"), None)],
)
def test_the_summary_is_that_of_the_best_epoch(selection, epoch):
    ended = summary(CURVE, selection=selection)
    assert ended.get("best_epoch") == epoch
    assert ended["epochs_done"] == (3 if epoch else 0)
    if epoch:
        assert ended["val_accuracy"] == CURVE["val_accuracy"][epoch - 1][1]


def finished(store, run_id, selection):
    """Complete a trial with the curves of :data:`CURVE` that the run records."""
    experiment = small()
    architecture = Architecture((1, 8, 8), (Conv(8), GlobalAverage()), 10)
    trial = store.propose(
        run_id,
        architecture=architecture.to_json(),
        fingerprint=architecture.fingerprint,
        cost=architecture.cost.to_json(),
        layers=[],
        choices={},
        recipe=experiment.recipes.fill({"lr": 0.1}).to_json(),
        seed=0,
    )
    store.start(trial.trial)
    names = [name for name in CURVE if name.startswith(("val_", "train_")) or name in selection.computed]
    for epoch in (1, 2, 3):
        store.record_epoch(trial.trial, epoch, {name: CURVE[name][epoch - 1][1] for name in names})
    ended = summary({name: CURVE[name] for name in names}, selection=selection)
    store.finish(trial.trial, TrialState.COMPLETED, summary=ended)
    return store.trial(trial.trial)


def settings(**search):
    return small(search={**search}).to_json()


DATA = {"content_hash": "d", "name": "digits"}


@pytest.mark.parametrize(
    ("earlier", "now", "hit"),
    [
        ({"metric": "log_loss"}, {"metric": "log_loss"}, True),
        ({"metric": "log_loss", "record_metrics": ["f1_macro"]}, {"metric": "log_loss"}, True),
        ({"metric": "log_loss"}, {"metric": "log_loss", "record_metrics": ["f1_macro"]}, False),  # not recorded
        ({}, {"metric": "log_loss"}, False),
        ({"metric": "log_loss", "record_metrics": ["f1_macro"]}, {"metric": "f1_macro"}, False),  # another best epoch
        ({"metric": "log_loss"}, {}, False),
        ({"record_metrics": ["log_loss"]}, {}, True),
        ({}, {}, True),
    ],
)
def test_a_cached_trial_has_the_metrics_and_the_best_epoch(earlier, now, hit, tmp_path):
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        config = settings(**earlier)
        first = store.create_run("first", config, "random", 0, DATA, {})
        trial = finished(store, first, Selection.from_config(config))
        second = store.create_run("second", settings(**now), "random", 0, DATA, {})
        proposal = Proposal(Architecture.from_json(trial.architecture), Recipe.from_json(trial.recipe), {})
        found = TrialCache(store, store.run(second)).find(proposal)
        assert (found is not None) == hit
        if found is not None:
            copy = store.propose(
                second,
                architecture=trial.architecture,
                fingerprint=trial.fingerprint,
                cost={"params": 1, "macs": 1, "activations": 1, "memory_bytes": 1},
                choices={},
                recipe=trial.recipe,
                seed=0,
                source=found.trial,
            )
            assert (copy.best_epoch, copy.score) == (trial.best_epoch, trial.score_of(copy.metric))


def test_a_scheduler_of_a_resumed_run_sees_scores(tmp_path):
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        run_id = store.create_run("r", settings(metric="log_loss"), "random", 0, DATA, {})
        finished(store, run_id, BY_LOSS)
        ((number, curve),) = earlier_trials(store, run_id)
        assert (number, list(curve)) == (0, [(1, -1.0), (2, -0.5), (3, -0.5)])


def test_the_settings_of_a_run_by_accuracy_are_those_of_version_0_1_0():
    assert not {"metric", "record_metrics", "minimized"} & set(small().to_json()["search"])
    stored = settings(metric="val_log_loss", record_metrics=["brier"])["search"]
    assert [stored[key] for key in ("metric", "record_metrics", "minimized")] == [
        *("log_loss", ["brier"], ["log_loss", "brier"]),
    ]


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"metric": "balanced"}, r"search\.metric: .*'balanced_accuracy'"),
        ({"metric": "max"}, r"search\.metric: .*direction"),
        ({"metric": "test_accuracy"}, r"search\.metric: test_accuracy cannot select trials, because"),
        ({"record_metrics": ["auc"]}, r"search\.record_metrics: .*'roc_auc'"),
        ({"metric": "f1"}, "exactly two classes, .* 10; use f1_macro"),
        ({"metric": "top_10_accuracy"}, "more than 10 classes, .* 10; use top_9_accuracy"),
        ({"minimized": ["f1_macro"]}, r"search\.minimized"),
        ({"searcher": "nsga2", "objectives": ["f1_macro", "macs"]}, r"search\.objectives: .*record_metrics"),
        ({"searcher": "nsga2", "objectives": ["test_accuracy", "macs"]}, "test_accuracy cannot select"),
        ({"searcher": "nsga2", "objectives": ["f1_marco", "macs"]}, r"search\.objectives: .*'f1_marco'"),
        ({"metric": "f1_macro", "objectives": ["val_accuracy"]}, r'\["f1_macro"\] for the searcher random'),
    ],
)
def test_a_wrong_metric_is_refused_before_anything_starts(search, message):
    with pytest.raises(ValueError, match=message):
        small(search=search)


def test_metrics_are_the_objectives_of_a_search():
    by_f1 = small(search={"searcher": "nsga2", "metric": "f1_macro", "record_metrics": ["log_loss"]})
    assert by_f1.searcher(by_f1.constrained).objectives == ("f1_macro", "macs")
    both = small(search={"searcher": "nsga2", "record_metrics": ["log_loss"], "objectives": ["accuracy", "log_loss"]})
    assert both.searcher(both.constrained).objectives == ("val_accuracy", "log_loss")
    same = small(search={"metric": "f1_macro", "objectives": ["f1_macro"]})
    assert same.selection.metric == "f1_macro"
