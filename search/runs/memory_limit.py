"""Memory: a search that keeps below what its trials have run out of."""

import random
from collections.abc import Callable
from dataclasses import replace

from ...results.database.records import FailKind, History
from ...spaces.architectures.budget import format_count
from ...spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from ...spaces.constrained.feasibility import check_feasible
from ..cluster.gpu_sharing import Shares
from ..cluster.ray_runtime import ResourceError
from ..searchers import Proposal, Searcher


class WithinMemory(Searcher):
    """Proposes what the searcher that ``make`` gives for a sieve proposes, below the memory that has proved too much.

    A trial that ran out of memory failed by its size, not by chance: nothing of its predicted training memory or more
    is proposed again in its run, whatever the searcher. The limit is read from history, so a resume knows it too.
    """

    def __init__(self, make: Callable[[ConstrainedSpace], Searcher], sieve: ConstrainedSpace) -> None:
        self._make = make
        self._searchers: dict[int | None, Searcher] = {None: make(sieve)}
        super().__init__(sieve, self._searchers[None].recipes)

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        limit = too_much(history)
        try:
            return self._below(limit).ask(history, rng)
        except BudgetError:  # nothing of the space is that small
            return None

    def _below(self, limit: int | None) -> Searcher:
        if limit is not None and limit not in self._searchers:
            self._searchers[limit] = self._make(lowered(self.sieve, limit - 1))
        return self._searchers[limit]


def too_much(history: History) -> int | None:
    """The least predicted training memory, in bytes, of the trials that ran out of memory; None without one."""
    return min((trial.memory_bytes for trial in history if trial.fail_kind is FailKind.OOM), default=None)


def lowered(sieve: ConstrainedSpace, most: int) -> ConstrainedSpace:
    """``sieve`` with at most ``most`` bytes of predicted training memory; ``BudgetError`` where nothing is left."""
    budget = sieve.budget
    if most < (budget.min_memory_bytes or 0):
        raise BudgetError(f"nothing fits: memory_bytes must be at most {most:,}, at least {budget.min_memory_bytes:,}")
    least = most if budget.memory_bytes is None else min(most, budget.memory_bytes)
    found = ConstrainedSpace(sieve.space, replace(budget, memory_bytes=least), sieve.batch_size, sieve.latency_model)
    check_feasible(found)
    return found


def on_gpus(sieve: ConstrainedSpace, shares: Shares | None) -> ConstrainedSpace:
    """``sieve`` with what fits on a GPU of ``shares``; :class:`ResourceError` where nothing does."""
    if shares is None:
        return sieve
    try:
        return lowered(sieve, shares.most_memory_bytes)
    except BudgetError as error:
        raise ResourceError(
            f"a GPU here has {format_count(shares.gpu_bytes)}B, of which a trial's network may be predicted to take "
            f"{format_count(max(0, shares.most_memory_bytes))}B beside its pictures, but {error}; lower "
            "recipe.batch_size, or start Ray where GPUs have more memory"
        ) from None
