"""The classifier of scikit-learn: one search on arrays, and the checks of estimators that apply to images."""

import pickle

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks

import archsieve as av
from archsieve.models.data.registry import DATASETS
from archsieve.search.api.sklearn_classifier import _images

# They need no fit, or a fit that must fail. All other checks of scikit-learn fit tables of features (N, F) and not
# images: of them, the tests below check on images what they check (labels, probabilities, parameters, pickles, order).
CHECKS = (
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_estimators_unfitted",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_requires_y_none",
    "check_fit1d",
    "check_classifiers_one_label",
    "check_classifiers_regression_target",
    "check_complex_data",
)


@pytest.mark.parametrize("check", CHECKS)
def test_the_checks_of_estimators_that_apply_pass(check):
    getattr(estimator_checks, check)("ArchitectureSearchClassifier", av.ArchitectureSearchClassifier())


@pytest.fixture(scope="module")
def digits():
    """300 images (300, 8, 8) from 0 to 1 with labels in words."""
    X, y = load_digits(return_X_y=True)
    words = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    return X[:300].reshape(-1, 8, 8) / 16, words[y[:300]]


@pytest.fixture(scope="module")
def fitted(digits, tmp_path_factory, ray_running):
    classifier = av.ArchitectureSearchClassifier(
        budget={"params": "20k", "macs": "1M"},
        trials=2,
        time_limit="1h",
        recipe={"epochs": 4, "batch_size": 32},
        searcher="random",
        val_fraction=0.25,
        runs=tmp_path_factory.mktemp("runs"),
    )
    X, y = digits
    before, parameters = X.copy(), classifier.get_params()
    assert classifier.fit(X, y) is classifier
    assert np.array_equal(X, before)
    assert classifier.get_params() == parameters
    return classifier


def test_a_fit_searches_inside_the_budget_and_trains_the_best(fitted):
    assert fitted.best_trial_.params <= 20_000
    assert fitted.best_trial_.macs <= 1_000_000
    assert fitted.image_shape_ == (1, 8, 8)
    assert fitted.model_.about["calibration"]["n"] == pytest.approx(75, abs=5)
    with av.open_results(fitted.runs / "archsieve.db") as results:
        assert [run.name for run in results.runs] == [fitted.run_]
        assert len(results.trials(fitted.run_)) == 2
        assert results.runs[0].dataset.startswith("arrays-")
    assert [name for name in DATASETS if name.startswith("arrays-")] == []


def test_predictions_are_labels_and_probabilities_sum_to_1(fitted, digits):
    X, y = digits
    assert fitted.classes_.tolist() == sorted(set(y.tolist()))
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (300, 10)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    predicted = fitted.predict(X)
    assert predicted.dtype == y.dtype
    assert np.array_equal(predicted, fitted.classes_[probabilities.argmax(axis=1)])
    assert fitted.score(X, y) == pytest.approx(np.mean(predicted == y))
    assert fitted.score(X, y) > 0.3  # a tenth is chance


def test_the_form_and_order_of_images_change_no_prediction(fitted, digits, tmp_path):
    X, _ = digits
    expected = fitted.predict_proba(X)
    for form in (X[..., None], X[:, None], X.astype(np.float32), np.asfortranarray(X), X.tolist()):
        assert np.allclose(fitted.predict_proba(form), expected, atol=1e-6)
    assert np.allclose(fitted.predict_proba(X[::-1])[::-1], expected, atol=1e-6)
    assert np.allclose(fitted.predict_proba(X[:1]), expected[:1], atol=1e-6)
    assert fitted.predict(X[:0]).shape == (0,)
    for wrong in (X.reshape(300, 64), X[0], np.repeat(X[..., None], 3, axis=3)):
        with pytest.raises(ValueError, match=r"reshape|1 channels"):
            fitted.predict(wrong)
    for k in range(2):
        Image.fromarray((X[k] * 255).astype(np.uint8)).save(tmp_path / f"{k}.png")
    assert len(fitted.predict(tmp_path)) == 2
    with pytest.raises(ValueError, match="1 items are 2 images"):
        fitted.predict([tmp_path])
    with pytest.raises(ValueError, match=r"\[0, 1\].*from 0 to 16"):
        fitted.predict(X * 16)


def test_a_pickle_predicts_the_same_and_a_clone_is_not_fitted(fitted, digits):
    X, _ = digits
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), fitted.predict_proba(X))
    copied = clone(fitted)
    assert copied.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copied.predict(X)


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(3):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(tmp_path / f"{k}.png")
    return [str(tmp_path / f"{k}.png") for k in range(3)]


def test_paths_of_every_form_are_read(paths):
    expected = _images(paths, 16)
    assert expected.shape == (3, 3, 16, 16)
    assert _images(paths, None).shape == (3, 3, 64, 64)
    for form in (np.array(paths), np.array(paths, dtype=object), pd.Series(paths), pd.DataFrame({"path": paths})):
        assert (_images(form, 16) == expected).all()


def test_arrays_keep_their_size_unless_image_size_is_given(paths):
    arrays = np.stack([np.array(Image.open(path)) for path in paths])
    assert _images(arrays, None).shape == (3, 3, 20, 30)
    assert (_images(arrays, 16) == _images(paths, 16)).all()


@pytest.mark.parametrize(
    ("X", "facts"),
    [
        (np.zeros((4, 64)), r"\(4, 64\).*reshape"),
        (np.zeros((4, 3, 8, 3)), r"\(4, 3, 8, 3\)"),
        (np.full((4, 8, 8), 16.0), r"from 16 to 16"),
        (np.full((4, 8, 8), np.nan), r"NaN"),
        (["none.png"] * 4, r"none\.png"),
        (np.zeros((3, 8, 8)), r"\[3, 4\]"),
        (np.zeros((0, 8, 8)), r"\(0, 8, 8\)|\[0, 4\]"),
    ],
)
def test_images_that_cannot_be_used_are_refused_before_any_search(X, facts, tmp_path):
    classifier = av.ArchitectureSearchClassifier(runs=tmp_path)
    with pytest.raises(ValueError, match=facts):
        classifier.fit(X, ["a", "b", "a", "b"])
    assert list(tmp_path.iterdir()) == []
