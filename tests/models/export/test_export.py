"""Export of a classifier: the scores are the same after saving and loading, in every form and in every format."""

import importlib.util
from dataclasses import replace

import pytest
import torch
from torch import nn

from archsieve.models.data.dataset import ImageData, Split
from archsieve.models.export.classifier import ImageModel
from archsieve.models.export.formats import FORMATS, export
from archsieve.models.export.onnx_file import OnnxModel, load_classifier
from archsieve.models.export.safetensors_file import model_bytes
from archsieve.models.export.variants import VARIANTS, features, fully_convolutional
from archsieve.models.image_files.decoding_rules import Decoding
from archsieve.models.image_files.errors import DataError
from archsieve.models.networks.build import build
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import (
    ClassMaps,
    Conv,
    ConvNeXtBlock,
    ConvPool,
    DenseBlock,
    DepthwiseSeparable,
    Fire,
    FusedInvertedResidual,
    GlobalAverage,
    GroupedBottleneck,
    Inception,
    InvertedResidual,
    Linear,
    Norm,
    Residual,
    ShuffleUnit,
)

AVERAGED = Architecture((2, 8, 8), (Conv(8), Residual(8), Inception(16), GlobalAverage()), 5)
MODERN = Architecture(
    (2, 8, 8),
    (
        *(Conv(8), InvertedResidual(squeeze=0.25), InvertedResidual(12, 2, 5, squeeze=0.25, squeeze_form="expanded")),
        *(FusedInvertedResidual(stride=2), DepthwiseSeparable(16, act="hardswish"), GroupedBottleneck(group_width=4)),
        *(ConvNeXtBlock(kernel=3), ShuffleUnit(16), ShuffleUnit(), DenseBlock(2, 4), Norm(act="relu"), GlobalAverage()),
    ),
    5,
)
MAPS = Architecture((2, 8, 8), (Conv(8), Fire(16), ClassMaps()), 5)
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


@pytest.fixture(params=[AVERAGED, FLAT, MODERN], ids=["averaged", "flat", "modern"])
def model(request):
    return model_of(request.param)[0]


@pytest.mark.parametrize("architecture", [AVERAGED, FLAT, MODERN, MAPS], ids=["averaged", "flat", "modern", "maps"])
def test_model_scores_equal_the_network_trained_with_dropout(architecture, tmp_path):
    model, network, data = model_of(architecture, dropout=0.5)
    images = data.train.images
    with torch.inference_mode():
        expected = network(data.normalise(images.float() / 255))
    assert torch.equal(model.scores(images), expected)
    assert torch.equal(model.scores(images.float() / 255), expected)
    assert torch.allclose(model.probabilities(images).sum(1), torch.ones(10))
    for same in (images, images.int(), images.long(), images / 255):
        assert model.predict(same) == [data.classes[k] for k in expected.argmax(1)]
    with pytest.raises(DataError, match=r"from 0 to 25"):
        model.predict(images.float())
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


@pytest.mark.parametrize("architecture", [MODERN, MAPS], ids=["modern", "maps"])
@pytest.mark.parametrize("format", FORMATS)
def test_the_blocks_of_modern_networks_are_exported(architecture, format):
    exported = export(model_of(architecture)[0], format)
    assert exported.largest_difference < 1e-4
    assert exported.out_shape == (5,)


def test_features_need_a_linear_layer_at_the_end():
    with pytest.raises(ValueError, match=r"'features'.*linear layer.*class maps"):
        export(model_of(MAPS)[0], "onnx", "features")


def test_class_maps_become_a_map_of_scores():
    model = model_of(MAPS)[0]
    images = torch.rand(4, 2, 8, 8)
    with torch.inference_mode():
        assert torch.allclose(fully_convolutional(model)(images)[:, :, 0, 0], model.scores(images), atol=1e-5)


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


