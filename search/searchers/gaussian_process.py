"""Bayesian search by a Gaussian process over the architectures that fit (Jones et al. 1998; Snoek et al. 2012)."""

import heapq
import random
from collections.abc import Iterator

import numpy as np

from ...results.database.records import History, Trial
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.vectorized import Codes
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from .base import Proposal, Searcher
from .candidate_pool import Candidates
from .ranking import merit, remembered
from .recipe_sampling import Values, draw_recipe, draw_values, mutate_values, recipe_of, values_of
from .surrogate import MOST, Model, Promise

LARGE = 3  # first proposals, each the largest of many draws
FIRST = 4  # scored trials before the model is asked
DRAWN = 8192  # candidates of one proposal, drawn anew each time
WORK = 8_000_000  # candidates times squared trials, about: with more trials there are fewer candidates
RECIPES = 64  # recipes that candidates are tried with, in turn
REFINED = 64  # recipes that the chosen candidate is tried with
BEST = 3  # trials whose neighbours are candidates too


class GaussianProcess(Searcher):
    """Of many candidates that fit, the one from which most improvement is expected.

    The candidates are uniform draws and the neighbours of the best. The first three proposals are the largest of many
    draws: under a budget the best networks lie near its limits, and a model that has seen the large end learns soonest
    whether that holds here.
    """

    def __init__(self, sieve: ConstrainedSpace, recipes: RecipeSpace) -> None:
        super().__init__(sieve, recipes)
        self.candidates = Candidates(sieve)
        self.model = Model(self.candidates, recipes)

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        if len(history) < LARGE:
            return self._large(history, rng)
        if len(history.finished) < FIRST:
            return self.anything(history, rng)
        known = remembered(history.ended, MOST)
        finished = (trial for trial in known if trial.state.finished)
        good = heapq.nlargest(BEST, finished, key=lambda trial: (merit(trial), -trial.number))
        promise, is_new = self.model.promise(history, known), self.untried.is_new(history)
        codes = self._codes(history, good, rng)
        recipes = [self._near(good, rng) for _ in range(RECIPES)]
        for place in np.argsort(-promise(codes, recipes), kind="stable") if len(codes) else ():
            architecture = self.candidates.architecture(codes[place])
            for recipe in self._best_first(codes[place], good, promise, rng):
                if is_new(architecture.fingerprint, recipe):
                    return self.propose(architecture, recipe)
        return self.anything(history, rng)

    def _large(self, history: History, rng: random.Random) -> Proposal | None:
        codes = self.candidates.untried(self.candidates.draw(DRAWN, rng), history)
        if not len(codes):
            return self.anything(history, rng)
        largest = codes[np.argmax(self.model.described.size(codes))]
        return self.propose(self.candidates.architecture(largest), draw_recipe(self.recipes, rng))

    def _codes(self, history: History, good: list[Trial], rng: random.Random) -> Codes:
        """Architectures to choose from: draws, and the neighbours of the good ones; none tried, while others fit."""
        drawn = min(DRAWN, WORK // min(len(history), MOST) ** 2)
        around = (self.candidates.around(self.candidates.code(one.fingerprint, one.choices), rng) for one in good)
        codes = np.concatenate([self.candidates.draw(drawn, rng), *around])
        return codes if self.untried.all_tried(history) else self.candidates.untried(codes, history)

    def _best_first(self, code: Codes, good: list[Trial], promise: Promise, rng: random.Random) -> Iterator[Recipe]:
        """Recipes for one architecture, the most promising first."""
        if not self.recipes.holes:
            yield self.recipes.fill({})
            return
        recipes = [self._near(good, rng) for _ in range(REFINED)]
        for place in np.argsort(-promise(np.repeat(code[None], REFINED, axis=0), recipes), kind="stable"):
            yield self.recipes.fill(recipes[place])

    def _near(self, good: list[Trial], rng: random.Random) -> Values:
        """Any recipe, or as likely one beside that of a good trial."""
        if rng.random() < 0.5:
            return draw_values(self.recipes, rng)
        return mutate_values(self.recipes, values_of(self.recipes, recipe_of(rng.choice(good).recipe)), rng)
