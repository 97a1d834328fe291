"""Programs of ExecuTorch: for its portable operators in float32, and for XNNPACK in int8.

Shapes: N images (N, C, H, W), float32 in [0, 1].

A program takes one normalised image (1, C, H, W): a step that normalises would need memory for two more images. Its
constant method ``archsieve`` returns as JSON the pixel statistics, the class names and the temperature.
"""

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..quantization.folding import folded
from ..quantization.int8 import quantized
from ..quantization.packages import INT8_PACKAGES, require
from .classifier import ImageModel
from .device_file import ONE_FILE, DeviceFile, UnknownOperatorError
from .formats import description
from .onnx_file import METADATA


def write(model: ImageModel, calibration: Tensor) -> DeviceFile:
    """Return the float32 program for the portable operators, with its planned memory and the bytes of its constants."""
    require("executorch", ("executorch",), "devices")
    program = _lowered(folded(model.network), _example(model), _constants(model))
    content = bytes(program.buffer)
    return DeviceFile(
        {ONE_FILE: content}, "ExecuTorch", _runner(content, model), _planned_bytes(program), _constant_bytes(program)
    )


def write_int8(model: ImageModel, calibration: Tensor) -> DeviceFile:
    """Return the int8 program for XNNPACK, quantised by torchao with ``calibration`` images.

    The memory that XNNPACK takes when it starts is not in the plan of the program, so its RAM is None.
    """
    require("executorch-int8", INT8_PACKAGES, "devices")
    network = quantized(model.network, model.normalise(calibration), batch=1)
    with _quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        with _unknown_operators():
            exported = torch.export.export(network, (_example(model),))
            program = to_edge_transform_and_lower(
                exported, partitioner=[XnnpackPartitioner()], constant_methods=_constants(model)
            ).to_executorch()
    content = bytes(program.buffer)
    return DeviceFile({ONE_FILE: content}, "ExecuTorch with XNNPACK", _runner(content, model))


def write_part(module: nn.Module, inputs: Tensor) -> None:
    """Export one block; raise :class:`UnknownOperatorError` if that is not possible."""
    _lowered(folded(module), inputs)


def _lowered(network: nn.Module, example: Tensor, constants: dict[str, Any] | None = None) -> Any:
    """Return the program of ``network``, whose batch norms are folded, with methods that return ``constants``."""
    with _quiet():
        from executorch.exir import ExecutorchBackendConfig, to_edge

        with _unknown_operators():
            exported = torch.export.export(network, (example,))
            return to_edge(exported, constant_methods=constants).to_executorch(ExecutorchBackendConfig())


def _example(model: ImageModel) -> Tensor:
    return model.normalise(torch.zeros(1, *model.architecture.input_shape))


def _constants(model: ImageModel) -> dict[str, Any]:
    return {METADATA: description(model, "classifier")}


def _planned_bytes(program: Any) -> int:
    """Return the bytes of the buffers in which the program plans its tensors."""
    return int(sum(program.executorch_program.execution_plan[0].non_const_buffer_sizes))


def _constant_bytes(program: Any) -> int:
    from executorch.exir.schema import Tensor as Stored

    content = program.executorch_program
    tensors = [value.val for value in content.execution_plan[0].values if isinstance(value.val, Stored)]
    # a tensor without dimensions is a number in the code, such as the 3 of hardswish
    stored = {tensor.data_buffer_idx for tensor in tensors if tensor.data_buffer_idx and tensor.sizes}
    return sum(len(content.constant_buffer[index].storage) for index in stored)


def _runner(content: bytes, model: ImageModel) -> Callable[[Tensor], Tensor]:
    """Return a function that computes scores with ExecuTorch's own runtime, one image after another."""

    def run(images: Tensor) -> Tensor:
        with _quiet():
            from executorch.runtime import Runtime

        method = Runtime.get().load_program(io.BytesIO(content)).load_method("forward")
        assert method is not None
        # a copy of each result, because the next call writes into the same memory
        return torch.cat(
            [method.execute([one.contiguous()])[0].clone() for one in torch.split(model.normalise(images), 1)]
        )

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the warnings and the log of ExecuTorch, which are about itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def _unknown_operators() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # ExecuTorch has several classes of errors for an operator without a kernel
        raise UnknownOperatorError(f"{type(error).__name__}: {error}") from error
