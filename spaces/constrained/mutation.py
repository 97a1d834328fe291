"""Neighbours: architectures one decision apart, and the way from outside a budget to the inside."""

import math
import random
from collections.abc import Iterator
from typing import Any

from ..architectures.budget import LATENCY
from ..architectures.cost import cost
from ..blocks.base import ShapeError
from ..search_space.space import Decisions, Space
from .constrained_space import ConstrainedSpace

STEPS = 100  # decisions that a repair may change before it gives up
OUTSIDE = math.inf


def settle(space: Space, wanted: Decisions, rng: random.Random) -> tuple[dict[str, int], dict[str, int]]:
    """``wanted`` made whole: decisions that no longer apply dropped, those that are new drawn by ``rng``.

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
    """Every way to change one decision; what then newly applies is drawn by ``rng``."""
    _, counts = settle(space, decisions, rng)
    for path, count in counts.items():
        for index in range(count):
            if index != decisions[path]:
                yield settle(space, {**decisions, path: index}, rng)[0]


def mutate(sieve: ConstrainedSpace, decisions: Decisions, rng: random.Random) -> dict[str, int] | None:
    """A neighbour inside the budget, drawn evenly; None where there is none."""
    _, counts = settle(sieve.space, decisions, rng)
    changes = [(path, index) for path, count in counts.items() for index in range(count) if index != decisions[path]]
    rng.shuffle(changes)
    ways = (settle(sieve.space, {**decisions, path: index}, rng)[0] for path, index in changes)
    return next((way for way in ways if excess(sieve, way) == 0), None)


def cross(sieve: ConstrainedSpace, mother: Decisions, father: Decisions, rng: random.Random) -> dict[str, int] | None:
    """A child inside the budget with each decision from one of its parents; None where it cannot be repaired."""
    child = {path: rng.choice([p for p in (mother, father) if path in p])[path] for path in {**mother, **father}}
    return repair(sieve, settle(sieve.space, child, rng)[0], rng)


def repair(sieve: ConstrainedSpace, decisions: Decisions, rng: random.Random) -> dict[str, int] | None:
    """The decisions inside the budget that are reached by changing, again and again, the one that helps most.

    Decisions inside the budget come back as they are. None where no single change helps any more.
    """
    current, distance = dict(decisions), excess(sieve, decisions)
    for _ in range(STEPS):
        if distance == 0:
            return current
        ways = [(excess(sieve, way), rng.random(), way) for way in neighbours(sieve.space, current, rng)]
        nearest, _, way = min(ways, default=(OUTSIDE, 0.0, {}))
        if nearest >= distance:
            return None
        current, distance = way, nearest
    return None


def excess(sieve: ConstrainedSpace, decisions: Decisions) -> float:
    """How far outside the budget: the sum over its limits of the log of the factor too much or too little; 0 inside.

    Infinite where the blocks do not fit together.
    """
    try:
        architecture = sieve.space.architecture(decisions)
    except ShapeError:
        return OUTSIDE
    price, total = cost(architecture, sieve.batch_size), 0.0
    for name, (low, high) in sieve.limits.items():
        value = max(sieve.latency_ns(architecture) if name == LATENCY else getattr(price, name), 1)
        if high is not None and value > high:
            total += math.log(value / max(high, 0.5))
        if value < low:
            total += math.log(low / value)
    return total