def test_an_onnx_file_predicts_as_the_model_does(tmp_path):
    architecture = Architecture((1, 8, 8), (Conv(8), GlobalAverage()), 5)
    decoding = Decoding(8, 1, resize="pad")
    model = replace(model_of(architecture)[0], temperature=2.5, about={"seed": 3})
    model = replace(model, input=replace(model.input, decoding=decoding))
    (tmp_path / "net.onnx").write_bytes(export(model, "onnx").content)
    loaded = load_classifier(tmp_path / "net.onnx")
    assert (loaded.classes, loaded.input, loaded.about) == (model.classes, model.input, {"seed": 3})
    assert loaded.architecture == architecture
    images = torch.randint(0, 256, (7, 1, 8, 8), dtype=torch.uint8)
    assert torch.allclose(loaded.probabilities(images, 3), model.probabilities(images), atol=1e-4)
    assert torch.allclose(model.probabilities(images), (model.scores(images) / 2.5).softmax(1))
    assert loaded.probabilities(images[:0]).shape == (0, 5)
    with pytest.raises(ValueError, match=r"'cuda'.*safetensors"):
        loaded.to("cuda")


def test_an_onnx_file_of_another_origin_form_or_version_is_refused(model, tmp_path):
    import onnx

    path = tmp_path / "net.onnx"
    graph = onnx.load_from_string(export(model, "onnx").content)
    graph.metadata_props[0].value = graph.metadata_props[0].value.replace("classifier 2", "classifier 9")
    contents = {
        r"'classifier 9'": graph.SerializeToString(),
        r"'features'": export(model, "onnx", "features").content,
        r"cannot be read": b"not a graph",
    }
    del graph.metadata_props[:]
    contents[r"class names"] = graph.SerializeToString()
    for facts, content in contents.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"net\.onnx.*{facts}|{facts}.*net\.onnx"):
            OnnxModel.load(path)
    with pytest.raises(ValueError, match=r"none\.onnx"):
        load_classifier(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match=r"net\.pt2.*torch\.export"):
        load_classifier(tmp_path / "net.pt2")


@pytest.mark.parametrize("threshold", [1.5, "high"])
def test_a_threshold_that_is_no_probability_is_an_error(tmp_path, threshold):
    model = replace(
        model_of(Architecture((1, 8, 8), (Conv(8), GlobalAverage()), 5))[0], multi_label=True, threshold=threshold
    )
    model.save(tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match=rf"net\.safetensors.*threshold.*{threshold}"):
        ImageModel.load(tmp_path / "net.safetensors")


def test_a_model_file_keeps_decoding_and_temperature(tmp_path):
    model = model_of(Architecture((3, 8, 8), (Conv(8), GlobalAverage()), 5))[0]
    options = {"background": (0, 0, 0), "value_range": (0.0, 4095.0), "interpolation": "bicubic"}
    decoding = Decoding(8, resize="stretch", **options)
    model = replace(model, temperature=1.5, input=replace(model.input, decoding=decoding))
    model.save(tmp_path / "model.safetensors")
    loaded = ImageModel.load(tmp_path / "model.safetensors")
    assert (loaded.input.decoding, loaded.temperature) == (decoding, 1.5)


def test_a_model_file_of_version_0_1_0_decodes_as_that_version(tmp_path):
    model = model_of(Architecture((3, 8, 8), (Conv(8), GlobalAverage()), 5))[0]
    old = {name: value for name, value in model.header().items() if name in ("architecture", "classes", "about")}
    for name, header in (("old", {**old, "format": "classifier 1"}), ("new", {**old, "format": "classifier 7"})):
        content = model_bytes(header, model.network.state_dict(), mean=model.mean, std=model.std)
        (tmp_path / f"{name}.safetensors").write_bytes(content)
    loaded = ImageModel.load(tmp_path / "old.safetensors")
    assert (loaded.input.decoding, loaded.temperature) == (Decoding(8, rules=1), 1.0)
    images = torch.rand(3, 3, 8, 8)
    assert torch.equal(loaded.probabilities(images), model.probabilities(images))
    with pytest.raises(ValueError, match=r"new\.safetensors.*'classifier 2'.*'classifier 7'"):
        ImageModel.load(tmp_path / "new.safetensors")


def test_a_model_on_another_device_is_a_copy(model):
    assert model.to("cpu") is model
    moved = model.to("meta")
    assert next(moved.network.parameters()).device.type == "meta"
    assert next(model.network.parameters()).device.type == "cpu"
