"""The search plan of a run: initial designs first, then its searcher, both below the smallest out-of-memory failure."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...results.database.records import FailKind, History, Trial
from ...spaces.architectures.architecture import Architecture
from ...spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from ...spaces.constrained.feasibility import check_feasible
from ...spaces.recipes.recipe import RecipeSpace
from .base import Proposal, Searcher
from .gaussian_process import GaussianProcess
from .initial_designs import check_design, default_recipe
from .recipe_sampling import draw_recipe
from .registry import checked_ask


class SearchPlan(Searcher):
    """The source of a run's proposals: a searcher, and the initial designs that precede it.

    :meth:`ask` applies these steps in order:

    1. After an out-of-memory failure, all proposals need less predicted memory than the smallest trial that failed.
       Such a trial failed because of its size, and a larger one would fail again.
    2. The first of ``designs`` that is not in the history is proposed, with a random recipe.
    3. If no such design is left, the searcher is asked. It sees the ``earlier`` trials of other runs before those of
       this run: it learns from them and repeats none, but they do not count as trials of this run.
    4. If ``default_recipe_first``, the first trial of the run gets the default recipe: a baseline for the others.

    ``build`` makes the searcher for a constrained space: once for ``constrained``, and again whenever a failure lowers
    the memory limit. All state can be computed from the history, so that a resumed run makes the same proposals.

    Raises ``ValueError`` if a design is not in the space, ``BudgetError`` if it is outside the budget.
    """

    def __init__(
        self,
        build: Callable[[ConstrainedSpace], Searcher],
        constrained: ConstrainedSpace,
        recipes: RecipeSpace,
        *,
        designs: Sequence[Architecture] = (),
        earlier: Sequence[Trial] = (),
        default_recipe_first: bool = False,
    ) -> None:
        super().__init__(constrained, recipes)
        for design in designs:
            check_design(design, constrained)
        self.designs = tuple(designs)
        self.default_recipe_first = default_recipe_first
        self._build = build
        self._earlier = _renumbered(earlier, "")
        self._limit: int | None = None
        self._searcher = build(constrained)

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        try:
            searcher = self._searcher_below(oom_bytes(history))
            proposal = self._initial(searcher.constrained, history, rng) or checked_ask(
                searcher, self._with_earlier(history), rng
            )
        except BudgetError:  # nothing of the space is that small
            return None
        if proposal is not None and self.default_recipe_first and not len(history):
            return replace(proposal, recipe=default_recipe(self.recipes))
        return proposal

    def notes(self, history: History) -> Mapping[str, Any]:
        """Return the notes of the Gaussian process (:meth:`GaussianProcess.notes`); other searchers have no priors."""
        if not isinstance(self._searcher, GaussianProcess):
            return {}
        return self._searcher.notes(self._with_earlier(history))

    def _searcher_below(self, limit: int | None) -> Searcher:
        """Return the searcher over the architectures with less than ``limit`` bytes of predicted training memory.

        Raises ``BudgetError`` if no architecture needs less.
        """
        # a searcher caches what it computed for its space, so it is built again only when the limit changes
        if limit != self._limit:
            constrained = self.constrained if limit is None else limit_memory(self.constrained, limit - 1)
            self._searcher, self._limit = self._build(constrained), limit
        return self._searcher

    def _initial(self, constrained: ConstrainedSpace, history: History, rng: random.Random) -> Proposal | None:
        """Return the next design inside ``constrained``, or None if each of them is in the history."""
        new = (design for design in self.designs if design.fingerprint not in history.fingerprints)
        design = next(filter(constrained.allows, new), None)
        return None if design is None else self.propose(design, draw_recipe(self.recipes, rng, len(history.finished)))

    def _with_earlier(self, history: History) -> History:
        if not self._earlier:
            return history
        if history.trials and self._earlier[0].run != history.trials[0].run:
            # only once: searchers cache by the identity of trial objects, so these must stay the same objects
            self._earlier = _renumbered(self._earlier, history.trials[0].run)
        return History((*self._earlier, *history.trials))


def _renumbered(trials: Sequence[Trial], run: str) -> tuple[Trial, ...]:
    """Return ``trials`` as trials of ``run`` that precede its own: they have negative numbers, the last one has -1."""
    return tuple(replace(trial, run=run, number=index - len(trials)) for index, trial in enumerate(trials))


def oom_bytes(history: History) -> int | None:
    """Return the smallest predicted training memory in bytes of the trials that ran out of memory; None if none did."""
    return min((trial.memory_bytes for trial in history if trial.fail_kind is FailKind.OOM), default=None)


def limit_memory(constrained: ConstrainedSpace, most: int) -> ConstrainedSpace:
    """Return ``constrained`` with an upper limit of ``most`` bytes of predicted training memory.

    An existing upper limit stays if it is lower. Raises ``BudgetError`` if no architecture fits.
    """
    budget = constrained.budget
    if most < (budget.min_memory_bytes or 0):
        raise BudgetError(
            f"no architecture fits: memory_bytes must be at most {most:,}, because a trial ran out of memory or the "
            f"device has no more, but budget.min_memory_bytes is {budget.min_memory_bytes:,}; lower it"
        )
    limit = most if budget.memory_bytes is None else min(most, budget.memory_bytes)
    limited = ConstrainedSpace(
        constrained.space, replace(budget, memory_bytes=limit), constrained.batch_size, constrained.latency_model
    )
    check_feasible(limited)
    return limited
