"""The predictions that a fit keeps are those of its best epoch, survive a resume, and are bounded."""

import pytest
import torch

from archsieve.models.data.folds import cross_folds
from archsieve.models.data.registry import ImageData
from archsieve.models.training import predictions as module
from archsieve.models.training.cross_validation import FoldedFit, FoldedResult
from archsieve.models.training.predictions import compact, concatenate
from archsieve.models.training.trainer import Fit
from archsieve.spaces.recipes.recipe import Recipe

RECIPE = Recipe(epochs=3, batch_size=32, lr=0.3)


def test_compact_predictions_are_those_of_the_logits() -> None:
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 7
    kept = compact(logits, labels)
    assert torch.equal(kept.predicted, logits.argmax(1))
    assert torch.equal(kept.rank == 0, kept.predicted == labels)
    assert torch.allclose(kept.label_probability, logits.softmax(1)[torch.arange(50), labels])
    assert torch.allclose(kept.log_probabilities.float(), logits.log_softmax(1), rtol=1e-3)
    assert kept.classes.shape == (50, 0)


def test_compact_predictions_of_several_labels(monkeypatch) -> None:
    rng = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(50, 6, generator=rng), torch.rand(50, 6, generator=rng) < 0.3
    kept = compact(logits, labels)
    assert torch.equal(kept.labels, labels)
    assert torch.equal(kept.predicted, logits > 0)
    assert torch.allclose(kept.logits.float(), logits, rtol=1e-3)
    assert compact(1e9 * logits, labels).logits.isfinite().all()
    again = module.from_state(kept.state_dict())
    assert torch.equal(again.logits, kept.logits)
    both = concatenate([kept, compact(logits[:10], labels[:10])])
    assert (both.n_images, both.index.tolist()) == (60, list(range(60)))
    monkeypatch.setattr(module, "MAX_LABEL_SCORES", 90)
    few = compact(logits, labels)
    assert (few.n_images, len(few.index)) == (50, 15)
    assert torch.equal(few.labels, labels[few.index])
    assert len(concatenate([kept, few]).index) == 15


def test_large_predictions_are_bounded(monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_IMAGES", 30)
    monkeypatch.setattr(module, "MAX_PROBABILITIES", 150)
    logits = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    kept = compact(logits, torch.arange(100) % 8)
    assert kept.n_images == 100
    assert len(kept.index) == 30
    assert torch.equal(kept.index, kept.index.unique())
    assert torch.equal(kept.classes[:, 0], logits[kept.index].argmax(1))
    assert kept.log_probabilities.shape == (30, module.TOP)
    assert torch.equal(kept.index, compact(2 * logits, torch.arange(100) % 8).index)  # the same images for each network
    both = concatenate([kept, compact(logits[:10], torch.arange(10) % 8)])
    assert both.n_images == 110
    assert len(both.index) <= 30
    assert bool((both.index.diff() > 0).all())


def shares(fit) -> tuple[float, float]:
    """Return the accuracy of the kept predictions, and the best one of the history."""
    kept = fit.best_predictions
    return float((kept.predicted == kept.labels).float().mean()), max(result.val_accuracy for result in fit.history)


def test_the_kept_predictions_are_those_of_the_best_epoch_after_a_resume(few_digits: ImageData) -> None:
    def new() -> Fit:
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
        return Fit(network, few_digits, RECIPE, seed=0, keep_predictions=True)

    whole, first, resumed = new(), new(), new()
    while not whole.done:
        whole.step()
    first.step()
    resumed.load_state_dict(first.state_dict())
    while not resumed.done:
        resumed.step()
    for fit in (whole, resumed):
        found, best = shares(fit)
        assert found == pytest.approx(best)
    assert torch.equal(whole.best_predictions.log_probabilities, resumed.best_predictions.log_probabilities)
    state = first.state_dict()
    logs = state["best_predictions"].pop("log_probabilities")
    state["best_predictions"]["probabilities"] = logs.float().exp().half()  # a checkpoint of an earlier version
    resumed = new()
    resumed.load_state_dict(state)
    assert torch.allclose(resumed.best_predictions.log_probabilities.float(), logs.float(), atol=0.01)
    del state["best_predictions"]  # a checkpoint of version 0.1.0
    resumed = new()
    resumed.load_state_dict(state)
    assert resumed.best_predictions is None
    assert new().best_predictions is None


def test_folds_keep_the_predictions_of_each_fold(few_digits: ImageData) -> None:
    folds = cross_folds(few_digits, 3, seed=0)
    fits = [
        Fit(
            torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)),
            fold,
            RECIPE,
            seed=0,
            keep_predictions=True,
        )
        for fold in folds
    ]
    folded = FoldedFit(fits, FoldedResult, keep_predictions=True)
    while not folded.done:
        folded.step()
    assert torch.equal(folded.best_predictions.labels, torch.cat([fold.val.labels for fold in folds]))
    found, best = shares(folded)
    assert found == pytest.approx(best, abs=0.01)  # the folds differ by one image at most
    again = FoldedFit(fits, FoldedResult, keep_predictions=True)
    again.load_state_dict(folded.state_dict())
    assert torch.equal(again.best_predictions.index, folded.best_predictions.index)
