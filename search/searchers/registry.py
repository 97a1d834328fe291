"""Registry of the searchers: the names of ``search.searcher`` and their classes."""

import inspect
from collections.abc import Callable, Sequence
from typing import TypeVar

from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.parameters.lookup import check_unregistered, look_up
from ...spaces.recipes.recipe import RecipeSpace
from .base import Searcher
from .evolution import NSGA2, Evolution
from .gaussian_process import GaussianProcess
from .tpe import TPE
from .uninformed import Grid, RandomSearch

S = TypeVar("S", bound=Searcher)

SEARCHERS: dict[str, Callable[[ConstrainedSpace, RecipeSpace], Searcher]] = {
    "grid": Grid,
    "random": RandomSearch,
    "tpe": TPE,
    "gp": GaussianProcess,
    "evolution": Evolution,
    "nsga2": NSGA2,
}


def register_searcher(name: str) -> Callable[[type[S]], type[S]]:
    """Register a custom searcher under ``name``, as a decorator of its class, which is derived from :class:`Searcher`.

    Raises ``TypeError`` for a class that is no searcher, ``ValueError`` for a name that is taken by another class.
    """

    def register(searcher: type[S]) -> type[S]:
        label = getattr(searcher, "__qualname__", repr(searcher))
        if not isinstance(searcher, type) or not issubclass(searcher, Searcher):
            raise TypeError(
                f"searcher {name!r} must be a class derived from archsieve.Searcher, but got {label}; derive it"
            )
        if searcher.__abstractmethods__:
            raise TypeError(f"searcher {name!r} must define ask(history, rng), but {label} does not; add it")
        _check_signatures(name, searcher)
        check_unregistered(SEARCHERS.get(name), searcher, "name of a searcher", name)
        SEARCHERS[name] = searcher
        return searcher

    return register


def _check_signatures(name: str, searcher: type[Searcher]) -> None:
    """Raise ``TypeError`` if the class cannot be called as a run calls it."""
    for method, call in (("__init__", "(self, constrained, recipes)"), ("ask", "(self, history, rng)")):
        try:
            inspect.signature(getattr(searcher, method)).bind(None, None, None)
        except TypeError:
            raise TypeError(
                f"searcher {name!r} must define {method}{call}, but {searcher.__qualname__} has "
                f"{method}{inspect.signature(getattr(searcher, method))}; correct its parameters"
            ) from None


def make_searcher(
    name: str, constrained: ConstrainedSpace, recipes: RecipeSpace, objectives: Sequence[str] | None = None
) -> Searcher:
    """Build the searcher called ``name``; without ``objectives`` it has its defaults.

    Raises ``ValueError`` for an unknown name, and for objectives that the searcher does not support.
    """
    build = look_up(SEARCHERS, name, "searcher")
    if objectives is not None and build is not NSGA2 and list(objectives) != ["val_accuracy"]:
        raise ValueError(
            f'search.objectives must be ["val_accuracy"] for the searcher {name}, but got {list(objectives)}; '
            'use searcher = "nsga2", or leave the objectives out'
        )
    if objectives is not None and build is NSGA2:
        return NSGA2(constrained, recipes, objectives)
    return build(constrained, recipes)
