"""Known designs: what is tried before a searcher begins, by name, from a file or as an architecture."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...results.database.records import History
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.catalogue import named
from ...spaces.architectures.cost import cost
from ...spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from ...spaces.parameters.domains import Choice, Range
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from .base import Proposal, Searcher
from .recipe_sampling import draw_recipe

# "SGD with momentum, batch norm and dropout usually works very well": the recipe's own defaults say all but the last,
# and batch norm is the blocks'
USUAL: Mapping[str, Any] = {"dropout": 0.1}


class KnownFirst(Searcher):
    """Proposes ``designs``, one after another, each with a recipe drawn at random; then what ``searcher`` proposes.

    Raises ``ValueError`` for a design that is no point of the space, :class:`BudgetError` for one outside the budget.
    """

    def __init__(self, searcher: Searcher, designs: Sequence[Architecture]) -> None:
        super().__init__(searcher.sieve, searcher.recipes)
        for design in designs:
            check_design(design, searcher.sieve)
        self.searcher, self.designs = searcher, tuple(designs)

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        new = next((design for design in self.designs if design.fingerprint not in history.fingerprints), None)
        if new is None:
            return self.searcher.ask(history, rng)
        return self.propose(new, draw_recipe(self.recipes, rng))


def check_design(design: Architecture, sieve: ConstrainedSpace, name: str | None = None) -> None:
    """Raise where ``design`` is not among what the sieve lets through, naming it and why."""
    said = f"search.start_from: {name or design}"
    space = sieve.space
    if sieve.graph.path(design) is None:
        raise ValueError(
            f"{said} is no point of the space {space.name!r}, which goes from {space.input_shape} to {space.classes} "
            "classes; leave it out, or add its options to the space"
        )
    if not sieve.allows(design):
        broken = ", ".join(sieve.budget.broken(cost(design, sieve.batch_size))) or "its predicted latency is too long"
        raise BudgetError(f"{said} is outside the budget: {broken}; leave it out, or raise the limits")


def designs_of(start_from: Sequence[str | Mapping[str, Any]], sieve: ConstrainedSpace) -> list[Architecture]:
    """The designs that ``search.start_from`` lists, each checked; what is wrong with one is said with its name."""
    found = []
    for entry in start_from:
        name = entry if isinstance(entry, str) else None
        try:
            design = _design(entry, sieve)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"search.start_from: {name or 'a design'}: {error}") from None
        check_design(design, sieve, name)
        found.append(design)
    return found


def _design(entry: str | Mapping[str, Any], sieve: ConstrainedSpace) -> Architecture:
    if not isinstance(entry, str):
        return Architecture.from_json(entry)
    if entry.endswith(".json"):
        return Architecture.from_json(_read(Path(entry)))
    return named(entry, input_shape=sieve.space.input_shape, classes=sieve.space.classes)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"there is no such file in {Path.cwd()}; write an architecture's JSON there") from None
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ValueError("it nests too deeply for an architecture") from None
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from None


class UsualFirst(Searcher):
    """What ``searcher`` proposes, but the first trial of all by :func:`usual_recipe`, to measure all others by."""

    def __init__(self, searcher: Searcher) -> None:
        super().__init__(searcher.sieve, searcher.recipes)
        self.searcher = searcher

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        proposal = self.searcher.ask(history, rng)
        if proposal is None or len(history):
            return proposal
        return replace(proposal, recipe=usual_recipe(self.recipes))


def usual_recipe(recipes: RecipeSpace) -> Recipe:
    """Of ``recipes`` the one nearest to the usual: each searched key at its usual value, or at the next to it."""
    usual = {name: USUAL.get(name, getattr(recipes.kind, name)) for name in recipes.holes}
    return recipes.fill({name: _nearest(hole, usual[name]) for name, hole in recipes.holes.items()})


def _nearest(hole: Choice | Range, usual: Any) -> Any:
    """What ``hole`` offers next to ``usual``; its first option where they are words and ``usual`` is none of them."""
    if isinstance(hole, Range):
        return min(max(usual, hole.low), hole.high)
    if usual in hole.options:
        return usual
    numbers = [option for option in hole.options if isinstance(option, int | float)]
    return min(numbers, key=lambda option: abs(option - usual), default=hole.options[0])
