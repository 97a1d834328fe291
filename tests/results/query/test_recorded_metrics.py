"""Recorded metrics: they rank, filter and sort trials; metrics of the test do not."""

import pytest

from archsieve.results.analysis.intervals import with_interval
from archsieve.results.database.records import TrialState
from archsieve.results.query.best import best, listing, no_match_reason, ranking
from archsieve.results.query.comparison import compare
from archsieve.results.query.dataframes import trials_frame
from archsieve.results.query.expression_query import filter_trials
from archsieve.results.query.pareto import pareto
from archsieve.results.query.pareto_sql import front
from archsieve.spaces.architectures.budget import Budget

ANY = Budget()


@pytest.fixture
def end(store, propose):
    """Complete a trial with these metrics at its second and best epoch."""

    def make(run_id, fingerprint, accuracy, params=1000, tests=None, **metrics):
        trial = propose(run_id, fingerprint, params=params).trial
        store.start(trial)
        store.record_epoch(trial, 1, {"val_accuracy": 0.1, "val_loss": 2.0, **dict.fromkeys(metrics, 0.0)})
        store.record_epoch(trial, 2, {"val_accuracy": accuracy, "val_loss": 1.0, **metrics})
        store.record_test(trial, 2, tests or {})
        store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": accuracy, "best_epoch": 2, "epochs_done": 2})
        return trial

    return make


def settings(metric, *others, minimized=()):
    return {"search": {"metric": metric, "record_metrics": list(others), "minimized": list(minimized)}}


@pytest.fixture
def runs(new_run, end):
    """A run by macro F1, one by a custom metric that is minimised, and one of version 0.1.0; ids of the trials."""
    by_f1 = new_run("by-f1", config=settings("f1_macro", "log_loss", minimized=["log_loss"]))
    by_custom = new_run("by-custom", config=settings("cost_of_errors", minimized=["cost_of_errors"]))
    old = new_run("old")
    return {
        "majority": end(by_f1, "a", 0.9, f1_macro=0.47, log_loss=0.3, params=100, tests={"f1_macro": 0.99}),
        "careful": end(by_f1, "b", 0.8, f1_macro=0.69, log_loss=0.4, tests={"f1_macro": 0.11}),
        "dear": end(by_custom, "c", 0.7, cost_of_errors=9.0),
        "cheap": end(by_custom, "d", 0.6, cost_of_errors=2.0, params=5000),
        "plain": end(old, "e", 0.85),
    }


def test_the_metric_of_a_run_ranks_its_trials(store, runs):
    def names(trials):
        known = {trial: name for name, trial in runs.items()}
        return [known[trial.trial] for trial in trials]

    assert names(best(store, budget=ANY, run="by-f1", top=5)) == ["careful", "majority"]
    assert names(best(store, budget=ANY, run="by-custom", top=5)) == ["cheap", "dear"]
    assert names(best(store, budget=ANY, run="old", top=5)) == ["plain"]
    assert names(best(store, budget=ANY, top=5)) == ["majority", "plain", "careful", "dear", "cheap"]
    assert names(best(store, budget=ANY, run="by-f1", metric="accuracy", top=5)) == ["majority", "careful"]
    assert names(best(store, budget=ANY, metric="log_loss", top=5)) == ["majority", "careful"]
    assert names(best(store, budget=ANY, metric="cost_of_errors")) == ["cheap"]
    assert names(best(store, budget=Budget(params=200), metric="val_f1_macro", top=5)) == ["majority"]
    assert names(listing(store, run="by-f1")) == ["careful", "majority"]
    assert names(listing(store, sort="cost_of_errors"))[:2] == ["cheap", "dear"]
    assert store.history("by-f1").best().trial == runs["careful"]
    assert store.history("by-custom").best().trial == runs["cheap"]
    assert [ranking(store, run).metric for run in ("by-f1", "by-custom", "old", None)] == [
        *("f1_macro", "cost_of_errors", "accuracy", "accuracy"),
    ]


def test_a_trial_has_the_metrics_of_its_best_epoch(store, runs):
    trial = store.trial(runs["careful"])
    assert (trial.metric, trial.metrics, trial.score) == ("f1_macro", {"f1_macro": 0.69, "log_loss": 0.4}, 0.69)
    assert trial.score_of("log_loss") == -0.4
    assert store.trial(runs["cheap"]).score == -2.0
    old = store.trial(runs["plain"])
    assert (old.metric, old.metrics, old.score, old.metric_value) == ("accuracy", {}, 0.85, 0.85)
    assert store.test_metrics(runs["careful"]) == {"test_f1_macro": 0.11}
    assert store.test_metrics(runs["plain"]) == {}
    assert sorted(store.curve(runs["careful"])) == ["f1_macro", "log_loss", "val_accuracy", "val_loss"]


def test_a_recorded_metric_filters_and_sorts(store, runs):
    def matching(expression, **options):
        return [trial.trial for trial in filter_trials(store, expression, **options).trials]

    assert matching("f1_macro > 0.6 and params < 5k") == [runs["careful"]]
    assert matching("val_f1_macro > 0.1", sort="log_loss") == [runs["majority"], runs["careful"]]
    assert matching("cost_of_errors < 5") == [runs["cheap"]]
    assert matching("f1_macro is null") == [runs["plain"], runs["dear"], runs["cheap"]]
    assert matching("params > 0", run="by-custom") == [runs["cheap"], runs["dear"]]
    assert "0.69" in filter_trials(store, "f1_macro > 0.7").no_match_reason


