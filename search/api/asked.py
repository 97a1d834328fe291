"""A trial of a custom training loop, and its record as searchers read it."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ...results.database.records import FailKind, Trial, TrialState
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.budget import FLASH, RAM
from ...spaces.architectures.cost import cost
from ...spaces.recipes.recipe import Recipe
from ..searchers.base import Proposal
from .arguments import brief


@dataclass(frozen=True)
class Asked:
    """A trial to train: an architecture inside the budget and the recipe to train it with.

    ``number`` counts the trials from 0. ``seed`` is the seed for the initial weights and the order of batches.
    """

    number: int
    seed: int
    proposal: Proposal

    @property
    def architecture(self) -> Architecture:
        """The architecture."""
        return self.proposal.architecture

    @property
    def recipe(self) -> Recipe:
        """The recipe."""
        return self.proposal.recipe

    @property
    def choices(self) -> Mapping[str, int]:
        """The index of the chosen option, by the path of each choice, such as ``"2.residual.width"``."""
        return self.proposal.choices


def signed(value: float, direction: str) -> float:
    """Return the value to maximise."""
    return value if direction == "maximize" else -value


def running_trial(asked: Asked, device: Mapping[str, int], batch_size: int | None) -> Trial:
    """Return ``asked`` as a running trial of a history; ``device`` has its RAM and flash, if they are known."""
    architecture = asked.architecture
    costs = cost(architecture) if batch_size is None else cost(architecture, batch_size)
    return Trial(
        trial=asked.number,
        run="ask_tell",
        number=asked.number,
        state=TrialState.RUNNING,
        fingerprint=architecture.fingerprint,
        architecture=architecture.to_json(),
        choices=asked.proposal.choices,
        recipe=asked.recipe.to_json(),
        seed=asked.seed,
        params=costs.params,
        macs=costs.macs,
        activations=costs.activations,
        memory_bytes=costs.memory_bytes,
        ram_bytes=device.get(RAM),
        flash_bytes=device.get(FLASH),
    )


def ended_trial(trial: Trial, value: float | None, direction: str, latency_ms: float | None = None) -> Trial:
    """Return ``trial`` with its value, as an accuracy; failed without one."""
    if value is None or math.isnan(value):
        return replace(trial, state=TrialState.FAILED, fail_kind=FailKind.USER_ERROR)
    fraction = as_fraction(signed(value, direction))
    return replace(
        trial,
        state=TrialState.COMPLETED,
        epochs_done=trial.recipe["epochs"],
        val_accuracy=fraction,
        latency_ms=latency_ms,
    )


def number_of(value: Any) -> float | None:
    """Return the value of a trial as a float: also a NumPy number, and a tensor of one element."""
    if value is None:
        return None
    if not isinstance(value, str | bytes):  # float() accepts texts such as "0.5", too
        with suppress(TypeError, ValueError, RuntimeError):  # torch has raised each of them for several elements
            return float(value)
    raise TypeError(
        f"the value of a trial must be one number, or None for a failed trial, but got {brief(value)}; "
        "write tell(trial, 0.93)"
    )


def as_fraction(value: float) -> float:
    """Return a number from 0 to 1 in the order of the values: searchers use only the order of accuracies.

    The logarithm keeps neighbours apart that are large, such as sizes in bytes.
    """
    size = 1.0 if math.isinf(value) else math.log1p(abs(value)) / (1 + math.log1p(abs(value)))
    return 0.5 + 0.5 * math.copysign(size, value)
