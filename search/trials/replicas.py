"""The other ranks of a trial's worker: each trains the same network on its share of every batch."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ...models.ranks.pool import RankPool
from ...models.ranks.ranks import Ranks
from ...models.training.epoch import Diverged
from ...spaces.architectures.architecture import Architecture
from ...spaces.recipes.zero_shot_recipe import recipe_from_json
from ..tasks.base import TrialContext, TrialFit
from .conditions import Conditions

# What every rank raises for a checkpoint that it cannot load; the fit is then made again.
_LOAD_ERRORS = (ValueError, TypeError, KeyError, AttributeError, RuntimeError)


class Replica:
    """The trials of a worker in another rank than the first: it trains, and neither reports nor writes anything."""

    def __init__(self, ranks: Ranks, device: torch.device, data: Any, conditions: Conditions) -> None:
        self.ranks, self.device, self.data, self.conditions = ranks, device, data, conditions
        self.context: TrialContext | None = None
        self.fit: TrialFit | None = None
        conditions.plugins.install()

    def start(self, trial: Mapping[str, Any]) -> None:
        """Make the fit of a trial."""
        self.release()
        if self.context is None:
            self.context = self.conditions.context(self.data, self.device, self.ranks)
        architecture, recipe = Architecture.from_json(trial["architecture"]), recipe_from_json(trial["recipe"])
        self.fit = self.context.fit(architecture, recipe, trial["seed"])

    def load(self, state: dict[str, Any]) -> None:
        """Continue from the checkpoint of the first rank."""
        assert self.fit is not None
        self.fit.load_state_dict(state)

    def step(self) -> None:
        """Train one epoch."""
        assert self.fit is not None
        self.fit.step()

    def release(self) -> None:
        """Free the memory of the network."""
        self.fit = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


class Replicas:
    """The replicas of a worker that trains with several ranks; with one rank it only runs what it is given.

    The processes start with the first trial and stay for the next ones, because their start takes seconds. After an
    error of a single rank the next trial starts new ones.
    """

    def __init__(self, conditions: Conditions, data: Any) -> None:
        self.ranks = Ranks(0, conditions.ranks, conditions.sync_batch_norm)
        self._conditions, self._data = conditions, data
        self._pool: RankPool | None = None

    def start(self, trial: Mapping[str, Any], make: Callable[[], TrialFit]) -> TrialFit:
        """Return the fit of ``make`` for ``trial``, which the other ranks make at the same time."""
        if self.ranks.size == 1:
            return make()
        if self._pool is None or not self._pool.is_open:
            conditions = self._conditions
            self._pool = RankPool(
                conditions.ranks,
                Replica,
                (conditions,),
                gpu=conditions.gpus > 0,
                threads=max(1, int(conditions.cpus_per_rank)),
                data=self._data,
                sync_batch_norm=conditions.sync_batch_norm,
            )
        return self._pool.call("start", trial, here=make)

    def load(self, fit: TrialFit, state: dict[str, Any]) -> None:
        """Continue ``fit`` from ``state`` on all ranks."""
        if self._pool is None:
            fit.load_state_dict(state)
        else:
            self._pool.call("load", state, here=lambda: fit.load_state_dict(state), kept=_LOAD_ERRORS)

    def step(self, fit: TrialFit) -> None:
        """Train one epoch on all ranks."""
        if self._pool is None:
            fit.step()
        else:
            self._pool.call("step", here=fit.step, kept=(Diverged,))

    def release(self) -> None:
        """Free the memory of the network on the other ranks."""
        if self._pool is not None and self._pool.is_open:
            self._pool.call("release", here=lambda: None)

    def close(self) -> None:
        """End the other ranks."""
        if self._pool is not None:
            self._pool.close()


def start_ranks(size: int, gpu: bool) -> None:
    """Start and end ``size`` ranks. Raises :class:`RankStartError` with the reason why they cannot start."""
    with RankPool(size, _nothing, gpu=gpu):
        pass


def _nothing(ranks: Ranks, device: torch.device, data: Any) -> None:
    """Be the factory of a rank that has nothing to do."""
