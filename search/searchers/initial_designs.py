"""Initial designs: the networks, and the recipe, of a run's first trials."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.catalogue import named
from ...spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from ...spaces.parameters.domains import Choice, Range
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from .user_prior import most_expected

# "SGD with momentum, batch norm and dropout usually works very well": Recipe has SGD with momentum by default, the
# blocks have batch norm, so only the dropout differs from the defaults of Recipe
DEFAULTS: Mapping[str, Any] = {"dropout": 0.1}


def default_recipe(recipes: RecipeSpace) -> Recipe:
    """Return the recipe of ``recipes`` nearest to the default recipe.

    Each free parameter has the value that the user expects most of. Without one it has its default value, or the
    nearest value that the space allows.
    """
    defaults = {name: DEFAULTS.get(name, getattr(recipes.kind, name)) for name in recipes.free_parameters}
    return recipes.fill(
        {name: _first(parameter, defaults[name]) for name, parameter in recipes.free_parameters.items()}
    )


def _first(parameter: Choice | Range, default: Any) -> Any:
    """Return the value that the user expects most of, or the value nearest to ``default``.

    It is the first option if no option is a number or the default.
    """
    if (expected := most_expected(parameter)) is not None:
        return expected
    if isinstance(parameter, Range):
        return min(max(default, parameter.low), parameter.high)
    if default in parameter.options:
        return default
    numbers = [option for option in parameter.options if isinstance(option, int | float)]
    return min(numbers, key=lambda option: abs(option - default), default=parameter.options[0])


def designs_of(start_from: Sequence[str | Mapping[str, Any]], constrained: ConstrainedSpace) -> list[Architecture]:
    """Return the designs of ``search.start_from``: names, paths of JSON files, or architectures as JSON.

    Raises ``ValueError`` if a design cannot be read or is not in the space, :class:`BudgetError` if it is
    outside the budget.
    """
    designs = []
    for entry in start_from:
        name = entry if isinstance(entry, str) else None
        try:
            design = _design(entry, constrained)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"search.start_from: {name or 'a design'}: {error}") from None
        check_design(design, constrained, name)
        designs.append(design)
    return designs


def check_design(design: Architecture, constrained: ConstrainedSpace, name: str | None = None) -> None:
    """Check that a run can start from ``design``; ``name`` is its name in the search file, for the message.

    Raises ``ValueError`` if the design is not in the space, ``BudgetError`` if it is outside the budget.
    """
    prefix = f"search.start_from: {name or design}"
    space = constrained.space
    if constrained.whole.path(design) is None:
        raise ValueError(
            f"{prefix} is not in the space {space.name!r}, which maps images {space.input_shape} to "
            f"{space.classes} classes; leave it out, or add its options to the space"
        )
    if broken := ", ".join(constrained.violated(design)):
        raise BudgetError(f"{prefix} is outside the budget: {broken}; leave it out, or raise the limits")


def _design(entry: str | Mapping[str, Any], constrained: ConstrainedSpace) -> Architecture:
    if not isinstance(entry, str):
        return Architecture.from_json(entry)
    if entry.endswith(".json"):
        return Architecture.from_json(_read(Path(entry)))
    return named(entry, input_shape=constrained.space.input_shape, classes=constrained.space.classes)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(
            f"the file must exist, but there is none in {Path.cwd()}; write the JSON of an architecture to it, or "
            "correct the path"
        ) from None
    except OSError as error:
        raise ValueError(
            f"the file must be readable, but got {error.strerror}; check its path and permissions"
        ) from None
    except RecursionError:  # json.loads recurses into nested lists
        raise ValueError("the JSON is nested too deeply for an architecture; write the file again") from None
    except ValueError as error:
        raise ValueError(f"the file must hold JSON, but got {error}; write the file again") from None
