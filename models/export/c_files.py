"""C code of a network in int8: BakeNN generates one kernel for each layer, a C compiler builds them.

Shapes: N images (N, C, H, W), float32 in [0, 1].

The folder also has ``main.c``, which classifies raw images, and ``timing.c``, which times the network.
"""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from ..data.dataset import in_unit_range
from ..quantization.folding import folded
from ..quantization.int8 import extreme_images
from ..quantization.packages import require
from .c_programs import MAIN, TIMING
from .classifier import ImageModel
from .device_file import DeviceFile, UnknownOperatorError

NAME = "network"
COMPILE = ("cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror")
COMPILE_SECONDS = 300


def write(model: ImageModel, calibration: Tensor) -> DeviceFile:
    """Return the C files of ``model``, with the RAM and the constants that BakeNN reports.

    The RAM is the arena with the input and the output, which the caller provides.
    """
    require("c", ("bakenn",), "devices")
    network = folded(model.network)
    # BakeNN takes the lowest and highest value of each tensor, and a second of Python for an image
    images = extreme_images(network, model.normalise(calibration))
    with TemporaryDirectory() as folder:
        compiled = _compiled(network, list(torch.split(images, 1)), Path(folder))
        content = {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir()) if file.is_file()}
    content |= {name: text.encode() for name, text in _programs(model).items()}
    report = compiled.memory_report
    has_compiler = shutil.which(COMPILE[0]) is not None
    return DeviceFile(
        content,
        "the compiled C code" if has_compiler else "BakeNN's reference, because there is no C compiler",
        _compiled_runner(content, model) if has_compiler else _reference_runner(compiled.plan, model),
        report.arena_bytes + report.input_bytes + report.output_bytes,
        report.emitted_constant_payload_bytes,
    )


def write_part(module: nn.Module, inputs: Tensor) -> None:
    """Generate the code of one block; raise :class:`UnknownOperatorError` if that is not possible."""
    with TemporaryDirectory() as folder:
        _compiled(folded(module), [inputs, inputs + 1], Path(folder))


def _compiled(network: nn.Module, images: list[Tensor], folder: Path) -> Any:
    from bakenn.compiler import compile_torch_ptq
    from bakenn.errors import BakeNNError

    try:
        return compile_torch_ptq(network, images[0], images, folder, name=NAME)
    except BakeNNError as error:
        raise UnknownOperatorError(str(error)) from error


def _programs(model: ImageModel) -> dict[str, str]:
    """Return the C programs that use the network, with the pixel statistics and class names of ``model``."""
    channels, height, width = model.architecture.input_shape
    constants = {
        "HEIGHT": str(height),
        "WIDTH": str(width),
        "CHANNELS": str(channels),
        "CLASSES": str(len(model.classes)),
        "NAMES": ", ".join(map(c_string, model.classes)),
        "MEANS": ", ".join(map(_c_float, model.mean.tolist())),
        "STDS": ", ".join(map(_c_float, model.std.tolist())),
        "TEMPERATURE": f"{model.temperature:.9g}",
    }
    return {"main.c": _filled(MAIN, constants), "timing.c": _filled(TIMING, constants)}


def c_string(text: str) -> str:
    """Return ``text`` as a string literal of C: UTF-8, with every other byte than letters and the like in octal."""
    safe = {byte: chr(byte) for byte in range(32, 127) if chr(byte) not in '"\\?'}
    return '"' + "".join(safe.get(byte, f"\\{byte:03o}") for byte in text.encode()) + '"'


def _c_float(value: float) -> str:
    return f"{value:.9e}f"


def _filled(text: str, constants: Mapping[str, str]) -> str:
    for name, value in constants.items():
        text = text.replace(f"@{name}@", value)
    return text


def build(folder: Path, program: str, target: Path) -> None:
    """Compile ``program``, "main.c" or "timing.c", in ``folder`` to ``target``; warnings are errors."""
    sources = [str(file) for file in sorted(folder.glob(f"bknn_{NAME}*.c"))]
    command = [*COMPILE, "-I", str(folder), str(folder / program), *sources, "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS)
    if done.returncode:
        raise ValueError(
            f"the C code of the network must compile, but {' '.join(COMPILE)} ended with {done.returncode}: "
            f"{done.stderr.strip()[:1000]}; report this as a fault of archsieve or BakeNN"
        )


def _compiled_runner(content: Mapping[str, bytes], model: ImageModel) -> Callable[[Tensor], Tensor]:
    """Return a function that compiles the code and classifies images with the program ``main.c``."""

    def run(images: Tensor) -> Tensor:
        pixels = (in_unit_range(images) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        with TemporaryDirectory() as folder:
            for name, data in content.items():
                (Path(folder) / name).write_bytes(data)
            build(Path(folder), "main.c", Path(folder) / "classify")
            done = subprocess.run(
                [str(Path(folder) / "classify")],
                input=pixels.numpy().tobytes(),
                capture_output=True,
                check=True,
                timeout=COMPILE_SECONDS,
            )
        # each line: the scores of all classes, and last the name of the class
        count = len(model.classes)
        rows = [line.split(maxsplit=count)[:count] for line in done.stdout.decode().splitlines()]
        return torch.tensor([[float(score) for score in row] for row in rows])

    return run


def _reference_runner(plan: Any, model: ImageModel) -> Callable[[Tensor], Tensor]:
    """Return a function that computes in Python what the C code computes, byte for byte."""

    def run(images: Tensor) -> Tensor:
        import bakenn
        import numpy as np

        rows = []
        for image in model.normalise(images):
            inputs = bakenn.quantize_input(plan, image.permute(1, 2, 0)[None].numpy())
            rows.append(np.asarray(bakenn.dequantize_output(plan, bakenn.run_reference(plan, inputs))).reshape(-1))
        return torch.from_numpy(np.stack(rows)).float()

    return run
