"""Searchers: what to try next, given what was learned. One file and one row of the table each."""

from collections.abc import Callable, Sequence

from ...spaces.architecture import Architecture
from ...spaces.lookup import look_up
from ...spaces.recipe import RecipeSpace
from ...spaces.sieve import Sieve
from .contract import Proposal, Searcher
from .evolution import Evolution
from .gaussian_process import GaussianProcess
from .grid import Grid
from .known import KnownFirst
from .nsga2 import NSGA2
from .tpe import TPE
from .uniform import Uniform

SEARCHERS: dict[str, Callable[[Sieve, RecipeSpace], Searcher]] = {
    "grid": Grid,
    "random": Uniform,
    "tpe": TPE,
    "gp": GaussianProcess,
    "evolution": Evolution,
    "nsga2": NSGA2,
}


def make_searcher(
    name: str,
    sieve: Sieve,
    recipes: RecipeSpace,
    *,
    objectives: Sequence[str] | None = None,
    start_from: Sequence[Architecture] = (),
) -> Searcher:
    """The searcher of that name behind the known designs ``start_from``; ``ValueError`` for what cannot work."""
    build = look_up(SEARCHERS, name, "searcher")
    if objectives is not None and build is not NSGA2 and list(objectives) != ["val_accuracy"]:
        raise ValueError(
            f"search.objectives: {name} maximises val_accuracy alone, but got {list(objectives)}; "
            'take searcher = "nsga2", or leave the objectives out'
        )
    several = objectives is not None and build is NSGA2
    searcher = NSGA2(sieve, recipes, objectives or ()) if several else build(sieve, recipes)
    return KnownFirst(searcher, start_from) if start_from else searcher


__all__ = ["SEARCHERS", "Proposal", "Searcher", "make_searcher"]
