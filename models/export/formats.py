"""Exports of a trained network: a model's file, a torch.export program, an ONNX graph; each checked before it is kept.

Shapes: as in the table of forms.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...spaces.parameters.lookup import look_up
from .classifier import ImageModel
from .variants import FORMS

SEED = 0  # of the images that an export is checked on
CHECKED = 8  # images
LARGER = 2  # times the training size

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Exported:
    """The content of the file; the largest difference of its outputs from torch's, on images drawn in [0, 1].

    ``in_shape`` is that of an image it was checked on, ``out_shape`` what comes out of it.
    """

    content: bytes
    largest_difference: float
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]


@dataclass(frozen=True)
class Format:
    """The file's suffix, and how a module is written: (module, images that show the shape, what may vary) -> bytes."""

    suffix: str
    write: Callable[[nn.Module, Tensor, dict[int, Any]], bytes]
    read: Callable[[bytes], Run]


def export(model: ImageModel, format: str = "safetensors", form: str = "classifier") -> Exported:
    """``model`` in the given format and form, read back and compared.

    Programs and graphs take images (N, C, H, W), float32 in [0, 1], any N, and of the fully convolutional form any
    height and width above the training size. Raises ``ValueError`` for an unknown format or form, or for a package
    that is not installed.
    """
    wanted, shape = look_up(FORMATS, format, "format"), look_up(FORMS, form, "form")
    if format == "safetensors" and form != "classifier":
        raise ValueError(f"safetensors hold the model itself, but got the form {form!r}; take onnx or torch-export")
    # larger than the training size where any size is taken: a map of side 1 would be taken for a constant
    module, images = shape(model), _images(model, LARGER if form == "fully-convolutional" else 1)
    content = model.to_bytes() if format == "safetensors" else wanted.write(module, images, _varying(form))
    with torch.inference_mode():
        expected, found = module(images), wanted.read(content)(images)
    return Exported(content, float((expected - found).abs().max()), tuple(images.shape[1:]), tuple(expected.shape[1:]))


def _images(model: ImageModel, times: int) -> Tensor:
    channels, height, width = model.architecture.input_shape
    generator = torch.Generator().manual_seed(SEED)
    return torch.rand(CHECKED, channels, times * height, times * width, generator=generator)


def _varying(form: str) -> dict[int, Any]:
    """The dimensions of the images that may vary."""
    batch: dict[int, Any] = {0: torch.export.Dim("batch")}
    return (
        {**batch, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC} if form == "fully-convolutional" else batch
    )


def _safetensors(module: nn.Module, images: Tensor, varying: dict[int, Any]) -> bytes:
    raise AssertionError("a model writes itself")


def _read_model(content: bytes) -> Run:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(content)
        return ImageModel.load(path).scores


def _program(module: nn.Module, images: Tensor, varying: dict[int, Any]) -> bytes:
    file = io.BytesIO()
    torch.export.save(torch.export.export(module, (images,), dynamic_shapes=(varying,)), file)
    return file.getvalue()


def _read_program(content: bytes) -> Run:
    module = torch.export.load(io.BytesIO(content)).module()
    return lambda images: module(images)


def _graph(module: nn.Module, images: Tensor, varying: dict[int, Any]) -> bytes:
    _need("onnx", "onnxscript", "onnxruntime")
    program = torch.onnx.export(
        module,
        (images,),
        dynamo=True,
        dynamic_shapes=(varying,),
        verbose=False,
        input_names=["images"],
        output_names=["outputs"],
    )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


def _read_graph(content: bytes) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def _need(*packages: str) -> None:
    from importlib.util import find_spec

    if missing := [name for name in packages if find_spec(name) is None]:
        raise ValueError(
            f"ONNX needs {', '.join(packages)}, but {', '.join(missing)} is not installed; "
            "pip install 'archsieve[export]'"
        )


FORMATS = {
    "safetensors": Format(".safetensors", _safetensors, _read_model),
    "torch-export": Format(".pt2", _program, _read_program),
    "onnx": Format(".onnx", _graph, _read_graph),
}
