"""The model: what a history leads a Gaussian process to expect of candidates."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ...results.database.records import History, Trial
from ...spaces.constrained.vectorized import Codes
from ...spaces.recipes.recipe import RecipeSpace
from .candidate_pool import Candidates
from .feature_scaling import Described
from .features import Floats
from .ranking import merit, remembered
from .recipe_sampling import Values, recipe_of, values_of

if TYPE_CHECKING:
    from .gp_regression import Weights

MOST = 200  # trials that the model looks at: half of them the latest, half the best of the others
GROWTH = 1.1  # weights are learned again when there are so many times more trials
LEAST = 4  # trials before weights are learned at all

Promise = Callable[[Codes, Sequence[Values]], Floats]  # recipes begin anew where they run out before the codes


class Model:
    """A Gaussian process over architectures with recipes, which sees the ranks of the trials and not their accuracies.

    Trials under way count as what is expected of them, failed ones as the worst. Rows of features and the weights
    learned last are kept, and could be worked out again from the same history.
    """

    def __init__(self, candidates: Candidates, recipes: RecipeSpace) -> None:
        self._candidates, self._recipes = candidates, recipes
        self._rows: dict[int, tuple[Trial, Floats]] = {}
        self._learned: tuple[tuple[Trial, ...], Weights] | None = None

    @cached_property
    def described(self) -> Described:
        """What is seen of an architecture with a recipe."""
        return Described(self._candidates, self._recipes)

    def promise(self, history: History, known: Sequence[Trial]) -> Promise:
        """What tells the improvement to be expected of codes with recipes; ``known`` is what is remembered of it."""
        from .gp_regression import Posterior, expected_improvement, normal_scores  # scipy takes 0.2 s to import

        weights, groups = self._weights(history.ended), self.described.groups
        x, z = self._seen(known), normal_scores(np.array([merit(trial) for trial in known]))
        posterior = Posterior(weights, groups, x, z)
        if history.unfinished:
            going = self._seen(history.unfinished)
            x, z = np.concatenate([x, going]), np.concatenate([z, posterior.at(going)[0]])
            posterior = Posterior(weights, groups, x, z)
        best = float(z.max())
        return lambda codes, recipes: expected_improvement(*posterior.at(self.described.of(codes, recipes)), best)

    def _weights(self, ended: tuple[Trial, ...]) -> "Weights":
        """The weights as learned when there last were enough new trials; from history alone, so a resume agrees."""
        from .gp_regression import learn, normal_scores

        early = ended[: _stage(len(ended))]
        if self._learned is None or self._learned[0] != early:  # quick: of the same history they are the same objects
            known = remembered(early, MOST)
            scores = normal_scores(np.array([merit(trial) for trial in known]))
            self._learned = early, learn(self._seen(known), scores, self.described.groups)
        return self._learned[1]

    def _seen(self, trials: Sequence[Trial]) -> Floats:
        """A row of features for each trial."""
        new = [trial for trial in trials if self._rows.get(trial.number, (None,))[0] is not trial]
        if new:
            codes = np.stack([self._candidates.code(trial.fingerprint, trial.choices) for trial in new])
            values = [values_of(self._recipes, recipe_of(trial.recipe)) for trial in new]
            rows = self.described.of(codes, values)
            self._rows |= {trial.number: (trial, row) for trial, row in zip(new, rows, strict=True)}
        return np.stack([self._rows[trial.number][1] for trial in trials])


def _stage(n: int) -> int:
    """The largest number up to ``n`` at which weights are learned."""
    stage = LEAST
    while (after := max(stage + 1, int(stage * GROWTH))) <= n:
        stage = after
    return stage
