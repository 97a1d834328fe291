"""Programs: a network as operations in order, with the tensors in memory that each reads and writes."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple


class Operation(NamedTuple):
    """One operation: the number of the layer that it belongs to, and the tensors that it reads and writes."""

    layer: int
    reads: tuple[int, ...]
    writes: tuple[int, ...]


class Program:
    """A program that is being written: tensors by number, operations, and the bytes of constants.

    Every tensor has ``element_bytes`` for each element, rounded up to a multiple of ``alignment`` bytes. Tensor 0 is
    the input.
    """

    def __init__(self, element_bytes: int, alignment: int = 1) -> None:
        self.element_bytes, self.alignment = element_bytes, alignment
        self.tensor_bytes: list[int] = []
        self.operations: list[Operation] = []
        self.constant_bytes = 0
        self.layer = 0  # number of the layer that is being written

    def tensor(self, n_elements: int, element_bytes: int | None = None) -> int:
        """Add a tensor and return its number."""
        n_bytes = n_elements * (element_bytes or self.element_bytes)
        self.tensor_bytes.append(-(-n_bytes // self.alignment) * self.alignment)
        return len(self.tensor_bytes) - 1

    def operation(
        self, reads: Sequence[int], shape: Sequence[int], *others: int, element_bytes: int | None = None
    ) -> int:
        """Add an operation that writes a new tensor of ``shape``, and the tensors ``others``; return the new tensor."""
        written = self.tensor(math.prod(shape), element_bytes)
        self.operations.append(Operation(self.layer, tuple(reads), (written, *others)))
        return written

    @property
    def live_bytes(self) -> list[int]:
        """The bytes of the tensors that are alive in each operation.

        A tensor is alive from the operation that writes it to the last one that reads it; the input from the first one.
        """
        first, last = {0: 0}, {0: 0}
        for number, operation in enumerate(self.operations):
            for tensor in operation.writes:
                first[tensor] = last[tensor] = number
            for tensor in operation.reads:
                last[tensor] = number
        changes = [0] * (len(self.operations) + 1)
        for tensor, number in first.items():
            changes[number] += self.tensor_bytes[tensor]
            if last[tensor] + 1 < len(changes):
                changes[last[tensor] + 1] -= self.tensor_bytes[tensor]
        return list(accumulate(changes[:-1]))

    @property
    def peak_bytes(self) -> int:
        """The largest sum of live tensors; without operations that of the input."""
        return max(self.live_bytes, default=self.tensor_bytes[0])
