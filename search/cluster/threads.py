"""Thread counts: give this process as many threads as a trial, so that it trains the same network as a worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..config.schema import ResourcesSection

if TYPE_CHECKING:
    import torch


def set_up_worker(cpus: float, gpus: float) -> "torch.device":
    """Set the worker's thread count and return its device."""
    import torch

    torch.set_num_threads(max(1, int(cpus)))
    return torch.device("cuda" if gpus and torch.cuda.is_available() else "cpu")


@contextmanager
def trial_threads(resources: ResourcesSection) -> Iterator[None]:
    """Give torch a trial's number of threads until the block ends.

    The rounding of a sum depends on how torch divides it among threads, so the same thread count gives the same result.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, int(resources.cpus_per_trial)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
