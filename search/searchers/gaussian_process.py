"""Bayesian search with a Gaussian process over the feasible architectures (Jones et al. 1998; Snoek et al. 2012)."""

import heapq
import random
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ...results.database.records import History, Trial
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.vectorized import Codes
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from .base import Proposal, Searcher
from .candidate_pool import CandidatePool
from .features import Floats, ScaledFeatures
from .ranking import latest_and_best, score
from .recipe_sampling import Values, draw_recipe, draw_values, mutate_values, recipe_of, values_of

if TYPE_CHECKING:
    from .gp_regression import Weights

N_LARGE = 3  # first proposals of a run, each the largest of many draws
N_INITIAL = 4  # finished trials before the model is used
MAX_CANDIDATES = 8192  # random candidates for one proposal, drawn again for each proposal
# candidates times squared trials: a prediction costs about that much, so more trials leave time for fewer candidates
MAX_CANDIDATE_COST = 8_000_000
N_RECIPES = 64  # recipes that the candidates are paired with, in turn
N_REFINED_RECIPES = 64  # recipes that the best candidate is paired with
N_BEST = 3  # best trials, whose neighbours are candidates too
MAX_MODEL_TRIALS = 200  # trials that the model sees: half of them the latest, half the best of the others
REFIT_GROWTH = 1.1  # weights are fitted again after the number of trials grew by this factor
MIN_FIT_TRIALS = 4  # trials at the first fit of the weights

# (codes (n, steps), recipes) -> expected improvement (n,); the recipes repeat if they are fewer than the codes
Acquisition = Callable[[Codes, Sequence[Values]], Floats]


