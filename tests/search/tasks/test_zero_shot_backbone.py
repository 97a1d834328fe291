"""A backbone as the image network of a zero-shot search: frozen and read once, or fine-tuned; weights of a file."""

import pytest
import torch

from archsieve.models.data.class_folds import Start
from archsieve.models.networks.backbones import backbone
from archsieve.models.networks.feature_extractors import FrozenStartBody
from archsieve.models.zero_shot.saved_model import ZeroShotModel
from archsieve.results.database.store import open_store
from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.search_file import parse
from archsieve.search.runs.session import search
from archsieve.search.tasks.zero_shot import zero_shot_fit
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


def with_backbone(weights):
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
    outcome = search(with_backbone(weights), name="frozen", runs=tmp_path / "runs")
    (trial,) = outcome.trials
    assert trial.val_accuracy is not None
    model = ZeroShotModel.load(outcome.database.parent / outcome.zero_shot["model"])
    given, kept = torch.load(weights, weights_only=True), model.network.body.network[0][0].state_dict()
    assert given.keys() == kept.keys()
    assert all(torch.equal(given[name], kept[name]) for name in given)
    with open_store(outcome.database, read_only=True) as store:
        assert conditions(store.run("frozen").config)[-1] == (str(weights), True)


def test_what_is_frozen_is_read_once_and_what_follows_is_trained(weights):
    found = with_backbone(weights)
    (_, folds), _ = found.task.load(found.file)
    _, architecture = next(walk(found.sieve))
    assert cost(architecture).params > 100_000
    recipe = ZeroShotRecipe(**RECIPE)
    fits = {
        frozen: zero_shot_fit(
            architecture, recipe, folds.folds[0], 0, torch.device("cpu"), "fp32", Start(str(weights), frozen),
            validate=False,
        )
        for frozen in (True, False)
    }  # fmt: skip
    start = {name: tensor.clone() for name, tensor in torch.load(weights, weights_only=True).items()}
    linear = {frozen: fit.module.body.network[1][-1].weight.clone() for frozen, fit in fits.items()}
    calls = []
    fits[True].module.body.network[0].register_forward_hook(lambda *_: calls.append(1))
    for frozen, fit in fits.items():
        fit.step()
        same = [torch.equal(start[name], now) for name, now in fit.module.body.network[0][0].state_dict().items()]
        assert all(same) == frozen
        assert not torch.equal(linear[frozen], fit.module.body.network[1][-1].weight)
    assert isinstance(fits[True].module.body, FrozenStartBody)
    assert calls == []


@pytest.mark.parametrize(
    ("space", "recipe", "said"),
    [
        ({"weights": "none.pt"}, {}, "there is no none.pt"),
        ({"name": "mixed"}, {}, "space.backbone is not alone"),
        ({"backbone": None, "weights": "w.pt"}, {}, "there is no space.backbone"),
        ({"backbone": [SMALL, "timm:resnet10t"], "weights": "w.pt"}, {}, "lists several; name one"),
        ({}, {"form": ["fc", "conv"]}, 'recipe.form must be "fc" with a backbone'),
        ({}, {"augmentation": "shift"}, "a frozen backbone has seen once"),
        ({"backbone": "timm:resnet1"}, {}, "unknown timm network"),
    ],
)
def test_what_a_backbone_cannot_do(space, recipe, said):
    with pytest.raises(ValueError, match=said):
        loaded_with(space, recipe)


def loaded_with(space, recipe):
    tables = {
        "data": {"name": "glyphs", "image_size": 32, "limit": 60},
        "space": {"backbone": SMALL, "features": 8, **space},
        "recipe": {**RECIPE, **recipe},
    }
    found = experiment(parse(tables))
    return found.task.load(found.file)
