"""The order of zero-shot methods: chance, domain adaptation, its fusion with GPR, classifiers predicted from text."""

import numpy as np
import pytest
import torch

from archsieve.models.data.dataset import Request
from archsieve.models.data.glyphs import load_glyphs
from archsieve.models.data.zero_shot import ZeroShotData, draw_unseen, validation_folds
from archsieve.models.networks.feature_extractors import ArchitectureBody
from archsieve.models.zero_shot.baselines import BASELINES, Training
from archsieve.models.zero_shot.comparison import Entrant, choose_setting, evaluated, pixel_vectors, scored
from archsieve.models.zero_shot.metrics import ZeroShotScores, zero_shot_scores
from archsieve.models.zero_shot.trainer import ZeroShotFit, score_images
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, Pool
from archsieve.spaces.recipes.zero_shot_recipe import ZeroShotRecipe

SIDE = 16
NET = Architecture((1, SIDE, SIDE), (Conv(16), Pool(2), Conv(32), Pool(2)), 64)
SEEN, UNSEEN, TEXT, HIDDEN, WIDTH, TRAINED, TESTED = 160, 40, 60, 30, 128, 24, 8


def glyphs(limit: int | None, seed: int = 0) -> ZeroShotData:
    source = load_glyphs(Request(image_size=SIDE, limit=limit, seed=seed))
    return ZeroShotData.of("glyphs", source, draw_unseen(source.classes, seed=seed))


def by_both(data: ZeroShotData, epochs: int) -> ZeroShotScores:
    """The fc+conv model, trained on the seen classes, on the test pictures; nothing is chosen by them."""
    recipe = ZeroShotRecipe(
        epochs=epochs, batch_size=64, lr=5e-3, k=64, hidden=128, form="fc+conv", loss="softmax", similarity="cosine"
    )
    fit = ZeroShotFit(ArchitectureBody(NET, seed=0), data, recipe, seed=0, validate=False)
    while not fit.done:
        fit.step()
    texts = fit.encoder(data.classes, data.texts)
    seen, unseen = (
        score_images(fit.module, data, split, texts, fit.compute) for split in (data.test_seen, data.test_unseen)
    )
    return scored(data, seen, unseen, "posterior", 0.0)


def by_baseline(name: str, data: ZeroShotData) -> ZeroShotScores:
    """A baseline on the same pictures, its settings chosen on validation classes."""
    fold = validation_folds(data, 4, seed=0, used=1)[0]
    setting = choose_setting(name, Entrant.of(fold, pixel_vectors(fold)))
    return evaluated(name, Entrant.of(data, pixel_vectors(data)), setting)


def test_classifiers_predicted_from_text_know_unseen_glyphs() -> None:
    found = by_both(glyphs(1200), epochs=6)
    assert found.roc_unseen > 0.7
    assert found.roc_seen > 0.7


@pytest.mark.slow
def test_on_all_glyphs_they_are_above_domain_adaptation() -> None:
    data = glyphs(None)
    ours, adapted = by_both(data, epochs=9), by_baseline("da", data)
    assert ours.roc_unseen > 0.9
    assert ours.roc_unseen > adapted.roc_unseen + 0.02
    assert ours.h > adapted.h


def planted(seed: int) -> dict[str, ZeroShotScores]:
    """200 classes; text tells 64 % of their attributes' variance, and image vectors are rectified mixtures of these."""
    rng, classes = np.random.default_rng(seed), SEEN + UNSEEN
    texts = rng.normal(size=(classes, TEXT)) / np.sqrt(np.arange(1, TEXT + 1))
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    told = texts @ rng.normal(size=(TEXT, HIDDEN))
    attributes = 0.8 * told / told.std(0) + 0.6 * rng.normal(size=(classes, HIDDEN))
    mixture = rng.normal(size=(HIDDEN, WIDTH)) / np.sqrt(HIDDEN)

    def vectors(labels: np.ndarray) -> np.ndarray:
        return np.maximum(0, (attributes[labels] + 2.0 * rng.normal(size=(len(labels), HIDDEN))) @ mixture)

    y = np.repeat(np.arange(SEEN), TRAINED)
    tests = np.repeat(np.arange(SEEN), TESTED), np.repeat(np.arange(SEEN, classes), TRAINED)
    training, pictures = Training(vectors(y), y, texts[:SEEN]), [vectors(labels) for labels in tests]
    parts = torch.arange(SEEN), torch.arange(SEEN, classes)

    def scores(name: str) -> ZeroShotScores:
        scorer = BASELINES[name].fit(training)
        seen, unseen = (torch.from_numpy(scorer(x, texts)) for x in pictures)
        labels = torch.from_numpy(tests[0]), torch.from_numpy(tests[1])
        return zero_shot_scores((seen, unseen), labels, *parts, gamma=0.0)

    return {name: scores(name) for name in ("random", "gpr", "da", "gpr+da")}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
def test_hyperplanes_from_text_add_to_domain_adaptation(seed: int) -> None:
    """Over all classes and among all labels the fusion is above; of unseen classes apart its ROC-AUC is the same."""
    found = planted(seed)
    adapted, fused = found["da"], found["gpr+da"]
    assert 0.45 < found["random"].roc_unseen < 0.55 < found["gpr"].roc_unseen < adapted.roc_unseen
    assert fused.roc_mean > adapted.roc_mean > 0.8
    assert fused.roc_seen > adapted.roc_seen
    assert fused.pr_mean > adapted.pr_mean
    assert fused.ausuc > adapted.ausuc
    assert fused.roc_unseen > found["gpr"].roc_unseen
    assert abs(fused.roc_unseen - adapted.roc_unseen) < 0.015
