"""Baselines: closed forms against direct solutions, and requirements on every baseline."""

import numpy as np
import pytest
import torch

from archsieve.models.data.dataset import Split
from archsieve.models.data.zero_shot import ZeroShotData, ZeroShotSource
from archsieve.models.zero_shot.baselines import BASELINES, Baseline, TrainingData
from archsieve.models.zero_shot.baselines_closed_form import eszsl, ridge_to_centroid, unit
from archsieve.models.zero_shot.baselines_domain_transfer import domain_adaptation, gpr_with_adaptation
from archsieve.models.zero_shot.comparison import BaselineInputs, choose_setting, pixel_vectors

SEEN, UNSEEN, WIDTH, TEXT = 20, 5, 12, 8


@pytest.fixture(scope="module")
def linear_data() -> tuple[TrainingData, np.ndarray, np.ndarray, np.ndarray]:
    """Training vectors that are a noisy linear map of their class's text, test vectors of unseen classes, all texts."""
    rng = np.random.default_rng(0)
    texts, transform = rng.normal(size=(SEEN + UNSEEN, TEXT)), rng.normal(size=(TEXT, WIDTH))
    y, unseen = np.repeat(np.arange(SEEN), 15), np.repeat(np.arange(SEEN, SEEN + UNSEEN), 15)
    x, test = (texts[labels] @ transform + 0.5 * rng.normal(size=(len(labels), WIDTH)) for labels in (y, unseen))
    return TrainingData(x, y, texts[:SEEN]), test, unseen, texts


@pytest.mark.parametrize("name", BASELINES)
def test_all_but_random_recognise_classes_by_their_texts(name, linear_data):
    training, test, labels, texts = linear_data
    scores = BASELINES[name].fit(training)(test, texts)
    assert scores.shape == (len(test), len(texts))
    accuracy = (scores[:, SEEN:].argmax(1) + SEEN == labels).mean()
    assert accuracy > 0.55 if name != "random" else accuracy < 0.45
    # the scores of a text do not depend on the other texts
    if name != "random":
        assert BASELINES[name].fit(training)(test, texts[-1:]) == pytest.approx(scores[:, -1:])


def test_eszsl_solves_its_normal_equations(linear_data):
    training, test, _, texts = linear_data
    gamma, strength = 3.0, 0.5
    centre = training.x.mean(0)
    x, s = training.x - centre, training.texts
    signs = np.where(np.arange(SEEN) == training.y[:, None], 1.0, -1.0)
    # (X X' + g I) W (S S' + l I) = X Y S' as one linear system in the entries of W
    left, right = x.T @ x + gamma * np.eye(WIDTH), s.T @ s + strength * np.eye(TEXT)
    w = np.linalg.solve(np.kron(left, right), (x.T @ signs @ s).ravel()).reshape(WIDTH, TEXT)
    scores = eszsl(training, gamma, strength)(test, texts)
    assert scores == pytest.approx((test - centre) @ w @ texts.T)


def test_ridge_without_regularisation_is_least_squares(linear_data):
    training, test, _, texts = linear_data
    t = training.texts - training.texts.mean(0)
    centre = training.x.mean(0)
    a = np.linalg.lstsq(t, training.centroids - centre, rcond=None)[0]
    predicted = (texts - training.texts.mean(0)) @ a
    cosines = (
        (test - centre)
        @ predicted.T
        / np.outer(np.linalg.norm(test - centre, axis=1), np.linalg.norm(predicted, axis=1))
    )
    assert ridge_to_centroid(training, 1e-10)(test, texts) == pytest.approx(cosines)


