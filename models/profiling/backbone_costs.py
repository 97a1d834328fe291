"""Prices of backbones: measured on the meta device, written into the block, kept in a file."""

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
from ..networks.backbones import DEFAULT_INPUT, backbone
from .meta_copy import meta_twin
from .profiler import profile_module


def priced_backbone(
    name: str, input_shape: Sequence[int] = DEFAULT_INPUT, *, cache: str | Path | None = None
) -> Backbone:
    """The network ``name`` without its classifier as a block with its price, to be a choice in a space.

    The price is measured on the meta device. ``cache`` is a JSON file that keeps prices from one call to the next; it
    knows the library's version, so an update measures anew.
    """
    shape = check_input_shape(input_shape)
    path = None if cache is None else Path(cache)
    known = json.loads(path.read_text(encoding="utf-8")) if path and path.is_file() else {}
    library = name.partition(":")[0]
    key = f"{name} of {library} {version(library)} on {'x'.join(map(str, shape))}"
    if key not in known:
        block = _price(name, shape)
        if path:
            _write(path, {**known, key: block.to_json()})
        return block
    found = block_from_json(known[key])
    assert isinstance(found, Backbone)
    return found


def _price(name: str, shape: tuple[int, int, int]) -> Backbone:
    network = backbone(name, classes=0, in_channels=shape[0], device="meta")
    found = profile_module(network, shape)
    out = meta_twin(network)(torch.empty(2, *shape, device="meta"))
    if not isinstance(out, Tensor) or out.dim() != 2:
        raise ValueError(f"a backbone puts out one vector (N, features), but {name} does not; choose a classifier")
    return Backbone(name, shape, out.shape[1], found.params, found.macs, found.activations, kept_bytes(network, shape))


def kept_bytes(network: nn.Module, shape: Sequence[int]) -> int:
    """Bytes that training keeps of one picture for the backward pass: distinct storages, parameters left out."""
    twin = meta_twin(network).train().requires_grad_()
    own = {tensor.untyped_storage()._cdata for tensor in (*twin.parameters(), *twin.buffers())}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor  # held, so that no other storage takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        twin(torch.empty(2, *shape, device="meta"))  # batch normalisation wants two
    picture = FLOAT_BYTES * torch.Size(shape).numel()
    total = sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own)
    return max(0, total // 2 - picture)  # an architecture counts its picture itself


def _write(path: Path, table: dict[str, Any]) -> None:
    """Replace the file at once, so that no reader meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(table, indent=1, sort_keys=True), encoding="utf-8")
    part.replace(path)
