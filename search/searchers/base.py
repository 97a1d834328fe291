"""The interface of a searcher, and the proposal that it returns."""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from ...results.database.records import History
from ...spaces.architectures.architecture import Architecture
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.search_space.encoding import decisions_of
from .unexplored import Unexplored


@dataclass(frozen=True)
class Proposal:
    """The next trial to run: an architecture inside the budget, its training recipe and its decisions.

    ``choices`` maps the path of each choice of the space to the index of the selected option. Raises ``TypeError`` if
    a field has the wrong type, ``ValueError`` if an index is negative.
    """

    architecture: Architecture
    recipe: Recipe
    choices: Mapping[str, int]

    def __post_init__(self) -> None:
        if not isinstance(self.architecture, Architecture) or not isinstance(self.recipe, Recipe):
            raise TypeError(
                "a proposal holds an Architecture and a Recipe, but got "
                f"{type(self.architecture).__name__} and {type(self.recipe).__name__}; build them with from_json"
            )
        for path, index in self.choices.items():
            if type(index) is not int:
                raise TypeError(f"choices[{path!r}] must be the index of an option, but got {index!r}; pass an int")
            if index < 0:
                raise ValueError(f"choices[{path!r}] must be at least 0, but got {index}; pass the index of an option")

    @property
    def key(self) -> tuple[str, Recipe]:
        """The identity of the trial: two proposals with equal keys are the same trial."""
        return self.architecture.fingerprint, self.recipe


def proposal_rng(seed: int, number: int) -> random.Random:
    """Return the generator for the proposal of trial ``number``.

    It is new for each trial: the state of a single one for the run would be lost in an interruption.
    """
    return random.Random(f"{seed}/{number}")


def trial_seed(seed: int, number: int) -> int:
    """Return the seed of the weights and batches of trial ``number``: below 2**31, the same on every machine."""
    return random.Random(f"trial {seed}/{number}").getrandbits(31)


def check_inside_budget(constrained: ConstrainedSpace, architecture: Architecture, searcher: str) -> None:
    """Raise ``ValueError`` for a proposal of ``searcher`` outside the budget, a hard limit for custom searchers too."""
    if not constrained.allows(architecture):
        raise ValueError(
            f"a searcher must propose architectures inside the budget {constrained.budget}, but {searcher} proposed "
            f"{architecture}; correct its ask()"
        )


class Searcher(ABC):
    """Base class of searchers: proposes the next trial from the history alone.

    A resumed search builds a new searcher, passes it the same history and gets the same proposals. A searcher may
    therefore keep only caches between two calls: values that it can compute again from the history.

    A searcher never proposes an architecture outside the constrained space, and never an (architecture, recipe) pair
    that is in the history. It proposes no architecture twice before it has proposed every feasible one.
    """

    def __init__(self, constrained: ConstrainedSpace, recipes: RecipeSpace) -> None:
        self.constrained = constrained
        self.recipes = recipes
        self.unexplored = Unexplored(constrained, recipes)

    @abstractmethod
    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        """Return the next proposal, or None if no new trial is left; ``rng`` is the only source of randomness."""

    def propose(self, architecture: Architecture, recipe: Recipe) -> Proposal:
        """Return a proposal whose decisions are decoded from ``architecture``.

        Raises ``ValueError`` if the architecture is not in the space.
        """
        # decoding gives one architecture the same choices, no matter which searcher built it and how
        decisions = decisions_of(self.constrained.space, architecture)
        if decisions is None:
            raise ValueError(
                f"a proposal must be in the space {self.constrained.space.name!r}, but got {architecture}; propose an "
                "architecture of the space"
            )
        return Proposal(architecture, recipe, decisions)

    def random_proposal(self, history: History, rng: random.Random) -> Proposal | None:
        """Return the proposal of random search: uniform over the unexplored trials; None if none is left."""
        trial = self.unexplored.draw(history, rng)
        return None if trial is None else self.propose(*trial)
