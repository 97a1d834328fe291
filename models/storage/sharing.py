"""Tensors that processes share: pickled as NumPy arrays, whose bytes Ray keeps once per machine.

Ray copies a pickled torch tensor into every worker. The bytes of a NumPy array travel outside of the pickle (protocol
5), and each worker maps the same read-only shared memory. A tensor made from them must never be changed in place.
"""

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_array(tensor: Tensor) -> Any:
    """Return a CPU tensor as a NumPy array of the same memory, and a tensor of another device as it is."""
    return tensor.detach().contiguous().numpy() if tensor.device.type == "cpu" else tensor


def as_tensor(array: Any) -> Tensor:
    """Return the tensor of :func:`as_array` without a copy."""
    if isinstance(array, Tensor):
        return array
    with warnings.catch_warnings():
        # torch warns about read-only arrays, because writing to their tensors is undefined. No fit writes to its data.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ", category=UserWarning)
        return torch.from_numpy(np.asarray(array))
