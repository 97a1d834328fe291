"""Linear forms: closed forms equal the baselines, bilinear forms learn, and both are resumed and saved."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from archsieve.models.data.dataset import Split
from archsieve.models.data.text_features import fit_text
from archsieve.models.data.zero_shot import ZeroShotData, ZeroShotSource
from archsieve.models.networks.feature_extractors import VectorBody
from archsieve.models.training.cross_validation import FoldedFit
from archsieve.models.zero_shot.baselines_closed_form import TrainingData, eszsl, ridge_to_centroid
from archsieve.models.zero_shot.linear_fit import ClosedFormFit, LinearFit
from archsieve.models.zero_shot.saved_model import ZeroShotModel
from archsieve.models.zero_shot.trainer import ZeroShotFoldedResult
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.constrained.zero_shot_head import head_cost
from archsieve.spaces.parameters.domains import Range
from archsieve.spaces.recipes.recipe import RecipeSpace
from archsieve.spaces.recipes.zero_shot_recipe import BILINEAR_FORMS, CLOSED_FORMS, ZeroShotRecipe

CLASSES, WORDS, WIDTH, EACH = 30, 12, 10, 12
NET = Architecture((WIDTH, 1, 1), (), 8)


@pytest.fixture(scope="module", params=[False, True], ids=["few words", "many words"])
def data(request: pytest.FixtureRequest) -> ZeroShotData:
    """Vectors that are a noisy linear map of the words of their class; six of thirty classes are unseen.

    With many words, each class has some of its own, so that there are more words than classes.
    """
    rng = np.random.default_rng(0)
    has_word = rng.random((CLASSES, WORDS)) < 0.5
    has_word[:, 0] = True
    texts = tuple(" ".join(f"word{w}" for w in np.flatnonzero(row)) for row in has_word)
    if request.param:
        texts = tuple(f"{text} own{k} alone{k}" for k, text in enumerate(texts))
    labels = np.repeat(np.arange(CLASSES), EACH)
    vectors = has_word[labels] @ rng.normal(size=(WORDS, WIDTH)) + 0.5 * rng.normal(size=(len(labels), WIDTH))
    samples = Split(torch.from_numpy(vectors).float()[:, :, None, None], torch.from_numpy(labels))
    names = tuple(f"class {k}" for k in range(CLASSES))
    source = ZeroShotSource(
        names, texts, samples, torch.arange(len(labels)) % EACH < 2, torch.ones(len(labels), dtype=torch.bool)
    )
    whole = ZeroShotData.of("linear", source, torch.arange(CLASSES - 6, CLASSES))
    return replace(whole, mean=torch.zeros(WIDTH), std=torch.ones(WIDTH))


def fit_of(data: ZeroShotData, form: str, **keys: Any) -> ClosedFormFit | LinearFit:
    recipe = ZeroShotRecipe(form=form, epochs=6, batch_size=64, lr=0.05, **keys)
    kind = ClosedFormFit if recipe.is_closed else LinearFit
    return kind(VectorBody(NET, linear=True), data, recipe, seed=0)


@pytest.mark.parametrize("form", CLOSED_FORMS)
def test_closed_forms_equal_the_baselines(data, form):
    fit = fit_of(data, form, text_ridge=0.3, image_ridge=2.0)
    fit.step()
    assert (fit.epoch, fit.done) == (1, True)
    encoder = fit_text("tfidf", data.classes[:24], data.texts[:24])
    texts = encoder(data.classes, data.texts).double().numpy()
    training = TrainingData(data.train.images.flatten(1).double().numpy(), data.train.labels.numpy(), texts[:24])
    scorer = ridge_to_centroid(training, 0.3) if form == "ridge" else eszsl(training, 2.0, 0.3)
    expected = scorer(data.test_unseen.images.flatten(1).double().numpy(), texts)
    with torch.inference_mode():
        embedded = fit.network.embed(data.test_unseen.images)
        scores = fit.network.compare(embedded, fit.network.classifiers(torch.from_numpy(texts).float()))
    scale = float(scorer(training.x, training.texts).std())
    assert scores.numpy() == pytest.approx(expected / scale, abs=1e-3)
    assert fit.history[0].val_roc_auc > 0.8


@pytest.mark.parametrize("form", BILINEAR_FORMS)
def test_bilinear_forms_learn_and_resume_bit_identically(data, form):
    fit, resumed = fit_of(data, form), fit_of(data, form)
    while not fit.done:
        fit.step()
    assert fit.history[-1].train_loss < fit.history[0].train_loss
    assert fit.history[-1].val_roc_auc > 0.8
    half = fit_of(data, form)
    for _ in range(3):
        half.step()
    resumed.load_state_dict(half.state_dict())
    while not resumed.done:
        resumed.step()
    assert resumed.history == fit.history


def test_a_closed_form_resumes_as_done_and_runs_in_folds(data):
    fit, resumed = fit_of(data, "ridge"), fit_of(data, "ridge")
    fit.step()
    resumed.load_state_dict(fit.state_dict())
    assert resumed.done
    assert resumed.history == fit.history
    with pytest.raises(ValueError, match="recipe"):
        fit_of(data, "ridge", text_ridge=5.0).load_state_dict(fit.state_dict())
    folded = FoldedFit([fit_of(data, "ridge"), fit_of(data, "ridge", text_ridge=9.0)], ZeroShotFoldedResult)
    result = folded.step()
    assert folded.done
    assert result.val_accuracy == pytest.approx(np.mean([part.history[0].val_accuracy for part in folded.fits]))


@pytest.mark.parametrize("form", ["ridge", "eszsl", "ale"])
def test_a_linear_model_is_saved_and_has_the_stated_cost(data, form, tmp_path):
    fit = fit_of(data, form)
    fit.step()
    ZeroShotModel.of(fit, NET, 0.5).save(tmp_path / "model.safetensors")
    loaded = ZeroShotModel.load(tmp_path / "model.safetensors")
    texts = dict(zip(data.classes, data.texts, strict=True))
    with torch.inference_mode():
        classifiers = fit.network.classifiers(fit.encoder(data.classes, data.texts))
        expected = fit.network.compare(fit.network.embed(data.test_unseen.images), classifiers)
    assert torch.allclose(loaded.scores(data.test_unseen.images, texts), expected)
    cost = head_cost(fit.recipe, fit.encoder.width, NET)
    few_words = fit.encoder.width < len(data.seen)
    assert (cost.text.params == fit.network.map.weight.numel()) == few_words
    assert cost.per_class.params == classifiers.shape[1]


@pytest.mark.parametrize("form", ["ridge", "ale"])
def test_a_single_seen_class_has_a_fit(data, form):
    """The centred text of one class is zero, and so is the map."""
    only = replace(data, seen=torch.tensor([0]), train=data.train.subset(torch.arange(10)))
    fit = fit_of(only, form)
    while not fit.done:
        fit.step()
    assert not fit.network.map.weight.any()


def test_keys_without_effect_on_a_form_have_one_value():
    """A closed form with two learning rates is one recipe, and is not tried twice."""
    space = RecipeSpace.of(
        ZeroShotRecipe,
        form=["ridge", "eszsl", "ale", "fc"],
        lr=Range(1e-3, 1e-1, log=True),
        text_ridge=[0.1, 1.0],
        image_ridge=[0.1, 1.0],
        k=[8, 16],
    )
    values = {"lr": 0.05, "text_ridge": 1.0, "image_ridge": 1.0, "k": 16}
    filled = {form: space.fill({**values, "form": form}) for form in ("ridge", "eszsl", "ale", "fc")}
    chosen = {form: (r.lr, r.text_ridge, r.image_ridge, r.k) for form, r in filled.items()}
    assert chosen == {
        "ridge": (1e-3, 1.0, 0.1, 8),
        "eszsl": (1e-3, 1.0, 1.0, 8),
        "ale": (0.05, 0.1, 0.1, 8),
        "fc": (0.05, 0.1, 0.1, 16),
    }
