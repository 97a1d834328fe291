"""Threads: as many here as a trial has, so that what is trained here comes out as it did there."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..config.schema import ResourcesSection


@contextmanager
def threads_of(resources: ResourcesSection) -> Iterator[None]:
    """Let torch take a trial's number of threads until the block ends: sums come out by how they are shared out."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, int(resources.cpus_per_trial)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
