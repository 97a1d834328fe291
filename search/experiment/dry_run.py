"""The forecast: what a search will do, told before it starts. It starts no Ray and writes nothing."""

import os
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ...spaces.architectures.budget import format_count
from ...spaces.architectures.cost import cost
from ...spaces.constrained.sampling import count, sample_one
from ...spaces.parameters.domains import Choice, Range
from ...spaces.parameters.task_kinds import CLASSIFICATION
from ...spaces.recipes.recipe import ENOUGH_DECAY
from ..cluster.threads import threads_of
from ..searchers.recipe_sampling import draw_recipe
from .experiment import Experiment

if TYPE_CHECKING:
    from ...models.data.dataset import ImageData
    from ...results.database.records import DatasetRecord
    from ...spaces.recipes.recipe import Recipe

DRAWN = 64  # architectures whose memory is predicted
ALWAYS_UNKNOWN = (
    "how much trials that share this machine slow each other down",
    "starting Ray and its workers, some seconds",
)
NETWORKS = 3
TIMED_IMAGES = 1_024
ENOUGH_S = 15.0  # no other network is timed after that


def notes(experiment: Experiment) -> list[str]:
    """Of ``experiment``: choices that are none, learning rates that hardly fall."""
    holes = experiment.recipes.holes
    found = [f"recipe.{name} is a list of one and so fixed" for name, hole in holes.items() if _single(hole)]
    entries = dict(experiment.recipes.entries)
    if "lr_end" in entries and _most(entries["lr_end"]) > ENOUGH_DECAY and "constant" not in _options(entries):
        found.append(
            f"recipe.lr_end may be {_most(entries['lr_end']):g}: a schedule that ends above a hundredth of its start "
            "leaves accuracy on the table more often than not; 0.01 or less is usual"
        )
    if "constant" in _options(entries):
        found.append('recipe.schedule may be "constant": the learning rate does not fall; "cosine" ends at a hundredth')
    search = experiment.file.search
    if search.scheduler in ("asha", "median") and search.grace_epochs == experiment.recipes.largest("epochs"):
        found.append(f"{search.scheduler} stops nobody: search.grace_epochs is the last epoch; lower it")
    return found


def _single(hole: object) -> bool:
    return isinstance(hole, Choice) and len(hole.options) == 1


def _most(entry: object) -> float:
    """The largest value that ``entry`` can take."""
    match entry:
        case Choice(options=options):
            return max(map(float, options))
        case Range(high=high):
            return float(high)
    return float(entry)  # type: ignore[arg-type]


def _options(entries: dict[str, object]) -> tuple[object, ...]:
    schedule = entries.get("schedule")
    return schedule.options if isinstance(schedule, Choice) else (schedule,)


