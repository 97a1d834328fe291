"""Preprocessing: the image size, mean, deviation and interpolation that a published network expects."""

from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Preprocessing:
    """How the images of a network are prepared: resized to ``size`` (H, W), then (image - mean) / std in [0, 1].

    ``interpolation`` is "bicubic" or "bilinear".
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str

    def for_channels(self, channels: int) -> "Preprocessing":
        """Return the same for images of ``channels`` channels; other than three of them get the mean of the three.

        timm repeats or sums the weights of the first convolution over channels, so that grey images keep their scale.
        """
        if channels == len(self.mean):
            return self
        mean, std = sum(self.mean) / len(self.mean), sum(self.std) / len(self.std)
        return Preprocessing(self.size, (mean,) * channels, (std,) * channels, self.interpolation)


def published_preprocessing(name: str, network: nn.Module, image_size: int | None = None) -> Preprocessing:
    """Return the preprocessing that is published for ``network``, which is called ``name``.

    ``image_size`` replaces the published size.
    """
    source, _, architecture = name.partition(":")
    published = _torchvision(architecture) if source == "torchvision" else _timm(network)
    size = published.size if image_size is None else (image_size, image_size)
    return Preprocessing(size, published.mean, published.std, published.interpolation)


def _timm(network: nn.Module) -> Preprocessing:
    config: Any = network.pretrained_cfg
    interpolation = "bilinear" if config.get("interpolation") == "bilinear" else "bicubic"
    return Preprocessing(tuple(config["input_size"][1:]), tuple(config["mean"]), tuple(config["std"]), interpolation)


def _torchvision(name: str) -> Preprocessing:
    import torchvision

    preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    size = preset.crop_size[0]
    return Preprocessing((size, size), tuple(preset.mean), tuple(preset.std), preset.interpolation.value)