def test_a_metric_of_the_test_selects_nothing(store, runs):
    for call in (
        lambda: filter_trials(store, "test_f1_macro > 0.5"),
        lambda: filter_trials(store, "test_top_5_accuracy > 0.5"),  # a test has it without the validation
        lambda: filter_trials(store, "params > 0", sort="-test_f1_macro"),
        lambda: best(store, budget=ANY, metric="test_f1_macro"),
        lambda: best(store, budget=ANY, metric="test_accuracy"),
        lambda: listing(store, sort="-test_f1_macro"),
        lambda: front(store, ["test_f1_macro", "macs"]),
    ):
        with pytest.raises(ValueError, match=r"test_\w+ cannot select or sort"):
            call()
    assert len(filter_trials(store, "test_f1_macro is not null").trials) == 2


def test_a_metric_that_is_not_recorded_is_named(store, runs):
    for call in (
        lambda: filter_trials(store, "roc_auc > 0.5"),
        lambda: best(store, budget=ANY, metric="roc_auc"),
    ):
        with pytest.raises(ValueError, match=r"no run .* 'roc_auc'.*record_metrics"):
            call()
    for call in (
        lambda: filter_trials(store, "f1_marco > 0.5"),
        lambda: best(store, budget=ANY, metric="f1_marco"),
        lambda: listing(store, sort="f1_marco"),
        lambda: front(store, ["f1_marco", "macs"]),
    ):
        with pytest.raises(ValueError, match=r"'f1_marco'.*'f1_macro'"):
            call()


def test_recorded_metrics_are_objectives(store, runs):
    trials = store.trials("by-f1")
    assert [t.trial for t in pareto(trials, ["f1_macro", "log_loss"])] == [runs["careful"], runs["majority"]]
    assert [t.trial for t in front(store, ["f1_macro", "params"], run="by-f1")] == [runs["careful"], runs["majority"]]
    assert front(store, run="by-custom") == front(store, ["cost_of_errors", "macs"], run="by-custom")
    assert [t.trial for t in front(store, ["cost_of_errors", "params"])] == [runs["cheap"], runs["dear"]]
    with_accuracy = front(store, ["accuracy", "params"], run="by-f1")
    assert with_accuracy == front(store, ["val_accuracy", "params"], run="by-f1")


def test_frames_and_comparisons_have_the_metrics(store, runs):
    frame = trials_frame(store.trials())
    assert frame.loc[runs["careful"], "f1_macro"] == 0.69
    assert frame.loc[runs["careful"], "metric"] == "f1_macro"
    assert not {"metrics", "minimized", "test_f1_macro"} & set(frame.columns)
    rows = {row.name: row.values for row in compare(store.trials("by-f1"))}
    assert rows["f1_macro"] == (0.47, 0.69)


def test_a_trial_without_the_metric_is_no_best_trial(store, new_run, end):
    run = new_run("broken", config=settings("f1_macro"))
    end(run, "a", 0.9)  # a report without the metric
    assert best(store, budget=ANY, run="broken") == []
    assert store.history("broken").best() is None
    assert "1 of 1 trials" in no_match_reason(store, ANY, "broken")


def test_the_direction_of_a_custom_metric_is_that_of_the_asked_runs(store, new_run, end):
    lower = new_run("lower", config=settings("mine", minimized=["mine"]))
    higher = new_run("higher", config=settings("mine"))
    trials = {run: [end(run, f"{run}{value}", 0.5, mine=value) for value in (1.0, 2.0)] for run in (lower, higher)}
    assert best(store, budget=ANY, run="lower", metric="mine")[0].trial == trials[lower][0]
    assert best(store, budget=ANY, run="higher", metric="mine")[0].trial == trials[higher][1]
    with pytest.raises(ValueError, match=r"'mine'.*--run"):
        best(store, budget=ANY, metric="mine")


def test_metrics_in_int8_are_columns_like_others(store, runs):
    majority, careful = runs["majority"], runs["careful"]
    with pytest.raises(ValueError, match=r"'int8_val_accuracy'.*archsieve quantize"):
        best(store, budget=ANY, metric="int8_val_accuracy")
    store.record_int8(majority, 2, {"accuracy": 0.7, "log_loss": 0.9})
    store.record_int8(careful, 2, {"accuracy": 0.75, "log_loss": 0.5})
    ranked = best(store, budget=ANY, metric="int8_val_accuracy", top=5)
    assert [(trial.trial, trial.metrics["int8_val_accuracy"]) for trial in ranked] == [(careful, 0.75), (majority, 0.7)]
    measured = with_interval(store, store.trial(careful), "int8_val_accuracy")
    assert (measured.value, measured.interval) == (0.75, None)
    by_loss = best(store, budget=ANY, metric="int8_log_loss", top=5)
    assert [trial.trial for trial in by_loss] == [careful, majority]  # a lower loss is better
    assert [trial.trial for trial in listing(store, sort="-int8_val_accuracy", limit=2)] == [careful, majority]
    assert [trial.trial for trial in filter_trials(store, "int8_val_accuracy > 0.72").trials] == [careful]
    assert [trial.trial for trial in pareto(store.trials("by-f1"), ["int8_log_loss", "params"])] == [careful, majority]
    assert store.trial(majority).val_accuracy == 0.9
    store.record_int8(majority, 2, {"accuracy": 0.8})  # measured again: replaced
    assert best(store, budget=ANY, metric="int8_val_accuracy")[0].trial == majority
