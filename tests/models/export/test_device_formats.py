"""Formats for devices: each runtime computes what torch computes, and needs the memory that the budget counts."""

import importlib.util
import json
import subprocess
from dataclasses import replace

import pytest
import torch

from archsieve.models.data.registry import load_data
from archsieve.models.export.c_files import build, c_string
from archsieve.models.export.classifier import ImageModel
from archsieve.models.export.device_file import ONE_FILE, DeviceFile
from archsieve.models.export.device_formats import (
    DEVICE_FORMATS,
    DeviceExport,
    check_fits,
    default_path,
    export_for_device,
)
from archsieve.models.export.onnx_file import OnnxModel
from archsieve.models.quantization.int8 import calibration_images, drawn, quantized, scores_of
from archsieve.models.training.retrain import retrain
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.device_cost import DeviceCost, device_cost
from archsieve.spaces.blocks.standard import Conv, ConvNeXtBlock, ConvPool, GlobalAverage, Residual
from archsieve.spaces.recipes.recipe import Recipe

NETWORK = Architecture((1, 8, 8), (Conv(8), ConvPool(16), Residual(16), GlobalAverage()), 10)
MAX_LOST = 0.02  # of 64 images one may change its class


@pytest.fixture(scope="module")
def data():
    return load_data("digits")


@pytest.fixture(scope="module")
def model(data):
    trained = retrain(NETWORK, Recipe(epochs=3, lr=0.1, batch_size=64), data, seed=0)
    return ImageModel.of(NETWORK, trained.weights, data, {"seed": 0}, temperature=1.5)


@pytest.fixture(scope="module")
def images(data):
    """Return calibration images and images to check."""
    return drawn(data.train.images, 64), drawn(data.val.images, 64)


def test_onnx_int8_is_run_by_onnxruntime_and_predicts(model, images, tmp_path):
    exported = export_for_device(model, "onnx-int8", *images)
    assert exported.agreement >= 1 - MAX_LOST
    assert 0 < exported.largest_difference < 2
    assert "onnxruntime on 64 images" in exported.summary
    (tmp_path / "net.onnx").write_bytes(exported.file.content[ONE_FILE])
    loaded = OnnxModel.load(tmp_path / "net.onnx")
    assert loaded.classes == model.classes
    difference = loaded.probabilities(images[1]) - model.probabilities(images[1])
    assert float(difference.abs().max()) < 0.3


