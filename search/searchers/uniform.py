"""Random search: uniform over the architectures that fit, none twice (Bergstra and Bengio 2012)."""

import random

from ...results.records import History
from .contract import Proposal, Searcher, draw_recipe, tried, unseen


class Uniform(Searcher):
    """Each architecture that fits is equally likely; recipes are drawn hole by hole."""

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        architecture = unseen(self.sieve, history, rng)
        if architecture is not None:
            return self.propose(architecture, draw_recipe(self.recipes, rng))
        return revisit(self, history, rng)


def revisit(searcher: Searcher, history: History, rng: random.Random, tries: int = 1000) -> Proposal | None:
    """A new recipe for an architecture already tried: what is left when all that fit have been; None if nothing is."""
    if not searcher.recipes.holes:
        return None
    seen = tried(history)
    for _ in range(tries):
        architecture, recipe = searcher.sieve.sample(rng), draw_recipe(searcher.recipes, rng)
        if (architecture.fingerprint, recipe) not in seen:
            return searcher.propose(architecture, recipe)
    return None
