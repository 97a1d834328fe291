"""The random streams of one fit: all draws derive from one seed, and a fit can resume them."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor


class GlobalGenerators:
    """The states of torch's global generators in one fit: on the CPU, and on a GPU those of the GPU too.

    Layers and user code draw from the global generators and may accept no other one. :meth:`used` sets the states of
    this fit there and restores the earlier ones at the end, so that several fits can take turns in one process without
    affecting each other. ``states`` are by kind of device, as CPU tensors.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Start the states from ``seed``."""
        self.states = {kind: Generator(kind).manual_seed(seed).get_state() for kind in {"cpu", self._device.type}}

    @contextmanager
    def used(self) -> Iterator[None]:
        """Draw from the states of this fit; torch's global generators are restored at the end."""
        on_gpu = self._device.type == "cuda"
        with torch.random.fork_rng([self._device] if on_gpu else []):
            self.set(self.states)
            yield
            # Not in a finally clause: a fit that has raised an error cannot continue.
            self.states["cpu"] = torch.get_rng_state()
            if on_gpu:
                self.states["cuda"] = torch.cuda.get_rng_state(self._device)

    def set(self, states: Mapping[str, Tensor]) -> None:
        """Set torch's global generators to ``states``; those of another kind of device are left out."""
        if "cpu" in states:
            torch.set_rng_state(states["cpu"])
        if self._device.type == "cuda" and "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], self._device)


class Streams:
    """Three independent random streams: shuffling, augmentation, and layers such as dropout.

    ``shuffle`` and ``augmentation`` are CPU generators. Layers draw from torch's global generators.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        shuffle, augmentation, layers = (int(s) for s in np.random.SeedSequence(seed).generate_state(3, np.uint64))
        self.shuffle = Generator().manual_seed(shuffle)
        self.augmentation = Generator().manual_seed(augmentation)
        self._layers = GlobalGenerators(layers, device)

    def start_epoch(self, seed: int, rank: int, epoch: int) -> None:
        """Let augmentation and layers of another rank than the first draw from streams of their own in this epoch.

        The ranks draw the same order of the images. The streams depend on these numbers alone, because a checkpoint has
        those of the first rank only.
        """
        if rank == 0:
            return
        augmentation, layers = np.random.SeedSequence((seed, rank, epoch)).generate_state(2, np.uint64)
        self.augmentation.manual_seed(int(augmentation))
        self._layers.seed(int(layers))

    def layers(self) -> AbstractContextManager[None]:
        """Let layers draw from the stream of this fit; torch's global generators are restored at the end."""
        return self._layers.used()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all streams, as CPU tensors."""
        layers = dict(self._layers.states)
        return {"shuffle": self.shuffle.get_state(), "augmentation": self.augmentation.get_state(), "layers": layers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the states of all streams; a device that the state does not have keeps the start of its stream."""
        self.shuffle.set_state(state["shuffle"])
        self.augmentation.set_state(state["augmentation"])
        layers = self._layers.states
        layers.update({kind: saved for kind, saved in state["layers"].items() if kind in layers})
