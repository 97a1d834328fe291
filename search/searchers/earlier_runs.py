"""Earlier runs as priors: what the trials of a run on other data expect of the networks of this space.

The scores of a run become normal scores, because two data sets share the order of networks and not their accuracies.

Networks of another space are described by their layers, not by the choices that led to them: they say something of the
networks of this space as far as both have layers of equal kinds.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...results.database.records import Trial
from ...spaces.architectures.architecture import Architecture
from ...spaces.blocks.base import Shape
from ...spaces.blocks.layers import Layer
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.vectorized import Codes
from ...spaces.recipes.recipe import RecipeSpace
from ...spaces.search_space.encoding import decisions_of
from ...spaces.search_space.space import Decisions, Space
from .candidate_pool import CandidatePool
from .features import COSTS, RANGE_SCALE, Features, Floats, Groups, ScaledFeatures, numbered_edges, path_sums
from .ranking import latest_and_best, score
from .standard_prior import StandardPrior

if TYPE_CHECKING:
    from .residual_model import Belief, Model

MAX_PRIOR_TRIALS = 200  # trials of an earlier run that its prior sees
MIN_PRIOR_TRIALS = 4  # finished trials that an earlier run needs
Facts = Mapping[str, float]  # name of a fact -> its sum over the layers of a network


def layer_facts(layers: Iterable[Layer]) -> Facts:
    """Return the facts of ``layers``: how many there are of each kind, with each setting, and the logarithms of sizes.

    A fact is a sum over layers, so that the facts of a path are the sums of those of its edges.
    """
    facts: dict[str, float] = defaultdict(float)
    for layer in layers:
        facts[layer.kind] += 1
        for field in fields(layer):  # type: ignore[arg-type]
            value = getattr(layer, field.name)
            facts[f"{layer.kind}.{field.name}={value}"] += 1
            if type(value) is int and value > 0:  # sizes that differ between the spaces are compared by this
                facts[f"{layer.kind}.{field.name}"] += math.log2(value)
    return facts


def facts_of(architecture: Architecture) -> Facts:
    """Return the facts of the layers of ``architecture``, without its head."""
    placed = list(architecture.walk())[:-1]
    return layer_facts(layer for block in placed for layer in block.layers)


@dataclass(frozen=True)
class Description:
    """A network of any space: the facts of its layers, its parameters, multiply-accumulates and number of layers."""

    facts: Facts
    costs: tuple[int, int, int]

    @classmethod
    def of(cls, architecture: Architecture) -> "Description":
        """Describe ``architecture``."""
        n_layers = sum(len(block.layers) for block in list(architecture.walk())[:-1])
        cost = architecture.cost
        return cls(facts_of(architecture), (cost.params, cost.macs, n_layers))


class CommonFeatures:
    """Features of codes of this space that networks ``described`` of another space have as well.

    ``groups`` (d,) is the group number of each column, ``rows`` (n, d) are the features of the other networks.
    """

    def __init__(self, pool: CandidatePool, features: Features, described: Sequence[Description]) -> None:
        self._features = features
        facts_at = {position: layer_facts(edge.layers) for position, edge in numbered_edges(pool.batch)}
        here = set[str]().union(*facts_at.values())
        common = sorted(here & set[str]().union(*(one.facts for one in described)))
        values = np.array([[one.facts.get(name, 0.0) for name in common] for one in described])
        values = values.reshape(len(described), len(common))
        varying = np.ptp(values, axis=0) > 0 if len(values) else np.zeros(len(common), dtype=bool)
        self._names = [name for name, varies in zip(common, varying, strict=True) if varies]
        self._edge_table = np.zeros((len(pool.batch.targets), len(self._names)))
        for position, facts in facts_at.items():
            self._edge_table[position] = [facts.get(name, 0.0) for name in self._names]
        raw = np.concatenate([values[:, varying], np.log([one.costs for one in described])], axis=1)
        self._low, high = raw.min(axis=0), raw.max(axis=0)
        # dividing by infinity gives a column that never varies in the other run the value 0 everywhere
        self._scale = RANGE_SCALE / np.where(high > self._low, high - self._low, np.inf)
        kinds = sorted({name.partition(".")[0] for name in self._names})
        groups = [kinds.index(name.partition(".")[0]) for name in self._names]
        self.groups: Groups = np.array([*groups, *range(len(kinds), len(kinds) + len(COSTS))])
        self.rows = self._scaled(raw)

    def of(self, codes: Codes) -> Floats:
        """Return the features (n, d) of ``codes`` (n, steps)."""
        sums = path_sums(self._features.batch, codes, self._edge_table)
        return self._scaled(np.concatenate([sums, self._features.log_costs(codes)], axis=1))

    def _scaled(self, raw: Floats) -> Floats:
        return np.asarray((raw - self._low) * self._scale)


@dataclass(frozen=True)
class EarlierRun:
    """The ended trials of a run on other data, in another space, or with another recipe, budget or metric.

    ``networks`` are the architectures of the trials, in the same order.
    """

    name: str
    trials: tuple[Trial, ...]
    networks: tuple[Architecture, ...]


class EarlierRunPrior:
    """The scores that an earlier run expects: a Gaussian process fitted to its trials.

    If at least half of the trials are networks of this space, within its limit of RAM, inside its other limits or not,
    the process sees only those trials, by the features that the searcher uses. Else it sees what the networks of both
    spaces have in common.
    """

    def __init__(
        self,
        run: EarlierRun,
        pool: CandidatePool,
        recipes: RecipeSpace,
        features: ScaledFeatures,
        standard: Sequence[StandardPrior],
    ) -> None:
        self.name = run.name
        self._pool, self._features = pool, features
        self._recipes = recipes
        network_of = dict(zip((trial.number for trial in run.trials), run.networks, strict=True))
        space = pool.constrained.space
        decisions = {number: decisions_in(space, network) for number, network in network_of.items()}
        inside = [
            trial
            for trial in run.trials
            if (known := decisions[trial.number]) is not None and pool.has(space.architecture(known))
        ]
        self.same_space = len(inside) >= max(MIN_PRIOR_TRIALS, len(run.trials) / 2)
        self._priors = standard if self.same_space else ()
        chosen = latest_and_best(inside if self.same_space else run.trials, MAX_PRIOR_TRIALS)
        self._networks = [network_of[trial.number] for trial in chosen]
        self._decisions = [decisions[trial.number] for trial in chosen]
        self.trials = tuple(chosen)

    @cached_property
    def overlap(self) -> float:
        """The share, 0 to 1, of the layers of the earlier networks whose kind this space has."""
        return 1.0 if self.same_space else overlap(self._networks, self._pool.constrained)

    @property
    def origin(self) -> dict[str, Any]:
        """The run, its trials, how many of its layers this space has, and its knowledge, as JSON."""
        return {
            "source": "run",
            "run": self.name,
            "trials": len(self.trials),
            "same_space": self.same_space,
            "overlap": round(self.overlap, 3),
            "knowledge": round(self.knowledge, 3),
        }

    @property
    def knows_recipe(self) -> bool:
        """Whether the run has tried values of every free parameter of the recipe."""
        return set(self._known_parameters) == set(self._recipes.free_parameters)

    @cached_property
    def knowledge(self) -> float:
        """The share, 0 to 1, of the variance of the run's own scores that its process predicts for unseen trials."""
        if self.overlap == 0 or sum(trial.state.finished for trial in self.trials) < MIN_PRIOR_TRIALS:
            return 0.0
        return self._model.explained

    def at(self, codes: Codes, x: Floats) -> "Belief":
        """Return what the run expects of ``codes`` (n, steps), whose features are ``x`` (n, d), as normal scores."""
        columns = x[:, self._recipe_columns]
        networks = x[:, : self._features.n_network] if self.same_space else self._common.of(codes)
        beliefs = [prior.at(codes, x) for prior in self._priors]
        return self._model.belief(np.concatenate([networks, columns], axis=1), beliefs)

    @cached_property
    def _common(self) -> CommonFeatures:
        return CommonFeatures(
            self._pool, self._features.unscaled, [Description.of(network) for network in self._networks]
        )

    @cached_property
    def _model(self) -> "Model":
        from .gp_regression import normal_scores
        from .residual_model import Model, fit

        if self.same_space:
            space = self._pool.constrained.space
            moved = [
                (space.architecture(decisions), decisions) for decisions in self._decisions if decisions is not None
            ]
            codes = np.stack([self._pool.code(network.fingerprint, decisions) for network, decisions in moved])
            rows, groups = self._features.of_networks(codes), self._features.network_groups
            beliefs = [prior.at(codes, rows) for prior in self._priors]
        else:
            rows, groups, beliefs = self._common.rows, self._common.groups, []
        encoded = self._features.of_recipes([trial.recipe for trial in self.trials], self._known_parameters)
        first = int(groups.max()) + 1
        recipe_groups = self._features.groups[self._recipe_columns]
        numbers = np.unique(recipe_groups, return_inverse=True)[1].reshape(-1)
        groups = np.concatenate([groups, first + numbers]).astype(np.int64)
        x = np.concatenate([rows, encoded], axis=1)
        z = normal_scores(np.array([score(trial) for trial in self.trials]))
        trust = np.array([prior.knowledge for prior in self._priors])
        return Model.of(fit(x, z, groups, beliefs, trust), groups, x, beliefs, z)

    @cached_property
    def _known_parameters(self) -> tuple[str, ...]:
        """The free parameters of the recipe whose value in each trial is one of this run's, and not always the same."""
        names = []
        for name, domain in self._recipes.free_parameters.items():
            values = [trial.recipe.get(name) for trial in self.trials]
            if all(value in domain for value in values) and any(value != values[0] for value in values):
                names.append(name)
        return tuple(names)

    @property
    def _recipe_columns(self) -> Groups:
        return self._features.recipe_columns(self._known_parameters)


def decisions_in(space: Space, network: Architecture) -> Decisions | None:
    """Return the decisions that give the blocks of ``network`` for the images and classes of ``space``, or None."""
    try:
        moved = replace(network, input_shape=space.input_shape, classes=space.classes)
    except ValueError:  # a block cannot take these images
        return None
    return decisions_of(space, moved)


def overlap(networks: Iterable[Architecture], constrained: ConstrainedSpace) -> float:
    """Return the share, 0 to 1, of the layers of ``networks`` whose kind some layer of the space has.

    Only layers with multiply-accumulates count: nearly all networks have activations and a mean over the pixels.
    """
    nodes = constrained.graph.order
    kinds = {kind for node in nodes for edge in node.edges for kind in _kinds(edge.layers, node.shape)}
    placed = [block for network in networks for block in list(network.walk())[:-1]]
    theirs = [kind for block in placed for kind in _kinds(block.layers, block.in_shape)]
    return sum(kind in kinds for kind in theirs) / max(len(theirs), 1)


def _kinds(layers: Iterable[Layer], shape: Shape) -> Iterator[str]:
    for layer in layers:
        shape, cost = layer.out_shape_and_cost(shape)
        if cost.macs:
            yield layer.kind
