"""Errors of the processes that train one network together."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class RankLostError(RuntimeError):
    """A process that trains a network together with this one has ended, or does not answer."""


class RankStartError(ValueError):
    """The processes that should train a network together cannot start."""


@contextmanager
def lost_ranks() -> Iterator[None]:
    """Raise :class:`RankLostError` for an error of ``torch.distributed``, which has no class of its own for gloo."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise RankLostError(f"a process that trains this network together with others was lost: {reason}") from error
