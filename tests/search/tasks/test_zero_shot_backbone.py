"""A backbone with weights from a file as the image network of a zero-shot search: frozen or fine-tuned."""

from dataclasses import replace

import pytest
import torch

from archsieve.models.data.class_folds import BackboneInit
from archsieve.models.networks.backbones import backbone
from archsieve.models.zero_shot.saved_model import ZeroShotModel
from archsieve.results.database.store import open_store
from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.search_file import parse
from archsieve.search.runs.session import search
from archsieve.search.tasks.zero_shot import ZeroShotTrialContext, zero_shot_fit
from archsieve.search.trials.trial_cache import conditions
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.constrained.indexing import walk
from archsieve.spaces.recipes.zero_shot_recipe import ZeroShotRecipe

SMALL = "timm:test_resnet.r160_in1k"
RECIPE = {"epochs": 2, "lr": 0.01, "k": 8, "hidden": 16, "loss": "softmax", "similarity": "cosine"}


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    network = backbone(SMALL, classes=0, in_channels=1)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def experiment_with_backbone(weights):
    tables = {
        "data": {"name": "glyphs", "image_size": 32, "limit": 240},
        "space": {"backbone": SMALL, "features": 16, "weights": str(weights)},
        "recipe": RECIPE,
        "search": {"trials": 1, "searcher": "random"},
        "zero_shot": {"baselines": [], "explained": 0},
    }
    return experiment(parse(tables))


@pytest.mark.slow
def test_a_frozen_backbone_is_searched_and_saved_with_its_weights(weights, tmp_path, ray_running):
    outcome = search(experiment_with_backbone(weights), name="frozen", runs=tmp_path / "runs")
    (trial,) = outcome.trials
    assert trial.val_accuracy is not None
    model = ZeroShotModel.load(outcome.database.parent / outcome.zero_shot["model"])
    original, saved = torch.load(weights, weights_only=True), model.network.body.network[0][0].state_dict()
    assert original.keys() == saved.keys()
    assert all(torch.equal(original[name], saved[name]) for name in original)
    with open_store(outcome.database, read_only=True) as store:
        assert conditions(store.run("frozen").config)[-1] == (str(weights), True)


def test_only_later_layers_of_a_frozen_backbone_train(weights):
    experiment = experiment_with_backbone(weights)
    (_, folds), _ = experiment.task.load(experiment.file)
    _, architecture = next(walk(experiment.constrained))
    assert cost(architecture).params > 100_000
    recipe = ZeroShotRecipe(**RECIPE)
    context = ZeroShotTrialContext(folds, "fp32", torch.device("cpu"))
    frozen = context.fit(architecture, recipe, seed=0)
    assert frozen.data.train.images.shape[2:] == (1, 1)  # vectors in place of images
    changed = context.fit(architecture, replace(recipe, jitter=0.5, noise_std=0.5), seed=0)
    assert changed.step().train_loss == context.fit(architecture, recipe, seed=0).step().train_loss  # no pixels change
    trained = zero_shot_fit(
        architecture, recipe, folds.folds[0], 0, torch.device("cpu"), "fp32", BackboneInit(str(weights)), validate=False
    )
    original = torch.load(weights, weights_only=True)
    for fit in (frozen, trained):
        before = fit.module.body.network[-1][-1].weight.clone()
        fit.step()
        assert not torch.equal(before, fit.module.body.network[-1][-1].weight)
        network = context.timed_module(fit).network
        assert network.embed(torch.zeros(2, 1, 32, 32)).shape == (2, 8)
        current = network.body.network[0][0].state_dict()
        assert all(torch.equal(original[name], current[name]) for name in current) == (fit is frozen)


@pytest.mark.parametrize(
    ("space", "recipe", "message"),
    [
        ({"weights": "none.pt"}, {}, r"none\.pt"),
        ({"name": "mixed"}, {}, "space.backbone is set together with another key"),
        ({"backbone": None, "weights": "w.pt"}, {}, r"space.weights needs space.backbone.*'w\.pt'"),
        ({"backbone": [SMALL, "timm:resnet10t"], "weights": "w.pt"}, {}, "space.weights.*single.*timm:resnet10t"),
        ({"backbone": [SMALL, "timm:resnet10t"], "weights": "/w"}, {}, "there is no /w"),
        ({}, {"form": ["fc", "conv"]}, r"recipe.form.*fc, ridge.*frozen backbone.*'conv'"),
        ({}, {"form": {"options": ["fc", "conv"], "weights": [1, 2]}}, r"recipe.form.*fc, ridge.*'conv'"),
        ({"frozen": False}, {"form": ["fc", "ridge"]}, r"recipe.form.*fc with a fine-tuned backbone.*'ridge'"),
        ({"backbone": None, "name": "mixed"}, {"form": "ale"}, "'ale' is linear.*set it, as in backbone"),
        ({"backbone": None}, {"form": {"options": ["fc", "ale"], "weights": [1, 2]}}, "'ale' is linear"),
        ({}, {"augmentation": "shift"}, "recipe.augmentation.*frozen.*'shift'"),
        ({}, {"augmentation": {"options": ["none", "shift"], "weights": [1, 2]}}, "recipe.augmentation.*'shift'"),
        ({}, {"text": "vectors"}, "recipe.text 'vectors' needs.*numbers.*'[A-Z]"),
        ({"backbone": "timm:resnet1"}, {}, "timm.*'resnet1'"),
    ],
)
def test_settings_that_a_backbone_does_not_support(space, recipe, message):
    with pytest.raises(ValueError, match=message):
        load_with(space, recipe)


def load_with(space, recipe):
    """Load the data of an experiment with a backbone, with some keys of its tables replaced."""
    tables = {
        "data": {"name": "glyphs", "image_size": 32, "limit": 60},
        "space": {"backbone": SMALL, "features": 8, **space},
        "recipe": {**RECIPE, **recipe},
    }
    checked = experiment(parse(tables))
    return checked.task.load(checked.file)
