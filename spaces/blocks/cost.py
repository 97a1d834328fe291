"""The cost of a layer, a block or a network: parameters, multiply-accumulates, activations and training memory."""

from collections.abc import Sequence
from typing import NamedTuple

FLOAT_BYTES = 4
TENSORS_PER_PARAM = 3  # weights, gradients and momentum, all in float32
DEFAULT_BATCH = 128  # images: the default batch size of recipes


class Cost(NamedTuple):
    """The cost of a layer, a block or a network. Costs of parts can be added.

    ``params``: trainable parameters. ``macs``: multiply-accumulates of convolutions and linear layers at batch 1,
    without bias; ``flops`` is twice that. ``activations``: elements in the outputs of those layers at batch 1
    (Radosavovic et al. 2020, arXiv 2003.13678). ``kept_bytes``: float32 bytes that autograd saves for the backward pass
    of one image, each tensor counted once. ``memory_bytes``: predicted training memory at ``batch_size`` in float32:
    weights, gradients and momentum, the images, and the tensors saved for the backward pass. Workspaces of libraries
    are not included.
    """

    # a tuple, because costs are summed for every candidate of a search and tuples are the fastest type for that

    params: int = 0
    macs: int = 0
    activations: int = 0
    kept_bytes: int = 0
    batch_size: int = DEFAULT_BATCH

    def __add__(self, other: "Cost") -> "Cost":  # type: ignore[override]  # a sum, not a longer tuple
        """Return the sum of two costs; both must have the same batch size."""
        params, macs, activations, kept_bytes, batch_size = other
        assert batch_size == self.batch_size, f"costs at batch {self.batch_size} and {batch_size} do not add up"
        return Cost(
            self.params + params,
            self.macs + macs,
            self.activations + activations,
            self.kept_bytes + kept_bytes,
            batch_size,
        )

    def at(self, batch_size: int) -> "Cost":
        """Return the same cost with ``memory_bytes`` at ``batch_size`` images."""
        return self if batch_size == self.batch_size else self._replace(batch_size=batch_size)

    @property
    def flops(self) -> int:
        """Floating point operations: two for each multiply-accumulate."""
        return 2 * self.macs

    @property
    def memory_bytes(self) -> int:
        """Predicted training memory in bytes."""
        return TENSORS_PER_PARAM * FLOAT_BYTES * self.params + self.batch_size * self.kept_bytes

    def to_json(self) -> dict[str, int]:
        """Return the four costs that a budget can limit, by name."""
        return {name: getattr(self, name) for name in ("params", "macs", "activations", "memory_bytes")}


def sum_costs(costs: Sequence[Cost]) -> Cost:
    """Return the sum of ``costs`` at the batch size of the first one; zero at the default batch size for no costs.

    The result is the same as adding one after another, in a third of the time.
    """
    if not costs:
        return Cost()
    params, macs, activations, kept_bytes, _ = map(sum, zip(*costs, strict=True))
    return Cost(params, macs, activations, kept_bytes, costs[0].batch_size)
