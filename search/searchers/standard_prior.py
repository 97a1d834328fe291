"""The standard prior: what is expected of networks before any run, from a table that was fitted to a public benchmark.

The expected score is a polynomial of degree 2 in the size of a network and in the shares of its operations, both
compared with the mean network of the space. ``benchmarks/prior_table.py`` fits the coefficients in ``prior_table.py``.
"""

import re
from dataclasses import dataclass, fields
from itertools import combinations_with_replacement
from typing import Any, ClassVar

import numpy as np

from ...spaces.blocks.backbone import Backbone
from ...spaces.blocks.layers import Convolution, Layer, Pooling
from ...spaces.constrained.vectorized import Codes
from ...spaces.recipes.recipe import RecipeSpace
from .candidate_pool import CandidatePool
from .features import Features, Floats, numbered_edges, path_sums
from .prior_table import COEFFICIENTS, DATE, EXPLAINED, SOURCE

STANDARD = "standard"
OPERATIONS = ("none", "skip", "conv_1x1", "conv_3x3", "pool")
# the share of poolings follows from the others
VARIABLES = (*OPERATIONS[:-1], "size")
TERMS = [*((name,) for name in VARIABLES), *combinations_with_replacement(VARIABLES, 2)]
N_DRAWS = 1024  # networks of the space whose mean and spread are the origin and the scale of the features
MAX_SIZE = 3.0  # sizes beyond so many standard deviations count as this
_NAMES = (
    ("none", re.compile(r"(^|[^a-z])(none|zero(ize)?)($|[^a-z])")),
    ("skip", re.compile(r"(^|[^a-z])(skip|identity)")),
    ("pool", re.compile(r"pool")),
    ("conv_1x1", re.compile(r"conv.*1x1|1x1.*conv")),
    ("conv_3x3", re.compile(r"conv")),
)


def operation_of(layer: Layer) -> str | None:
    """Return which of :data:`OPERATIONS` ``layer`` is, or None for a layer that searches do not exchange for others.

    Layers of custom blocks are recognized by the text of a field, such as ``nor_conv_3x3``.
    """
    if isinstance(layer, Convolution):
        return "conv_1x1" if layer.kernel in (1, (1, 1)) else "conv_3x3"
    if isinstance(layer, Pooling):
        return "pool" if layer.stride == 1 else None
    if type(layer).__module__.startswith(_BLOCKS):
        return None
    texts = [value for field in fields(layer) if isinstance(value := getattr(layer, field.name), str)]  # type: ignore[arg-type]
    return next((name for name, pattern in _NAMES for text in texts if pattern.search(text)), None)


_BLOCKS = Layer.__module__.rpartition(".")[0] + "."


@dataclass(frozen=True)
class TableBelief:
    """The scores that the table expects (m,). Its doubt is the same for all networks, and no covariance is known."""

    mean: Floats
    doubt: float = 1 - EXPLAINED

    @property
    def variance(self) -> Floats:
        """Zero for each network (m,): see ``doubt``."""
        return np.zeros(len(self.mean))

    def covariance(self, other: Any) -> float:
        """Return 0."""
        return 0.0


class TableFeatures:
    """The terms of the polynomial for the networks of a space."""

    def __init__(self, pool: CandidatePool) -> None:
        self._features = Features(pool.batch)
        self._edge_table = np.zeros((len(pool.batch.targets), len(OPERATIONS)))
        for position, edge in numbered_edges(pool.batch):
            for operation in filter(None, map(operation_of, edge.layers)):
                self._edge_table[position, OPERATIONS.index(operation)] += 1
        # of the space without its budget: what is large must not depend on the budget
        shares, sizes = self._raw(pool.batch.draw(N_DRAWS, np.random.default_rng(0)))
        self._mean_share, self._mean_size = shares.mean(axis=0), sizes.mean(axis=0)
        spread = sizes.std(axis=0)
        self._size_scale = 1 / np.where(spread > 1e-9, spread, np.inf)

    def of(self, codes: Codes) -> Floats:
        """Return the terms (n, ``len(TERMS)``) of ``codes`` (n, steps)."""
        shares, sizes = self._raw(codes)
        size = np.clip((sizes - self._mean_size) * self._size_scale, -MAX_SIZE, MAX_SIZE).mean(axis=1)
        columns = dict(zip(VARIABLES, [*(shares - self._mean_share)[:, :-1].T, size], strict=True))
        return np.stack([np.prod([columns[name] for name in term], axis=0) for term in TERMS], axis=1)

    def _raw(self, codes: Codes) -> tuple[Floats, Floats]:
        """Return the shares of the operations (n, 5) and the logarithms of parameters and macs (n, 2)."""
        counts = path_sums(self._features.batch, codes, self._edge_table)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
        return shares, self._features.log_costs(codes)[:, :2]


class StandardPrior:
    """What the table expects of the networks of a space."""

    knowledge = EXPLAINED
    knows_recipe = True  # the space has a single one
    origin: ClassVar[dict[str, Any]] = {"source": STANDARD, "table": SOURCE, "date": DATE, "knowledge": EXPLAINED}

    def __init__(self, pool: CandidatePool) -> None:
        self._terms = TableFeatures(pool)
        self._coefficients = np.array([COEFFICIENTS["*".join(term)] for term in TERMS])

    def at(self, codes: Codes, x: Floats) -> TableBelief:
        """Return what is expected of ``codes`` (n, steps); ``x`` is not used."""
        return TableBelief(self._terms.of(codes) @ self._coefficients)


def standard_priors(pool: CandidatePool, recipes: RecipeSpace) -> list[StandardPrior]:
    """Return the standard prior, or none where the table does not apply.

    It has no pretrained networks, whose accuracies are published, and a single recipe. With free recipe parameters the
    searcher is better off without it: they often matter more than the network, and too few trials tell both apart.
    """
    if recipes.free_parameters:
        return []
    edges = pool.constrained.graph.start.edges
    if any(isinstance(layer, Backbone) for edge in edges for layer in edge.layers):
        return []
    return [StandardPrior(pool)]
