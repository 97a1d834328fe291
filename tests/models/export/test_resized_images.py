"""Resizing and repeating channels inside a network: what they compute, and that exported files do the same."""

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from archsieve.models.networks.build import build
from archsieve.models.networks.modules import RepeatChannelsModule, ResizeModule
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.backbone import RepeatChannels, Resize
from archsieve.spaces.blocks.base import ShapeError
from archsieve.spaces.blocks.standard import Conv, GlobalAverage


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_resizing_is_that_of_image_files(interpolation):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    method = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}[interpolation]
    expected = np.asarray(Image.fromarray(pixels).resize((24, 24), method), dtype=np.float32)
    ours = ResizeModule(24, interpolation)(torch.from_numpy(pixels).float().view(1, 1, 40, 40))[0, 0]
    # Pillow rounds to whole numbers in 0..255 twice: after the rows, and after the columns
    assert np.abs(ours.clamp(0, 255).numpy() - expected).max() < 2.5


def test_grey_images_get_equal_channels():
    images = torch.rand(2, 1, 5, 5)
    assert torch.equal(RepeatChannelsModule(3)(images)[:, 2:], images)
    with pytest.raises(ShapeError, match="grey"):
        RepeatChannels(3).out_shape((3, 5, 5))


@pytest.mark.slow
def test_an_exported_network_resizes_its_images(tmp_path):
    blocks = (Resize(16, "bicubic"), RepeatChannels(3), Conv(4), GlobalAverage())
    network = build(Architecture((1, 24, 24), blocks, 2), seed=0).eval()
    images = torch.rand(2, 1, 24, 24)
    torch.onnx.export(network, (images,), tmp_path / "model.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (exported,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    torch.testing.assert_close(torch.from_numpy(exported), network(images).detach(), atol=1e-4, rtol=1e-4)
