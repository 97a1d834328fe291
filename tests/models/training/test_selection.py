"""The metric that selects decides the best epoch, the weights that are kept, the retraining and the ensemble."""

import pytest
import torch

from archsieve.models.data.folds import cross_folds
from archsieve.models.training.cross_validation import FoldedFit, FoldedResult
from archsieve.models.training.ensemble import metric_values, select_members, selection_score
from archsieve.models.training.epoch import EpochResult, best_of
from archsieve.models.training.evaluate import evaluate
from archsieve.models.training.retrain import retrain
from archsieve.models.training.trainer import Fit
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, GlobalAverage
from archsieve.spaces.metrics.selection import Selection
from archsieve.spaces.recipes.recipe import Recipe

RECIPE = Recipe(epochs=3, batch_size=32, lr=0.05)
BY_LOSS = Selection.of("log_loss", ["f1_macro"])


def result(epoch, accuracy, f1, loss=1.0):
    return EpochResult(epoch, 1.0, 0.5, loss, accuracy, 0.1, 1.0, metrics={"f1_macro": f1, "log_loss": loss})


def test_the_best_epoch_is_that_of_the_metric():
    history = [result(1, 0.9, 0.4), result(2, 0.8, 0.6), result(3, 0.8, 0.6, loss=0.5)]
    assert best_of(history).epoch == 1
    assert best_of(history, Selection.of("f1_macro")).epoch == 3
    assert best_of(history, Selection.of("log_loss")).epoch == 3
    assert best_of(history[:2], Selection.of("log_loss")).epoch == 1
    assert best_of([], BY_LOSS) is None


def test_the_weights_of_the_best_epoch_by_the_metric_are_kept(few_digits, small_net):
    fit = Fit(small_net(), few_digits, RECIPE, seed=0, keep_best=True, selection=BY_LOSS)
    while not fit.done:
        fit.step()
    assert fit.best is min(fit.history, key=lambda one: one.metrics["log_loss"])
    ((module, _),) = fit.best_networks()
    again = evaluate(module, few_digits.val, few_digits, metrics=("log_loss", "f1_macro"))
    assert again.metrics == pytest.approx(dict(fit.best.metrics), abs=1e-6)
    assert all(one.metrics["log_loss"] == pytest.approx(one.val_loss, abs=1e-5) for one in fit.history)


def test_a_resumed_fit_has_the_same_metrics(few_digits, small_net):
    whole, first, second = (
        Fit(small_net(), few_digits, RECIPE, seed=0, keep_best=True, selection=BY_LOSS) for _ in range(3)
    )
    first.step()
    second.load_state_dict(first.state_dict())
    for fit in (whole, second):
        while not fit.done:
            fit.step()
    assert whole.history == second.history
    assert whole.best == second.best


def test_folds_have_the_mean_of_a_metric(few_digits, small_net):
    folds = cross_folds(few_digits, 2, seed=0)
    fits = [Fit(small_net(), fold, RECIPE, seed=k, selection=BY_LOSS) for k, fold in enumerate(folds)]
    folded = FoldedFit(fits, FoldedResult, keep_best=True, selection=BY_LOSS)
    one = folded.step()
    assert one.metrics["f1_macro"] == pytest.approx(sum(fit.history[0].metrics["f1_macro"] for fit in fits) / 2)
    again = FoldedFit(fits, FoldedResult, selection=BY_LOSS)
    again.load_state_dict(folded.state_dict())
    assert again.history == folded.history


def test_retraining_tests_the_metrics_once(few_digits):
    network = Architecture((1, 8, 8), (Conv(8), GlobalAverage()), 10)
    retrained = retrain(network, RECIPE, few_digits, seed=0, selection=BY_LOSS)
    assert set(retrained.best.metrics) == {"log_loss", "f1_macro"}
    assert set(retrained.test_metrics) == {"log_loss", "f1_macro", "top_5_accuracy"}  # of ten classes
    plain = retrain(network, RECIPE, few_digits, seed=0)
    assert (plain.best.metrics, set(plain.test_metrics)) == ({}, {"top_5_accuracy"})


def test_an_ensemble_is_selected_by_the_metric():
    labels = torch.tensor([0] * 9 + [1])
    majority = torch.tensor([[0.9, 0.1]] * 10)  # accuracy 0.9, macro F1 0.47
    careful = torch.tensor([[0.9, 0.1]] * 7 + [[0.1, 0.9]] * 3)  # accuracy 0.8, macro F1 0.69
    networks = torch.stack([majority, careful])
    assert select_members(networks, labels, 1) == [1, 0]
    assert select_members(networks, labels, 1, Selection.of("f1_macro")) == [0, 1]
    assert selection_score(careful, labels)[0] == pytest.approx(0.8)
    values = metric_values(careful, labels, ("f1_macro",))
    assert values == pytest.approx({"val_accuracy": 0.8, "f1_macro": 0.6875}, abs=1e-9)
