"""ONNX graphs in int8: onnxruntime quantises the float32 graph and runs it.

Shapes: N images (N, C, H, W), float32 in [0, 1].
"""

import logging
import warnings
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from ..data.dataset import in_unit_range
from ..quantization.folding import folded
from ..quantization.packages import require
from .classifier import ImageModel
from .device_file import ONE_FILE, DeviceFile, UnknownOperatorError
from .formats import FORMATS, ONNX_PACKAGES, export
from .onnx_file import METADATA


def write(model: ImageModel, calibration: Tensor) -> DeviceFile:
    """Return the graph with integers of 7 bits for weights, each output channel on its own, and 8 for activations.

    The graph takes images in [0, 1], normalises them, and divides its scores by the temperature, as the float32 graph.
    """
    require("onnx-int8", ONNX_PACKAGES, "export")
    # folded first: onnxruntime would round the input of each batch norm, whose range is wider than that of its output
    network = folded(model.network)
    assert isinstance(network, nn.Sequential)
    content = quantised(export(replace(model, network=network), "onnx").content, in_unit_range(calibration))
    run = FORMATS["onnx"].read(content)
    return DeviceFile({ONE_FILE: content}, "onnxruntime", lambda images: run(in_unit_range(images)) * model.temperature)


def write_part(module: nn.Module, inputs: Tensor) -> None:
    """Export one block; raise :class:`UnknownOperatorError` if that is not possible."""
    try:
        torch.onnx.export(module, (inputs,), dynamo=True, verbose=False)
    except Exception as error:  # the exporter has several classes of errors
        raise UnknownOperatorError(str(error)) from error


def quantised(graph: bytes, calibration: Tensor) -> bytes:
    """Return an ONNX graph in int8, in the form of quantise and dequantise operators (QDQ), with its metadata."""
    with warnings.catch_warnings(), TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            """The calibration images, one at a time."""

            def __init__(self) -> None:
                self.images = iter(calibration)

            def get_next(self) -> Any:
                image = next(self.images, None)
                return None if image is None else {"images": image[None].numpy()}

        float_path, int8_path = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        float_path.write_bytes(graph)
        logging.disable(logging.WARNING)  # it recommends its own preparation, which needs another package
        try:
            quantize_static(
                str(float_path),
                str(int8_path),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                # weights of 7 bits: x86 processors without VNNI add products in 16 bits, and cut off larger sums
                reduce_range=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
            )
        finally:
            logging.disable(logging.NOTSET)
        description = {one.key: one.value for one in onnx.load_from_string(graph).metadata_props}
        result = onnx.load(str(int8_path))
        if METADATA not in {one.key for one in result.metadata_props}:
            result.metadata_props.add(key=METADATA, value=description[METADATA])
        return bytes(result.SerializeToString())
