"""Searchers: what to try next, given what was learned. One file and one row of the table each."""

from collections.abc import Callable, Sequence

from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.parameters.lookup import look_up
from ...spaces.recipes.recipe import RecipeSpace
from .base import Proposal, Searcher
from .evolution import Evolution
from .gaussian_process import GaussianProcess
from .grid import Grid
from .initial_designs import KnownFirst, UsualFirst, usual_recipe
from .nsga2 import NSGA2
from .random_search import Uniform
from .tpe import TPE

SEARCHERS: dict[str, Callable[[ConstrainedSpace, RecipeSpace], Searcher]] = {
    "grid": Grid,
    "random": Uniform,
    "tpe": TPE,
    "gp": GaussianProcess,
    "evolution": Evolution,
    "nsga2": NSGA2,
}


def make_searcher(
    name: str, sieve: ConstrainedSpace, recipes: RecipeSpace, objectives: Sequence[str] | None = None
) -> Searcher:
    """The searcher of that name; ``ValueError`` for an unknown one, and for objectives that it cannot have."""
    build = look_up(SEARCHERS, name, "searcher")
    if objectives is not None and build is not NSGA2 and list(objectives) != ["val_accuracy"]:
        raise ValueError(
            f"search.objectives: {name} maximises val_accuracy alone, but got {list(objectives)}; "
            'take searcher = "nsga2", or leave the objectives out'
        )
    if objectives is not None and build is NSGA2:
        return NSGA2(sieve, recipes, objectives)
    return build(sieve, recipes)


__all__ = ["SEARCHERS", "KnownFirst", "Proposal", "Searcher", "UsualFirst", "make_searcher", "usual_recipe"]
