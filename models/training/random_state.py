"""The random streams of one fit: all draws derive from one seed, and a fit can resume them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Generator


class Streams:
    """Three independent random streams: shuffling, augmentation, and layers such as dropout.

    ``shuffle`` and ``augmentation`` are CPU generators. Layers draw from torch's global generators and accept no other
    one. :meth:`layers` therefore sets the state of this fit there and restores the previous state at the end, so that
    several fits can take turns in one process without affecting each other.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        shuffle, augmentation, layers = (int(s) for s in np.random.SeedSequence(seed).generate_state(3, np.uint64))
        self._device = device
        self.shuffle = Generator().manual_seed(shuffle)
        self.augmentation = Generator().manual_seed(augmentation)
        # On a GPU layers draw from the generator of the GPU, so that its state is kept too.
        self._layers = {kind: Generator(kind).manual_seed(layers).get_state() for kind in {"cpu", device.type}}

    @contextmanager
    def layers(self) -> Iterator[None]:
        """Let layers draw from the stream of this fit; torch's global generators are restored at the end."""
        on_gpu = self._device.type == "cuda"
        with torch.random.fork_rng([self._device] if on_gpu else []):
            torch.set_rng_state(self._layers["cpu"])
            if on_gpu:
                torch.cuda.set_rng_state(self._layers["cuda"], self._device)
            yield
            # Not in a finally clause: a fit that has raised an error cannot continue.
            self._layers["cpu"] = torch.get_rng_state()
            if on_gpu:
                self._layers["cuda"] = torch.cuda.get_rng_state(self._device)

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all streams, as CPU tensors."""
        layers = dict(self._layers)
        return {"shuffle": self.shuffle.get_state(), "augmentation": self.augmentation.get_state(), "layers": layers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the states of all streams; a device that the state does not have keeps the start of its stream."""
        self.shuffle.set_state(state["shuffle"])
        self.augmentation.set_state(state["augmentation"])
        self._layers.update({kind: saved for kind, saved in state["layers"].items() if kind in self._layers})
