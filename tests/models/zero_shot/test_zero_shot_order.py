"""Ranking of zero-shot methods: random, domain adaptation, its fusion with GPR, classifiers predicted from text."""

import numpy as np
import pytest
import torch

from archsieve.models.data.dataset import Request
from archsieve.models.data.glyphs import load_glyphs
from archsieve.models.data.zero_shot import ZeroShotData, draw_unseen, validation_folds
from archsieve.models.networks.feature_extractors import ArchitectureBody
from archsieve.models.zero_shot.baselines import BASELINES, TrainingData
from archsieve.models.zero_shot.comparison import (
    BaselineInputs,
    choose_setting,
    evaluate_baseline,
    metrics_of_scores,
    pixel_vectors,
)
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


def fc_conv_metrics(data: ZeroShotData, epochs: int) -> ZeroShotScores:
    """Metrics on the test images of the fc+conv model trained on the seen classes; they select nothing."""
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
    return metrics_of_scores(data, seen, unseen, "posterior", 0.0)


def baseline_metrics(name: str, data: ZeroShotData) -> ZeroShotScores:
    """Metrics of a baseline on the same test images, with its setting selected on validation classes."""
    fold = validation_folds(data, 4, seed=0, used=1)[0]
    setting = choose_setting(name, BaselineInputs.of(fold, pixel_vectors(fold)))
    return evaluate_baseline(name, BaselineInputs.of(data, pixel_vectors(data)), setting)


def test_classifiers_predicted_from_text_recognise_unseen_glyphs() -> None:
    metrics = fc_conv_metrics(glyphs(1200), epochs=6)
    assert metrics.roc_unseen > 0.7
    assert metrics.roc_seen > 0.7


@pytest.mark.slow
def test_predicted_classifiers_beat_domain_adaptation_on_all_glyphs() -> None:
    data = glyphs(None)
    model, adapted = fc_conv_metrics(data, epochs=9), baseline_metrics("da", data)
    assert model.roc_unseen > 0.9
    assert model.roc_unseen > adapted.roc_unseen + 0.02
    assert model.h > adapted.h


def planted_metrics(seed: int) -> dict[str, ZeroShotScores]:
    """Metrics on 200 classes: texts explain 64 % of the attributes' variance, vectors are rectified mixtures."""
    rng, classes = np.random.default_rng(seed), SEEN + UNSEEN
    texts = rng.normal(size=(classes, TEXT)) / np.sqrt(np.arange(1, TEXT + 1))
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    predictable = texts @ rng.normal(size=(TEXT, HIDDEN))
    attributes = 0.8 * predictable / predictable.std(0) + 0.6 * rng.normal(size=(classes, HIDDEN))
    mixture = rng.normal(size=(HIDDEN, WIDTH)) / np.sqrt(HIDDEN)

    def vectors(labels: np.ndarray) -> np.ndarray:
        return np.maximum(0, (attributes[labels] + 2.0 * rng.normal(size=(len(labels), HIDDEN))) @ mixture)

    y = np.repeat(np.arange(SEEN), TRAINED)
    tests = np.repeat(np.arange(SEEN), TESTED), np.repeat(np.arange(SEEN, classes), TRAINED)
    training, test_vectors = TrainingData(vectors(y), y, texts[:SEEN]), [vectors(labels) for labels in tests]
    parts = torch.arange(SEEN), torch.arange(SEEN, classes)

    def scores(name: str) -> ZeroShotScores:
        scorer = BASELINES[name].fit(training)
        seen, unseen = (torch.from_numpy(scorer(x, texts)) for x in test_vectors)
        labels = torch.from_numpy(tests[0]), torch.from_numpy(tests[1])
        return zero_shot_scores((seen, unseen), labels, *parts, gamma=0.0)

    return {name: scores(name) for name in ("random", "gpr", "da", "gpr+da")}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
def test_fusion_with_hyperplanes_improves_domain_adaptation(seed: int) -> None:
    """The fusion is better over all classes and all labels; for unseen classes alone its ROC-AUC is the same."""
    metrics = planted_metrics(seed)
    adapted, fused = metrics["da"], metrics["gpr+da"]
    assert 0.45 < metrics["random"].roc_unseen < 0.55 < metrics["gpr"].roc_unseen < adapted.roc_unseen
    assert fused.roc_mean > adapted.roc_mean > 0.8
    assert fused.roc_seen > adapted.roc_seen
    assert fused.pr_mean > adapted.pr_mean
    assert fused.ausuc > adapted.ausuc
    assert fused.roc_unseen > metrics["gpr"].roc_unseen
    assert abs(fused.roc_unseen - adapted.roc_unseen) < 0.015
