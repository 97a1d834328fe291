"""The model of the Gaussian process searcher: what it expects of networks with recipes, given the trials of a run.

The scores of the trials become normal scores. Priors (earlier runs, or the one of the package) expect scores before
there are trials; the process models the residual. Without priors it models the scores.

Shapes: n trials, m candidates, d features, k priors.
"""

import heapq
import random
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...results.database.records import History, Trial
from ...spaces.constrained.vectorized import Codes
from ...spaces.recipes.recipe import RecipeSpace
from .candidate_pool import CandidatePool
from .features import Floats, ScaledFeatures
from .ranking import Score, last_refit, latest_and_best, score, scores_of
from .recipe_sampling import Values, recipe_of, values_of

if TYPE_CHECKING:
    from .residual_model import Belief, Beliefs, Fit, Model

MAX_MODEL_TRIALS = 200  # trials that the model sees: half of them the latest, half the best of the others
MIN_KNOWLEDGE = 0.1  # a prior that predicts less of its own scores is left out: shuffled scores give 0 to 0.1
MAX_PRIORS = 8  # priors that are used, those with the most knowledge: each of them predicts every candidate

# (codes (m, steps), recipes) -> expected improvement (m,); the recipes repeat if they are fewer than the codes
Acquisition = Callable[[Codes, Sequence[Values]], Floats]
# (codes (m, steps), recipes) -> mean (m,) and standard deviation (m,) of the normal scores
Prediction = Callable[[Codes, Sequence[Values]], tuple[Floats, Floats]]
Select = Callable[[Sequence[Trial]], list[Trial]]  # ended trials -> those that the model sees, in the same order


class Prior(Protocol):
    """What is expected of networks before a run has trials.

    ``knowledge``, 0 to 1, is the share of the variance of scores that the prior predicts where it was made: its weight
    before there are trials.
    """

    @property
    def knowledge(self) -> float:
        """The share of the variance, 0 to 1."""

    @property
    def knows_recipe(self) -> bool:
        """Whether the expected scores depend on every free parameter of the recipe."""

    @property
    def origin(self) -> Mapping[str, Any]:
        """Where the prior comes from, as JSON: ``source`` is a run or a table."""

    def at(self, codes: Codes, x: Floats) -> "Belief":
        """Return what is expected of ``codes`` (m, steps), whose features are ``x`` (m, d), as normal scores."""


