"""Model files: a finished model in one safetensors file, with all that is no tensor as JSON in its header.

Such a file holds numbers and text, and nothing that is run when it is read.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

HEADER = "archsieve"  # the entry of the file's header that has the JSON
NETWORK = "network."  # what the names of the network's tensors begin with


def model_bytes(told: Mapping[str, Any], network: Mapping[str, Tensor], **others: Tensor) -> bytes:
    """The content of a model's file: ``told`` is JSON, ``network`` a state dict, ``others`` tensors beside it."""
    from safetensors.torch import save

    tensors = {**{f"{NETWORK}{name}": tensor for name, tensor in network.items()}, **others}
    return save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, {HEADER: json.dumps(dict(told))}
    )


def read_model(path: Path, kind: str, number: int | str) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
    """What the file says in JSON, the state dict of its network, and its other tensors.

    ``kind`` names the model in errors, ``number`` is the format that is known here. ``ValueError`` where it is none.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ValueError(f"{kind} is one file, but there is no {path}; train one first")
    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is no model of {kind}: {error}; train it again") from None
    if not isinstance(told, dict) or told.get("format") != number:
        raise ValueError(f"{path} is no model of {kind} that this version knows; train it again")
    network = {name.removeprefix(NETWORK): tensor for name, tensor in tensors.items() if name.startswith(NETWORK)}
    return told, network, {name: tensor for name, tensor in tensors.items() if not name.startswith(NETWORK)}
