"""Bayesian search by a Gaussian process over the architectures that fit (Jones et al. 1998; Snoek et al. 2012)."""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ...results.records import History, Trial
from ...spaces.batch import Codes
from ...spaces.recipe import Recipe, RecipeSpace
from ...spaces.sieve import Sieve
from .candidates import Candidates
from .contract import Proposal, Searcher
from .described import Described
from .features import Floats
from .merit import merit
from .recipes import draw_recipe, mutate_recipe, recipe_of

if TYPE_CHECKING:
    from .surrogate import Weights

LARGE = 3  # first proposals, each the largest of many draws
FIRST = 4  # scored trials before the model is asked
DRAWN = 4096  # candidates of one proposal, drawn anew each time
WORK = 200_000  # candidates times trials of one proposal, about: with more trials there are fewer candidates
RECIPES = 64  # recipes that candidates are tried with, in turn
REFINED = 256  # recipes that the chosen candidate is tried with
BEST = 3  # trials whose neighbours are candidates too
MOST = 300  # trials that the model looks at: half of them the best, half the latest
GROWTH = 1.1  # weights are learned again when there are so many times more trials

Promise = Callable[[Codes, list[Recipe]], Floats]


class GaussianProcess(Searcher):
    """Of many candidates that fit, the one from which most improvement is expected.

    The candidates are uniform draws and the neighbours of the best; the model sees ranks, not accuracies. The first
    three are the largest of many draws: under a budget the best networks lie near its limits, and a model that has seen
    the large end learns soonest whether that holds here. Trials under way count as what is expected of them, failed
    ones as the worst.
    """

    def __init__(self, sieve: Sieve, recipes: RecipeSpace) -> None:
        super().__init__(sieve, recipes)
        self.candidates = Candidates(sieve)
        self._learned: tuple[bytes, Weights] | None = None

    @cached_property
    def features(self) -> Described:
        """What the model sees of an architecture with a recipe."""
        return Described(self.candidates, self.recipes)

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        if len(history) < LARGE:
            return self._large(history, rng)
        if len(history.finished) < FIRST:
            return self.anything(history, rng)
        good = sorted(history.finished, key=lambda trial: (-merit(trial), trial.number))[:BEST]
        promise = self._promise(history)
        codes = self._codes(history, good, rng)
        recipes = [self._near(good, rng) for _ in range(RECIPES)]
        is_new = self.untried.is_new(history)
        for place in np.argsort(-promise(codes, recipes), kind="stable"):
            architecture = self.candidates.architecture(codes[place])
            for recipe in self._best_first(codes[place], good, promise, rng):
                if is_new(architecture.fingerprint, recipe):
                    return self.propose(architecture, recipe)
        return self.anything(history, rng)

    def _large(self, history: History, rng: random.Random) -> Proposal | None:
        codes = self.candidates.draw(DRAWN, rng)
        for place in np.argsort(-self.features.size(codes), kind="stable"):
            architecture = self.candidates.architecture(codes[place])
            if architecture.fingerprint not in history.fingerprints:
                return self.propose(architecture, draw_recipe(self.recipes, rng))
        return self.anything(history, rng)

    def _codes(self, history: History, good: list[Trial], rng: random.Random) -> Codes:
        """Architectures to choose from: draws, and the neighbours of the good ones; none tried, while others fit."""
        drawn = min(DRAWN, WORK // min(len(history), MOST))
        around = (self.candidates.around(self._code(trial), rng) for trial in good)
        codes = np.concatenate([self.candidates.draw(drawn, rng), *around])
        if self.untried.all_tried(history):
            return codes
        seen = {self._code(trial).tobytes() for trial in history}
        return codes[[code.tobytes() not in seen for code in codes]]

    def _best_first(self, code: Codes, good: list[Trial], promise: Promise, rng: random.Random) -> Iterator[Recipe]:
        """Recipes for one architecture, the most promising first."""
        if not self.recipes.holes:
            yield draw_recipe(self.recipes, rng)
            return
        recipes = [self._near(good, rng) for _ in range(REFINED)]
        for place in np.argsort(-promise(np.repeat(code[None], REFINED, axis=0), recipes), kind="stable"):
            yield recipes[place]

    def _near(self, good: list[Trial], rng: random.Random) -> Recipe:
        """Any recipe, or as likely one beside that of a good trial."""
        if rng.random() < 0.5:
            return draw_recipe(self.recipes, rng)
        return mutate_recipe(self.recipes, recipe_of(rng.choice(good).recipe), rng)

    def _promise(self, history: History) -> Promise:
        """What tells the improvement to be expected of codes with recipes; recipes begin anew where they run out."""
        from .surrogate import Posterior, expected_improvement  # scipy takes 0.2 s to import

        ended = [trial for trial in history if trial.state.final]
        weights, groups = self._weights(ended), self.features.groups
        x, z = self._seen(_remembered(ended))
        posterior = Posterior(weights, groups, x, z)
        if history.unfinished:
            going, _ = self._seen(history.unfinished)
            x, z = np.concatenate([x, going]), np.concatenate([z, posterior.at(going)[0]])
            posterior = Posterior(weights, groups, x, z)
        best = float(z.max())
        return lambda codes, recipes: expected_improvement(*posterior.at(self.features.of(codes, recipes)), best)

    def _weights(self, ended: list[Trial]) -> "Weights":
        """The weights as learned when there last were enough new trials; from history alone, so a resume agrees."""
        from .surrogate import learn

        x, z = self._seen(_remembered(ended[: _stage(len(ended))]))
        said = x.tobytes() + z.tobytes()
        if self._learned is None or self._learned[0] != said:
            self._learned = said, learn(x, z, self.features.groups)
        return self._learned[1]

    def _seen(self, trials: Sequence[Trial]) -> tuple[Floats, Floats]:
        """Features and scores, by rank, of trials."""
        from .surrogate import normal_scores

        codes = np.stack([self._code(trial) for trial in trials])
        recipes = [recipe_of(trial.recipe) for trial in trials]
        return self.features.of(codes, recipes), normal_scores(np.array([merit(trial) for trial in trials]))

    def _code(self, trial: Trial) -> Codes:
        return self.candidates.code(trial.fingerprint, trial.choices)


def _remembered(ended: list[Trial]) -> list[Trial]:
    """The trials that the model looks at, in the order of their numbers."""
    if len(ended) <= MOST:
        return ended
    early, late = ended[: -MOST // 2], ended[-MOST // 2 :]
    best = sorted(early, key=lambda trial: (-merit(trial), trial.number))[: MOST - len(late)]
    return sorted([*best, *late], key=lambda trial: trial.number)


def _stage(n: int) -> int:
    """The largest number up to ``n`` at which weights are learned."""
    stage = FIRST
    while (after := max(stage + 1, int(stage * GROWTH))) <= n:
        stage = after
    return stage
