"""The finished model: predictions among any texts, one file, and explanations that find a planted word."""

import dataclasses
from itertools import product

import pytest
import torch

from archsieve.models.data.dataset import Split
from archsieve.models.data.errors import DataError
from archsieve.models.data.zero_shot import ZeroShotData, ZeroShotSource, draw_unseen
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
    """A bright or dim square in one of 16 places; each text tells which, among words that say nothing."""
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


def test_a_class_is_added_by_text_alone(model, data):
    images = data.test_unseen.images
    assert NEW not in model.seen
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    others = {data.classes[k]: data.texts[k] for k in data.seen.tolist() if "bright" in data.classes[k]}
    assert NEW not in model.predict(images, others)
    said = model.predict(images, {**others, NEW: f"{NEW} the a"}, calibrate=False)
    assert said.count(NEW) > 0.7 * len(images)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


def test_gamma_favours_classes_not_trained_on(model, data):
    texts = dict(zip(data.classes, data.texts, strict=True))
    images = data.test_seen.images
    strong = dataclasses.replace(model, gamma=100.0)
    assert set(strong.predict(images, texts)) == {NEW}
    assert strong.predict(images, texts, calibrate=False) == model.predict(images, texts)


def test_the_model_is_one_file(model, data, tmp_path):
    model.save(tmp_path / "model.safetensors")
    again = ZeroShotModel.load(tmp_path / "model.safetensors")
    texts = dict(zip(data.classes, data.texts, strict=True))
    assert torch.equal(again.scores(data.test_seen.images, texts), model.scores(data.test_seen.images, texts))
    assert (again.seen, again.gamma) == (model.seen, model.gamma)


def test_wrong_files(tmp_path):
    with pytest.raises(ValueError, match="there is no"):
        ZeroShotModel.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no model")
    with pytest.raises(ValueError, match="is no model of a zero-shot recogniser"):
        ZeroShotModel.load(tmp_path / "text.safetensors")


def test_texts_that_say_nothing(model, data):
    with pytest.raises(DataError, match="'zebra' has none"):
        model.predict(data.test_seen.images, {"zebra": "striped horse"})
    with pytest.raises(DataError, match="there are none"):
        model.predict(data.test_seen.images, {})


def test_a_planted_informative_word_is_ranked_first():
    """Two unseen classes that differ in one word alone: that word is what each needs most."""
    data = planted("low inner bright", "low inner dim")
    found = explain(trained(data), data)
    assert [one.name for one in found] == ["low inner bright", "low inner dim"]
    for one in found:
        assert one.words[0].word == one.name.split()[-1]
        assert one.words[0].drop > 0.1
        labels = data.test_unseen.labels
        assert {data.classes[int(labels[i])] for i in one.right} == {one.name}
        assert one.name not in {data.classes[int(labels[i])] for i in one.wrong}


def test_a_word_is_taken_out_and_the_length_kept():
    changed = without(torch.tensor([3.0, 4.0, 0.0]), 0)
    assert torch.allclose(changed, torch.tensor([0.0, 5.0, 0.0]))
    assert not without(torch.tensor([0.0, 2.0]), 1).any()
