"""Export of a classifier: the scores are the same after saving and loading, in every form and in every format."""

import importlib.util

import pytest
import torch
from torch import nn

from archsieve.models.data.dataset import ImageData, Split
from archsieve.models.export.classifier import ImageModel
from archsieve.models.export.formats import FORMATS, export
from archsieve.models.export.variants import VARIANTS, features, fully_convolutional
from archsieve.models.networks.build import build
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Inception, Linear, Residual

AVERAGED = Architecture((2, 8, 8), (Conv(8), Residual(8), Inception(16), GlobalAverage()), 5)
FLAT = Architecture((2, 8, 8), (ConvPool(6), Linear(16), Linear(12)), 5)


def model_of(architecture, dropout=0.0):
    """A classifier whose norms have running statistics, as after training."""
    network = build(architecture, dropout=dropout, seed=3)
    generator = torch.Generator().manual_seed(0)
    network.train()(torch.rand(64, *architecture.input_shape, generator=generator))
    images = torch.randint(0, 256, (10, *architecture.input_shape), generator=generator, dtype=torch.uint8)
    split = Split(images, torch.arange(10) % 5)
    data = ImageData.of("made", tuple("abcde"), train=split, val=split)
    return ImageModel.of(architecture, network.state_dict(), data, {"seed": 3}), network.eval(), data


@pytest.fixture(params=[AVERAGED, FLAT], ids=["averaged", "flat"])
def model(request):
    return model_of(request.param)[0]


@pytest.mark.parametrize("architecture", [AVERAGED, FLAT], ids=["averaged", "flat"])
def test_model_scores_equal_the_network_trained_with_dropout(architecture, tmp_path):
    model, network, data = model_of(architecture, dropout=0.5)
    images = data.train.images
    with torch.inference_mode():
        expected = network(data.normalise(images.float() / 255))
    assert torch.equal(model.scores(images), expected)
    assert torch.equal(model.scores(images.float() / 255), expected)
    assert torch.allclose(model.probabilities(images).sum(1), torch.ones(10))
    assert model.predict(images) == [data.classes[k] for k in expected.argmax(1)]
    model.save(tmp_path / "model.safetensors")
    loaded = ImageModel.load(tmp_path / "model.safetensors")
    assert torch.equal(loaded.scores(images), expected)
    assert (loaded.architecture, loaded.classes, loaded.about) == (architecture, data.classes, {"seed": 3})


def test_invalid_model_file_is_an_error_with_its_path(tmp_path):
    with pytest.raises(ValueError, match=r"none\.safetensors"):
        ImageModel.load(tmp_path / "none.safetensors")
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04not safe")
    with pytest.raises(ValueError, match=r"pickle\.pt.* a classifier"):
        ImageModel.load(tmp_path / "pickle.pt")


def test_fully_convolutional_form_equals_the_scores_and_gives_a_map_on_larger_images(model):
    form, images = fully_convolutional(model), torch.rand(4, 2, 8, 8)
    assert not any(isinstance(module, nn.Linear) for module in form.modules())
    with torch.inference_mode():
        scores = form(images)
        score_map = form(torch.rand(1, 2, 16, 24))
    assert scores.shape == (4, 5, 1, 1)
    assert torch.allclose(scores[:, :, 0, 0], model.scores(images), atol=1e-5)
    assert score_map.shape[2] > 1
    assert score_map.shape[3] > score_map.shape[2]


def test_features_are_the_input_of_the_last_linear_layer(model):
    images = torch.rand(4, 2, 8, 8)
    with torch.inference_mode():
        scores = model.network[-1][-1](features(model)(images))
    assert torch.allclose(scores, model.scores(images), atol=1e-5)


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "safetensors"])
@pytest.mark.parametrize("form", VARIANTS)
def test_every_format_gives_the_outputs_of_torch(format, form):
    exported = export(model_of(AVERAGED)[0], format, form)
    assert exported.largest_difference < 1e-4
    assert exported.out_shape == {"classifier": (5,), "features": (16,), "fully-convolutional": (5, 9, 9)}[form]
    run = FORMATS[format].read(exported.content)
    assert run(torch.rand(3, 2, 16, 24) if form == "fully-convolutional" else torch.rand(3, 2, 8, 8)).shape[0] == 3


def test_a_package_that_is_not_installed_is_named(model, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name))
    with pytest.raises(ValueError, match=r"but onnxruntime is .*archsieve\[export\]"):
        export(model, "onnx")


def test_safetensors_hold_the_model_unchanged(model):
    exported = export(model)
    assert exported.largest_difference == 0
    with pytest.raises(ValueError, match=r"'features'.*onnx"):
        export(model, form="features")
    with pytest.raises(ValueError, match=r"'onx'.*'onnx'"):
        export(model, "onx")
    with pytest.raises(ValueError, match=r"'feature'.*'features'"):
        export(model, "onnx", "feature")
