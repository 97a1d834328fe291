"""Read and write model files: tensors in one safetensors file, all other data as JSON in its header.

Such a file holds only numbers and text, so reading it executes no code.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

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
        raise ValueError(
            f"{path} must hold the model of {kind} in the format {known}, but has the format {header['format']!r} of "
            "another kind of model or another version; use that version, or train it again"
        )
    network = {name.removeprefix(NETWORK): tensor for name, tensor in tensors.items() if name.startswith(NETWORK)}
    return header, network, {name: tensor for name, tensor in tensors.items() if not name.startswith(NETWORK)}
