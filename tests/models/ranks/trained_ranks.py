"""What another rank does in the tests: trains the same network, and fails where a test asks for it."""

import os
import signal
from typing import Any

import torch
from torch import nn

from archsieve.models.ranks.ranks import Ranks
from archsieve.models.training.trainer import Fit
from archsieve.spaces.recipes.recipe import Recipe


def network() -> nn.Sequential:
    """A network for digits with batch norm, the same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, 10),
        )


class TrainedRank:
    def __init__(self, ranks: Ranks, device: torch.device, data: Any) -> None:
        self.ranks, self.device, self.data = ranks, device, data
        self.fit: Fit | None = None

    def start(self, recipe: Recipe, sync: bool = False, part: Any = None) -> None:
        ranks = Ranks(self.ranks.rank, self.ranks.size, sync)
        self.fit = Fit(network(), part or self.data, recipe, seed=3, device=self.device, ranks=ranks)

    def load(self, state: dict[str, Any]) -> None:
        assert self.fit is not None
        self.fit.load_state_dict(state)

    def step(self) -> None:
        assert self.fit is not None
        self.fit.step()

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def run_out_of_memory(self) -> None:
        raise torch.OutOfMemoryError("rank 1 has no memory left")

    def meet(self) -> None:
        self.ranks.sum(torch.ones(1))
