"""The trained zero-shot model: predictions among any texts, the model file, and explanations with a planted word."""

import dataclasses
from itertools import product

import pytest
import torch

from archsieve.models.data.dataset import Split
from archsieve.models.data.zero_shot import ZeroShotData, ZeroShotSource, draw_unseen
from archsieve.models.image_files.errors import DataError
from archsieve.models.networks.feature_extractors import ArchitectureBody
from archsieve.models.zero_shot.explain import explain, without
from archsieve.models.zero_shot.saved_model import ZeroShotModel
from archsieve.models.zero_shot.trainer import ZeroShotFit
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, Pool
from archsieve.spaces.recipes.zero_shot_recipe import ZeroShotRecipe

ROWS, COLUMNS, LIGHTS = ("top", "high", "low", "bottom"), ("left", "inner", "outer", "right"), ("bright", "dim")
NET = Architecture((1, 8, 8), (Conv(8), Pool(2)), 24)
QUICK = ZeroShotRecipe(epochs=25, batch_size=64, lr=3e-3, k=16, hidden=32, loss="softmax", similarity="cosine")
NEW = "high outer bright"


def planted(*unseen: str) -> ZeroShotData:
    """A bright or dim square at one of 16 positions; each text names both, among uninformative words."""
    rng = torch.Generator().manual_seed(0)
    classes, texts, images, labels = [], [], [], []
    for k, (row, column, light) in enumerate(product(range(4), range(4), range(2))):
        classes.append(f"{ROWS[row]} {COLUMNS[column]} {LIGHTS[light]}")
        texts.append(f"{classes[-1]} the a noise{k % 3}")
        for _ in range(15):
            image = 0.1 * torch.rand(1, 8, 8, generator=rng)
            image[0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += (0.85, 0.35)[light]
            images.append(image)
            labels.append(k)
    held = torch.arange(len(labels)) % 5 == 0
    source = ZeroShotSource(
        tuple(classes), tuple(texts), Split(torch.stack(images), torch.tensor(labels)), held, torch.ones_like(held)
    )
    return ZeroShotData.of("planted", source, draw_unseen(classes, unseen=unseen))


def trained(data: ZeroShotData) -> ZeroShotModel:
    fit = ZeroShotFit(ArchitectureBody(NET, seed=0), data, QUICK, seed=0, validate=False)
    while not fit.done:
        fit.step()
    return ZeroShotModel.of(fit, NET, gamma=0.0)


@pytest.fixture(scope="module")
def data() -> ZeroShotData:
    return planted(NEW)


@pytest.fixture(scope="module")
def model(data) -> ZeroShotModel:
    return trained(data)


def test_class_is_added_by_its_text(model, data):
    images = data.test_unseen.images
    assert NEW not in model.seen
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    others = {data.classes[k]: data.texts[k] for k in data.seen.tolist() if "bright" in data.classes[k]}
    assert NEW not in model.predict(images, others)
    predictions = model.predict(images, {**others, NEW: f"{NEW} the a"}, calibrate=False)
    assert predictions.count(NEW) > 0.7 * len(images)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


def test_gamma_favours_unseen_classes(model, data):
    texts = dict(zip(data.classes, data.texts, strict=True))
    images = data.test_seen.images
    strong = dataclasses.replace(model, gamma=100.0)
    assert set(strong.predict(images, texts)) == {NEW}
    assert strong.predict(images, texts, calibrate=False) == model.predict(images, texts)


def test_saved_model_loads_unchanged(model, data, tmp_path):
    model.save(tmp_path / "model.safetensors")
    loaded = ZeroShotModel.load(tmp_path / "model.safetensors")
    texts = dict(zip(data.classes, data.texts, strict=True))
    assert torch.equal(loaded.scores(data.test_seen.images, texts), model.scores(data.test_seen.images, texts))
    assert (loaded.seen, loaded.gamma) == (model.seen, model.gamma)


def test_invalid_model_file_is_an_error_with_its_path(tmp_path):
    with pytest.raises(ValueError, match=r"none\.safetensors"):
        ZeroShotModel.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no model")
    with pytest.raises(ValueError, match=r"text\.safetensors.* zero-shot"):
        ZeroShotModel.load(tmp_path / "text.safetensors")


def test_texts_without_known_words_are_an_error(model, data):
    with pytest.raises(DataError, match="'zebra'"):
        model.predict(data.test_seen.images, {"zebra": "striped horse"})
    with pytest.raises(DataError, match="at least one class"):
        model.predict(data.test_seen.images, {})


def test_planted_informative_word_is_ranked_first():
    """Two unseen classes differ in one word only, so that word has the largest drop for both."""
    data = planted("low inner bright", "low inner dim")
    explanations = explain(trained(data), data)
    assert [one.name for one in explanations] == ["low inner bright", "low inner dim"]
    for one in explanations:
        assert one.words[0].word == one.name.split()[-1]
        assert one.words[0].drop > 0.1
        labels = data.test_unseen.labels
        assert {data.classes[int(labels[i])] for i in one.right} == {one.name}
        assert one.name not in {data.classes[int(labels[i])] for i in one.wrong}


def test_words_without_effect_and_numbers_are_not_listed():
    data = planted("low inner bright", "low inner dim")
    data = dataclasses.replace(data, texts=tuple(f"{text} {1900 + k % 3}" for k, text in enumerate(data.texts)))
    words = [word for one in explain(trained(data), data) for word in one.words]
    assert words
    assert all(word.drop > 0 and not word.word.isdigit() for word in words)


def test_removing_a_word_keeps_the_length():
    changed = without(torch.tensor([3.0, 4.0, 0.0]), 0)
    assert torch.allclose(changed, torch.tensor([0.0, 5.0, 0.0]))
    assert not without(torch.tensor([0.0, 2.0]), 1).any()
