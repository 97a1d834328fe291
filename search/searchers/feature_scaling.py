"""What a model is told of an architecture with a recipe: numbers on one scale."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...spaces.constrained.vectorized import Codes
from ...spaces.parameters.domains import Choice, Range, rising
from ...spaces.recipes.recipe import RecipeSpace
from .candidate_pool import Candidates
from .features import COSTS, Features, Floats
from .recipe_sampling import Values

PROBES = 1024  # draws that tell the range of a cost
SPAN = 2.0  # the range of a cost, where a step from one option to another is 1
MARK = 0.5**0.5  # of an option taken: two options without order are one step apart


class Described:
    """Features of architectures with recipes, on one scale: a step from one option to another is 1."""

    def __init__(self, candidates: Candidates, recipes: RecipeSpace) -> None:
        self._features = Features(candidates.batch)
        holes = recipes.holes
        self._readers = {name: _reader(hole) for name, hole in holes.items()}
        widths = [len(self._readers[name](_any(hole))) for name, hole in holes.items()]
        first = int(self._features.groups.max()) + 1
        # the group of each column; each hole of the recipe is one
        self.groups = np.concatenate([self._features.groups, np.repeat(np.arange(len(widths)) + first, widths)])
        logs = self._features.of(candidates.draw(PROBES, random.Random(0)))[:, -len(COSTS) :]
        self._low, high = logs.min(axis=0), logs.max(axis=0)
        self._per = SPAN / np.where(high > self._low, high - self._low, np.inf)
        limited = [place for place, name in enumerate(COSTS) if name in candidates.sieve.limited]
        self._limited = limited or [COSTS.index("params"), COSTS.index("macs")]

    def of(self, codes: Codes, recipes: Sequence[Values]) -> Floats:
        """One row for each code with its recipe; the recipes begin anew where they run out."""
        said = [[part for name, read in self._readers.items() for part in read(values[name])] for values in recipes]
        told = np.array(said, dtype=float).reshape(len(recipes), -1)
        return np.concatenate([self._scaled(codes), told[np.arange(len(codes)) % len(recipes)]], axis=1)

    def size(self, codes: Codes) -> Floats:
        """How large each is: the mean of its costs in the logarithm, of those that are limited where any is."""
        return np.asarray(self._scaled(codes)[:, -len(COSTS) :][:, self._limited].mean(axis=1))

    def _scaled(self, codes: Codes) -> Floats:
        rows = self._features.of(codes)
        rows[:, -len(COSTS) :] = (rows[:, -len(COSTS) :] - self._low) * self._per
        return rows


def _any(hole: Choice | Range) -> Any:
    return hole.low if isinstance(hole, Range) else hole.options[0]


def _reader(hole: Choice | Range) -> Callable[[Any], list[float]]:
    """What writes a value as numbers: its place on the range or among rising options, or a mark for its option."""
    if isinstance(hole, Range):
        return lambda value: [SPAN * hole.fraction(value)]
    options = hole.options
    if rising(options):
        places = {option: place / max(len(options) - 1, 1) for place, option in enumerate(options)}
        return lambda value: [places[value]]
    marks = {option: [MARK * (option == other) for other in options] for option in options}
    return lambda value: marks[value]
