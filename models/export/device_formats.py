"""Files for devices: a network in the format of a runtime, run by this runtime and compared with torch.

Shapes: N images (N, C, H, W), float32 in [0, 1]; K classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ...spaces.architectures.budget import Budget, format_count
from ...spaces.architectures.device_cost import DeviceCost, device_cost_or_none
from ...spaces.parameters.lookup import look_up
from ...spaces.parameters.user_code import first_line
from ..metrics.label_losses import agreement
from ..quantization.packages import INT8_PACKAGES, require
from . import c_files, executorch_file, onnx_int8
from .classifier import ImageModel
from .device_file import DeviceFile, UnknownOperatorError
from .formats import ONNX_PACKAGES

N_CHECK_IMAGES = 64

Write = Callable[[ImageModel, Tensor], DeviceFile]


@dataclass(frozen=True)
class DeviceFormat:
    """A format: the suffix of its file ("" for a folder), its number format, its writer, and whether it is calibrated.

    The writer takes the model and calibration images. It needs ``packages``, which ``extra`` of archsieve brings.
    ``planned`` is whether RAM and flash have a prediction.
    """

    suffix: str
    precision: str
    write: Write
    packages: tuple[str, ...]
    extra: str = "devices"
    planned: bool = True


@dataclass(frozen=True)
class DeviceExport:
    """An exported network, and how its runtime differs from torch on ``n_images`` images.

    ``largest_difference`` is that of the scores before the softmax, ``agreement`` the share (0..1) of images with the
    same prediction. ``predicted`` are RAM and flash as the budget counts them; None if they have no rule.
    """

    file: DeviceFile
    n_images: int
    largest_difference: float
    agreement: float
    predicted: DeviceCost | None

    @property
    def summary(self) -> str:
        """Describe size, memory and the comparison with torch in one line."""
        file = self.file
        parts = [f"{file.size_bytes:,} bytes"]
        if file.flash_bytes is not None:
            parts.append(f"weights {file.flash_bytes:,} bytes{_next_to(self.predicted and self.predicted.flash_bytes)}")
        if file.ram_bytes is not None:
            parts.append(f"planned RAM {file.ram_bytes:,} bytes{_next_to(self.predicted and self.predicted.ram_bytes)}")
        parts.append(
            f"{file.runtime} on {self.n_images} images: largest difference from torch {self.largest_difference:.2g}, "
            f"{100 * self.agreement:.1f} % of the predictions agree"
        )
        return "; ".join(parts)


def _next_to(predicted: int | None) -> str:
    return "" if predicted is None else f" (predicted {predicted:,})"


def export_for_device(model: ImageModel, format: str, calibration: Tensor, images: Tensor) -> DeviceExport:
    """Export ``model`` in ``format``, run the file with its runtime on ``images``, and compare it with torch.

    ``calibration`` are training images (N, C, H, W), uint8 or float32 in [0, 1], from which the int8 formats take the
    ranges of the activations. Raises ``ValueError`` for an unknown format, for a package that is not installed, and for
    an operator that the exporter does not know, with the layer.
    """
    row = look_up(DEVICE_FORMATS, format, "format")
    try:
        file = row.write(model, calibration)
    except UnknownOperatorError as error:
        raise ValueError(
            f"{format} must know every operator of the network, but not that of {failing_block(model, row)}: "
            f"{first_line(error)}; use another format, or a space without this block"
        ) from error
    images = images[:N_CHECK_IMAGES]
    expected, outputs = model.scores(images), file.run(images)
    cost = device_cost_or_none(model.architecture, row.precision) if row.planned else None
    return DeviceExport(
        file,
        len(images),
        float((expected - outputs).abs().max()),
        agreement(expected, outputs, multi_label=model.multi_label),
        cost,
    )


def check_fits(export: DeviceExport, budget: Budget) -> None:
    """Raise ``ValueError`` if the planned RAM or the size of a file is above the limit of ``budget``.

    A folder of C code counts with its constants, because the compiler decides the size of its code.
    """
    file = export.file
    size = file.size_bytes if file.is_single else file.flash_bytes
    for name, limit, used in (("ram", budget.ram, file.ram_bytes), ("flash", budget.flash, size)):
        if limit is not None and used is not None and used > limit:
            raise ValueError(
                f"the exported network must fit budget.{name} = {format_count(limit)}B, but needs "
                f"{used:,} bytes; export a smaller network, or use another format such as c"
            )


def failing_block(model: ImageModel, row: DeviceFormat) -> str:
    """Return the name of the first block that ``row`` cannot export alone; "the whole network" if all can be."""
    images = model.normalise(torch.zeros(1, *model.architecture.input_shape))
    for position, (placed, chain) in enumerate(zip(model.architecture.walk(), model.network, strict=True), start=1):
        try:
            WRITE_PART[row.write](chain, images)
        except UnknownOperatorError:
            return f"block {position}, {placed.block}"
        with torch.inference_mode():
            images = chain(images)
        images = images.clone()
    return "the whole network"


# the options of ``archsieve export --format`` for devices
DEVICE_FORMATS: Mapping[str, DeviceFormat] = {
    "onnx-int8": DeviceFormat(".onnx", "int8", onnx_int8.write, ONNX_PACKAGES, "export", planned=False),
    "executorch": DeviceFormat(".pte", "float32", executorch_file.write, ("executorch",)),
    "executorch-int8": DeviceFormat(".pte", "int8", executorch_file.write_int8, INT8_PACKAGES, planned=False),
    "c": DeviceFormat("", "int8", c_files.write, ("bakenn",)),
}
WRITE_PART: Mapping[Write, Callable[[nn.Module, Tensor], object]] = {
    onnx_int8.write: onnx_int8.write_part,
    executorch_file.write: executorch_file.write_part,
    executorch_file.write_int8: executorch_file.write_part,
    c_files.write: c_files.write_part,
}


def check_installed(format: str) -> None:
    """Raise ``ValueError`` for an unknown format, and for a package of it that is not installed."""
    row = look_up(DEVICE_FORMATS, format, "format")
    require(format, row.packages, row.extra)


def default_path(name: str, format: str) -> Path:
    """Return the path of an exported network: a file with the suffix of the format, or a folder."""
    row = DEVICE_FORMATS[format]
    return Path(f"{name}{row.suffix}" if row.suffix else f"{name}-{format}")
