"""Stored predictions: their form, their metrics with weights, intervals, paired tests and class reports."""

import base64
import math
import sys
import zlib
from typing import Any

import numpy as np
import pytest
import torch

from archsieve.models.metrics.compute import compute_metrics, compute_of_probabilities
from archsieve.models.training.predictions import compact
from archsieve.results.analysis import class_metrics, differences, intervals
from archsieve.results.analysis.class_metrics import class_report
from archsieve.results.analysis.differences import compare_pair, winner_of
from archsieve.results.analysis.intervals import bootstrap, top_5_error, wilson, with_interval
from archsieve.results.analysis.resampling import weighted_metric
from archsieve.results.database.prediction_records import (
    LabelPredictions,
    Predictions,
    StoredPredictions,
    predictions_of,
)
from archsieve.results.database.records import PREDICTIONS
from archsieve.results.transfer.exporter import export_runs, read_runs
from archsieve.spaces.metrics import registry
from archsieve.spaces.metrics.registry import register_metric

METRICS = (
    *("accuracy", "top_2_accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "cohen_kappa", "roc_auc"),
    *("average_precision", "log_loss", "brier", "expected_calibration_error"),
)


def predictions(n: int = 200, k: int = 4, *, seed: int = 0, noise: float = 1.5, labels: Any = None) -> Predictions:
    """Return random predictions of n images, better than chance."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n) if labels is None else labels
    logits = noise * rng.normal(size=(n, k)) + 2 * np.eye(k)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    of_label = probabilities[np.arange(n), labels]
    return Predictions(
        *(n, k, np.arange(n), labels, probabilities.argmax(1)),
        rank=(probabilities > of_label[:, None]).sum(1),
        label_probability=of_label,
        probabilities=probabilities,
    )


def assert_counts_images(name, made, weights, value_of):
    """Assert that the metric for whole weights (B, M) is that of a data set in which each image is so often."""
    for row, value in zip(weights, value_of(weights.astype(float)), strict=True):
        repeated = np.repeat(np.arange(len(row)), row)
        labels = torch.from_numpy(made.labels[repeated])
        probabilities = torch.from_numpy(made.probabilities[repeated])
        expected = compute_of_probabilities([name], labels, probabilities)[name]
        assert value == pytest.approx(expected, abs=1e-6), name


@pytest.mark.parametrize("k", [2, 4])
def test_weighted_metrics_are_those_of_repeated_images(k):
    """Integer weights mean that an image counts so often: the values are those of a repeated data set."""
    made, rng = predictions(60, k), np.random.default_rng(1)
    weights = rng.integers(0, 4, (3, 60))
    for name in [name for name in METRICS if not (k == 2 and name == "top_2_accuracy")] + ["f1"] * (k == 2):
        value_of = weighted_metric(name, made)
        assert value_of is not None
        assert_counts_images(name, made, weights, value_of)


LABEL_METRICS = (
    *("accuracy", "f1_macro", "f1_weighted", "f1_micro", "f1_samples"),
    *("roc_auc", "average_precision", "log_loss", "brier"),
)


def label_predictions(n: int = 200, k: int = 4, *, seed: int = 0, noise: float = 1.5, labels: Any = None):
    """Return random predictions of n images with any number of labels, better than chance."""
    rng = np.random.default_rng(seed)
    labels = rng.random((n, k)) < 0.3 if labels is None else labels
    logits = noise * rng.normal(size=(n, k)) + 3 * labels - 1.5
    return LabelPredictions(n, k, np.arange(n), labels, logits > 0, logits)


def test_weighted_metrics_of_several_labels_are_those_of_repeated_images():
    made, rng = label_predictions(60), np.random.default_rng(1)
    weights = rng.integers(0, 4, (3, 60))
    for name in LABEL_METRICS:
        value_of = weighted_metric(name, made)
        assert_counts_images(name, made, weights, value_of)
    assert weighted_metric("cohen_kappa", made) is None


@pytest.fixture
def own_metric():
    """A registered metric that has no value without images of class 2."""

    def twos_found(labels, scores):
        print("twos")
        twos = labels[:, 2] > 0 if labels.ndim == 2 else labels == 2
        if not twos.any():
            sys.exit("no twos")
        return float(scores[twos, 2].mean())

    register_metric("twos_found")(twos_found)
    yield twos_found
    del registry._CUSTOM["twos_found"]


@pytest.mark.parametrize("make", [predictions, label_predictions])
def test_a_custom_metric_has_an_interval_if_its_function_is_registered(make, own_metric, capsys):
    made = make(300)
    value = own_metric(made.labels, made.probabilities)
    capsys.readouterr()
    interval = bootstrap("twos_found", made)
    assert capsys.readouterr().out == ""  # stdout is for the results of commands
    assert interval.low < value < interval.high
    # the interval of a mean of 300 or fewer values, from their deviation
    twos = made.labels[:, 2] if made.labels.ndim == 2 else made.labels == 2
    error = made.probabilities[twos, 2].std() / math.sqrt(twos.sum())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert interval == bootstrap("twos_found", made)  # the seed is fixed
    without = make(50)
    without.labels[...] = 0
    assert bootstrap("twos_found", without) is None


def test_metrics_that_stored_predictions_cannot_give():
    made = predictions()
    top = Predictions(**{**vars(made), "probabilities": made.probabilities[:, :2], "classes": np.zeros((200, 2), int)})
    assert weighted_metric("roc_auc", top) is None
    assert weighted_metric("brier", top) is None
    assert weighted_metric("own_metric", made) is None
    assert bootstrap("own_metric", made) is None
    # one class in the validation images: ROC-AUC and kappa have no value
    one_class = predictions(50, 2, labels=np.zeros(50, int))
    assert bootstrap("roc_auc", one_class) is None


def test_predictions_survive_the_database_form():
    for made in (predictions(), Predictions(**{**vars(predictions()), "classes": np.tile(np.arange(4), (200, 1))})):
        detail = made.to_json()
        read = StoredPredictions.from_json(detail)
        for name, value in vars(made).items():
            if name in ("label_probability", "probabilities"):  # stored in 4 bytes and in 2
                assert np.allclose(getattr(read, name), value, rtol=1e-6 if name[0] == "l" else 5e-3), name
            else:
                assert np.array_equal(getattr(read, name), value), name
        assert len(detail["data"]) < 200 * 40
    of_labels = label_predictions(13, 3)
    read = StoredPredictions.from_json(of_labels.to_json())
    for name in ("index", "labels", "predicted", "n_images", "n_classes"):
        assert np.array_equal(getattr(read, name), getattr(of_labels, name)), name
    assert np.allclose(read.logits, of_labels.logits, rtol=1e-3)
    assert read.is_paired_with(of_labels)
    assert not read.is_paired_with(predictions(13, 3))


@pytest.mark.parametrize("multi_label", [False, True])
def test_stored_predictions_of_a_network_that_is_too_sure_give_its_metrics(multi_label):
    """Rounded to float16, its probabilities would be 0 and 1, without an order and with a far larger log loss."""
    rng, n, k = np.random.default_rng(0), 500, 10
    labels = rng.random((n, k)) < 0.3 if multi_label else rng.integers(0, k, n)
    truth = labels if multi_label else np.eye(k)[labels]
    logits, labels = torch.from_numpy(8 * (rng.normal(size=(n, k)) + 3 * truth - 1.5)), torch.from_numpy(labels)
    kept = compact(logits, labels)
    columns = {name: value.numpy() for name, value in vars(kept).items() if not isinstance(value, int)}
    if not multi_label:
        columns |= {"classes": None, "probabilities": np.exp(columns.pop("log_probabilities").astype(float))}
    made = (LabelPredictions if multi_label else Predictions)(n, k, **columns)
    read = StoredPredictions.from_json(made.to_json())
    names = ("roc_auc", "average_precision", "log_loss", "brier")
    for name, value in compute_metrics(names, labels, logits).items():
        assert weighted_metric(name, read)(np.ones((1, n)))[0] == pytest.approx(value, rel=2e-4), name
        interval = bootstrap(name, read)
        assert interval.low < value < interval.high


def test_predictions_of_earlier_databases_are_probabilities():
    made = predictions(50)
    columns = [made.index, made.labels, made.predicted, made.rank, made.label_probability, made.probabilities]
    parts = [part.astype(kind) for part, kind in zip(columns, ("<u4", *["<u2"] * 3, "<f4", "<f2"), strict=True)]
    data = base64.b64encode(zlib.compress(b"".join(part.tobytes() for part in parts))).decode()
    detail = {name: value for name, value in made.to_json().items() if name != "logarithms"}
    read = StoredPredictions.from_json({**detail, "data": data})
    assert np.allclose(read.probabilities, made.probabilities, rtol=1e-3)


def test_foreign_predictions_are_refused():
    detail = predictions(10).to_json()
    bomb = base64.b64encode(zlib.compress(bytes(10**8))).decode()
    changed = [
        {**detail, "n": 9},
        {**detail, "n": -1},
        {**detail, "n_classes": 3},
        {**detail, "n_classes": 10**9},
        {**detail, "n": 10**6, "n_images": 10**6},
        {**detail, "top": 5},
        {**detail, "data": "?"},
        {**detail, "data": bomb},
        {**detail, "data": None},
        [detail],
        None,
    ]
    of_labels = label_predictions(10)
    changed += [
        {**of_labels.to_json(), "n_classes": 5},
        {**of_labels.to_json(), "multi_label": False},
        LabelPredictions(**{**vars(of_labels), "logits": np.full((10, 4), np.nan)}).to_json(),
        LabelPredictions(**{**vars(of_labels), "index": np.zeros(10, int)}).to_json(),
    ]
    wrong = Predictions(**{**vars(predictions(10)), "label_probability": np.full(10, np.nan)})
    for value in (*changed, wrong.to_json()):
        with pytest.raises(ValueError, match="predictions"):
            StoredPredictions.from_json(value)


def test_wilson_is_that_of_statsmodels_and_of_the_paper():
    found = wilson(0.9, 300)
    assert (found.low, found.high) == pytest.approx((0.860834, 0.929052), abs=1e-6)  # proportion_confint(270, 300)
    assert wilson(1.0, 10).low == pytest.approx(0.722467, abs=1e-6)
    assert wilson(1.0, 10).high == 1.0
    assert wilson(0.0, 10).low == 0.0
    assert wilson(1.0, 1) is None  # an interval is never made of one measurement


def test_the_bootstrap_covers_the_true_value():
    """Of 60 intervals for the log loss of random data sets, about 57 contain the value of a large one."""
    true = weighted_metric("log_loss", predictions(40_000, seed=99))(np.ones((1, 40_000)))[0]
    found = [bootstrap("log_loss", predictions(150, seed=seed)) for seed in range(60)]
    assert sum(one.low <= true <= one.high for one in found) >= 51
    assert found[0] == bootstrap("log_loss", predictions(150))  # the seed is fixed
    assert bootstrap("log_loss", predictions(1)) is None


@pytest.fixture
def trials(store, new_run, complete):
    """Three trials with predictions of the same images, the second nearly as good as the first, and one without."""
    run_id = new_run(dataset={"content_hash": "d2", "name": "d2", "n_val": 200, "n_classes": 10})
    labels, made = np.random.default_rng(5).integers(0, 10, 200), []
    for seed, (noise, params) in enumerate(((1.0, 900), (1.02, 500), (3.0, 100))):
        of_trial = predictions(200, 10, seed=seed, noise=noise, labels=labels)
        accuracy = float((of_trial.rank == 0).mean())
        trial = complete(run_id, f"f{seed}", accuracy, params=params)
        store.add_event(run_id, "info", PREDICTIONS, of_trial.to_json(), trial.trial)
        made.append(trial)
    return [*made, complete(run_id, "f9", 0.1)]


def test_intervals_and_paired_tests_of_trials(store, trials):
    best, near, bad, without = trials
    measured = with_interval(store, best)
    assert measured.value == best.val_accuracy
    assert (measured.interval.method, measured.interval.n) == ("Wilson", 200)
    assert top_5_error(store, best).value == pytest.approx((predictions_of(store, best).rank >= 5).mean())
    assert top_5_error(store, without) is None
    missing = with_interval(store, best, "f1_macro")  # not recorded
    assert (missing.value, missing.interval) == (None, None)
    assert missing.reason

    difference = compare_pair(store, best, bad)
    first, second = (predictions_of(store, trial).rank == 0 for trial in (best, bad))
    assert difference.value == pytest.approx(first.mean() - second.mean())
    assert difference.test == "McNemar exact"
    assert difference.low < difference.value < difference.high
    assert difference.is_distinguishable
    assert compare_pair(store, best, bad, "f1_macro").p_value < 0.01
    assert not compare_pair(store, best, near).is_distinguishable
    same = compare_pair(store, best, best)
    assert (same.value, same.p_value) == (0, 1)
    assert same.low < 0 < same.high
    nothing = compare_pair(store, best, without)
    assert (nothing.p_value, nothing.is_distinguishable) == (None, None)
    assert str(without.trial) in nothing.reason


def test_mcnemar_is_the_binomial_test_of_the_discordant_images():
    made = differences.Difference(1, 2, "accuracy")
    first, second = np.array([1] * 9 + [0] * 1 + [1] * 90, bool), np.array([0] * 9 + [1] * 1 + [1] * 90, bool)
    found = differences._of_shares(made, first, second)
    assert found.p_value == pytest.approx(2 * sum(math.comb(10, i) for i in (0, 1)) / 2**10)
    assert found.value == pytest.approx(0.08)


def test_the_winner_is_named_with_its_equals_and_the_smallest(store, trials):
    best, near, bad, without = trials
    winner = winner_of(store, [best, near, bad, without])
    assert [trial.trial for trial in winner.equals] == [near.trial]
    assert (winner.smallest.trial, winner.n_compared) == (near.trial, 2)
    assert f"{near.params:,} parameters" in winner.text
    assert winner_of(store, [best]).n_compared == 0
    assert winner_of(store, [without, best]).equals == ()


def test_with_folds_only_means_of_images_are_compared(store, new_run, complete):
    """The metric of a trial with folds is a mean over folds: pooled predictions give another number."""
    labels, made = np.random.default_rng(5).integers(0, 4, 200), []
    for number, (folds, seed) in enumerate(((4, 0), (4, 0), (4, 1), (None, 0))):
        search = {"metric": "f1_macro", **({} if folds is None else {"folds": folds})}
        run_id = new_run(f"r{number}", config={"search": search, "data": {"seed": seed}})
        trial = complete(run_id, f"f{number}", 0.5)
        detail = predictions(seed=number, noise=number, labels=labels).to_json()
        store.add_event(run_id, "info", PREDICTIONS, detail, trial.trial)
        made.append(trial)
    first, same_folds, other_seed, no_folds = made
    refused = compare_pair(store, first, same_folds)
    assert (refused.metric, refused.p_value, refused.value) == ("f1_macro", None, None)
    assert "f1_macro" in refused.reason
    assert winner_of(store, [first, same_folds]).n_compared == 0
    for metric, test in (("accuracy", "McNemar exact"), ("log_loss", "paired bootstrap")):
        assert compare_pair(store, first, same_folds, metric).test == test
        # other folds can have the same labels in the same order, of other images
        assert compare_pair(store, first, other_seed, metric).p_value is None
        assert compare_pair(store, first, no_folds, metric).p_value is None


def test_an_unknown_metric_is_not_compared(store, trials):
    for metric in ("f1_makro", "test_accuracy"):
        with pytest.raises(ValueError, match=r"f1_macro|use accuracy"):
            compare_pair(store, trials[0], trials[1], metric)
        with pytest.raises(ValueError, match=r"f1_macro|use accuracy"):
            with_interval(store, trials[0], metric)


def test_a_metric_that_is_not_defined_for_the_classes_is_not_compared(store, trials):
    for metric, facts in (("top_60_accuracy", "top_9_accuracy"), ("f1", "f1_macro"), ("f1_samples", "several labels")):
        with pytest.raises(ValueError, match=facts):
            compare_pair(store, trials[0], trials[1], metric)


def test_trials_of_other_data_are_not_compared(store, trials, new_run, complete):
    other = complete(new_run(name="other", dataset={"content_hash": "d3", "name": "d3"}), "f0", 0.5)
    with pytest.raises(ValueError, match=r"d2.*d3"):
        compare_pair(store, trials[0], other)


def test_a_class_report_has_the_values_of_scikit_learn():
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    made = predictions(80, 5)
    report = class_report(7, made, ["a", "b", "<script>", "d" * 500, "e"])
    expected = precision_recall_fscore_support(made.labels, made.predicted, labels=range(5), zero_division=np.nan)
    for number, row in enumerate(report.classes):
        found = [np.nan if value is None else value for value in (row.precision, row.recall, row.f1, row.support)]
        assert found == pytest.approx([column[number] for column in expected], nan_ok=True)
    assert np.array_equal(report.matrix, confusion_matrix(made.labels, made.predicted))
    assert len(report.classes[3].name) < 100
    confidences = [one.confidence for one in report.mistakes]
    assert confidences == sorted(confidences, reverse=True)
    assert len(confidences) <= class_metrics.N_MISTAKES
    assert sum(one.images for one in report.reliability) == 80
    assert sum(one.images for one in report.confusions) == int((made.labels != made.predicted).sum())
    assert report.to_json()["trial"] == 7
    assert class_report(7, made, 5).classes[0].name == "0"  # a foreign database may have anything as names


def test_a_class_report_of_several_labels_has_the_values_of_scikit_learn():
    from sklearn.metrics import precision_recall_fscore_support

    made = label_predictions(80, 5)
    report = class_report(7, made, list("abcde"))
    expected = precision_recall_fscore_support(made.labels, made.predicted, zero_division=np.nan)
    for number, row in enumerate(report.classes):
        found = [np.nan if value is None else value for value in (row.precision, row.recall, row.f1, row.support)]
        assert found == pytest.approx([column[number] for column in expected], nan_ok=True)
    assert (report.multi_label, report.matrix, report.confusions) == (True, None, ())
    for one in report.mistakes:
        name = one.label.removeprefix("not ")
        c = "abcde".index(name)
        assert {one.label, one.predicted} == {name, f"not {name}"}
        assert made.labels[one.image, c] == (one.label == name) != made.predicted[one.image, c]
    assert sum(one.images for one in report.reliability) == 80 * 5
    for one in report.reliability:
        inside = (made.probabilities > one.low) & (made.probabilities <= one.high)
        if one.images:
            assert one.accuracy == pytest.approx(made.labels[inside].mean())


def test_trials_of_several_labels_and_custom_metrics_are_compared(store, new_run, complete, own_metric):
    dataset = {"content_hash": "d4", "name": "d4", "n_val": 200, "n_classes": 12}
    run_id = new_run(
        dataset=dataset, config={"search": {"metric": "twos_found"}, "plugins": {"modules": ["own_parts"]}}
    )
    labels, made = np.random.default_rng(5).random((200, 12)) < 0.3, []
    for seed, noise in enumerate((0.5, 0.5, 4.0)):
        of_trial = label_predictions(200, 12, seed=seed, noise=noise, labels=labels)
        trial = complete(run_id, f"f{seed}", float(of_trial.hits().mean()))
        store.add_event(run_id, "info", PREDICTIONS, of_trial.to_json(), trial.trial)
        made.append(trial)
    good, alike, bad = made
    assert top_5_error(store, good) is None  # it is of one label an image
    for metric, test in (("accuracy", "McNemar exact"), ("f1_samples", "paired bootstrap"), (None, "paired bootstrap")):
        found = compare_pair(store, good, bad, metric)
        assert (found.test, found.is_distinguishable) == (test, True)
        assert not compare_pair(store, good, alike, metric).is_distinguishable
    assert [trial.trial for trial in winner_of(store, made).equals] == [alike.trial]
    del registry._CUSTOM["twos_found"]
    unknown = compare_pair(store, good, bad)
    registry.register_metric("twos_found")(own_metric)
    assert (unknown.p_value, "--import own_parts" in unknown.reason, "twos_found" in unknown.reason) == (
        None,
        True,
        True,
    )


def test_a_database_of_0_1_0_has_no_predictions(store, new_run, complete):
    run_id = new_run()
    trial = complete(run_id, "f0", 0.9)
    assert predictions_of(store, trial) is None
    found, reason = intervals.readable_predictions(store, trial)
    assert found is None
    assert str(trial.trial) in reason
    store.add_event(run_id, "info", "validation_predictions", {"n": "many"}, trial.trial)
    assert intervals.readable_predictions(store, trial)[0] is None


def test_a_reused_trial_and_an_exported_run_have_the_predictions(store, trials, new_run, tmp_path):
    first = trials[0]
    again = store.propose(
        new_run("again", dataset={"content_hash": "d2", "name": "d2", "n_val": 200, "n_classes": 10}),
        architecture=first.architecture,
        fingerprint=first.fingerprint,
        cost={name: getattr(first, name) for name in ("params", "macs", "activations", "memory_bytes")},
        choices=first.choices,
        recipe=first.recipe,
        seed=0,
        source=first.trial,
    )
    assert predictions_of(store, again).to_json() == predictions_of(store, first).to_json()
    export_runs(store, tmp_path / "again.json", ["again"])
    (document,) = read_runs(tmp_path / "again.json")
    assert [row["kind"] for row in document.tables["event"]] == ["validation_predictions"]
    assert document.tables["event"][0]["detail"] == predictions_of(store, first).to_json()
