"""Exported ONNX files as classifiers: onnxruntime runs the graph, its metadata describe images and classes.

Shapes: N images (N, C, H, W), K classes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...spaces.architectures.architecture import Architecture
from ...spaces.parameters.user_code import first_line
from ..data.dataset import in_unit_range
from ..metrics.label_losses import THRESHOLD, probabilities
from .classifier import FORMAT, ImageModel, input_of, labels_of
from .image_input import ImageInput

METADATA = "archsieve"  # key of the JSON in the metadata of the graph


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """A graph on the CPU with what its metadata describe; see :class:`~archsieve.models.export.classifier.ImageModel`.

    The graph divides its scores by the temperature.
    """

    session: Any  # onnxruntime.InferenceSession
    header: Mapping[str, Any]
    classes: tuple[str, ...]
    input: ImageInput
    multi_label: bool = False
    threshold: float = THRESHOLD

    @classmethod
    def load(cls, path: str | Path) -> "OnnxModel":
        """Read an ONNX file that archsieve exported.

        Raises ``ValueError`` if it is missing, not such a file, of another form than "classifier" or another version.
        """
        session = _session(Path(path))
        header = _header(Path(path), session)
        channels, height, width = header["input_shape"]
        return cls(
            session, header, tuple(header["classes"]), input_of(header, (channels, height, width)), *labels_of(header)
        )

    @property
    def architecture(self) -> Architecture:
        """The architecture of the network; read on demand, because custom blocks must be registered for it."""
        return Architecture.from_json(self.header["architecture"])

    @property
    def about(self) -> Mapping[str, Any]:
        """The origin of the weights, see ``ImageModel``."""
        return dict(self.header["about"])

    def to(self, device: str) -> "OnnxModel":
        """Return the model itself; raise ``ValueError`` for another device than the CPU."""
        if torch.device(device).type != "cpu":
            raise ValueError(
                f"an ONNX file is run on the CPU, but got device {device!r}; leave it out, or use the .safetensors file"
            )
        return self

    def probabilities(self, images: Tensor, batch_size: int = 256) -> Tensor:
        """Return the class probabilities (N, K) of images (N, C, H, W), uint8 or float32 in [0, 1]."""
        if not len(images):
            return torch.zeros(0, len(self.classes))
        parts = [self.session.run(None, {"images": _array(part)})[0] for part in torch.split(images, batch_size)]
        return probabilities(torch.from_numpy(np.concatenate(parts)), multi_label=self.multi_label)


def load_classifier(path: Path) -> ImageModel | OnnxModel:
    """Read a classifier from a .safetensors or .onnx file.

    Raises ``ValueError`` if the file is none, or was written by another version.
    """
    if path.suffix == ".pt2":
        raise ValueError(
            f"prediction needs a .safetensors or .onnx file, but {path} is a program of torch.export; "
            "read it with torch.export.load"
        )
    return OnnxModel.load(path) if path.suffix == ".onnx" else ImageModel.load(path)


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ValueError(
            f"{path} needs onnxruntime, which is not installed; run pip install 'archsieve[export]'"
        ) from None
    if not path.is_file():
        raise ValueError(f"an ONNX model must be an existing file, but there is no {path}; check the path")
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has several classes for a file that is not valid
        reason = first_line(error)
        raise ValueError(f"{path} must be an ONNX file, but cannot be read: {reason}; export it again") from None


def _header(path: Path, session: Any) -> dict[str, Any]:
    try:
        header = json.loads(session.get_modelmeta().custom_metadata_map[METADATA])
    except (KeyError, ValueError):
        raise ValueError(
            f"{path} must be an ONNX file that archsieve wrote, but it has no class names of archsieve; "
            "export it again with archsieve export --format onnx"
        ) from None
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path} must have the format {FORMAT!r}, but has the format {header.get('format')!r} of another version; "
            "use that version, or export it again"
        )
    if header["form"] != "classifier":
        raise ValueError(
            f"prediction needs the form 'classifier', but {path} is {header['form']!r}; export it again without --form"
        )
    return dict(header)


def _array(images: Tensor) -> Any:
    return in_unit_range(images).numpy()
