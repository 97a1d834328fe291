"""Preprocessing: the image size, mean, deviation, interpolation and crop that a published network expects."""

from dataclasses import dataclass, replace
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Preprocessing:
    """How the images of a network are prepared: resized to ``size`` (H, W), then (image - mean) / std in [0, 1].

    ``interpolation`` is "bicubic" or "bilinear". ``crop_pct`` is the share of the shorter side that the images show: it
    is resized to floor(size / ``crop_pct``) pixels, and the middle is cut out.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_pct: float

    def for_channels(self, channels: int) -> "Preprocessing":
        """Return the same for images of ``channels`` channels; other than three of them get the mean of the three.

        timm repeats or sums the weights of the first convolution over channels, so that grey images keep their scale.
        """
        if channels == len(self.mean):
            return self
        mean, std = sum(self.mean) / len(self.mean), sum(self.std) / len(self.std)
        return replace(self, mean=(mean,) * channels, std=(std,) * channels)


def published_preprocessing(name: str, network: nn.Module, image_size: int | None = None) -> Preprocessing:
    """Return the preprocessing that is published for ``network``, which is called ``name``.

    ``image_size`` replaces the published size.
    """
    source, _, architecture = name.partition(":")
    published = _torchvision(architecture) if source == "torchvision" else _timm(network)
    return published if image_size is None else replace(published, size=(image_size, image_size))


def _timm(network: nn.Module) -> Preprocessing:
    config: Any = network.pretrained_cfg
    interpolation = "bilinear" if config.get("interpolation") == "bilinear" else "bicubic"
    size, mean, std = (tuple(config[key]) for key in ("input_size", "mean", "std"))
    # three networks have 1.15, a smaller image with a black border, which no other network has
    crop_pct = min(1.0, float(config.get("crop_pct") or 1.0))
    return Preprocessing(size[1:], mean, std, interpolation, crop_pct)


def _torchvision(name: str) -> Preprocessing:
    import torchvision

    preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    size = preset.crop_size[0]
    crop_pct = round(size / preset.resize_size[0], 6)
    return Preprocessing((size, size), tuple(preset.mean), tuple(preset.std), preset.interpolation.value, crop_pct)
