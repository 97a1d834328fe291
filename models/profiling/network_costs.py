"""Costs of a network of timm or torchvision at one image size: each kind of product apart, and the peak of memory."""

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .backbone_costs import kept_bytes
from .meta_copy import meta_copy
from .operator_recorder import record
from .operators import is_free


@dataclass(frozen=True)
class NetworkCosts:
    """The cost of a network without its classifier on one image.

    ``conv_macs``, ``linear_macs`` and ``attention_macs`` are multiply-accumulates of convolutions, linear layers and
    products of activations. ``activations`` are output elements of convolutions and linear layers. ``kept_bytes`` are
    float32 bytes that training saves of one image. ``peak_bytes`` is the largest sum of float32 bytes of feature maps
    that inference holds at a time, the image included and weights not; attention matrices count as stored.
    ``unknown`` names the operators that have no formula.
    """

    features: int
    params: int
    conv_macs: int
    linear_macs: int
    attention_macs: int
    activations: int
    kept_bytes: int
    peak_bytes: int
    unknown: tuple[str, ...] = ()


def network_costs(network: nn.Module, shape: tuple[int, int, int]) -> NetworkCosts:
    """Count the costs of ``network``, which has no classifier, on one image of ``shape`` on the meta device.

    Raises ``ValueError`` if it does not output one vector per image, other errors if it does not take the image.
    """
    copy = meta_copy(network)
    with LiveBytes(copy) as live:
        image = torch.empty(1, *shape, device="meta")
        recorder, out = record(copy, (image,))
    if not isinstance(out, Tensor) or out.dim() != 2 or out.shape[0] != 1:
        raise ValueError("it outputs no vector per image (N, features)")
    return NetworkCosts(
        out.shape[1],
        sum(parameter.numel() for parameter in network.parameters()),
        recorder.conv_macs,
        recorder.linear_macs,
        recorder.attention_macs,
        recorder.activations,
        kept_bytes(network, shape),
        live.peak,
        tuple(sorted(name for name in recorder.uncounted if not is_free(name))),
    )


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Dispatch mode with the ``peak`` of the bytes of all tensors that are alive, except those of ``module``."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._bytes = 0
        self._known: dict[int, Any] = {}
        for tensor in (*module.parameters(), *module.buffers()):
            self._known[tensor.untyped_storage()._cdata] = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.add(leaf)
        return out

    def add(self, tensor: Tensor) -> None:
        """Count the storage of ``tensor`` until it is freed; views of a storage count once."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def freed(reference: Any) -> None:
            self._bytes -= size
            self._known.pop(key, None)

        self._known[key] = weakref.ref(storage, freed)
        self._bytes += size
        self.peak = max(self.peak, self._bytes)
