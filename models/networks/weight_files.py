"""Weight files: find the file of a network, and read its tensors without running code."""

import pickle
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...spaces.networks.patterns import WEIGHT_SUFFIXES
from ...spaces.parameters.user_code import first_line

OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$")


def find_weights(name: str, path: Path) -> Path:
    """Return ``path``, or in a folder the file that is called after the network ``name`` ("timm:resnet18").

    Raises ``ValueError`` if there is no such file, with the nearest names.
    """
    path = path.expanduser()
    if path.is_file():
        return path
    network = name.partition(":")[2]
    if not path.is_dir():
        raise ValueError(
            f'weights must be a file, a folder with {network}.safetensors or {network}.pth, or "pretrained", but '
            f"there is no {path}; check the path"
        )
    for suffix in WEIGHT_SUFFIXES:
        if (file := path / f"{network}{suffix}").is_file():
            return file
    present = sorted(file.name for file in path.iterdir() if file.suffix in WEIGHT_SUFFIXES)
    near = get_close_matches(f"{network}.safetensors", present, n=2, cutoff=0.5)
    hint = f"; the nearest is {' or '.join(near)}" if near else ""
    raise ValueError(
        f"the folder of weights must have {network}.safetensors or {network}.pth, but {path} has {len(present)} "
        f"weight files and not this one{hint}; add the file, or leave the network out"
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of ``path`` by name, on the CPU; of a training checkpoint, those of its network.

    Raises ``ValueError`` for a file that is damaged, needs code to be read, or holds no tensors.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(
            f"weights must be tensors alone, but {path} needs code to be read, or is damaged; save its state_dict() "
            "with safetensors"
        ) from None
    except Exception as error:  # each format has its own errors for a damaged file
        reason = first_line(error)[:200]
        raise ValueError(
            f"weights must be a file of safetensors or torch.save, but {path} cannot be read: {reason}; "
            "save the weights again"
        ) from None
    for key in ("state_dict_ema", "model_ema", "state_dict", "model"):  # in the order in which timm looks for them
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    tensors = content.items() if isinstance(content, dict) else ()
    state = {str(key).removeprefix("module."): value for key, value in tensors if isinstance(value, Tensor)}
    if not state:
        raise ValueError(f"weights must be tensors by name, but {path} has none; save the network's state_dict()")
    return with_current_names(state)


def with_current_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``state`` with the names of today's torchvision: published DenseNets have "norm.1" in place of "norm1"."""
    return {OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}
