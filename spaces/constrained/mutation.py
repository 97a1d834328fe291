"""Mutation: architectures one decision apart, crossover of two, and repair of what breaks the budget."""

import math
import random
from collections.abc import Iterator
from typing import Any

from ..architectures.budget import LATENCY
from ..blocks.base import ShapeError
from ..search_space.space import Decisions, Space
from .constrained_space import ConstrainedSpace

MAX_REPAIR_STEPS = 100  # decisions that a repair may change before it gives up


def complete_decisions(space: Space, wanted: Decisions, rng: random.Random) -> tuple[dict[str, int], dict[str, int]]:
    """Complete ``wanted``: drop the decisions that no longer apply and draw those that are missing by ``rng``.

    Returns the decisions and, for each, the number of its options.
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
    """Every result of changing one decision; decisions that then newly apply are drawn by ``rng``."""
    _, counts = complete_decisions(space, decisions, rng)
    for path, count in counts.items():
        for index in range(count):
            if index != decisions[path]:
                yield complete_decisions(space, {**decisions, path: index}, rng)[0]


def mutate(constrained: ConstrainedSpace, decisions: Decisions, rng: random.Random) -> dict[str, int] | None:
    """A neighbour inside the budget, drawn evenly; None where there is none."""
    _, counts = complete_decisions(constrained.space, decisions, rng)
    changes = [(path, index) for path, count in counts.items() for index in range(count) if index != decisions[path]]
    rng.shuffle(changes)
    mutants = (complete_decisions(constrained.space, {**decisions, path: index}, rng)[0] for path, index in changes)
    return next((mutant for mutant in mutants if violation(constrained, mutant) == 0), None)


def crossover(
    constrained: ConstrainedSpace, mother: Decisions, father: Decisions, rng: random.Random
) -> dict[str, int] | None:
    """A child inside the budget with each decision from one of its parents; None where it cannot be repaired."""
    child = {path: rng.choice([p for p in (mother, father) if path in p])[path] for path in {**mother, **father}}
    return repair(constrained, complete_decisions(constrained.space, child, rng)[0], rng)


def repair(constrained: ConstrainedSpace, decisions: Decisions, rng: random.Random) -> dict[str, int] | None:
    """The decisions inside the budget that are reached by changing, again and again, the one that helps most.

    Decisions inside the budget come back as they are. None where no single change helps any more.
    """
    current, distance = dict(decisions), violation(constrained, decisions)
    for _ in range(MAX_REPAIR_STEPS):
        if distance == 0:
            return current
        changed = [
            (violation(constrained, one), rng.random(), one) for one in neighbours(constrained.space, current, rng)
        ]
        nearest, _, best = min(changed, default=(math.inf, 0.0, {}))
        if nearest >= distance:
            return None
        current, distance = best, nearest
    return None


def violation(constrained: ConstrainedSpace, decisions: Decisions) -> float:
    """Constraint violation: the sum over the limits of the log of the factor too much or too little; 0 inside.

    Infinite where the blocks do not fit together.
    """
    try:
        architecture = constrained.space.architecture(decisions)
    except ShapeError:
        return math.inf
    cost, total = architecture.cost.at(constrained.batch_size), 0.0
    for name, (low, high) in constrained.limits.items():
        value = max(constrained.latency_ns(architecture) if name == LATENCY else getattr(cost, name), 1)
        if high is not None and value > high:
            total += math.log(value / max(high, 0.5))
        if value < low:
            total += math.log(low / value)
    return total
