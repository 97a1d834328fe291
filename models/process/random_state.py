"""The global random generators of the process: seeded for a while, or kept as they are."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Let torch's global generators draw by ``seed``, and restore that of the CPU at the end; None does nothing.

    What is built inside depends on the seed alone, and what is drawn afterwards does not depend on what was built.
    """
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        yield


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Restore the states of the random generators of torch, NumPy and Python at the end."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  # networks use the global one
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
