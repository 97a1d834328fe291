"""Several objectives of the Gaussian process searcher: the expected growth of the hypervolume of the Pareto front.

Each objective that only training or a measurement can tell has a model of its own, see :class:`Surrogate`. The costs of
an architecture are known exactly and need no model.

The hypervolume is, up to a constant, the mean over directions d of the positive quadrant of the largest
``min_i(y_i / d_i) ** k`` of all points, where y_i, at least 0, is how much better than a reference a point is in the
objective i (Deng and Zhang 2019, section 3; Zhang and Golovin 2020, arXiv 2006.04655). A proposal has the highest
expected growth of this mean. One random direction for each proposal would be a scalarisation, as in ParEGO (Knowles
2006); all directions together need no random weights and no scale of the objectives.

Shapes: n trials, m candidates, k objectives, u of them modelled.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...results.database.records import COSTS, History, Trial
from ...results.query.pareto import fronts
from ...spaces.constrained.vectorized import Codes
from ...spaces.recipes.recipe import RecipeSpace
from .candidate_pool import CandidatePool
from .features import COSTS as FEATURE_COSTS
from .features import RANGE_SCALE, Floats, KnownCosts, ScaledFeatures
from .ranking import NOT_TRAINED, score_by
from .recipe_sampling import Values
from .standard_prior import TableBelief
from .surrogate import MAX_MODEL_TRIALS, Acquisition, Prior, Surrogate

if TYPE_CHECKING:
    from .residual_model import Model

MakePriors = Callable[[ScaledFeatures], Sequence[Prior]]
N_DIRECTIONS = 64  # directions over which the hypervolume is a mean
N_NODES = 8  # values of each modelled objective that stand for its normal distribution
N_COST_DRAWS = 1024  # architectures whose largest costs are the reference
MARGIN = 0.1  # the reference is worse than all scores by this share of their range, so that the worst one counts, too


class SeveralObjectives:
    """What is expected of networks with recipes in several objectives; it replaces a :class:`Surrogate`.

    ``selecting`` is the name of the metric that selects. Its model is the main one: only this model has the priors.
    """

    def __init__(
        self,
        objectives: Sequence[str],
        selecting: str,
        pool: CandidatePool,
        recipes: RecipeSpace,
        make_priors: MakePriors,
    ) -> None:
        self.objectives, self._pool = tuple(objectives), pool

        def priors_of(name: str) -> MakePriors:
            if name == selecting:
                return make_priors
            return _macs_prior if name in NOT_TRAINED else _no_priors

        self._models = {
            name: Surrogate(pool, recipes, priors_of(name), score=score_by(name), select=self.select)
            for name in objectives
            if name not in COSTS
        }
        # without a model there are no priors and no notes
        self._main = self._models.get(selecting) or Surrogate(pool, recipes, select=self.select)

    @property
    def features(self) -> ScaledFeatures:
        """The features of architectures with recipes."""
        return self._main.features

    @property
    def priors(self) -> tuple[Prior, ...]:
        """The priors of the main model that are used."""
        return self._main.priors

    @property
    def unused_priors(self) -> tuple[Prior, ...]:
        """The priors of the main model that are not used."""
        return self._main.unused_priors

    @property
    def first_trust(self) -> Floats:
        """The trust in the priors of the main model before there are trials; none if other objectives are modelled."""
        # the priors of two objectives agree on no first trial: both ends of the front say more
        return self._main.first_trust * (len(self._models) == 1)

    def model(self, history: History, observed: Sequence[Trial]) -> "Model | None":
        """Return the main model after the trials of ``history``, or None if there is none."""
        return self._main.model(history, observed)

    def select(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the ended trials that the models see: the latest half, and the first fronts of the others."""
        if len(trials) <= MAX_MODEL_TRIALS:
            return list(trials)
        early, late = trials[: -(MAX_MODEL_TRIALS // 2)], trials[-(MAX_MODEL_TRIALS // 2) :]
        first = islice(chain.from_iterable(fronts(early, self.objectives)), MAX_MODEL_TRIALS - len(late))
        return [*sorted(first, key=lambda trial: trial.number), *late]

    def best(self, observed: Sequence[Trial], n: int, rng: random.Random) -> list[Trial]:
        """Return up to ``n`` random trials of the Pareto front of ``observed``."""
        front = next(fronts(observed, self.objectives), [])
        return rng.sample(front, min(n, len(front)))

    def acquisition(
        self, history: History, observed: Sequence[Trial], counts: Callable[[Trial], bool] = lambda trial: True
    ) -> Acquisition:
        """Return the acquisition function: the expected growth of the hypervolume of ``observed`` and running trials.

        Ended trials have a part in it if they finished, and if ``counts`` is true of them. An unfinished trial has one
        with its expected scores, so that parallel workers get different proposals.
        """
        trials = [*observed, *history.unfinished]
        predictions = {name: model.prediction(history, observed) for name, model in self._models.items()}
        scales = {name: _Scale.of(scores) for name, (scores, _) in predictions.items()}
        known = self._savings(trials)
        points = [known[name] if name in known else scales[name](predictions[name][0]) for name in self.objectives]
        failed = np.array([t.state.final and not (t.state.finished and counts(t)) for t in trials], dtype=bool)
        y = np.where(failed[:, None], 0.0, np.stack(points, axis=1))
        directions = _directions(len(self.objectives))
        reached = np.array([(y / direction).min(axis=1).max(initial=0.0) for direction in directions])
        nodes = dict(zip(self._models, _normal_nodes(len(self._models)).T, strict=True))

        def growth(codes: Codes, recipes: Sequence[Values]) -> Floats:
            costs = self._costs.of(codes)
            values = []  # of each objective: (m, 1) if it is known, (m, nodes) if it is modelled
            for name in self.objectives:
                if name in predictions:
                    mean, deviation = predictions[name][1](codes, recipes)
                    values.append(scales[name](mean[:, None] + deviation[:, None] * nodes[name]))
                else:
                    values.append(self._saving(name, costs)[:, None])
            return _mean_growth(values, directions, reached)

        return growth

    def _savings(self, trials: Sequence[Trial]) -> Mapping[str, Floats]:
        """Return how much less than the reference each trial has (n,), for each objective that is a known cost."""
        costs = np.array([[getattr(trial, name) for name in COSTS] for trial in trials], dtype=float)
        return {name: self._saving(name, costs.reshape(-1, len(COSTS))) for name in self.objectives if name in COSTS}

    def _saving(self, name: str, costs: Floats) -> Floats:
        """Return the saving (n,), from 0 for the largest networks to 1, for costs (n, ``len(COSTS)``)."""
        column = COSTS.index(name)
        low, high = self._cost_range[:, column]
        return np.asarray(np.maximum(high - costs[:, column], 0.0) / max(high - low, 1.0))

    @cached_property
    def _costs(self) -> KnownCosts:
        return KnownCosts(self._pool.batch)

    @cached_property
    def _cost_range(self) -> Floats:
        """The smallest and the largest value of each cost (2, ``len(COSTS)``)."""
        costs = self._costs.of(self._pool.draw(N_COST_DRAWS, random.Random(0)))
        return np.stack([costs.min(axis=0), costs.max(axis=0)])


class MacsPrior:
    """What is expected of a measured cost, such as the latency, before there are trials: it grows with the macs."""

    knowledge = 0.7  # the trials change the weight of this prior, see :class:`Surrogate`
    knows_recipe = True  # a recipe does not change the cost of a network
    origin: ClassVar[dict[str, Any]] = {"source": "macs", "knowledge": knowledge}

    def __init__(self, features: ScaledFeatures) -> None:
        self._column = features.n_network - len(FEATURE_COSTS) + FEATURE_COSTS.index("macs")

    def at(self, codes: Codes, x: Floats) -> TableBelief:
        """Return what is expected of ``codes`` (n, steps), whose features are ``x`` (n, d), as normal scores."""
        # about 95 % of normal scores are from -2 to 2; the column goes from 0 to RANGE_SCALE
        return TableBelief(2 - 4 / RANGE_SCALE * x[:, self._column], 1 - self.knowledge)


def _macs_prior(features: ScaledFeatures) -> Sequence[Prior]:
    return (MacsPrior(features),)


def _no_priors(features: ScaledFeatures) -> Sequence[Prior]:
    return ()


class _Scale:
    """Normal scores as distances above a reference that is worse than all ``scores``."""

    def __init__(self, low: float, high: float) -> None:
        self._reference = low - MARGIN * (high - low)
        self._length = high - self._reference

    @classmethod
    def of(cls, scores: Floats) -> "_Scale":
        # with few trials the range of normal scores is small, or zero
        return cls(float(scores.min(initial=-1.0)), float(scores.max(initial=1.0)))

    def __call__(self, scores: Floats) -> Floats:
        return np.asarray(np.maximum((scores - self._reference) / self._length, 0.0))


def _mean_growth(values: Sequence[Floats], directions: Floats, reached: Floats) -> Floats:
    """Return the mean growth (m,) over ``directions`` (l, k) beyond what the front has ``reached`` (l,).

    ``values`` has an array (m, 1) or (m, nodes) for each objective.
    """
    k = len(values)
    total = np.zeros(len(values[0]))
    for direction, before in zip(directions, reached, strict=True):
        distance = values[0] / direction[0]
        for value, part in zip(values[1:], direction[1:], strict=True):
            distance = np.minimum(distance, value / part)
        total += np.maximum(distance**k - before**k, 0.0).mean(axis=1)
    return total / len(directions)


def _directions(k: int) -> Floats:
    """Return ``N_DIRECTIONS`` unit vectors, evenly spread over the positive quadrant of ``k`` dimensions."""
    from scipy.special import ndtri

    vectors = ndtri(0.5 + _evenly_spread(N_DIRECTIONS, k) / 2)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _normal_nodes(u: int) -> Floats:
    """Return ``N_NODES`` points for each of ``u`` dimensions that stand for independent standard normal values."""
    from scipy.special import ndtri

    return np.asarray(ndtri(_evenly_spread(N_NODES * max(u, 1), u)))


def _evenly_spread(n: int, d: int) -> Floats:
    """Return ``n`` points of the unit cube of ``d`` dimensions: the middles of equal intervals, in d different orders.

    The first dimension is in order. The others follow the additive recurrence of the generalised golden ratio
    (Roberts 2018), whose points are evenly spread together.
    """
    ratio = 2.0
    for _ in range(60):  # the root of x ** d == x + 1: the golden ratio for two dimensions
        ratio = (1 + ratio) ** (1 / max(d, 2))
    steps = ratio ** -np.arange(1.0, d)
    others = (0.5 + np.arange(n)[:, None] * steps) % 1.0
    return np.concatenate([(np.arange(n)[:, None] + 0.5) / n, others], axis=1)[:, :d]
