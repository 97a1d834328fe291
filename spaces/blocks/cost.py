"""Cost: parameters, multiply-accumulates, activations and training memory of a layer, a block or a network."""

from collections.abc import Sequence
from typing import NamedTuple

FLOAT_BYTES = 4
STATES = 3  # weights, gradients and momentum, all in float32
DEFAULT_BATCH = 128


class Cost(NamedTuple):
    """What a layer, a block or a network costs; costs of parts add up.

    ``params``: trainable parameters. ``macs``: multiply-accumulates of convolutions and linear layers at batch 1,
    without bias; ``flops`` is twice that. ``activations``: elements in the outputs of those layers at batch 1
    (Radosavovic et al. 2020, arXiv 2003.13678). ``kept_bytes``: what training keeps of one image for the backward pass
    in float32, each tensor counted once. ``memory_bytes``: predicted training memory at ``batch_size`` in float32:
    weights, gradients and momentum, the images, and what is kept of them; libraries' workspaces are not in it.

    A tuple, because costs are summed for every candidate of a search and a tuple is the fastest value there is.
    """

    params: int = 0
    macs: int = 0
    activations: int = 0
    kept_bytes: int = 0
    batch_size: int = DEFAULT_BATCH

    def __add__(self, other: "Cost") -> "Cost":  # type: ignore[override]  # a sum, not a longer tuple
        """The cost of both together; both must have the same batch size."""
        params, macs, activations, kept, batch_size = other
        assert batch_size == self.batch_size, f"costs at batch {self.batch_size} and {batch_size} do not add up"
        return Cost(
            self.params + params, self.macs + macs, self.activations + activations, self.kept_bytes + kept, batch_size
        )

    def at(self, batch_size: int) -> "Cost":
        """The same cost with its memory at ``batch_size`` images."""
        return self if batch_size == self.batch_size else self._replace(batch_size=batch_size)

    @property
    def flops(self) -> int:
        """Two for each multiply-accumulate."""
        return 2 * self.macs

    @property
    def memory_bytes(self) -> int:
        """Predicted training memory in bytes."""
        return STATES * FLOAT_BYTES * self.params + self.batch_size * self.kept_bytes

    def to_json(self) -> dict[str, int]:
        """The four costs by the names used everywhere."""
        return {name: getattr(self, name) for name in ("params", "macs", "activations", "memory_bytes")}


def add_up(costs: Sequence[Cost]) -> Cost:
    """The sum of ``costs`` at the batch size of the first; nothing at the default batch size where there are none.

    The same as adding one after another, in a third of the time.
    """
    if not costs:
        return Cost()
    params, macs, activations, kept_bytes, _ = map(sum, zip(*costs, strict=True))
    return Cost(params, macs, activations, kept_bytes, costs[0].batch_size)
