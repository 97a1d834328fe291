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


def read_model(
    path: Path, kind: str, file_format: int | str
) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
    """Return the JSON header of the file, the state dict of its network, and its other tensors.

    ``kind`` names the model in error messages, ``file_format`` is the supported format. Raises ``ValueError`` if the
    file does not exist or is not a model of this format.
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
    if not isinstance(header, dict) or header.get("format") != file_format:
        raise ValueError(
            f"{path} must hold the model of {kind} in the format {file_format}, but has another one; train it again"
        )
    network = {name.removeprefix(NETWORK): tensor for name, tensor in tensors.items() if name.startswith(NETWORK)}
    return header, network, {name: tensor for name, tensor in tensors.items() if not name.startswith(NETWORK)}
