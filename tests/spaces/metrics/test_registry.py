"""Names of metrics: which are found, which are refused, and what a selection of them means."""

import pytest

import archsieve as av
from archsieve.results.database.records import EPOCH_METRICS
from archsieve.results.query.columns import COLUMNS
from archsieve.spaces.metrics.registry import BUILT_IN, RESERVED, find_metric, metric_label, top_k
from archsieve.spaces.metrics.selection import Selection


def error_of(call, *arguments, **options):
    with pytest.raises((ValueError, TypeError)) as raised:
        call(*arguments, **options)
    return str(raised.value)


def test_a_metric_is_found_by_its_name_with_or_without_val():
    assert {find_metric(name).name for name in BUILT_IN} == set(BUILT_IN)
    assert find_metric("val_f1_macro") is find_metric("f1_macro")
    assert find_metric("val_accuracy").stored_name == "val_accuracy"
    assert find_metric("f1_macro").stored_name == "f1_macro"
    assert [top_k(name) for name in ("top_k_accuracy", "top_3_accuracy", "accuracy")] == [5, 3, None]
    lower = {name for name, metric in BUILT_IN.items() if not metric.higher_is_better}
    assert lower == {"log_loss", "brier", "expected_calibration_error"}
    assert metric_label("metric_of_someone_else") == "metric_of_someone_else"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("balanced_acuracy", "'balanced_accuracy'"),
        ("auroc", "'roc_auc'"),
        ("neg_log_loss", "'log_loss'"),
        ("ECE", "'expected_calibration_error'"),
        ("top5", "'top_5_accuracy'"),
        ("minimize", "direction"),
        ("test_f1_macro", "use f1_macro"),
        ("test_accuracy", "use accuracy"),
        ("", "f1_macro"),
        (3, "f1_macro"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(name, nearest):
    assert nearest in error_of(find_metric, name)


def test_no_custom_metric_can_hide_a_column_or_another_value():
    names = {name for name in (*COLUMNS, *EPOCH_METRICS) if not name.startswith(("val_", "train_", "test_"))}
    assert names <= RESERVED


def two(labels, scores):
    return 0.0


def test_a_custom_metric_needs_a_free_name_and_two_parameters():
    assert "'f1_macro'" in error_of(av.register_metric, "f1_macro")
    assert "'top_3_accuracy'" in error_of(av.register_metric, "top_3_accuracy")
    for name in ("params", "test_mine", "val_mine", "Mine", "my-metric", "minimize", "", 3):
        assert repr(name) in error_of(av.register_metric, name)
    assert "(labels, scores, weight)" in error_of(av.register_metric("own_three"), lambda labels, scores, weight: 0)
    assert "def" in error_of(av.register_metric("own_number"), 3)
    assert "higher_is_better" in error_of(av.register_metric, "own_direction", higher_is_better="lower")
    assert av.register_metric("own_twice", higher_is_better=False)(two) is two
    av.register_metric("own_twice", higher_is_better=False)(two)  # the same one: a module that is reloaded
    assert "'own_twice'" in error_of(av.register_metric("own_twice"), lambda labels, scores: 1)


def test_a_selection_maximises_a_score():
    chosen = Selection.of("val_log_loss", ["f1_macro", "log_loss"])
    assert (chosen.metric, chosen.others, chosen.minimized) == ("log_loss", ("f1_macro",), ("log_loss",))
    assert chosen.score({"log_loss": 0.25, "f1_macro": 0.5}) == -0.25
    assert chosen.score({"f1_macro": 0.5}) is None
    assert chosen.score({"log_loss": float("nan")}) is None
    assert Selection().score({"val_accuracy": 0.75}) == 0.75
    assert "'f1_macro'" in error_of(Selection.of, "accuracy", ["f1_macro", "f1_macro"])


def test_a_stored_selection_needs_no_registered_function():
    config = {"search": {"metric": "gone", "record_metrics": ["f1_macro"], "minimized": ["gone"]}}
    chosen = Selection.from_config(config)
    assert (chosen.metric, chosen.computed, chosen.score({"gone": 2.0})) == ("gone", ("gone", "f1_macro"), -2.0)
    assert Selection.from_config({"search": {"trials": 3}}) == Selection.from_config({}) == Selection()


def test_a_metric_that_cannot_be_computed_is_refused():
    assert "use top_2_accuracy" in error_of(Selection.of("top_k_accuracy").check_classes, 3)
    assert "use accuracy" in error_of(Selection.of("top_2_accuracy").check_classes, 2)
    assert "use f1_macro" in error_of(Selection.of("f1").check_classes, 3)
    Selection.of("accuracy", ["f1"]).check_classes(2)
    one_class = error_of(Selection.of("f1_macro").check_labels, [True, False], "validation")
    assert "validation images of at least two classes" in one_class
    without = error_of(Selection.of("roc_auc").check_labels, [True, False, True], "test")
    assert "class 1 has none; add images, raise data.test_fraction" in without
    Selection.of("balanced_accuracy").check_labels([True, False, True], "test")