@pytest.mark.parametrize("width", [TEXT, 3 * SEEN])
def test_closed_forms_solve_the_smaller_system_and_get_the_same_solution(linear_data, width):
    """Texts of more entries than classes are solved by the classes; the direct solution is the oracle."""
    training, test, _, _ = linear_data
    texts = np.random.default_rng(1).normal(size=(SEEN + UNSEEN, width))
    wide = TrainingData(training.x, training.y, texts[:SEEN])
    centre, mean, strength, gamma = training.x.mean(0), texts[:SEEN].mean(0), 2.0, 3.0
    t, x = texts[:SEEN] - mean, training.x - centre
    a = np.linalg.inv(t.T @ t + strength * np.eye(width)) @ t.T @ (wide.centroids - centre)
    expected = unit(test - centre) @ unit((texts - mean) @ a).T
    assert ridge_to_centroid(wide, strength)(test, texts) == pytest.approx(expected)
    signs = np.where(np.arange(SEEN) == training.y[:, None], 1.0, -1.0)
    left, right = x.T @ x + gamma * np.eye(WIDTH), texts[:SEEN].T @ texts[:SEEN] + strength * np.eye(width)
    w = np.linalg.inv(left) @ x.T @ signs @ texts[:SEEN] @ np.linalg.inv(right)
    assert eszsl(wide, gamma, strength)(test, texts) == pytest.approx((test - centre) @ w @ texts.T)


def brightness_data(side: int) -> ZeroShotData:
    """Forty images of ``side`` x ``side`` pixels, of increasing brightness; four classes, the last one unseen."""
    labels = torch.arange(40) % 4
    brightness = torch.linspace(0, 250, 40)
    images = brightness.to(torch.uint8).view(-1, 1, 1, 1).expand(40, 3, side, side).contiguous()
    source = ZeroShotSource(
        tuple("abcd"), tuple("abcd"), Split(images, labels), torch.arange(40) % 8 >= 4, torch.ones(40, dtype=torch.bool)
    )
    return ZeroShotData.of("large", source, torch.tensor([3]))


def test_components_of_large_images_need_little_memory():
    """All pixels of 224 x 224 would need a covariance of 169 GB; the components still order the brightness."""
    data = brightness_data(224)
    vectors = pixel_vectors(data)
    first = vectors(data.test_unseen)[:, 0]
    assert first.shape == (10,)
    assert (np.diff(first) > 0).all() or (np.diff(first) < 0).all()


def test_adaptation_converges_to_a_minimum(linear_data):
    """The optimum is smooth in the strength: a small change of the strength changes the scores little."""
    training, test, _, texts = linear_data
    one, two = (domain_adaptation(training, strength)(test, texts) for strength in (0.1, 0.1001))
    assert np.abs(one - two).max() < 0.05 * np.abs(one).max()
    strong = domain_adaptation(training, 1e6)(test, texts)
    assert np.abs(strong).max() < 1e-3


def test_quadratic_programme_recognises_classes(linear_data):
    training, test, labels, texts = linear_data
    scores = gpr_with_adaptation(training, programme=True)(test, texts)
    accuracy = (scores[:, SEEN:].argmax(1) + SEEN == labels).mean()
    assert accuracy > 2 / UNSEEN


def test_random_scores_are_reproducible(linear_data):
    training, test, _, texts = linear_data
    one, two = (BASELINES["random"].fit(training)(test, texts) for _ in range(2))
    assert np.array_equal(one, two)


def test_a_grid_is_extended_until_its_edge_is_not_the_best(monkeypatch):
    """The scores of this method are best at strength 300, far outside of the grid 0.1, 1, 10."""
    data = brightness_data(4)
    inputs = BaselineInputs.of(data, pixel_vectors(data))
    labels = {len(split): split.labels.numpy() for split in (data.test_seen, data.test_unseen)}

    def fit(training, strength):
        quality = 2 - abs(np.log10(strength / 300))
        return lambda x, texts: (
            quality * np.eye(len(texts))[labels[len(x)]] + np.random.default_rng(0).normal(size=(len(x), len(texts)))
        )

    monkeypatch.setitem(BASELINES, "planned", Baseline(fit, "a test", {"strength": (0.1, 1.0, 10.0)}))
    setting = choose_setting("planned", inputs)
    assert setting.extended == ("strength",)
    assert setting.values["strength"] == pytest.approx(100)
