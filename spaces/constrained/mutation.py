"""Mutation and crossover of decisions, and repair of decisions that break the budget."""

import math
import random
from collections.abc import Iterator
from typing import Any

from ..blocks.base import ShapeError
from ..search_space.space import Decisions, Space
from .constrained_space import ConstrainedSpace

MAX_REPAIR_STEPS = 100  # number of decisions that a repair may change before it gives up


def complete_decisions(space: Space, wanted: Decisions, rng: random.Random) -> tuple[dict[str, int], dict[str, int]]:
    """Complete the decisions ``wanted``: remove those that do not apply and draw missing ones at random.

    Returns the decisions and, for each path, its number of options.
    """
    decisions: dict[str, int] = {}
    counts: dict[str, int] = {}

    def pick(path: str, options: tuple[Any, ...]) -> int:
        counts[path] = len(options)
        decisions[path] = wanted[path] if wanted.get(path, len(options)) < len(options) else rng.randrange(len(options))
        return decisions[path]

    space.fill(pick)
    return decisions, counts


def neighbours(space: Space, decisions: Decisions, rng: random.Random) -> Iterator[dict[str, int]]:
    """Yield every result of changing one decision; decisions that newly apply are drawn at random."""
    _, counts = complete_decisions(space, decisions, rng)
    for path, count in counts.items():
        for index in range(count):
            if index != decisions[path]:
                yield complete_decisions(space, {**decisions, path: index}, rng)[0]


def mutate(constrained: ConstrainedSpace, decisions: Decisions, rng: random.Random) -> dict[str, int] | None:
    """Return a random neighbour inside the budget, each equally likely; None if there is none."""
    _, counts = complete_decisions(constrained.space, decisions, rng)
    # in random order and lazily: the first change that fits is taken, and the others are not evaluated
    changes = [(path, index) for path, count in counts.items() for index in range(count) if index != decisions[path]]
    rng.shuffle(changes)
    mutants = (complete_decisions(constrained.space, {**decisions, path: index}, rng)[0] for path, index in changes)
    return next((mutant for mutant in mutants if violation(constrained, mutant) == 0), None)


def crossover(
    constrained: ConstrainedSpace, mother: Decisions, father: Decisions, rng: random.Random
) -> dict[str, int] | None:
    """Return a child inside the budget with each decision from a random parent; None if its repair fails."""
    # a decision that only one parent has comes from that parent
    child = {path: rng.choice([p for p in (mother, father) if path in p])[path] for path in {**mother, **father}}
    return repair(constrained, complete_decisions(constrained.space, child, rng)[0], rng)


def repair(constrained: ConstrainedSpace, decisions: Decisions, rng: random.Random) -> dict[str, int] | None:
    """Change one decision at a time, each time the one that reduces the violation most, until the budget is met.

    Returns decisions that are already inside the budget unchanged, and None if no single change reduces the violation.
    """
    current, current_violation = dict(decisions), violation(constrained, decisions)
    for _ in range(MAX_REPAIR_STEPS):
        if current_violation == 0:
            return current
        # the random number breaks ties, because dicts cannot be compared
        candidates = [
            (violation(constrained, neighbour), rng.random(), neighbour)
            for neighbour in neighbours(constrained.space, current, rng)
        ]
        best_violation, _, best = min(candidates, default=(math.inf, 0.0, {}))
        if best_violation >= current_violation:
            return None
        current, current_violation = best, best_violation
    return None


def violation(constrained: ConstrainedSpace, decisions: Decisions) -> float:
    """Return the constraint violation: 0 inside the budget, infinite if the blocks do not fit together.

    It is the sum over the broken limits of log(value / upper limit) or log(lower limit / value), so that costs of
    different magnitudes count equally.
    """
    try:
        architecture = constrained.space.architecture(decisions)
    except ShapeError:
        return math.inf
    total = 0.0
    for name, cost in constrained.limited_values(architecture).items():
        low, high = constrained.all_limits[name]
        value = max(cost, 1)  # because the logarithm of 0 does not exist
        if high is not None and value > high:
            total += math.log(value / max(high, 0.5))
        if value < low:
            total += math.log(low / value)
    return total
