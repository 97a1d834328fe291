"""The forecast of a search before it starts (``--dry-run``). It does not start Ray and writes nothing."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ...models.data.shapes import OWN_IMAGES
from ...models.process.cores import usable_cores
from ...spaces.architectures.budget import format_count
from ...spaces.architectures.cost import cost
from ...spaces.blocks.backbone import Backbone
from ...spaces.blocks.layers import Branches, Layer
from ...spaces.constrained.sampling import count, sample_one
from ...spaces.parameters.domains import Choice, Range
from ...spaces.parameters.task_kinds import CLASSIFICATION
from ...spaces.recipes.recipe import NOT_FOR_HEAD, SUFFICIENT_LR_DECAY
from ..cluster.threads import trial_threads
from ..config.duration import parse_duration
from ..config.selecting_metric import check_packages
from ..searchers.recipe_sampling import draw_recipe
from ..tasks.base import data_notes
from .experiment import Experiment
from .network_settings import decoding_notes

if TYPE_CHECKING:
    from ...models.data.dataset import ImageData
    from ...models.training.distillation import Teacher
    from ...results.database.records import DatasetRecord
    from ...spaces.recipes.recipe import Recipe

N_MEMORY_SAMPLES = 64  # architectures whose memory is predicted
ALWAYS_UNKNOWN = (
    "how much trials on the same machine slow each other down",
    "the start of Ray and its workers, a few seconds",
)
N_TIMED_NETWORKS = 3
TIMED_IMAGES = 1_024  # training images of a timed epoch; larger data sets are extrapolated
MAX_TIMING_S = 15.0  # no further network is timed after this
LONG_S = 3600.0  # a longer search is noted
MIN_LIMIT_PER_CLASS = 10  # images; data.limit is not recommended below
MIN_SIDE = 16  # pixels; data.image_size is not recommended below


def notes(experiment: Experiment) -> list[str]:
    """Return warnings: paths, lists of one value, keys without effect, learning rates that hardly fall, schedulers."""
    parameters = experiment.recipes.free_parameters
    texts = [
        *experiment.path_notes,
        *decoding_notes(experiment.file.space, experiment.file.data),
        *(
            f"recipe.{name} is a list with one value, so it is fixed"
            for name, parameter in parameters.items()
            if _single(parameter)
        ),
    ]
    entries = dict(experiment.recipes.entries)
    if (
        "lr_end" in entries
        and _largest(entries["lr_end"]) > SUFFICIENT_LR_DECAY
        and "constant" not in _options(entries)
    ):
        texts.append(
            f"recipe.lr_end may be {_largest(entries['lr_end']):g}: a schedule that ends above a hundredth of its "
            "start often costs accuracy; use 0.01 or less"
        )
    if "constant" in _options(entries):
        texts.append(
            'recipe.schedule may be "constant": then the learning rate does not fall; "cosine" ends at a hundredth'
        )
    texts += _without_effect(experiment, entries)
    search = experiment.file.search
    if search.scheduler in ("asha", "median") and search.grace_epochs == experiment.recipes.largest("epochs"):
        texts.append(
            f"{search.scheduler} stops no trial, because search.grace_epochs is the last epoch; use a smaller number"
        )
    return texts


def _without_effect(experiment: Experiment, entries: Mapping[str, Any]) -> Iterator[str]:
    """Yield notes on recipe keys that are set and have no effect in any trial."""
    if entries.get("train") == "head":
        unused = [name for name in entries if name in NOT_FOR_HEAD]
        if unused:
            yield (
                f'recipe.{", ".join(unused)}: no effect, because train = "head" trains on features of unchanged '
                'images; leave out, or add "all" to train'
            )
    elif entries.get("drop_path", 0.0) != 0.0 and not _has_residuals(experiment):
        yield (
            f"recipe.drop_path: no effect, because none of {N_MEMORY_SAMPLES} random networks of the space has "
            "residual blocks"
        )


def _has_residuals(experiment: Experiment) -> bool:
    """Return whether one of some random networks has residual blocks, or is one of timm or torchvision."""
    rng = random.Random(0)
    networks = (sample_one(experiment.constrained, rng) for _ in range(N_MEMORY_SAMPLES))
    return any(_is_residual(layer) for network in networks for placed in network.walk() for layer in placed.layers)


def _is_residual(layer: Layer) -> bool:
    if isinstance(layer, Branches):
        return layer.join == "add" or any(_is_residual(inner) for chain in layer.chains for inner in chain)
    return isinstance(layer, Backbone)


def _single(parameter: object) -> bool:
    return isinstance(parameter, Choice) and len(parameter.options) == 1


def _largest(entry: object) -> float:
    """Return the largest value of a recipe entry: a number, a choice or a range."""
    match entry:
        case Choice(options=options):
            return max(map(float, options))
        case Range(high=high):
            return float(high)
    return float(entry)  # type: ignore[arg-type]


def _options(entries: dict[str, object]) -> tuple[object, ...]:
    """Return the schedules that the search can choose."""
    schedule = entries.get("schedule")
    return schedule.options if isinstance(schedule, Choice) else (schedule,)


def forecast(experiment: Experiment, name: str, *, elsewhere: bool = False) -> dict[str, Any]:
    """Return what the search ``experiment`` will do under the run name ``name``, as values that JSON can encode.

    Loads the data and times a few networks. Where the trials run on GPUs or ``elsewhere`` (on a cluster), ``seconds``
    is None and ``unknown`` has the reason. Raises the errors that the search itself raises before it starts Ray.
    """
    file, constrained = experiment.file, experiment.constrained
    check_packages(experiment.selection)
    data, record = experiment.task.load(file, write=False)
    storage = getattr(data, "storage", None)  # zero-shot data are always in memory
    counted = count(constrained)
    memory = sorted(cost(one, constrained.batch_size).memory_bytes for one in _samples(experiment, N_MEMORY_SAMPLES))
    concurrent, reason = _concurrent(experiment, elsewhere)
    report = {
        "run": name,
        "space": constrained.space.name,
        "size": constrained.size,
        "budget": str(experiment.budget),
        "feasible": counted.value,
        "feasible_low": counted.low,
        "feasible_high": counted.high,
        "feasible_method": counted.method,
        "feasible_share": counted.value / constrained.size,
        "trials": file.search.trials,
        "searcher": file.search.searcher,
        "scheduler": file.search.scheduler,
        "epochs": experiment.recipes.largest("epochs"),
        "searched": list(experiment.recipes.free_parameters),
        "first": _default_recipe(experiment) if experiment.starts_with_default_recipe else {},
        "data": {
            "name": record.name,
            "path": file.data.path,
            "texts": file.data.texts,
            "n_train": record.n_train,
            "n_val": record.n_val,
            "n_test": record.n_test,
        },
        "storage": None if storage is None else asdict(storage),
        "memory_bytes": {"least": memory[0], "median": memory[len(memory) // 2], "most": memory[-1], "n": len(memory)},
        "concurrent": concurrent,
    }
    time = _time(experiment, data, record, concurrent, reason)
    texts = [*_notes(experiment, counted.high), *data_notes(experiment.task.images(data))]
    return {**report, "notes": [*texts, *_long_search_notes(experiment, time["seconds"], record)], **time}


def _long_search_notes(
    experiment: Experiment, seconds: dict[str, float] | None, record: "DatasetRecord"
) -> Sequence[str]:
    """Return a warning if the search takes more than an hour, with values of keys that bring it to about an hour."""
    file, limit = experiment.file, experiment.file.search.time_limit
    if seconds is None or seconds["median"] <= LONG_S or (limit is not None and parse_duration(limit) <= LONG_S):
        return ()
    share, n_train = LONG_S / seconds["median"], record.n_train or 0
    whole = {
        "search.trials": file.search.trials,
        "recipe.epochs": experiment.recipes.largest("epochs"),
        "data.limit": n_train if n_train * share >= MIN_LIMIT_PER_CLASS * (record.n_classes or 0) else 0,
    }
    cures = ['search.time_limit = "1h"']
    cures += [f"{key} = {int(value * share)}" for key, value in whole.items() if int(value * share) >= 1]
    if file.data.name in OWN_IMAGES and file.data.image_size is not None:
        # the work of convolutions grows with the number of pixels
        side = int(file.data.image_size * share**0.5)
        cures += [f"data.image_size = {side}"] if side >= MIN_SIDE else []
    return (
        f"the search takes about {_duration(seconds['median'])}, more than an hour; each of these keys alone brings it "
        f"to about an hour: {', '.join(cures)}",
    )


def _default_recipe(experiment: Experiment) -> dict[str, Any]:
    """Return the searched recipe keys with the values of the first trial."""
    from ..searchers.initial_designs import default_recipe

    recipe = default_recipe(experiment.recipes)
    return {name: getattr(recipe, name) for name in experiment.recipes.free_parameters}


def _samples(experiment: Experiment, n: int) -> list[Any]:
    rng = random.Random(experiment.file.search.seed)
    return [sample_one(experiment.constrained, rng) for _ in range(n)]


def _concurrent(experiment: Experiment, elsewhere: bool) -> tuple[int | None, str]:
    """Return how many trials run at a time on the cores of this machine; None and the reason where it is unknown."""
    resources = experiment.file.resources
    if elsewhere:
        return None, "the time: the trials run on a cluster, which a dry run does not contact"
    if resources.gpus:
        return None, "the time: the trials run on GPUs, which a dry run does not use"
    cores = usable_cores()
    n_fitting = int(cores / resources.cpus_per_trial)
    if n_fitting == 0:
        return (
            None,
            f"the time: a trial needs {resources.cpus_per_trial:g} cores, but this process has {cores}",
        )
    return min(n_fitting, resources.max_concurrent or n_fitting, experiment.file.search.trials), ""


def _notes(experiment: Experiment, feasible: int) -> list[str]:
    """Return the warnings of :func:`notes`, and one where the space has fewer candidates than the search has trials."""
    from ..searchers.recipe_sampling import all_recipes, finite

    search, texts = experiment.file.search, notes(experiment)
    if finite(experiment.recipes):
        # no more recipes than trials are counted: their number is a product that can be very large
        candidates = feasible * sum(1 for _ in islice(all_recipes(experiment.recipes), search.trials))
        if candidates < search.trials:
            texts.append(
                f"the search ends early: there are only {candidates:,} pairs of network and recipe for "
                f"{search.trials:,} trials"
            )
    return texts


def _time(
    experiment: Experiment, data: Any, record: "DatasetRecord", concurrent: int | None, reason: str
) -> dict[str, Any]:
    """Return the ``seconds`` of the whole search, how they were estimated, and what they do not include."""
    if experiment.task.name != CLASSIFICATION:
        reason = reason or "the time: networks for zero-shot data are not timed"
    if experiment.file.train.function is not None:
        reason = reason or "the time: networks that a custom function trains are not timed"
    if reason or concurrent is None:
        return {"seconds": None, "seconds_from": None, "unknown": [reason]}

    search = experiment.file.search
    seconds = epoch_seconds(experiment, data)
    if not seconds:
        return {
            "seconds": None,
            "seconds_from": None,
            "unknown": ["the time: training diverged for every sampled network"],
        }
    scale = experiment.recipes.largest("epochs") * search.trials * (search.folds or 1) / concurrent
    spread = {"least": min(seconds), "median": median(seconds), "most": max(seconds)}
    return {
        "seconds": {name: value * scale for name, value in spread.items()},
        "seconds_from": (
            f"an epoch of {len(seconds)} networks sampled within the budget, timed on at most {TIMED_IMAGES:,} of "
            f"{record.n_train:,} training images, times {experiment.recipes.largest('epochs')} epochs and "
            f"{search.trials:,} trials, {concurrent} at a time"
        ),
        "unknown": [*_unknown(experiment), *_unknown_decoding(data.storage.kind), *ALWAYS_UNKNOWN],
    }


def _unknown(experiment: Experiment) -> list[str]:
    search = experiment.file.search
    parts = {
        f"how many trials {search.scheduler} stops early": search.scheduler != "none",
        "how many results are reused from earlier runs": search.cache,
        "the time to compute proxies": bool(search.proxies or search.warmup),
        "the time to measure networks for the latency limit": experiment.budget.latency_ms is not None,
    }
    return [part for part, applies in parts.items() if applies]


def _unknown_decoding(storage: str) -> list[str]:
    return {
        "cache": ["the time to decode the images into the cache, if it does not exist yet"],
        "stream": ["the time to decode each batch during the training"],
    }.get(storage, [])


def forecast_lines(report: dict[str, Any]) -> Sequence[str]:
    """Return the lines of text for a forecast."""
    # large spaces are counted by sampling, with an interval
    exact = "" if report["feasible_low"] == report["feasible_high"] else "about "
    data, memory, seconds = report["data"], report["memory_bytes"], report["seconds"]
    searched = ", ".join(report["searched"]) or "nothing, because the recipe is fixed"
    default = ", ".join(f"{name} {value}" for name, value in report["first"].items())
    first = f"; the first trial has the default {default}" if default else ""
    lines = [
        f"run {report['run']!r}: {report['trials']:,} trials of at most {report['epochs']} epochs "
        f"by {report['searcher']}, scheduler {report['scheduler']}",
        f"data:   {data['name']}, {data['n_train']:,} images to train, {data['n_val']:,} to validate, "
        f"{data['n_test'] or 0:,} to test",
        *(f"        {key}: {data[key]}" for key in ("path", "texts") if data[key] is not None),
        *_storage_lines(report["storage"]),
        f"space:  {report['space']}, {report['size']:,} distinct architectures; budget: {report['budget']}",
        f"inside: {exact}{report['feasible']:,}, a share of {report['feasible_share']:.3g}",
        f"recipe: the search varies {searched}{first}",
        f"memory: {_bytes(memory['least'])} to {_bytes(memory['most'])} to train a network, median "
        f"{_bytes(memory['median'])}: predicted for the tensors of {memory['n']} networks sampled within the budget",
    ]
    if seconds:
        lines += [
            f"time:   about {_duration(seconds['median'])} "
            f"({_duration(seconds['least'])} to {_duration(seconds['most'])})",
            f"        {report['seconds_from']}",
        ]
    lines += [f"unknown: {part}" for part in report["unknown"]] + [f"note: {note}" for note in report["notes"]]
    return [*lines, "nothing was started or written; run the command without --dry-run to start the search"]


def _storage_lines(storage: dict[str, Any] | None) -> list[str]:
    return [] if storage is None else [f"stored: {storage['kind']}, because {storage['reason']}"]


def _bytes(value: int) -> str:
    return f"{format_count(value)}B"


def _duration(seconds: float) -> str:
    """Return seconds in days, hours, minutes or seconds."""
    for unit, factor in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * factor:
            return f"{seconds / factor:.1f} {unit}"
    return f"{seconds:.0f} s"


def epoch_seconds(experiment: Experiment, data: "ImageData") -> list[float]:
    """Return the seconds of an epoch over all of ``data`` for each of a few networks within the budget.

    Measured with the number of threads of a trial, on at most :data:`TIMED_IMAGES` training images and the same
    fraction of the validation images, and scaled to all images. Networks whose training diverges are left out.
    """
    from ...models.export.teacher import Teachers

    rng, subset, started, seconds = random.Random(0), _subset(data), perf_counter(), list[float]()
    teachers = Teachers(subset)
    # the number of threads of a trial: more threads would make the estimate too small
    with trial_threads(experiment.file.resources):
        for _ in range(N_TIMED_NETWORKS):
            recipe = draw_recipe(experiment.recipes, rng)
            elapsed = _epoch_seconds(experiment, subset, recipe, teachers.of(recipe), rng)
            if elapsed is not None:
                seconds.append(elapsed * len(data.train) / len(subset.train))
            if perf_counter() - started > MAX_TIMING_S:
                break
    return seconds


def _subset(data: "ImageData") -> "ImageData":
    import torch

    n = min(TIMED_IMAGES, len(data.train))
    n_val = max(1, round(n * len(data.val) / len(data.train)))
    return replace(data, train=data.train.take(torch.arange(n)), val=data.val.take(torch.arange(n_val)), test=None)


def _epoch_seconds(
    experiment: Experiment, data: "ImageData", recipe: "Recipe", teacher: "Teacher | None", rng: random.Random
) -> float | None:
    """Return the seconds of the second epoch, else of the first; None where the network diverges in its first.

    Where there are two epochs, the first one is a warm-up.
    """
    from ...models.networks.build import build_for
    from ...models.training.epoch import Diverged
    from ...models.training.trainer import Fit

    network = build_for(sample_one(experiment.constrained, rng), recipe, seed=0)
    fit = Fit(network, data, recipe, seed=0, custom=experiment.custom, teacher=teacher)
    elapsed = None
    try:
        for _ in range(min(2, recipe.epochs)):
            started = perf_counter()
            fit.step()
            elapsed = perf_counter() - started
    except Diverged:
        return elapsed
    return elapsed
