"""Prediction decodes files as training does: the same pixels and the same scores, also from an ONNX file."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from archsieve.models.data.registry import load_data
from archsieve.models.export.classifier import ImageModel
from archsieve.models.export.formats import export
from archsieve.models.export.image_input import list_images
from archsieve.models.export.onnx_file import load_classifier
from archsieve.models.networks.compute import CPU
from archsieve.models.training.evaluate import scores
from archsieve.models.training.retrain import retrain
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, GlobalAverage
from archsieve.spaces.recipes.recipe import Recipe

ARCHITECTURE = Architecture((3, 12, 12), (Conv(8), GlobalAverage()), 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs of two classes in three splits, of several sizes, modes and formats."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split, n in (("train", 8), ("val", 6), ("test", 6)):
        for label, name in enumerate(("dark", "light")):
            (root / split / name).mkdir(parents=True)
            for k in range(n):
                shape = (int(rng.integers(12, 40)), int(rng.integers(12, 40)), 4)
                image = Image.fromarray(rng.integers(90 * label, 90 * label + 165, shape, dtype=np.uint8))
                mode, suffix = (("RGB", "jpg"), ("RGBA", "png"), ("L", "png"), ("P", "gif"), ("CMYK", "tiff"))[k % 5]
                image.convert(mode).save(root / split / name / f"{k}.{suffix}")
    return root


@pytest.fixture(scope="module")
def trained(folder):
    data = load_data("imagefolder", path=folder, image_size=12)
    result = retrain(ARCHITECTURE, Recipe(epochs=2, batch_size=8), data, seed=0)
    model = ImageModel.of(ARCHITECTURE, result.weights, data, {}, temperature=result.calibration.temperature)
    return data, model


def test_predicted_files_have_the_pixels_and_scores_of_training(folder, trained):
    data, model = trained
    files = list(list_images(folder / "test").images)
    pixels, positions, bad = model.input.files(files)
    assert (positions, bad) == (list(range(12)), [])
    # a data set has its images in an order of its own, which does not depend on the names of files
    trained_on = {image.numpy().tobytes(): k for k, image in enumerate(data.test.images)}
    order = [trained_on[image.numpy().tobytes()] for image in pixels]
    assert sorted(order) == list(range(12))
    assert [data.classes[data.test.labels[k]] for k in order] == [file.parent.name for file in files]
    expected = scores(model.network, data.test.images[order], data, CPU, 256)
    assert torch.equal(model.scores(pixels), expected)


def test_an_onnx_file_gives_the_same_probabilities_for_the_same_files(folder, trained, tmp_path):
    _, model = trained
    (tmp_path / "net.onnx").write_bytes(export(replace(model, temperature=1.7), "onnx").content)
    model = replace(model, temperature=1.7)
    loaded = load_classifier(tmp_path / "net.onnx")
    ours, theirs = (
        torch.cat([one.probabilities(batch) for batch in one.input.batches(folder, batch_size=7)])
        for one in (model, loaded)
    )
    assert ours.shape == (40, 2)
    assert torch.allclose(ours, theirs, atol=1e-4)
