"""Files of untrained networks for measurements of latency: the time does not depend on the values of the weights."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ...spaces.architectures.architecture import Architecture
from ...spaces.parameters.lookup import look_up
from ..networks.build import build
from ..profiling.device_command import DeviceCommand
from .classifier import ImageModel
from .device_file import ONE_FILE
from .device_formats import DEVICE_FORMATS, default_path
from .formats import FORMATS, export
from .image_input import ImageInput

N_IMAGES = 4  # random images that give int8 formats their ranges


def measure_on_device(architecture: Architecture, command: DeviceCommand, format: str) -> dict[str, Any]:
    """Export an untrained network of ``architecture`` in ``format`` and return its measurement by ``command``.

    Raises ``ValueError`` for an unknown format or a package that is not installed, and the errors of ``command``.
    """
    with TemporaryDirectory(prefix="archsieve-device-") as folder:
        return command.measure(write_untrained(architecture, format, Path(folder)))


def write_untrained(architecture: Architecture, format: str, folder: Path) -> Path:
    """Write an untrained network to a file or folder in ``folder`` and return its path."""
    look_up({**FORMATS, **DEVICE_FORMATS}, format, "format")
    model = untrained(architecture)
    if format in FORMATS:
        path = folder / f"network{FORMATS[format].suffix}"
        path.write_bytes(export(model, format).content)
        return path
    images = torch.rand(N_IMAGES, *architecture.input_shape, generator=torch.Generator().manual_seed(0))
    path = folder / default_path("network", format)
    for name, content in DEVICE_FORMATS[format].write(model, images).content.items():
        target = path if name == ONE_FILE else path / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
    return path


def untrained(architecture: Architecture) -> ImageModel:
    """Return an untrained network as a classifier of images whose pixels have mean 0 and standard deviation 1."""
    channels = architecture.input_shape[0]
    return ImageModel(
        build(architecture, seed=0).eval(),
        architecture,
        torch.zeros(channels),
        torch.ones(channels),
        tuple(map(str, range(architecture.classes))),
        ImageInput.of(architecture.input_shape),
    )