class GaussianProcess(Searcher):
    """Propose the feasible candidate with the highest expected improvement.

    The candidates are uniform draws and the neighbours of the best trials. The first ``N_LARGE`` proposals are the
    largest of many draws: under a budget the best networks are often near its limits, and a model that has seen large
    networks learns soonest whether this holds for the data set.
    """

    def __init__(self, constrained: ConstrainedSpace, recipes: RecipeSpace) -> None:
        super().__init__(constrained, recipes)
        self.pool = CandidatePool(constrained)
        self.surrogate = Surrogate(self.pool, recipes)

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        if len(history) < N_LARGE:
            return self._large(history, rng)
        if len(history.finished) < N_INITIAL:
            return self.random_proposal(history, rng)
        observed = latest_and_best(history.ended, MAX_MODEL_TRIALS)
        finished = (trial for trial in observed if trial.state.finished)
        # equal scores: the earlier trial first, so that a resumed run selects the same ones
        best = heapq.nlargest(N_BEST, finished, key=lambda trial: (score(trial), -trial.number))
        acquisition, is_new = self.surrogate.acquisition(history, observed), self.unexplored.is_new(history)
        codes = self._codes(history, best, rng)
        recipes = [self._values(best, rng) for _ in range(N_RECIPES)]
        # a stable sort orders ties equally on every machine; most often the first row is proposed
        for row in np.argsort(-acquisition(codes, recipes), kind="stable") if len(codes) else ():
            architecture = self.pool.architecture(codes[row])
            for recipe in self._best_recipes_first(codes[row], best, acquisition, rng):
                if is_new(architecture.fingerprint, recipe):
                    return self.propose(architecture, recipe)
        return self.random_proposal(history, rng)

    def _large(self, history: History, rng: random.Random) -> Proposal | None:
        """Return the largest of the unexplored draws with a random recipe."""
        codes = self.pool.unexplored(self.pool.draw(MAX_CANDIDATES, rng), history)
        if not len(codes):
            return self.random_proposal(history, rng)
        largest = codes[np.argmax(self.surrogate.features.size(codes))]
        return self.propose(self.pool.architecture(largest), draw_recipe(self.recipes, rng))

    def _codes(self, history: History, best: list[Trial], rng: random.Random) -> Codes:
        """Return the candidates (n, steps): random draws and the neighbours of the ``best`` trials.

        Explored architectures are candidates only after every feasible one has been tried.
        """
        n = min(MAX_CANDIDATES, MAX_CANDIDATE_COST // min(len(history), MAX_MODEL_TRIALS) ** 2)
        neighbours = (self.pool.neighbours(self.pool.code(trial.fingerprint, trial.choices), rng) for trial in best)
        codes = np.concatenate([self.pool.draw(n, rng), *neighbours])
        return codes if self.unexplored.none_left(history) else self.pool.unexplored(codes, history)

    def _best_recipes_first(
        self, code: Codes, best: list[Trial], acquisition: Acquisition, rng: random.Random
    ) -> Iterator[Recipe]:
        """Yield recipes for one architecture by decreasing expected improvement."""
        if not self.recipes.free_parameters:
            yield self.recipes.fill({})
            return
        recipes = [self._values(best, rng) for _ in range(N_REFINED_RECIPES)]
        repeated = np.repeat(code[None], N_REFINED_RECIPES, axis=0)
        for row in np.argsort(-acquisition(repeated, recipes), kind="stable"):
            yield self.recipes.fill(recipes[row])

    def _values(self, best: list[Trial], rng: random.Random) -> Values:
        """Draw the values of a recipe: uniformly, or with equal probability a mutation of one of the best trials'."""
        if rng.random() < 0.5:
            return draw_values(self.recipes, rng)
        return mutate_values(self.recipes, values_of(self.recipes, recipe_of(rng.choice(best).recipe)), rng)


class Surrogate:
    """A Gaussian process over architectures with recipes, fitted to the ranks of the trials, not to their accuracies.

    An unfinished trial counts with its expected score, a failed one as the worst. The features of each trial and the
    last fitted weights are cached; both can be computed again from the history alone.
    """

    def __init__(self, pool: CandidatePool, recipes: RecipeSpace) -> None:
        self._pool, self._recipes = pool, recipes
        self._rows: dict[int, tuple[Trial, Floats]] = {}  # trial number -> (trial, its features)
        self._fitted: tuple[tuple[Trial, ...], Weights] | None = None

    @cached_property
    def features(self) -> ScaledFeatures:
        """The features of architectures with recipes."""
        # not in __init__: this draws the pool, and the check of a search file builds a searcher that never proposes
        return ScaledFeatures(self._pool, self._recipes)

    def acquisition(self, history: History, observed: Sequence[Trial]) -> Acquisition:
        """Return the acquisition function, the expected improvement; ``observed`` are the ended trials of the model."""
        from .gp_regression import Posterior, expected_improvement, normal_scores  # scipy takes 0.2 s to import

        weights, groups = self._weights(history.ended), self.features.groups
        x, z = self._features_of(observed), normal_scores(np.array([score(trial) for trial in observed]))
        posterior = Posterior(weights, groups, x, z)
        # without this all workers would get nearly the same proposal: an observation at its expected score lowers the
        # uncertainty, and with it the expected improvement, around each running trial
        if history.unfinished:
            unfinished = self._features_of(history.unfinished)
            x, z = np.concatenate([x, unfinished]), np.concatenate([z, posterior.at(unfinished)[0]])
            posterior = Posterior(weights, groups, x, z)
        best = float(z.max())
        return lambda codes, recipes: expected_improvement(*posterior.at(self.features.of(codes, recipes)), best)

    def _weights(self, ended: tuple[Trial, ...]) -> "Weights":
        """Return the weights of the last refit.

        The number of ended trials alone decides when a refit happens, so that a resumed run has the same weights.
        """
        from .gp_regression import fit_weights, normal_scores

        early = ended[: _last_refit(len(ended))]
        # the comparison is fast: Python compares identical objects first, and the trials of a history are reused
        if self._fitted is None or self._fitted[0] != early:
            observed = latest_and_best(early, MAX_MODEL_TRIALS)
            z = normal_scores(np.array([score(trial) for trial in observed]))
            self._fitted = early, fit_weights(self._features_of(observed), z, self.features.groups)
        return self._fitted[1]

    def _features_of(self, trials: Sequence[Trial]) -> Floats:
        """Return the features (n, d) of ``trials``."""
        new = [trial for trial in trials if self._rows.get(trial.number, (None,))[0] is not trial]
        if new:
            codes = np.stack([self._pool.code(trial.fingerprint, trial.choices) for trial in new])
            values = [values_of(self._recipes, recipe_of(trial.recipe)) for trial in new]
            rows = self.features.of(codes, values)
            self._rows |= {trial.number: (trial, row) for trial, row in zip(new, rows, strict=True)}
        return np.stack([self._rows[trial.number][1] for trial in trials])


def _last_refit(n: int) -> int:
    """Return the largest number of trials up to ``n`` at which weights are fitted."""
    stage = MIN_FIT_TRIALS
    while (after := max(stage + 1, int(stage * REFIT_GROWTH))) <= n:
        stage = after
    return stage