def forecast(experiment: Experiment, name: str, *, elsewhere: bool = False) -> dict[str, Any]:
    """What the search ``experiment`` will do under ``name``, as JSON; its data are loaded and a few networks timed.

    ``seconds`` are None, and ``unknown`` says why, where the trials run on GPUs or ``elsewhere``, on a cluster.
    Raises what the search itself would raise before it starts Ray.
    """
    file, sieve = experiment.file, experiment.sieve
    data, record = experiment.task.load(file)
    counted = count(sieve)
    memory = sorted(cost(one, sieve.batch_size).memory_bytes for one in _drawn(experiment, DRAWN))
    concurrent, why = _concurrent(experiment, elsewhere)
    told = {
        "run": name,
        "space": sieve.space.name,
        "size": sieve.size,
        "budget": str(experiment.budget),
        "feasible": counted.value,
        "feasible_low": counted.low,
        "feasible_high": counted.high,
        "feasible_share": counted.value / sieve.size,
        "trials": file.search.trials,
        "searcher": file.search.searcher,
        "scheduler": file.search.scheduler,
        "epochs": experiment.recipes.largest("epochs"),
        "searched": list(experiment.recipes.holes),
        "first": _default_recipe(experiment) if experiment.starts_with_default_recipe else {},
        "data": {"name": record.name, "n_train": record.n_train, "n_val": record.n_val, "n_test": record.n_test},
        "memory_bytes": {"least": memory[0], "median": memory[len(memory) // 2], "most": memory[-1], "n": len(memory)},
        "concurrent": concurrent,
        "notes": _notes(experiment, counted.high),
    }
    return {**told, **_time(experiment, data, record, concurrent, why)}


def _default_recipe(experiment: Experiment) -> dict[str, Any]:
    """What of the recipe is searched, as the first trial has it."""
    from ..searchers.initial_designs import default_recipe

    recipe = default_recipe(experiment.recipes)
    return {name: getattr(recipe, name) for name in experiment.recipes.holes}


def _drawn(experiment: Experiment, n: int) -> list[Any]:
    rng = random.Random(experiment.file.search.seed)
    return [sample_one(experiment.sieve, rng) for _ in range(n)]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _concurrent(experiment: Experiment, elsewhere: bool) -> tuple[int | None, str]:
    """How many trials run at a time on this machine's cores; None with the reason where that cannot be said."""
    asked = experiment.file.resources
    if elsewhere:
        return None, "the time: the trials run on a cluster that is not asked"
    if asked.gpus:
        return None, "the time: the trials run on GPUs, and none is tried"
    most = int(_cores() / asked.cpus_per_trial)
    if most == 0:
        return None, f"the time: a trial asks for {asked.cpus_per_trial:g} cores, and here are {_cores()}"
    return min(most, asked.max_concurrent or most, experiment.file.search.trials), ""


def _notes(experiment: Experiment, feasible: int) -> list[str]:
    """What is worth knowing before one starts."""
    from ..searchers.recipe_sampling import all_recipes, finite

    search, found = experiment.file.search, notes(experiment)
    if finite(experiment.recipes):
        most = feasible * sum(1 for _ in islice(all_recipes(experiment.recipes), search.trials))
        if most < search.trials:
            found.append(f"there are {most:,} networks and recipes for {search.trials:,} trials: the search ends early")
    return found


def _time(
    experiment: Experiment, data: Any, record: "DatasetRecord", concurrent: int | None, why: str
) -> dict[str, Any]:
    """``seconds`` of the whole search, how they were found, and what they leave out."""
    if experiment.task.name != CLASSIFICATION:
        why = why or "the time: networks for zero-shot data are not timed"
    if why or concurrent is None:
        return {"seconds": None, "seconds_from": None, "unknown": [why]}

    search = experiment.file.search
    seconds = epoch_seconds(experiment, data)
    if not seconds:
        return {"seconds": None, "seconds_from": None, "unknown": ["the time: no network that was drawn could train"]}
    scale = experiment.recipes.largest("epochs") * search.trials * (search.folds or 1) / concurrent
    spread = {"least": min(seconds), "median": median(seconds), "most": max(seconds)}
    return {
        "seconds": {name: value * scale for name, value in spread.items()},
        "seconds_from": (
            f"an epoch of {len(seconds)} networks drawn from inside the budget, timed on at most {TIMED_IMAGES:,} of "
            f"{record.n_train:,} training images, times {experiment.recipes.largest('epochs')} epochs and "
            f"{search.trials:,} trials, {concurrent} at a time"
        ),
        "unknown": [*_unknown(experiment), *ALWAYS_UNKNOWN],
    }


def _unknown(experiment: Experiment) -> list[str]:
    search = experiment.file.search
    asked = {
        f"how many trials {search.scheduler} stops early": search.scheduler != "none",
        "how many trials are taken over from earlier runs": search.cache,
        "scoring by proxies": bool(search.proxies or search.warmup),
        "timing networks for the limit on latency": experiment.budget.latency_ms is not None,
    }
    return [said for said, holds in asked.items() if holds]


def forecast_lines(told: dict[str, Any]) -> Sequence[str]:
    """The forecast in words."""
    exact = "" if told["feasible_low"] == told["feasible_high"] else "about "
    data, memory, seconds = told["data"], told["memory_bytes"], told["seconds"]
    searched = ", ".join(told["searched"]) or "nothing, the recipe is fixed"
    usual = ", ".join(f"{name} {value}" for name, value in told["first"].items())
    first = f"; the first trial has the usual {usual}" if usual else ""
    lines = [
        f"run {told['run']!r}: {told['trials']:,} trials of at most {told['epochs']} epochs by {told['searcher']}, "
        f"scheduler {told['scheduler']}",
        f"data:   {data['name']}, {data['n_train']:,} images to train, {data['n_val']:,} to validate, "
        f"{data['n_test'] or 0:,} to test",
        f"space:  {told['space']}, {told['size']:,} distinct architectures; budget: {told['budget']}",
        f"inside: {exact}{told['feasible']:,}, a share of {told['feasible_share']:.3g}",
        f"recipe: searched are {searched}{first}",
        f"memory: {_bytes(memory['least'])} to {_bytes(memory['most'])} to train a network, median "
        f"{_bytes(memory['median'])}: predicted, tensors alone, of {memory['n']} drawn from inside the budget",
    ]
    if seconds:
        lines += [
            f"time:   about {_spell(seconds['median'])} ({_spell(seconds['least'])} to {_spell(seconds['most'])})",
            f"        {told['seconds_from']}",
        ]
    lines += [f"unknown: {said}" for said in told["unknown"]] + [f"note: {said}" for said in told["notes"]]
    return [*lines, "nothing was started or written; leave out --dry-run to begin"]


def _bytes(value: int) -> str:
    return f"{format_count(value)}B"


def _spell(seconds: float) -> str:
    """Seconds in the unit that a person would use."""
    for unit, factor in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * factor:
            return f"{seconds / factor:.1f} {unit}"
    return f"{seconds:.0f} s"


def epoch_seconds(experiment: Experiment, data: "ImageData") -> list[float]:
    """The seconds that an epoch over all of ``data`` would take, for each of a few networks inside the budget.

    Measured on at most :data:`TIMED_IMAGES` training images and as large a share of the validation images, with a
    trial's number of threads.
    """
    rng, few, started, seconds = random.Random(0), _few(data), perf_counter(), list[float]()
    with threads_of(experiment.file.resources):
        for _ in range(NETWORKS):
            timed = _timed(experiment, few, draw_recipe(experiment.recipes, rng), rng)
            if timed is not None:
                seconds.append(timed * len(data.train) / len(few.train))
            if perf_counter() - started > ENOUGH_S:
                break
    return seconds


def _few(data: "ImageData") -> "ImageData":
    import torch

    n = min(TIMED_IMAGES, len(data.train))
    n_val = max(1, round(n * len(data.val) / len(data.train)))
    return replace(data, train=data.train.take(torch.arange(n)), val=data.val.take(torch.arange(n_val)))


def _timed(experiment: Experiment, data: "ImageData", recipe: "Recipe", rng: random.Random) -> float | None:
    """Seconds of the second epoch, else of the first; None where the network diverges in its first."""
    from ...models.networks.build import build_for
    from ...models.training.epoch import Diverged
    from ...models.training.trainer import Fit

    fit = Fit(build_for(sample_one(experiment.sieve, rng), recipe, seed=0), data, recipe, seed=0)
    elapsed = None
    try:
        for _ in range(min(2, recipe.epochs)):
            started = perf_counter()
            fit.step()
            elapsed = perf_counter() - started
    except Diverged:
        return elapsed
    return elapsed
