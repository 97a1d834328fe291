"""Bayesian search by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), kept inside the budget."""

import random
from typing import TYPE_CHECKING, Any

from ...results.database.records import History
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.mutation import mutate, repair
from ...spaces.parameters.domains import Choice, Range, rising
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.search_space.space import Decisions
from .base import Proposal, Searcher
from .optuna_study import Study
from .unexplored import IsNew

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from .optuna_study import Draw

STARTUP = 10  # finished trials before the estimator is asked; until then, uniform over what fits
DRAWS = 4  # draws of the estimator, each repaired and varied, before a uniform sample is taken instead
MUTATIONS = 8  # changes tried on a draw that has been tried already


class TPE(Searcher):
    """Optuna proposes, the sieve repairs: a draw outside the budget is moved inside by as few decisions as it takes,
    one already tried to a neighbour that is new.

    Trials that a scheduler stopped rank behind those that completed, failed trials behind all others, so that what
    diverged or ran out of memory is not tried around again.
    """

    def __init__(self, sieve: ConstrainedSpace, recipes: RecipeSpace) -> None:
        super().__init__(sieve, recipes)
        self._study = Study(self._distributions)

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        if len(history.finished) < STARTUP:
            return self.anything(history, rng)
        self._study.follow(history)
        is_new = self.untried.is_new(history)
        for _ in range(DRAWS):
            draw = self._study.draw(rng)
            decisions, recipe = self._decisions(draw), self._recipe(draw)
            new = self._new(decisions, recipe, is_new, rng)
            if new is not None:
                return self.propose(self.sieve.space.architecture(new), recipe)
        return self.anything(history, rng)

    def _decisions(self, draw: "Draw") -> dict[str, int]:
        """The estimator's decisions, inside the budget or not."""
        decisions: dict[str, int] = {}

        def pick(path: str, options: tuple[Any, ...]) -> int:
            decisions[path] = draw.take(path, _places(options))
            return decisions[path]

        self.sieve.space.fill(pick)
        return decisions

    def _recipe(self, draw: "Draw") -> Recipe:
        holes = self.recipes.holes.items()
        return self.recipes.fill({name: draw.take(_path(name), _distribution(hole)) for name, hole in holes})

    def _new(self, decisions: Decisions, recipe: Recipe, is_new: IsNew, rng: random.Random) -> dict[str, int] | None:
        """``decisions`` moved into the budget and, where tried already, on to a neighbour that is new."""
        inside = repair(self.sieve, decisions, rng)
        for _ in range(MUTATIONS):
            if inside is None:
                return None
            if is_new(self.sieve.space.architecture(inside).fingerprint, recipe):
                return inside
            inside = mutate(self.sieve, inside, rng)
        return None

    def _distributions(self, choices: Decisions) -> "dict[str, BaseDistribution]":
        """What each of a trial's choices, and each value of its recipe, was chosen from."""
        found = {_path(name): _distribution(hole) for name, hole in self.recipes.holes.items()}

        def replay(path: str, options: tuple[Any, ...]) -> int:
            found[path] = _places(options)
            return int(choices[path])

        self.sieve.space.fill(replay)
        return found


def _path(name: str) -> str:
    """Where a recipe's value stands among a trial's parameters."""
    return f"recipe.{name}"


def _places(options: tuple[Any, ...]) -> "BaseDistribution":
    """Where among ``options``: in order where they are rising numbers, else without order."""
    import optuna

    if rising(options):
        return optuna.distributions.IntDistribution(0, len(options) - 1)
    return optuna.distributions.CategoricalDistribution(range(len(options)))


def _distribution(hole: Choice | Range) -> "BaseDistribution":
    import optuna

    if isinstance(hole, Choice):
        return optuna.distributions.CategoricalDistribution(hole.options)
    if hole.integer:
        return optuna.distributions.IntDistribution(int(hole.low), int(hole.high), log=hole.log)
    return optuna.distributions.FloatDistribution(hole.low, hole.high, log=hole.log)
