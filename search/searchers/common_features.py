"""Features that networks of different spaces have in common: their costs and the layers they consist of.

A network is described by its layers, not by the choices that led to them. So trials of another space describe networks
of this one as far as both have layers of equal kinds.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from ...spaces.architectures.architecture import Architecture
from ...spaces.blocks.layers import Layer
from ...spaces.constrained.vectorized import Codes
from .candidate_pool import CandidatePool
from .features import COSTS, RANGE_SCALE, Features, Floats, Groups, numbered_edges, path_sums

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
