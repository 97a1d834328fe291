"""An exported network for a device: its content, its memory, and how its runtime computes scores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

ONE_FILE = ""  # name of the content where the network is a single file and no folder


class UnknownOperatorError(ValueError):
    """The exporter does not know an operator of the network."""


@dataclass(frozen=True)
class DeviceFile:
    """The content of the file or folder, by file names, and the runtime that computes scores with it.

    ``run`` takes images (N, C, H, W) in [0, 1] and returns scores (N, K) before the temperature and the softmax.
    ``ram_bytes`` is the plan of the runtime for one image, ``flash_bytes`` the constants; None where it reports none.
    """

    content: Mapping[str, bytes]
    runtime: str
    run: Callable[[Tensor], Tensor]
    ram_bytes: int | None = None
    flash_bytes: int | None = None

    @property
    def is_single(self) -> bool:
        """Whether the network is one file."""
        return ONE_FILE in self.content

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.content.values()))
