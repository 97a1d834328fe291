"""The random streams of one fit: every draw comes from one seed and can be resumed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Generator


class Streams:
    """Three independent streams: ``shuffle`` and ``augmentation`` are CPU generators, dropout's is torch's global one.

    Layers draw from torch's global generators and cannot be handed another; :meth:`layers` lends them this fit's state
    and gives the caller's back. Fits that take turns in one process thus do not disturb one another.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        shuffle, augmentation, layers = (int(s) for s in np.random.SeedSequence(seed).generate_state(3, np.uint64))
        self._device = device
        self.shuffle = Generator().manual_seed(shuffle)
        self.augmentation = Generator().manual_seed(augmentation)
        self._layers = {kind: Generator(kind).manual_seed(layers).get_state() for kind in {"cpu", device.type}}

    @contextmanager
    def layers(self) -> Iterator[None]:
        """Inside, dropout draws from this fit's stream; outside, torch's global generators are untouched."""
        on_gpu = self._device.type == "cuda"
        with torch.random.fork_rng([self._device] if on_gpu else []):
            torch.set_rng_state(self._layers["cpu"])
            if on_gpu:
                torch.cuda.set_rng_state(self._layers["cuda"], self._device)
            yield
            self._layers["cpu"] = torch.get_rng_state()
            if on_gpu:
                self._layers["cuda"] = torch.cuda.get_rng_state(self._device)

    def state_dict(self) -> dict[str, Any]:
        """The place in each stream, as CPU tensors."""
        layers = dict(self._layers)
        return {"shuffle": self.shuffle.get_state(), "augmentation": self.augmentation.get_state(), "layers": layers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to the places that ``state_dict`` noted; a device that was not there then starts its stream anew."""
        self.shuffle.set_state(state["shuffle"])
        self.augmentation.set_state(state["augmentation"])
        self._layers.update({kind: place for kind, place in state["layers"].items() if kind in self._layers})
