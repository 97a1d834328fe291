"""Costs of backbones: measured on the meta device, stored in the block, cached in a file."""

import json
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...spaces.architectures.architecture import check_input_shape
from ...spaces.blocks.backbone import Backbone
from ...spaces.blocks.cost import FLOAT_BYTES
from ...spaces.blocks.standard import block_from_json
from ..networks.backbones import backbone
from ..networks.torchvision_inputs import DEFAULT_INPUT
from .meta_copy import meta_copy
from .profiler import profile_module


def measure_backbone(
    name: str, input_shape: Sequence[int] = DEFAULT_INPUT, *, cache: str | Path | None = None
) -> Backbone:
    """Return the network ``name`` without its classifier as a block with its cost, for use as a choice in a space.

    The cost is measured on the meta device. ``cache`` is a JSON file that keeps the costs between calls. Its keys
    include the version of the library, so an update of the library triggers a new measurement.
    """
    shape = check_input_shape(input_shape)
    path = None if cache is None else Path(cache)
    cached = json.loads(path.read_text(encoding="utf-8")) if path and path.is_file() else {}
    library = name.partition(":")[0]
    # "with attention": entries of version 0.1.0 leave out the products of attention
    key = f"{name} of {library} {version(library)} on {'x'.join(map(str, shape))} with attention"
    if key not in cached:
        block = _measure(name, shape)
        if path:
            _write(path, {**cached, key: block.to_json()})
        return block
    restored = block_from_json(cached[key])
    assert isinstance(restored, Backbone)
    return restored


def _measure(name: str, shape: tuple[int, int, int]) -> Backbone:
    # without a classifier: the search space adds its own head
    # the size, because some networks are built for one size of images
    network = backbone(name, classes=0, in_channels=shape[0], image_size=shape[1], device="meta")
    profile = profile_module(network, shape)
    out = meta_copy(network)(torch.empty(2, *shape, device="meta"))
    if not isinstance(out, Tensor) or out.dim() != 2:
        raise ValueError(
            f"a backbone must output one vector per image (N, features), but {name} does not; choose a classifier"
        )
    return Backbone(
        name, shape, out.shape[1], profile.params, profile.macs, profile.activations, kept_bytes(network, shape)
    )


def kept_bytes(network: nn.Module, shape: Sequence[int]) -> int:
    """Return :func:`saved_bytes` without the image itself, which an architecture counts on its own."""
    return max(0, saved_bytes(network, shape) - FLOAT_BYTES * torch.Size(shape).numel())


def saved_bytes(network: nn.Module, shape: Sequence[int], *, input_grad: bool = False) -> int:
    """Return the bytes that training saves of one input of ``shape`` for the backward pass.

    Each storage counts once, that of the input too if it is saved. Parameters and buffers do not count. With
    ``input_grad`` the gradient goes on to layers before ``network``; images need none.
    """
    copy = meta_copy(network).train().requires_grad_()
    module_storages = {tensor.untyped_storage()._cdata for tensor in (*copy.parameters(), *copy.buffers())}
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage()._cdata] = tensor  # the reference keeps the address from being reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        copy(torch.empty(2, *shape, device="meta", requires_grad=input_grad))  # batch norm in training mode needs two
    total = sum(
        tensor.untyped_storage().nbytes() for storage, tensor in saved.items() if storage not in module_storages
    )
    return total // 2  # half, because the batch has two images


def _write(path: Path, table: dict[str, Any]) -> None:
    """Replace the file atomically, so that no reader sees a partial file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # the process id keeps concurrent processes from writing to the same draft
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(table, indent=1, sort_keys=True), encoding="utf-8")
    draft.replace(path)
