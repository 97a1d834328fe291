"""Initial designs: the networks and the recipe that a run tries first."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.catalogue import named
from ...spaces.architectures.cost import cost
from ...spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from ...spaces.parameters.domains import Choice, Range
from ...spaces.recipes.recipe import Recipe, RecipeSpace

# "SGD with momentum, batch norm and dropout usually works very well": the defaults of Recipe are all but the dropout,
# and the blocks have the batch norm
DEFAULTS: Mapping[str, Any] = {"dropout": 0.1}


def default_recipe(recipes: RecipeSpace) -> Recipe:
    """Return the recipe of ``recipes`` nearest to the default: each free parameter at its default or the next to it."""
    defaults = {name: DEFAULTS.get(name, getattr(recipes.kind, name)) for name in recipes.holes}
    return recipes.fill({name: _nearest(parameter, defaults[name]) for name, parameter in recipes.holes.items()})


def _nearest(parameter: Choice | Range, default: Any) -> Any:
    """Return the value nearest to ``default``; the first option where options are words and none is the default."""
    if isinstance(parameter, Range):
        return min(max(default, parameter.low), parameter.high)
    if default in parameter.options:
        return default
    numbers = [option for option in parameter.options if isinstance(option, int | float)]
    return min(numbers, key=lambda option: abs(option - default), default=parameter.options[0])


def designs_of(start_from: Sequence[str | Mapping[str, Any]], sieve: ConstrainedSpace) -> list[Architecture]:
    """Return the designs that ``search.start_from`` lists, by name, from a file or as an architecture's JSON.

    Raises ``ValueError`` for one that cannot be read or is no point of the space, :class:`BudgetError` for one outside
    the budget.
    """
    designs = []
    for entry in start_from:
        name = entry if isinstance(entry, str) else None
        try:
            design = _design(entry, sieve)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"search.start_from: {name or 'a design'}: {error}") from None
        check_design(design, sieve, name)
        designs.append(design)
    return designs


def check_design(design: Architecture, sieve: ConstrainedSpace, name: str | None = None) -> None:
    """Raise ``ValueError`` for a design that is no point of the space, ``BudgetError`` for one outside the budget."""
    prefix = f"search.start_from: {name or design}"
    space = sieve.space
    if sieve.graph.path(design) is None:
        raise ValueError(
            f"{prefix} is no point of the space {space.name!r}, which goes from {space.input_shape} to {space.classes} "
            "classes; leave it out, or add its options to the space"
        )
    if not sieve.allows(design):
        broken = ", ".join(sieve.budget.broken(cost(design, sieve.batch_size))) or "its predicted latency is too long"
        raise BudgetError(f"{prefix} is outside the budget: {broken}; leave it out, or raise the limits")


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
