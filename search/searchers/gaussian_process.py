"""Bayesian search with a Gaussian process over the feasible architectures (Jones et al. 1998; Snoek et al. 2012)."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...results.analysis.predicted_time import TimeModel
from ...results.database.records import History, Trial
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.vectorized import Codes
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from .base import Proposal, Searcher
from .candidate_pool import POOL_SIZE, CandidatePool
from .earlier_runs import EarlierRun, EarlierRunPrior
from .features import COSTS, Floats, ScaledFeatures
from .latency_feasibility import MIN_PROBABILITY, LatencyFeasibility, likely_first
from .ranking import checked_objectives
from .recipe_sampling import Values, draw_recipe, draw_values, explored_pairs, mutate_values, recipe_of, values_of
from .several_objectives import SeveralObjectives
from .standard_prior import standard_priors
from .surrogate import MAX_MODEL_TRIALS, MIN_KNOWLEDGE, Acquisition, Prior, Surrogate
from .unexplored import IsNew
from .user_prior import exponent, has_prior, log_density

N_LARGE = 3  # first proposals of a run, each the largest of many draws
N_INITIAL = 4  # finished trials before the model is used
N_BLIND_DRAWS = 8  # draws of which the largest is every second proposal of many workers before that
MAX_CANDIDATES = 8192  # random candidates for one proposal, drawn again for each proposal
# candidates times squared trials: a prediction costs about that much, so more trials leave time for fewer candidates
MAX_CANDIDATE_COST = 8_000_000
N_RECIPES = 64  # recipes that the candidates are paired with, in turn
N_REFINED_RECIPES = 64  # recipes that the best candidate is paired with
N_BEST = 3  # best trials, whose neighbours are candidates too
MAX_RANDOM_DRAWS = 20  # random networks of which one that is likely within the limit of latency is proposed
MIN_TRUST = 0.1  # trust in the priors from which the first proposals follow them


class GaussianProcess(Searcher):
    """Propose the feasible candidate with the highest expected improvement.

    The candidates are uniform draws and the neighbours of the best trials. The first ``N_LARGE`` proposals are the
    largest of many draws: under a budget the best networks are often near its limits, and a model that has seen large
    networks learns soonest whether this holds for the data set. If ``earlier`` runs on other data know which networks
    are good, the first proposals are those that they expect most of. With ``latency_limit_ms``, it learns from the
    timed trials which networks of the space probably keep this limit; the space may have a wider one. With
    ``repeat_networks`` a network may be proposed again with another recipe before every network has been proposed. With
    ``per_second`` the expected improvement is divided by the predicted seconds of the trial (Snoek et al. 2012, section
    3.2), which are learned from the ended trials.

    With several ``objectives``, costs or recorded metrics, the expected growth of the hypervolume replaces the expected
    improvement. ``selecting`` is then the objective that the priors know about.
    """

    def __init__(
        self,
        constrained: ConstrainedSpace,
        recipes: RecipeSpace,
        *,
        earlier: Sequence[EarlierRun] = (),
        standard_prior: bool = True,
        objectives: Sequence[str] = (),
        selecting: str = "val_accuracy",
        latency_limit_ms: float | None = None,
        repeat_networks: bool = False,
        per_second: bool = False,
    ) -> None:
        super().__init__(constrained, recipes)
        self.pool = CandidatePool(constrained)
        self.feasibility = None if latency_limit_ms is None else LatencyFeasibility(self.pool, latency_limit_ms)
        self.earlier, self.standard_prior = tuple(earlier), standard_prior
        self.per_second = per_second
        self.repeats = repeat_networks and bool(recipes.free_parameters)
        self.objectives = checked_objectives(objectives) if objectives else ()
        self.surrogate: Surrogate | SeveralObjectives = (
            SeveralObjectives(self.objectives, selecting, self.pool, recipes, self._priors)
            if self.objectives
            else Surrogate(self.pool, recipes, self._priors)
        )

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        if self.surrogate.first_trust.sum() < MIN_TRUST:
            if len(history) < N_LARGE:
                return self._large(history, rng)
            if len(history.finished) < N_INITIAL:
                # many workers ask long before the first result: only half of them bet on large networks, because size
                # may mislead. One worker has no unfinished trial here.
                if len(history.unfinished) % 2:
                    return self._large(history, rng, N_BLIND_DRAWS)
                return self._random_inside(history, rng)
        observed = self.surrogate.select(history.ended)
        best = self.surrogate.best([trial for trial in observed if self._meets_latency(trial)], N_BEST, rng)
        acquisition, is_new = self._acquisition(history, observed), self._is_new(history)
        codes = self._codes(history, best, rng)
        recipes = [self._values(history, best, rng) for _ in range(N_RECIPES)]
        # most often the first row is proposed
        for row in self._order(history, codes, acquisition(codes, recipes)) if len(codes) else ():
            architecture = self.pool.architecture(codes[row])
            for recipe in self._recipes(history, codes[row], best, acquisition, rng):
                if is_new(architecture.fingerprint, recipe):
                    return self.propose(architecture, recipe)
        return self._random_inside(history, rng)

    def _is_new(self, history: History) -> IsNew:
        if not self.repeats:
            return self.unexplored.is_new(history)
        pairs = explored_pairs(history)
        return lambda fingerprint, recipe: (fingerprint, recipe) not in pairs

    def _acquisition(self, history: History, observed: Sequence[Trial]) -> Acquisition:
        """Return the expected improvement, per second if wanted, weighted by what the user expects of the recipes."""
        acquisition = self.surrogate.acquisition(history, observed, self._meets_latency)
        if not observed:  # the priors of earlier runs expect scores, which may be negative
            return acquisition
        if self.per_second:
            acquisition = self._per_second(acquisition, TimeModel.of(history.ended))
        if not has_prior(self.recipes):
            return acquisition
        power = exponent(len(history.finished))

        def weighted(codes: Codes, recipes: Sequence[Values]) -> Floats:
            logs = np.array([log_density(self.recipes, one) for one in recipes])
            return acquisition(codes, recipes) * np.exp(power * logs)[np.arange(len(codes)) % len(recipes)]

        return weighted

    def _per_second(self, acquisition: Acquisition, model: TimeModel | None) -> Acquisition:
        """Return ``acquisition`` divided by the predicted seconds; unchanged before a trial was timed."""
        if model is None:
            return acquisition
        macs_of, fixed = self.surrogate.features.unscaled.log_costs, self.recipes.largest("epochs")

        def divided(codes: Codes, recipes: Sequence[Values]) -> Floats:
            epochs = np.array([float(one.get("epochs", fixed)) for one in recipes])[
                np.arange(len(codes)) % len(recipes)
            ]
            seconds = model.seconds(np.exp(macs_of(codes)[:, COSTS.index("macs")]), epochs)
            return acquisition(codes, recipes) / np.maximum(seconds, 1e-9)

        return divided

    def _order(self, history: History, codes: Codes, scores: Floats) -> list[int]:
        """Return the rows of the candidates ``codes`` (n, steps) in the order in which they are tried.

        A limit of latency weighs the scores (n,) with the probability to keep it.
        """
        if self.feasibility is None:
            # a stable sort orders ties equally on every machine
            rows: list[int] = np.argsort(-scores, kind="stable").tolist()
            return rows
        probability = self.feasibility.of(codes, history, self.surrogate.features)
        return likely_first(scores * probability if len(history.ended) else scores, probability)

    def _meets_latency(self, trial: Trial) -> bool:
        return self.feasibility is None or self.feasibility.meets_limit(trial)

    def _random_inside(self, history: History, rng: random.Random) -> Proposal | None:
        """Return the proposal of random search; of several with a limit of latency, one that is likely to keep it."""
        proposal = self.random_proposal(history, rng)
        if self.feasibility is None or proposal is None:
            return proposal
        for _ in range(MAX_RANDOM_DRAWS):
            code = self.pool.code(proposal.architecture.fingerprint, proposal.choices)
            if self.feasibility.of(code[None], history, self.surrogate.features)[0] >= MIN_PROBABILITY:
                return proposal
            proposal = self.random_proposal(history, rng) or proposal
        return proposal

    def notes(self, history: History) -> Mapping[str, Any]:
        """Return what the searcher knew before the run, and how it agrees with ``history``, as JSON types.

        These are the priors with their weights, those that are not used, and the share of the variance of the scores
        that the priors explain. The weights are fitted to the same scores. Empty without priors or ended trials.
        """
        observed = self.surrogate.select(history.ended)
        priors, unused = self.surrogate.priors, self.surrogate.unused_priors
        model = self.surrogate.model(History(history.ended), observed)
        if model is None or not (priors or unused):
            return {}
        trust = zip(priors, model.fit.trust.tolist(), strict=True)
        return {
            "priors": [{**prior.origin, "weight": round(weight, 3)} for prior, weight in trust],
            "unused": [{**prior.origin, "reason": _why_unused(prior)} for prior in unused],
            "explained": round(model.explained_by_priors, 3),
            "trials": len(observed),
        }

    def _priors(self, features: ScaledFeatures) -> list[Prior]:
        """Return the earlier runs as priors, each on top of the standard prior, and the standard prior itself."""
        standard = standard_priors(self.pool, self.recipes) if self.standard_prior else []
        return [*(EarlierRunPrior(run, self.pool, self.recipes, features, standard) for run in self.earlier), *standard]

    def _large(self, history: History, rng: random.Random, n: int = MAX_CANDIDATES) -> Proposal | None:
        """Return the largest of the unexplored ones of ``n`` draws with a random recipe.

        With several objectives every second such proposal is the smallest: the two are near the ends of the front.
        """
        codes = self.pool.unexplored(self.pool.draw(n, rng), history)
        if not len(codes):
            return self.random_proposal(history, rng)
        sizes = self.surrogate.features.size(codes)
        step = 1 if n == MAX_CANDIDATES else 2  # of many workers only every second one asks for an extreme
        smallest = self.objectives and len(history) // step % 2
        extreme = codes[self._order(history, codes, -sizes if smallest else sizes)[0]]
        return self.propose(self.pool.architecture(extreme), draw_recipe(self.recipes, rng, len(history.finished)))

    def _codes(self, history: History, best: list[Trial], rng: random.Random) -> Codes:
        """Return the candidates (n, steps): random draws and the neighbours of the ``best`` trials.

        Explored architectures are candidates only after every feasible one has been tried, or if networks may be
        repeated; then the best trials are, too.
        """
        n_priors = len(self.surrogate.priors)
        # each prior predicts every candidate; an earlier run and the standard prior together still see the whole pool
        most = min(POOL_SIZE, 2 * POOL_SIZE // n_priors) if n_priors else MAX_CANDIDATES
        n = min(most, MAX_CANDIDATE_COST // min(max(len(history), 1), MAX_MODEL_TRIALS) ** 2)
        neighbours = (self.pool.neighbours(self.pool.code(trial.fingerprint, trial.choices), rng) for trial in best)
        codes = np.concatenate([self.pool.draw(n, rng), *neighbours])
        if self.repeats:
            # the limits may be tighter than when the best trials were proposed
            codes = np.concatenate([codes, *(self.pool.code(one.fingerprint, one.choices)[None] for one in best)])
            return codes[self.pool.batch.fits(codes)]
        return codes if self.unexplored.none_left(history) else self.pool.unexplored(codes, history)

    def _recipes(
        self, history: History, code: Codes, best: list[Trial], acquisition: Acquisition, rng: random.Random
    ) -> Iterator[Recipe]:
        """Yield recipes for one architecture: at random while neither a prior nor a trial knows which are good."""
        known = all(prior.knows_recipe for prior in self.surrogate.priors)
        # the expected improvement alone would propose the ends of each range first, where it knows least
        if self.recipes.free_parameters and not known and len(history.finished) < N_INITIAL:
            finished = len(history.finished)
            yield from (draw_recipe(self.recipes, rng, finished) for _ in range(N_REFINED_RECIPES))
        else:
            yield from self._best_recipes_first(history, code, best, acquisition, rng)

    def _best_recipes_first(
        self, history: History, code: Codes, best: list[Trial], acquisition: Acquisition, rng: random.Random
    ) -> Iterator[Recipe]:
        """Yield recipes for one architecture by decreasing expected improvement."""
        if not self.recipes.free_parameters:
            yield self.recipes.fill({})
            return
        recipes = [self._values(history, best, rng) for _ in range(N_REFINED_RECIPES)]
        repeated = np.repeat(code[None], N_REFINED_RECIPES, axis=0)
        for row in np.argsort(-acquisition(repeated, recipes), kind="stable"):
            yield self.recipes.fill(recipes[row])

    def _values(self, history: History, best: list[Trial], rng: random.Random) -> Values:
        """Draw the values of a recipe: at random, or with equal probability a mutation of one of the best trials'."""
        if rng.random() < 0.5 or not best:
            return draw_values(self.recipes, rng, len(history.finished))
        return mutate_values(self.recipes, values_of(self.recipes, recipe_of(rng.choice(best).recipe)), rng)


def _why_unused(prior: Prior) -> str:
    return "it knows too little" if prior.knowledge < MIN_KNOWLEDGE else "others know more"