@pytest.mark.slow  # compiles and runs C code; needs the extra devices
def test_c_code_compiles_without_a_warning_and_classifies(model, images, data, tmp_path):
    pytest.importorskip("bakenn")
    exported = export_for_device(model, "c", *images)
    assert exported.agreement >= 1 - MAX_LOST
    assert exported.file.runtime == "the compiled C code"
    assert exported.predicted == device_cost(NETWORK, "int8")
    assert exported.file.flash_bytes == exported.predicted.flash_bytes
    assert exported.file.ram_bytes >= exported.predicted.ram_bytes
    for name, content in exported.file.content.items():
        (tmp_path / name).write_bytes(content)
    build(tmp_path, "timing.c", tmp_path / "timing")
    line = json.loads(subprocess.run([tmp_path / "timing"], capture_output=True, check=True).stdout)
    assert 0 < line["latency_ms_p50"] <= line["latency_ms_p90"]
    assert line["n"] == 51
    build(tmp_path, "main.c", tmp_path / "classify")
    pixels = (data.val.images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    done = subprocess.run([tmp_path / "classify"], input=pixels.numpy().tobytes(), capture_output=True, check=True)
    names = [row.split()[-1] for row in done.stdout.decode().splitlines()]
    hits = [name == data.classes[label] for name, label in zip(names, data.val.labels.tolist(), strict=True)]
    exact = float((model.scores(data.val.images).argmax(1) == data.val.labels).float().mean())
    assert sum(hits) / len(hits) >= exact - 0.01


@pytest.mark.slow  # the packages take half a minute of imports
@pytest.mark.parametrize("format", ["executorch", "executorch-int8"])
def test_executorch_runs_the_program(model, images, format):
    pytest.importorskip("executorch")
    pytest.importorskip("torchao")
    exported = export_for_device(model, format, *images)
    assert exported.agreement >= 1 - MAX_LOST
    if format == "executorch":
        assert exported.largest_difference < 1e-3
        assert exported.file.flash_bytes == exported.predicted.flash_bytes
        assert exported.file.ram_bytes >= exported.predicted.ram_bytes
    else:
        assert exported.file.ram_bytes is None


@pytest.mark.slow  # needs the extra devices
def test_a_block_that_the_exporter_does_not_know_is_named(data, images):
    pytest.importorskip("bakenn")
    network = Architecture((1, 8, 8), (Conv(8), ConvNeXtBlock(kernel=3), GlobalAverage()), 10)
    weights = retrain(network, Recipe(epochs=1, lr=0.05, batch_size=128), data, seed=0).weights
    model = ImageModel.of(network, weights, data, {"seed": 0})
    with pytest.raises(ValueError, match=r"c must know every operator.*block 2, .*another format"):
        export_for_device(model, "c", *images)


@pytest.mark.slow  # trains to a good accuracy; needs the extra devices
def test_int8_loses_at_most_half_a_point_of_the_accuracy_on_digits(data):
    pytest.importorskip("torchao")
    pytest.importorskip("executorch")
    network = Architecture((1, 8, 8), (Conv(16), Residual(24), ConvPool(32), GlobalAverage()), 10)
    weights = retrain(network, Recipe(epochs=8, lr=0.1, batch_size=64), data, seed=0).weights
    model = ImageModel.of(network, weights, data, {"seed": 0})
    labels, pixels = data.val.labels, data.val.images
    exact = float((model.scores(pixels).argmax(1) == labels).float().mean())
    assert exact > 0.95
    by_torchao = scores_of(quantized(model.network, calibration_images(data)), model.normalise(pixels))
    by_onnxruntime = DEVICE_FORMATS["onnx-int8"].write(model, drawn(data.train.images, 256)).run(pixels)
    for scores in (by_torchao, by_onnxruntime):
        assert float((scores.argmax(1) == labels).float().mean()) >= exact - 0.005


def test_a_file_above_the_budget_is_an_error():
    def export(content, **facts):
        return DeviceExport(
            DeviceFile(content, "a runtime", lambda images: images, **facts), 64, 0.0, 1.0, DeviceCost(900, 400)
        )

    fits = export({ONE_FILE: b"x" * 500}, ram_bytes=1000, flash_bytes=400)
    check_fits(fits, Budget(ram=1000, flash=500, precision="int8"))
    check_fits(fits, Budget())
    with pytest.raises(ValueError, match=r"budget\.ram = .*1,000 bytes"):
        check_fits(fits, Budget(ram=999))
    with pytest.raises(ValueError, match=r"budget\.flash = .*500 bytes"):
        check_fits(fits, Budget(flash=499))
    # the compiler decides the size of code, so a folder counts with its constants
    check_fits(export({"a.c": b"x" * 500, "b.c": b"x"}, flash_bytes=400), Budget(flash=400))
    assert fits.summary.startswith(
        "500 bytes; weights 400 bytes (predicted 400); planned RAM 1,000 bytes (predicted 900)"
    )


def test_formats_are_found_by_name_and_need_their_packages(model, images, monkeypatch):
    with pytest.raises(ValueError, match=r"'executorch-int4'.*'executorch-int8'"):
        export_for_device(model, "executorch-int4", *images)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for format in DEVICE_FORMATS:
        with pytest.raises(ValueError, match=r"is not installed; run pip install 'archsieve\[(devices|export)\]'"):
            export_for_device(replace(model), format, *images)


def test_names_of_files_and_strings_of_c():
    assert [str(default_path("net", format)) for format in DEVICE_FORMATS] == [
        *("net.onnx", "net.pte", "net.pte", "net-c"),
    ]
    assert c_string('a "b"\\?\n') == r'"a \042b\042\134\077\012"'
    assert c_string("é") == r'"\303\251"'
