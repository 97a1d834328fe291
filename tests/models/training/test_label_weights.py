"""Class weights are those of scikit-learn and torch, balanced sampling draws classes equally, image weights count."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from archsieve.models.data.dataset import ImageData, Split
from archsieve.models.data.folds import cross_folds
from archsieve.models.data.iterative_split import iterative_parts
from archsieve.models.data.splits import stratified_sample, stratified_split
from archsieve.models.image_files.errors import DataError
from archsieve.models.networks.compute import CPU
from archsieve.models.training.label_weights import balanced_order, balanced_probabilities, class_weights
from archsieve.models.training.trainer import Fit, ImageTraining
from archsieve.spaces.recipes.class_weights import as_text
from archsieve.spaces.recipes.recipe import Recipe

CLASSES = ("a", "b", "c")


def split(n, *, several=False, weights=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 1, 4, 4, generator=generator)
    labels = torch.tensor([[0, 0, 0, 0, 1, 1, 2][k % 7] for k in range(n)])
    if several:
        labels = torch.rand(n, 3, generator=generator) < torch.tensor([0.7, 0.3, 0.1])
        labels[:4] = torch.tensor([[1, 1, 1], [0, 0, 0], [0, 1, 1], [1, 0, 0]], dtype=torch.bool)
    return Split(images, labels, weights=weights)


def data(*, several=False, weights=None):
    return ImageData.of(
        "test", CLASSES, train=split(35, several=several, weights=weights), val=split(21, several=several, seed=1)
    )


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def test_balanced_class_weights_are_those_of_scikit_learn_and_torch():
    single = data()
    expected = compute_class_weight("balanced", classes=np.arange(3), y=single.train.labels.numpy())
    assert class_weights(single, "balanced").tolist() == pytest.approx(expected.tolist())
    several = data(several=True)
    positive = several.train.labels.sum(0)
    assert class_weights(several, "balanced").tolist() == pytest.approx(((35 - positive) / positive).tolist())
    assert class_weights(single, as_text({"c": 1, "a": 2, "b": 0.5})).tolist() == [2.0, 0.5, 1.0]
    assert class_weights(single, "none") is None


def test_a_table_of_class_weights_must_name_the_classes():
    for table, problem in [({"a": 1, "b": 1}, "'c'"), ({"a": 1, "b": 1, "c": 1, "d": 1}, "'d'")]:
        with pytest.raises(ValueError, match=rf"recipe\.class_weights .*{problem}.*a, b, c"):
            class_weights(data(), as_text(table))


@pytest.mark.parametrize("several", [False, True])
def test_the_training_loss_is_that_of_torch_and_the_validation_is_not_weighted(several):
    weights = torch.linspace(0, 3, 35)
    recipe = Recipe(class_weights="balanced", batch_size=35)
    given, plain = data(several=several, weights=weights), data(several=several)
    task = ImageTraining(network(), given, recipe, CPU, 0)
    loss = float(task.batch_loss(torch.arange(35), torch.Generator()).loss)
    logits, labels = network()(given.normalise(given.train.images)), given.train.labels
    by_class = class_weights(given, "balanced")
    if several:
        each = nn.BCEWithLogitsLoss(pos_weight=by_class, reduction="none")(logits, labels.float()).mean(1)
        expected = (each * weights).sum() / weights.sum()
    else:
        each = nn.CrossEntropyLoss(reduction="none")(logits, labels) * by_class[labels] * weights
        expected = each.sum() / (by_class[labels] * weights).sum()
    assert loss == pytest.approx(expected.item())
    validations = [ImageTraining(network(), one, recipe, CPU, 0).validate(network()) for one in (given, plain)]
    assert validations[0] == validations[1]


@pytest.mark.parametrize("several", [False, True])
def test_mixed_images_have_the_weighted_losses_of_both(several):
    weights = torch.linspace(0, 3, 35)
    weights[::5] = 0
    given, plain = data(several=several, weights=weights), data(several=several)
    other = given.train.labels.clone()
    other[::5] = ~other[::5] if several else (other[::5] + 1) % 3
    changed = replace(given, train=replace(given.train, labels=other))
    recipe, index = Recipe(mixup_alpha=1.0, batch_size=35), torch.arange(35)

    def loss(one):
        task = ImageTraining(network(), one, recipe, CPU, 0)
        return float(task.batch_loss(index, torch.Generator().manual_seed(1)).loss)

    assert loss(changed) == loss(given)  # the labels of images of weight 0 have no part
    assert loss(given) != pytest.approx(loss(plain))
    equal = replace(given, train=replace(given.train, weights=torch.full((35,), 2.0)))
    assert loss(equal) == pytest.approx(loss(plain))


@pytest.mark.parametrize("several", [False, True])
def test_balanced_sampling_draws_the_classes_equally(several):
    train = split(700, several=several)
    chance = balanced_probabilities(train.labels, 3)
    assert float(chance.sum()) == pytest.approx(1)
    if several:  # each class, and images without a label, have a quarter; an image has those of its labels
        without = ~train.labels.any(1)
        of_image = sum(train.labels[:, k].double() / train.labels[:, k].sum() for k in range(3)) / 4
        assert torch.allclose(chance, of_image + without / without.sum() / 4)
    else:
        assert [float(chance[train.labels == k].sum()) for k in range(3)] == pytest.approx([1 / 3] * 3)
    order = balanced_order(chance, torch.Generator().manual_seed(0))
    assert len(order) == 700
    drawn = torch.bincount(order, minlength=700) / 700
    expected, measured = (one @ train.labels.double() if several else one for one in (chance, drawn.double()))
    assert torch.allclose(measured, expected, atol=0.06)


@pytest.mark.parametrize("several", [False, True])
def test_a_weighted_fit_resumes_bit_for_bit_and_find_lr_uses_its_loss(several):
    weights = torch.linspace(0, 3, 35)
    recipe = Recipe(epochs=2, batch_size=16, class_weights="balanced", sampling="balanced", find_lr=True)
    whole, half, rest = (Fit(network(), data(several=several, weights=weights), recipe, seed=3) for _ in range(3))
    expected = [whole.step(), whole.step()]
    half.step()
    rest.load_state_dict(half.state_dict())
    assert rest.step() == expected[1]


@pytest.mark.parametrize("with_groups", [False, True])
def test_several_labels_are_split_by_iterative_stratification(with_groups):
    rng = np.random.default_rng(0)
    labels = rng.random((600, 5)) < [0.5, 0.3, 0.1, 0.05, 0.02]
    groups = rng.integers(0, 300, 600) if with_groups else None
    groups = None if groups is None else np.unique(groups, return_inverse=True)[1]
    parts = stratified_split(torch.from_numpy(labels), {"val": 0.2, "test": 0.1}, tuple("abcde"), seed=1, groups=groups)
    assert sorted(np.concatenate([part.numpy() for part in parts.values()]).tolist()) == list(range(600))
    for part, share in (("val", 0.2), ("test", 0.1)):
        counts = labels[parts[part].numpy()].sum(0)
        assert np.abs(counts - share * labels.sum(0)).max() <= (4 if with_groups else 2), part
    if groups is not None:
        sides = [set(groups[part.numpy()].tolist()) for part in parts.values()]
        assert not sides[0] & sides[1]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]
    again = stratified_split(torch.from_numpy(labels), {"val": 0.2, "test": 0.1}, tuple("abcde"), seed=1, groups=groups)
    assert all(torch.equal(parts[part], again[part]) for part in parts)


def test_a_class_of_as_many_images_as_parts_is_in_each_part():
    labels = np.zeros((90, 3), bool)
    labels[:, 0] = True
    labels[:3, 1] = True
    labels[3:7, 2] = True
    for seed in range(10):
        part_of = iterative_parts(labels, [0.6, 0.2, 0.2], seed=seed, groups=None)
        assert sorted(part_of[:3].tolist()) == [0, 1, 2]
    with pytest.raises(DataError, match=r"class 'b' \(1 in all\) in val"):
        stratified_split(torch.from_numpy(labels[2:]), {"val": 0.2}, ("a", "b", "c"), seed=0)


def test_folds_and_samples_keep_the_proportions_and_the_weights():
    given = data(several=True, weights=torch.linspace(0, 1, 35))
    pool = torch.cat([given.train.labels, given.val.labels])
    folds = cross_folds(given, 3, seed=0)
    assert sorted(len(fold.val) for fold in folds) in ([18, 19, 19], [17, 19, 20])
    for fold in folds:
        assert (fold.val.labels.sum(0) - pool.sum(0) / 3).abs().max() <= 1.5
        assert fold.train.weights is not None
        assert len(fold.train.weights) == len(fold.train)
    labels = torch.from_numpy(np.random.default_rng(0).random((400, 3)) < [0.5, 0.2, 0.1])
    kept = labels[stratified_sample(labels, 100, seed=0)]
    assert len(kept) == 100
    assert (kept.sum(0) - labels.sum(0) / 4).abs().max() <= 3


def test_weights_that_cannot_be_used_are_refused():
    for bad, found in [(-1.0, "-1"), (float("nan"), "nan"), (float("inf"), "inf")]:
        with pytest.raises(DataError, match=f"weights must be .*1 of 35 of train.*{found}"):
            data(weights=torch.tensor([bad, *[1.0] * 34]))
    with pytest.raises(DataError, match="all 35"):
        data(weights=torch.zeros(35))
    with pytest.raises(DataError, match=r"weights must be float32 \(35,\).*\(34,\)"):
        data(weights=torch.ones(34))
    with pytest.raises(DataError, match=r"labels of all splits.*val"):
        ImageData.of("x", CLASSES, train=split(35, several=True), val=split(21))
    with pytest.raises(DataError, match=r"bool \(N, 2\)"):
        ImageData.of("x", CLASSES[:2], train=split(35, several=True), val=split(21, several=True))
