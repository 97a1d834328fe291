"""Regularised evolution (Real et al. 2019, arXiv 1802.01548): the young live, the old die, good or not."""

import random
from collections.abc import Sequence

from ...results.database.records import History, Trial
from .base import Proposal, Searcher
from .crossover import child
from .ranking import merit

POPULATION = 20  # the youngest scored trials; the paper's 100 is more than most searches here train
FIRST = 10  # scored trials before the first child; until then, uniform over what fits
SAMPLE = 5  # of the population, of which the best is a parent: a quarter of it, as in the paper


class Evolution(Searcher):
    """The parent is the best of a sample of the youngest trials; its child differs in a decision, the recipe, or both.

    Beside the paper: half of the children have two parents, a child is repaired into the budget, and none is bred
    twice. Age is the trial's number, so that the order in which workers finish hardly matters.
    """

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        scored = [trial for trial in history.finished if trial.val_accuracy is not None]
        if len(scored) < FIRST:
            return self.anything(history, rng)
        alive = scored[-POPULATION:]
        return child(self, history, _tournament(alive, rng), _tournament(alive, rng), rng)


def _tournament(alive: Sequence[Trial], rng: random.Random) -> Trial:
    return max(rng.sample(alive, min(SAMPLE, len(alive))), key=merit)
