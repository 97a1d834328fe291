"""Combinations of zero-shot models: calibrated on validation classes, tested by their mean scores, saved and loaded."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from archsieve.models.data.class_folds import BackboneInit, ClassFolds
from archsieve.models.zero_shot.combination import CombinationRule, load_combination
from archsieve.models.zero_shot.metrics import seen_unseen_curve
from archsieve.models.zero_shot.saved_model import ZeroShotModel
from archsieve.results.database.records import History, Trial, TrialState
from archsieve.search.post.predict import is_zero_shot_file, load_zero_shot_file
from archsieve.search.runs.zero_shot_combination import combination_part
from archsieve.search.runs.zero_shot_context import JobContext
from archsieve.search.runs.zero_shot_jobs import run_part
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.recipes.zero_shot_recipe import ZeroShotRecipe

from .test_linear_forms import CLASSES, NET, data  # noqa: F401

FORMS = ("ridge", "eszsl", "bilinear")


def trial(k: int, val_h: float, latency_ms: float) -> Trial:
    recipe = ZeroShotRecipe(form="ridge", epochs=2).to_json()
    return Trial(
        trial=k,
        run="run",
        number=k,
        state=TrialState.COMPLETED,
        fingerprint=str(k),
        architecture=NET.to_json(),
        choices={},
        recipe=recipe,
        seed=k,
        params=1,
        macs=1,
        activations=1,
        memory_bytes=1,
        best_epoch=1,
        val_accuracy=val_h,
        latency_ms=latency_ms,
    )


def test_the_best_trials_are_combined_calibrated_on_validation_classes_and_saved(data, tmp_path: Path):  # noqa: F811
    folds = ClassFolds.of(data, None, 0.25, seed=0, start=BackboneInit(None, False))
    context = JobContext(data, folds, ("tfidf",), 1, 0, "fp32", 0, False, NET.to_json(), 0)
    members = [
        {
            "trial": k,
            "architecture": NET.to_json(),
            "recipe": recipe.to_json(),
            "epochs": 2 - recipe.is_closed,
            "seed": k,
        }
        for k, recipe in enumerate(ZeroShotRecipe(form=form, epochs=2, batch_size=64, lr=0.05) for form in FORMS)
    ]
    result = run_part({"combine": members}, context)
    again = run_part({"combine": members}, context)
    assert result["row"] == again["row"]
    assert result["row"]["method"] == "combination of 3"
    assert 0.6 < result["row"]["roc_unseen"] <= 1

    file = tmp_path / "combination-0.safetensors"
    file.write_bytes(result["model"])
    rule, models = load_combination(file)
    assert [model.network.recipe.form for model in models] == list(FORMS)
    texts = dict(zip(data.classes, data.texts, strict=True))
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    assert is_zero_shot_file(str(file))
    classifier = load_zero_shot_file(file, tmp_path / "texts.json")
    images = data.test_unseen.images
    found = classifier.probabilities(images)
    assert torch.allclose(found.sum(1), torch.ones(len(images)), atol=1e-5)

    # the mean of log p(class | image), by numpy from the saved models alone
    logs = []
    for model, scale in zip(models, rule.scales, strict=True):
        scores = model.scores(images, texts).double().numpy() / scale
        logs.append(scores - np.log(np.exp(scores).sum(1, keepdims=True)))
    mean = np.mean(logs, 0)
    mean[:, : CLASSES - 6] -= rule.gamma
    assert np.array_equal(found.argmax(1).numpy(), mean.argmax(1))
    correct = mean.argmax(1) == data.test_unseen.labels.numpy()
    u = np.mean([correct[data.test_unseen.labels.numpy() == k].mean() for k in range(CLASSES - 6, CLASSES)])
    assert result["row"]["u_calibrated"] == pytest.approx(u, abs=1e-6)

    with pytest.raises(ValueError, match="needs the texts of the classes"):
        load_zero_shot_file(file, None)
    with pytest.raises(ValueError, match="combination 1"):
        ZeroShotModel.load(file)


def test_the_rule_reads_validation_scores_and_does_not_depend_on_their_size(data):  # noqa: F811
    generator = torch.Generator().manual_seed(0)
    seen, unseen = (torch.randn(len(part), CLASSES, generator=generator) for part in (data.test_seen, data.test_unseen))
    rule = CombinationRule.of(data, [(seen, unseen)])
    larger = CombinationRule.of(data, [(100 * seen, 100 * unseen), (seen, unseen)])
    assert larger.scales == pytest.approx((100 * rule.scales[0], rule.scales[0]))
    assert larger.gamma == pytest.approx(rule.gamma, abs=1e-5)
    labels = torch.cat([data.test_seen.labels, data.test_unseen.labels])
    curve = seen_unseen_curve(torch.cat([seen, unseen]) / rule.scales[0], labels, data.seen, data.unseen)
    assert (rule.gamma, rule.h) == pytest.approx(curve.best, abs=1e-5)


def test_the_best_trials_inside_the_latency_limit_are_members():
    trials = tuple(trial(k, *values) for k, values in enumerate([(0.2, 4.0), (0.5, 9.0), (0.4, 5.0), (0.1, 1.0)]))
    part = combination_part(History(trials), Budget(latency_ms=5.0), 2)
    assert [(member["trial"], member["seed"], member["epochs"]) for member in part["combine"]] == [(2, 2, 1), (0, 0, 1)]
