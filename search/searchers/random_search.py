"""Random search: uniform over the architectures that fit, none twice (Bergstra and Bengio 2012)."""

import random

from ...results.database.records import History
from .base import Proposal, Searcher


class Uniform(Searcher):
    """Each architecture that fits is equally likely; recipes are drawn hole by hole.

    What trials found does not count, only which were proposed, so the proposals are the same with one worker or many.
    """

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        return self.anything(history, rng)
