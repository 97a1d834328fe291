"""Zero-shot training: forms, losses, costs, resuming, and frozen bodies."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from archsieve.models.data.dataset import Request
from archsieve.models.data.glyphs import load_glyphs
from archsieve.models.data.zero_shot import ZeroShotData, draw_unseen, validation_folds
from archsieve.models.networks.feature_extractors import ArchitectureBody, VectorBody
from archsieve.models.zero_shot.network import ZeroShotNetwork, shifted_means
from archsieve.models.zero_shot.trainer import ZeroShotFit
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import Conv, GlobalAverage, Pool
from archsieve.spaces.constrained.zero_shot_head import zero_shot_cost
from archsieve.spaces.recipes.zero_shot_recipe import FORMS, LOSSES, ZeroShotRecipe

SIDE = 16
NET = Architecture((1, SIDE, SIDE), (Conv(8), Pool(2), Conv(16), Pool(2)), 24)
QUICK = ZeroShotRecipe(epochs=2, batch_size=64, lr=3e-3, k=16, hidden=32, loss="softmax", similarity="cosine")


@pytest.fixture(scope="module")
def fold() -> ZeroShotData:
    source = load_glyphs(Request(image_size=SIDE, limit=1200))
    data = ZeroShotData.of("glyphs", source, draw_unseen(source.classes))
    return validation_folds(data, 4, seed=0, used=1)[0]


@pytest.mark.parametrize("size", [1, 3, 5])
def test_average_of_a_convolution_is_a_product(size):
    """Section 3.3 computed directly: convolve the map with the filters of each class, then average."""
    rng = torch.Generator().manual_seed(0)
    feature_map = torch.rand(2, 3, 6, 7, generator=rng)
    filters = torch.randn(4, 3, size, size, generator=rng)
    expected = F.conv2d(feature_map, filters, padding=size // 2).mean((2, 3))
    assert torch.allclose(shifted_means(feature_map, size) @ filters.flatten(1).T, expected, atol=1e-5)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("form", FORMS)
def test_forms_have_the_predicted_parameters(form, similarity):
    recipe = replace(QUICK, form=form, similarity=similarity, loss="bce")
    body = ArchitectureBody(NET, seed=0)
    network = ZeroShotNetwork(body, 40, recipe).eval()
    scores = network(torch.rand(3, 1, SIDE, SIDE), torch.rand(5, 40))
    assert scores.shape == (3, 5)
    head_cost = zero_shot_cost(recipe, 40, 24, (16, 4, 4))
    assert sum(p.numel() for p in network.text_head.parameters()) == head_cost.text.params
    total = cost(NET).params + head_cost.image.params + head_cost.text.params
    assert sum(p.numel() for p in network.parameters()) == total
    assert network.classifiers(torch.rand(1, 40)).numel() == head_cost.per_class.params


def test_macs_of_the_heads_equal_torchs_counter():
    from torch.utils.flop_counter import FlopCounterMode

    recipe = replace(QUICK, form="fc+conv")
    network = ZeroShotNetwork(ArchitectureBody(NET, seed=0), 40, recipe).eval()
    head_cost = zero_shot_cost(recipe, 40, 24, (16, 4, 4))
    images, texts = torch.rand(1, 1, SIDE, SIDE), torch.rand(1, 40)
    with FlopCounterMode(display=False) as image:
        embedded = network.embed(images)
    with FlopCounterMode(display=False) as text:
        classifiers = network.classifiers(texts)
    with FlopCounterMode(display=False) as per_class:
        network.compare(embedded, classifiers)
    assert image.get_total_flops() // 2 == cost(NET).macs + head_cost.image.macs
    assert text.get_total_flops() // 2 == head_cost.text.macs
    assert per_class.get_total_flops() // 2 == head_cost.per_class.macs


def test_fc_conv_scores_are_the_sum_of_both_parts():
    recipe = replace(QUICK, form="fc+conv", similarity="dot")
    network = ZeroShotNetwork(ArchitectureBody(NET, seed=0), 40, recipe).eval()
    images, texts = torch.rand(3, 1, SIDE, SIDE), torch.rand(5, 40)
    embedded, classifiers = network.embed(images), network.classifiers(texts)
    vector = embedded[:, :16] @ classifiers[:, :16].T
    filters = embedded[:, 16:] @ classifiers[:, 16:].T
    assert torch.allclose(network(images, texts), vector + filters, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_decreases(loss, fold):
    recipe = replace(QUICK, epochs=4, loss=loss, similarity="dot" if loss != "softmax" else "cosine")
    fit = ZeroShotFit(ArchitectureBody(NET, seed=0), fold, recipe, seed=0)
    while not fit.done:
        fit.step()
    assert fit.history[-1].train_loss < fit.history[0].train_loss


def test_unseen_characters_are_recognised_above_chance(fold):
    recipe = replace(QUICK, epochs=8, k=32, hidden=64)
    fit = ZeroShotFit(ArchitectureBody(NET, seed=0), fold, recipe, seed=0)
    while not fit.done:
        fit.step()
    assert fit.history[-1].val_roc_auc > 0.65
    assert fit.history[-1].val_accuracy > 3 / len(fold.classes)


def test_resumed_fit_is_bit_identical(fold):
    uninterrupted, first, second = (ZeroShotFit(ArchitectureBody(NET, seed=0), fold, QUICK, seed=3) for _ in range(3))
    uninterrupted.step(), uninterrupted.step()
    first.step()
    second.load_state_dict(first.state_dict())
    second.step()
    assert second.history == uninterrupted.history
    with pytest.raises(ValueError, match="recipe"):
        ZeroShotFit(ArchitectureBody(NET, seed=0), fold, replace(QUICK, k=8), seed=3).load_state_dict(
            first.state_dict()
        )


def test_texts_of_unseen_classes_change_no_weight(fold):
    """No data of an unseen class reaches the model, not even its text."""
    changed = list(fold.texts)
    for k in fold.unseen.tolist():
        changed[k] = "QUITE OTHER WORDS"
    other = replace(fold, texts=tuple(changed))
    one, two = (ZeroShotFit(ArchitectureBody(NET, seed=0), d, QUICK, seed=0) for d in (fold, other))
    one.step(), two.step()
    assert all(torch.equal(a, b) for a, b in zip(one.module.parameters(), two.module.parameters(), strict=True))


def test_filters_need_a_feature_map():
    body = ArchitectureBody(Architecture((1, SIDE, SIDE), (Conv(8), GlobalAverage()), 24), seed=0)
    assert body.map_channels == 8
    without = VectorBody(Architecture((8, 1, 1), (), 24), seed=0)
    with pytest.raises(ValueError, match=r"'conv'.*feature map.*'fc'"):
        ZeroShotNetwork(without, 40, replace(QUICK, form="conv"))
