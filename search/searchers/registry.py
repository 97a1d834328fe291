"""The table of searchers by name."""

from collections.abc import Callable, Sequence

from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.parameters.lookup import look_up
from ...spaces.recipes.recipe import RecipeSpace
from .base import Searcher
from .evolution import NSGA2, Evolution
from .gaussian_process import GaussianProcess
from .tpe import TPE
from .uninformed import Grid, RandomSearch

SEARCHERS: dict[str, Callable[[ConstrainedSpace, RecipeSpace], Searcher]] = {
    "grid": Grid,
    "random": RandomSearch,
    "tpe": TPE,
    "gp": GaussianProcess,
    "evolution": Evolution,
    "nsga2": NSGA2,
}


def make_searcher(
    name: str, sieve: ConstrainedSpace, recipes: RecipeSpace, objectives: Sequence[str] | None = None
) -> Searcher:
    """Build the searcher of that name; raise ``ValueError`` for an unknown name or objectives it does not support."""
    build = look_up(SEARCHERS, name, "searcher")
    if objectives is not None and build is not NSGA2 and list(objectives) != ["val_accuracy"]:
        raise ValueError(
            f"search.objectives: {name} maximises val_accuracy alone, but got {list(objectives)}; "
            'take searcher = "nsga2", or leave the objectives out'
        )
    if objectives is not None and build is NSGA2:
        return NSGA2(sieve, recipes, objectives)
    return build(sieve, recipes)
