"""Read and write model files: tensors in one safetensors file, all other data as JSON in its header.

Such a file holds only numbers and text, so reading it executes no code.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from ...spaces.architectures.architecture import Architecture
from ...spaces.parameters.lookup import shorten

HEADER = "archsieve"  # key of the JSON in the metadata of the file
NETWORK = "network."  # prefix of the names of the network's tensors


def model_bytes(header: Mapping[str, Any], network: Mapping[str, Tensor], **other_tensors: Tensor) -> bytes:
    """Return the content of a model file.

    ``header`` is JSON-serialisable, ``network`` is a state dict, ``other_tensors`` are tensors outside the network.
    """
    from safetensors.torch import save

    tensors = {**{f"{NETWORK}{name}": tensor for name, tensor in network.items()}, **other_tensors}
    return save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        {HEADER: json.dumps(dict(header))},
    )


def read_header(path: Path) -> dict[str, Any]:
    """Return the JSON header of a model file, without its tensors; raise ``ValueError`` if the file cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} must be a model file, but cannot be read: {error}; train it again") from None
    return header if isinstance(header, dict) else {}


@contextmanager
def checked_content(path: Path, kind: str) -> Iterator[None]:
    """Replace the errors of reading ``path`` by one ``ValueError``: a file from elsewhere may have any content."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, MemoryError) as error:
        reason = f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else error
        text = shorten(" ".join(str(reason).split()))[:300]
        raise ValueError(
            f"{path} must hold the model of {kind}, but its content is not valid: {text}; train it again"
        ) from None


def check_size(architecture: Architecture, weights: Mapping[str, Tensor]) -> None:
    """Raise ``ValueError`` if the file has fewer numbers than its architecture needs, before a network is built.

    A few bytes could otherwise describe a network that takes all memory.
    """
    params, n_numbers = architecture.cost.params, sum(tensor.numel() for tensor in weights.values())
    if params > n_numbers:
        raise ValueError(f"the architecture has {params:,} parameters, but the file has {n_numbers:,} numbers")


def read_model(
    path: Path, kind: str, *formats: int | str
) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
    """Return the JSON header of the file, the state dict of its network, and its other tensors.

    ``kind`` names the model in error messages, ``formats`` are the supported ones. Raises ``ValueError`` if the file
    does not exist or is not a model of such a format.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ValueError(f"{kind} must be an existing file, but there is no {path}; train one first")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} must hold the model of {kind}, but it cannot be read: {error}; train it again"
        ) from None
    if not isinstance(header, dict) or "format" not in header:
        raise ValueError(
            f"{path} must hold the model of {kind}, but is not a model file of archsieve; give the file that "
            "`archsieve train` or `save` wrote"
        )
    if header["format"] not in formats:
        known = " or ".join(repr(one) for one in formats)
        message = (
            f"{path} must hold the model of {kind} in the format {known}, but has the format {header['format']!r} of "
            "another kind of model or another version; use that version, or train it again"
        )
        raise ValueError(shorten(message))
    network = {name.removeprefix(NETWORK): tensor for name, tensor in tensors.items() if name.startswith(NETWORK)}
    return header, network, {name: tensor for name, tensor in tensors.items() if not name.startswith(NETWORK)}