class Surrogate:
    """A Gaussian process over architectures with recipes, fitted to the ranks of the trials, not to their accuracies.

    ``score`` ranks the trials, ``select`` returns those that the model sees.

    An unfinished trial counts with its expected score, a failed one as the worst. The features of each trial and the
    last fitted weights are cached; both can be computed again from the history alone.
    """

    def __init__(
        self,
        pool: CandidatePool,
        recipes: RecipeSpace,
        make_priors: Callable[[ScaledFeatures], Sequence[Prior]] = lambda features: (),
        *,
        score: Score = score,
        select: Select = lambda trials: latest_and_best(trials, MAX_MODEL_TRIALS),
    ) -> None:
        self._score, self.select = score, select
        self._pool, self._recipes, self._make_priors = pool, recipes, make_priors
        self._rows: dict[int, tuple[Trial, Floats]] = {}  # trial number -> (trial, its features)
        self._fitted: tuple[tuple[Trial, ...], Fit] | None = None

    @cached_property
    def features(self) -> ScaledFeatures:
        """The features of architectures with recipes."""
        # not in __init__: this draws the pool, and the check of a search file builds a searcher that never proposes
        return ScaledFeatures(self._pool, self._recipes)

    @cached_property
    def priors(self) -> tuple[Prior, ...]:
        """The priors that are used: those that know something, at most ``MAX_PRIORS``."""
        knowing = [prior for prior in self._all_priors if prior.knowledge >= MIN_KNOWLEDGE]
        most = sorted(knowing, key=lambda prior: -prior.knowledge)[:MAX_PRIORS]
        return tuple(prior for prior in knowing if prior in most)

    @property
    def unused_priors(self) -> tuple[Prior, ...]:
        """The priors that know too little, or less than ``MAX_PRIORS`` others."""
        return tuple(prior for prior in self._all_priors if prior not in self.priors)

    @cached_property
    def _all_priors(self) -> tuple[Prior, ...]:
        return tuple(self._make_priors(self.features))

    @cached_property
    def first_trust(self) -> Floats:
        """The trust (k,) in the priors before there are trials: by what each knows, together at most 1."""
        knowledge = np.array([prior.knowledge for prior in self.priors])
        return np.asarray(knowledge**2 / max(knowledge.sum(), 1e-12))

    def best(self, observed: Sequence[Trial], n: int, rng: random.Random) -> list[Trial]:
        """Return the ``n`` best trials of ``observed``; ``rng`` is not used."""
        finished = (trial for trial in observed if trial.state.finished)
        # equal scores: the earlier trial first, so that a resumed run selects the same ones
        return heapq.nlargest(n, finished, key=lambda trial: (self._score(trial), -trial.number))

    def acquisition(
        self, history: History, observed: Sequence[Trial], counts: Callable[[Trial], bool] = lambda trial: True
    ) -> Acquisition:
        """Return the acquisition function, the expected improvement; ``observed`` are the ended trials of the model.

        It is that over the best trial that ``counts``, as far as there is one. Before there is a trial, it is what the
        priors expect.
        """
        from .gp_regression import expected_improvement  # scipy takes 0.2 s to import

        model = self.model(history, observed)
        if model is None:
            return self._expected
        n_unfinished = len(model.z) - len(observed)  # the model expects scores of them; they are its last rows
        counted = np.array([*map(counts, observed), *[True] * n_unfinished])
        best = float(model.z[counted].max() if counted.any() else model.z.min())

        def improvement(codes: Codes, recipes: Sequence[Values]) -> Floats:
            x = self.features.of(codes, recipes)
            return expected_improvement(*model.at(x, self._beliefs(codes, x)), best)

        return improvement

    def prediction(self, history: History, observed: Sequence[Trial]) -> tuple[Floats, Prediction]:
        """Return the normal scores of ``observed`` and of the unfinished trials (n,), and what is expected of others.

        Before there is a trial, the prediction is that of the priors, with the variance of normal scores.
        """
        model = self.model(history, observed)
        if model is None:
            return np.zeros(0), lambda codes, recipes: (self._expected(codes, recipes), np.ones(len(codes)))

        def at(codes: Codes, recipes: Sequence[Values]) -> tuple[Floats, Floats]:
            x = self.features.of(codes, recipes)
            return model.at(x, self._beliefs(codes, x))

        return model.z, at

    def model(self, history: History, observed: Sequence[Trial]) -> "Model | None":
        """Return the model after the trials of ``history``, or None if there is none.

        Before a trial has ended, the unfinished ones have the scores that the priors expect.
        """
        from .gp_regression import initial_weights
        from .residual_model import Fit, Model

        groups, unfinished = self.features.groups, history.unfinished
        if not observed:
            if not unfinished:
                return None
            x, beliefs = self._rows_of(unfinished)
            first = Fit(initial_weights(int(groups.max()) + 1), self.first_trust)
            return Model(first, groups, x, beliefs, np.zeros(len(x)))
        x, beliefs = self._rows_of(observed)
        model = Model.of(self._fit(history.ended), groups, x, beliefs, self._scores(observed))
        # without this all workers would get nearly the same proposal: an observation at its expected score lowers the
        # uncertainty, and with it the expected improvement, around each running trial
        if unfinished:
            model = model.expecting(*self._rows_of(unfinished), self._rows_of([*observed, *unfinished])[1])
        return model

    def _expected(self, codes: Codes, recipes: Sequence[Values]) -> Floats:
        beliefs = self._beliefs(codes, self.features.of(codes, recipes))
        if not beliefs:
            return np.zeros(len(codes))
        means = np.stack([belief.mean for belief in beliefs], axis=1)
        return np.asarray(means @ self.first_trust)

    def _fit(self, ended: tuple[Trial, ...]) -> "Fit":
        """Return the last fit.

        The number of ended trials alone decides when there is a new one, so that a resumed run has the same.
        """
        from .residual_model import fit

        early = ended[: last_refit(len(ended))]
        # the comparison is fast: Python compares identical objects first, and the trials of a history are reused
        if self._fitted is None or self._fitted[0] != early:
            observed = self.select(early)
            x, beliefs = self._rows_of(observed)
            self._fitted = early, fit(x, self._scores(observed), self.features.groups, beliefs, self.first_trust)
        return self._fitted[1]

    def _rows_of(self, trials: Sequence[Trial]) -> "tuple[Floats, Beliefs]":
        """Return the features (n, d) of ``trials``, and what the priors expect of them."""
        new = [trial for trial in trials if self._rows.get(trial.number, (None,))[0] is not trial]
        codes = [self._pool.code(trial.fingerprint, trial.choices) for trial in trials]
        if new:
            new_codes = np.stack([self._pool.code(trial.fingerprint, trial.choices) for trial in new])
            values = [values_of(self._recipes, recipe_of(trial.recipe)) for trial in new]
            rows = self.features.of(new_codes, values)
            self._rows |= {trial.number: (trial, row) for trial, row in zip(new, rows, strict=True)}
        x = np.stack([self._rows[trial.number][1] for trial in trials])
        return x, self._beliefs(np.stack(codes), x)

    def _scores(self, trials: Sequence[Trial]) -> Floats:
        from .gp_regression import normal_scores

        return normal_scores(np.array(scores_of(trials, self._score)))

    def _beliefs(self, codes: Codes, x: Floats) -> "Beliefs":
        """Return what each prior expects of ``codes`` (m, steps) with the features ``x`` (m, d)."""
        return [prior.at(codes, x) for prior in self.priors]
