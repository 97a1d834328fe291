"""Searchers: what to try next, given what was learned. One file and one row of the table each."""

from collections.abc import Callable

from ...spaces.recipe import RecipeSpace
from ...spaces.sieve import Sieve
from .contract import Proposal, Searcher
from .grid import Grid
from .tpe import TPE
from .uniform import Uniform

SEARCHERS: dict[str, Callable[[Sieve, RecipeSpace], Searcher]] = {
    "grid": Grid,
    "random": Uniform,
    "tpe": TPE,
}

__all__ = ["SEARCHERS", "Proposal", "Searcher"]
