"""Export a trained network as a model file, a torch.export program or an ONNX graph, and check the result.

Shapes: see ``variants.py``.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...spaces.parameters.lookup import look_up
from ..quantization.packages import require
from .classifier import ImageModel
from .onnx_file import METADATA
from .variants import VARIANTS

CHECK_SEED = 0  # of the random images on which an export is checked
N_CHECK_IMAGES = 8
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
CHECK_SCALE = 2  # side of the check images of the fully convolutional form, relative to the training size

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Exported:
    """The content of the exported file, and how it differs from torch.

    ``largest_difference`` is the largest absolute difference of its outputs from torch's, on random images in [0, 1].
    ``in_shape`` is the shape of one check image, ``out_shape`` the shape of its output.
    """

    content: bytes
    largest_difference: float
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]


@dataclass(frozen=True)
class Format:
    """A file format: its suffix, a writer (module, images, dynamic shapes, description) -> bytes, and a reader.

    The description is JSON: class names, how image files are decoded, pixel statistics, architecture.
    """

    suffix: str
    write: Callable[[nn.Module, Tensor, dict[int, Any], str], bytes]
    read: Callable[[bytes], Run]


def export(model: ImageModel, format: str = "safetensors", form: str = "classifier") -> Exported:
    """Export ``model`` in the given format and form, read the result back and compare its outputs.

    Programs and graphs take images (N, C, H, W), float32 in [0, 1], with any N. The fully convolutional form also takes
    any height and width above the training size. Raises ``ValueError`` for an unknown format or form, and for a
    package that is not installed.
    """
    file_format, variant = look_up(FORMATS, format, "format"), look_up(VARIANTS, form, "form")
    if format == "safetensors" and form != "classifier":
        raise ValueError(f"safetensors holds only the form 'classifier', but got {form!r}; use onnx or torch-export")
    # Larger than the training size: torch.export treats a dimension of size 1, such as the side of the output map
    # at the training size, as a constant.
    module, images = variant(model), _images(model, CHECK_SCALE if form == "fully-convolutional" else 1)
    content = (
        model.to_bytes()
        if format == "safetensors"
        else file_format.write(module, images, _dynamic_shapes(form), description(model, form))
    )
    with torch.inference_mode():
        expected, outputs = module(images), file_format.read(content)(images)
    return Exported(
        content, float((expected - outputs).abs().max()), tuple(images.shape[1:]), tuple(expected.shape[1:])
    )


def description(model: ImageModel, form: str) -> str:
    """Return as JSON what a program needs in addition to the graph to predict with it."""
    statistics = {"mean": model.mean.tolist(), "std": model.std.tolist()}
    return json.dumps({**model.header(), "form": form, "input_shape": list(model.input.shape), **statistics})


def _images(model: ImageModel, scale: int) -> Tensor:
    """Return the random check images, ``scale`` times the training size."""
    channels, height, width = model.architecture.input_shape
    generator = torch.Generator().manual_seed(CHECK_SEED)
    return torch.rand(N_CHECK_IMAGES, channels, scale * height, scale * width, generator=generator)


def _dynamic_shapes(form: str) -> dict[int, Any]:
    """Return the dimensions of the images that may vary, for torch.export."""
    batch: dict[int, Any] = {0: torch.export.Dim("batch")}
    return (
        {**batch, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC} if form == "fully-convolutional" else batch
    )


def _safetensors(module: nn.Module, images: Tensor, dynamic_shapes: dict[int, Any], description: str) -> bytes:
    raise AssertionError("safetensors files are written by ImageModel.to_bytes")


def _read_model(content: bytes) -> Run:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(content)
        model = ImageModel.load(path)
        return lambda images: model.scores(images) / model.temperature


def _program(module: nn.Module, images: Tensor, dynamic_shapes: dict[int, Any], description: str) -> bytes:
    file = io.BytesIO()
    program = torch.export.export(module, (images,), dynamic_shapes=(dynamic_shapes,))
    torch.export.save(program, file, extra_files={METADATA: description})
    return file.getvalue()


def _read_program(content: bytes) -> Run:
    module = torch.export.load(io.BytesIO(content)).module()
    return lambda images: module(images)


def _onnx(module: nn.Module, images: Tensor, dynamic_shapes: dict[int, Any], description: str) -> bytes:
    require("ONNX", ONNX_PACKAGES, "export")
    program = torch.onnx.export(
        module,
        (images,),
        dynamo=True,
        dynamic_shapes=(dynamic_shapes,),
        verbose=False,
        input_names=["images"],
        output_names=["outputs"],
    )
    assert program is not None
    graph = program.model_proto
    graph.metadata_props.add(key=METADATA, value=description)
    return bytes(graph.SerializeToString())


def _read_onnx(content: bytes) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


# the options of ``archsieve export --format``
FORMATS = {
    "safetensors": Format(".safetensors", _safetensors, _read_model),
    "torch-export": Format(".pt2", _program, _read_program),
    "onnx": Format(".onnx", _onnx, _read_onnx),
}
