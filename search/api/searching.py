"""Searches from Python: start a search from a file or from arguments, resume a run, and return the result."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...models.data.shapes import IMAGES, OWN_IMAGES, is_data_name
from ...models.readers.dataset_items import is_datasets
from ...results.analysis.differences import Winner
from ...results.analysis.intervals import Measured
from ...results.database.url import DatabaseLocation
from ...spaces.architectures.budget import Budget
from ...spaces.metrics.registry import Function as Metric
from ...spaces.metrics.registry import custom_metrics, register_metric
from ...spaces.networks.patterns import is_pattern
from ...spaces.parameters.domains import Choice, Range
from ...spaces.recipes.recipe import Recipe
from ...spaces.search_space.space import Space
from ..experiment.experiment import Experiment, experiment
from ..experiment.file_paths import resolve_given_paths
from ..experiment.search_file import load_experiment, parse, set_key
from ..plugins.references import reference_to
from ..post.teacher_trials import with_teacher_files
from ..runs.recorder import Recorder
from ..runs.session import RUNS, Outcome, resume, search
from .arguments import check_arguments
from .results import Trials

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from ...models.optimization.custom_parts import Loss, MakeOptimizer, TrainingFunction

Callback = Callable[[Recorder], None]
DEFAULT_IMAGE_SIZE = 64  # pixels a side: trains in minutes on a CPU, and most classes stay recognisable


class SearchFailedError(RuntimeError):
    """No trial of a search has a result; the message has the most common reason."""


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    ``best`` are the best trials inside the budget by the metric of the search, ``trials`` are all trials of the run.
    ``complete`` is False if the search was stopped before its last trial; ``reason`` is then the reason, and
    :func:`resume_search` continues the run. ``exhausted`` means that every architecture inside the budget was tried.
    ``out_of_time`` means that the time limit came before the last trial. ``measured`` is the selecting metric of the
    best trial with its 95 % interval. ``winner`` names the trials that are not distinguishable from the best one
    (``equals``) and the ``smallest`` of them.
    """

    run: str
    best: Trials
    trials: Trials
    complete: bool
    exhausted: bool
    seconds: float
    database: DatabaseLocation
    report: Path
    reason: str | None = None
    out_of_time: bool = False
    measured: Measured | None = None
    winner: Winner | None = None


def run_search(
    file: str | Path | None = None,
    *,
    data: "str | Path | Mapping[str, Any] | Dataset[Any] | None" = None,
    image_size: int | None = None,
    space: Space | str | Mapping[str, Any] | None = None,
    budget: Budget | Mapping[str, Any] | None = None,
    recipe: Recipe | Mapping[str, Any] | None = None,
    trials: int | None = None,
    time_limit: str | float | None = None,
    metric: str | Metric | None = None,
    direction: Literal["maximize", "minimize"] | None = None,
    record_metrics: Sequence[str] | None = None,
    train: "TrainingFunction | str | None" = None,
    loss: "Loss | str | None" = None,
    optimizer: "MakeOptimizer | str | None" = None,
    searcher: str | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    name: str | None = None,
    plugins: Sequence[str] = (),
    runs: str | Path = RUNS,
    database: str | Path | None = None,
    address: str | None = None,
    top: int = 5,
    callbacks: Iterable[Callback] = (),
) -> SearchResult:
    """Search for the best network under a budget. Arguments override the keys of the search file ``file``, if given.

    * ``data``: the name of a data set; a path or URL of own images (class folders, a manifest, tar shards, Parquet
      files, arrays); a map-style ``Dataset`` of torch, or a mapping of splits to them; or the table ``[data]``. Images
      are resized to ``image_size`` pixels a side, 64 by default.
    * ``space``: a :class:`Space`, the name of one, networks such as "timm:resnet*", or the table ``[space]``.
    * ``budget``: a :class:`Budget` or a mapping. ``recipe``: a :class:`Recipe`, or a mapping with lists and ranges.
    * ``time_limit``: the time of the search, such as "30m". ``runs``: the folder of all output and the database.
    * ``metric``: the validation metric that selects: a name, or a function of ``(labels, scores)`` with ``direction``,
      "maximize" (the default) or "minimize". ``record_metrics``: other metrics to record.
    * ``train``, ``loss``, ``optimizer``: functions, or "MODULE:NAME", that replace the training or these parts of it.
    * ``settings``: any other key of a search file. ``plugins``: modules with custom code. ``address``: a Ray cluster,
      "auto" or host:port. ``callbacks``: called with the recorder when a trial changes.

    Raises ``TypeError`` or ``ValueError`` for wrong arguments, :class:`SearchFailedError` if no trial has a result.
    """
    check_arguments("run_search", locals())
    given = {"trials": trials, "time_limit": time_limit, "searcher": searcher, "seed": seed}
    given |= _metric_keys(metric, direction, record_metrics)
    tables = _tables(data, image_size, space, budget, recipe, given) | _train_table(train, loss, optimizer)
    made = with_teacher_files(_experiment(file, tables, settings or {}, plugins), database, Path(runs))
    name, shown = name or made.file.name or _default_name(file, data), _all_of(callbacks)
    return _result(search(made, name=name, database=database, runs=runs, address=address, top=top, on_change=shown))


def resume_search(
    run: str,
    *,
    trials: int | None = None,
    time_limit: str | float | None = None,
    runs: str | Path = RUNS,
    database: str | Path | None = None,
    address: str | None = None,
    top: int = 5,
    allow_paths: bool = False,
    callbacks: Iterable[Callback] = (),
) -> SearchResult:
    """Continue a stopped or killed run from the last completed epoch of each trial; ``trials`` is the new total.

    ``time_limit`` replaces the one of the run, and is counted from now.
    ``allow_paths`` lets an imported run use the folders, files, URLs and commands that it names.
    Raises ``ValueError`` if the data have changed or the run is complete, and ``StoreError`` if another process drives
    the run.
    """
    check_arguments("resume_search", locals())
    outcome = resume(
        run,
        trials=trials,
        time_limit=time_limit,
        database=database,
        runs=runs,
        address=address,
        top=top,
        allow_paths=allow_paths,
        on_change=_all_of(callbacks),
    )
    return _result(outcome)


def _result(outcome: Outcome) -> SearchResult:
    if not outcome.best and outcome.out_of_time and outcome.stop is not None:
        raise SearchFailedError(f"run {outcome.run!r}: {outcome.stop.reason}")
    if not outcome.best and outcome.complete:
        total, failed = len(outcome.trials), len(outcome.failed)
        reason = f"{failed} of {total} trials failed, most often because of: {outcome.common_reason}"
        if not failed:
            reason = f"0 of {total} trials have a result inside the budget"
        raise SearchFailedError(f"run {outcome.run!r}: {reason}; see {outcome.report}")
    best = Trials.of(outcome.best, outcome.database)
    winner = outcome.winner
    if winner is not None:
        winner = replace(winner, best=best[0], equals=Trials.of(winner.equals, outcome.database))
    return SearchResult(
        run=outcome.run,
        best=best,
        measured=outcome.measured[0] if outcome.measured else None,
        winner=winner,
        trials=Trials.of(outcome.trials, outcome.database),
        complete=outcome.complete,
        exhausted=outcome.exhausted,
        seconds=outcome.seconds,
        database=outcome.database,
        report=outcome.report,
        reason=None if outcome.stop is None else outcome.stop.reason,
        out_of_time=outcome.out_of_time,
    )


def _train_table(train: Any, loss: Any, optimizer: Any) -> dict[str, dict[str, str]]:
    """Return the table [train] with the references of the functions that are given; none if there are none."""
    functions = {"function": ("train", train), "loss": ("loss", loss), "optimizer": ("optimizer", optimizer)}
    table = {
        key: given if isinstance(given, str) else reference_to(given, argument)
        for key, (argument, given) in functions.items()
        if given is not None
    }
    return {"train": table} if table else {}


def _metric_keys(
    metric: str | Metric | None, direction: str | None, record_metrics: Sequence[str] | None
) -> dict[str, Any]:
    names = [record_metrics] if isinstance(record_metrics, str) else record_metrics
    others = None if names is None else list(names)
    # the direction of a function is registered with it
    of_name = direction if metric is None or isinstance(metric, str) else None
    return {"metric": _metric_name(metric, direction), "direction": of_name, "record_metrics": others}


def _metric_name(metric: str | Metric | None, direction: str | None) -> str | None:
    """Return the name of a metric; a function that is not registered yet is registered under its own name."""
    if direction not in (None, "maximize", "minimize"):
        raise ValueError(f"direction must be 'maximize' or 'minimize', but got {direction!r}; use one of them")
    if metric is None or isinstance(metric, str):
        return metric
    for known in custom_metrics().values():
        if known.function is metric:
            _check_direction(known.name, known.higher_is_better, direction)
            return known.name
    name = str(getattr(metric, "__name__", metric))
    if name == "<lambda>":
        raise ValueError("metric must be a function with a name, but got a lambda; define it with def")
    register_metric(name, higher_is_better=direction != "minimize")(metric)
    return name


def _check_direction(name: str, higher_is_better: bool, direction: str | None) -> None:
    known = "maximize" if higher_is_better else "minimize"
    if direction not in (None, known):
        raise ValueError(
            f"metric {name!r} is registered with direction {known!r}, but got {direction!r}; leave direction out"
        )


REPLACED = ("data", "space", "budget")  # an argument replaces the whole table: its keys depend on each other


def _experiment(
    file: str | Path | None, tables: dict[str, dict[str, Any]], settings: Mapping[str, Any], plugins: Sequence[str]
) -> Experiment:
    """Return the checked experiment of ``file`` after ``tables`` and ``settings`` have overridden its keys."""

    def change(of_file: dict[str, Any]) -> None:
        for name, table in tables.items():
            of_file[name] = table if name in REPLACED else {**of_file.get(name, {}), **table}
        for key, value in settings.items():
            set_key(of_file, key, value, key)

    plugins = [plugins] if isinstance(plugins, str) else plugins
    if file is not None:
        return load_experiment(file, plugins=plugins, change=change)
    whole: dict[str, Any] = {}
    change(whole)
    resolve_given_paths(whole, Path.cwd())
    if plugins:
        whole["plugins"] = {"modules": list(plugins)}
    return experiment(parse(whole))


def _default_name(file: str | Path | None, data: Any) -> str | None:
    """Return the default name of a run: the name of its search file, or else of its data."""
    if file is not None:
        return Path(file).stem
    if not isinstance(data, str | Path):
        return None
    path = Path(data)
    return re.sub(r"[^A-Za-z0-9._-]", "-", path.stem if path.is_file() else path.name).lstrip("-.") or None


def _tables(
    data: Any, image_size: int | None, space: Any, budget: Any, recipe: Any, search: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the arguments as the tables of a search file, without those that are left out."""
    given = {key: value for key, value in search.items() if value is not None}
    tables: dict[str, dict[str, Any]] = {"search": given} if given else {}
    if data is not None:
        tables["data"] = _data_table(data, image_size)
    elif image_size is not None:
        raise ValueError(
            f"image_size needs data, but got image_size={image_size} alone; set data.image_size in settings"
        )
    if space is not None:
        tables["space"] = _space_table(space)
    if budget is not None:
        limits = vars(budget) if isinstance(budget, Budget) else dict(budget)
        tables["budget"] = {name: limit for name, limit in limits.items() if limit is not None}
    if recipe is not None:
        keys = recipe.to_json() if isinstance(recipe, Recipe) else recipe
        tables["recipe"] = {name: _plain(value) for name, value in keys.items()}
    return tables


def _data_table(data: Any, image_size: int | None) -> dict[str, Any]:
    """Return the table [data]: a mapping as it is, the name of a data set, or a path to own images."""
    size = {} if image_size is None else {"image_size": image_size}
    if is_datasets(data):
        from ...models.data.in_memory import register_items

        side = image_size or DEFAULT_IMAGE_SIZE
        return {"name": register_items(data, side), "image_size": side}
    if isinstance(data, Mapping):
        return {**data, **size}
    name = str(data)
    # own images without a path can only be the folder of this name
    is_name = isinstance(data, str) and is_data_name(name) and not (name in OWN_IMAGES and Path(name).is_dir())
    if is_name or not _is_path(data):
        return {"name": name, **size}
    return {"name": IMAGES, "path": name, "image_size": DEFAULT_IMAGE_SIZE, **size}


def _is_path(data: str | Path) -> bool:
    """Return whether ``data`` is a path to images, which may be missing or a pattern, and not a misspelled name."""
    text = str(data)
    return isinstance(data, Path) or any(mark in text for mark in "/\\.*?{~") or Path(text).exists()


def _space_table(space: Any) -> dict[str, Any]:
    if isinstance(space, Space):
        return {"written": space.to_json()}
    if isinstance(space, str):
        return {"networks" if is_pattern(space) else "name": space}
    return dict(space)


def _plain(value: Any) -> Any:
    """Return a searched value as a search file has it: a choice is a list, a range a table."""
    if isinstance(value, Choice):
        options, weights = list(value.options), value.weights
        return options if weights is None else {"options": options, "weights": list(weights)}
    if not isinstance(value, Range):
        return value
    prior = {} if value.prior is None else {"prior": value.prior}
    return {"low": value.low, "high": value.high, "log": value.log, **prior}


def _all_of(callbacks: Iterable[Callback]) -> Callback:
    """Return one callback that calls each of ``callbacks``."""
    each = tuple(callbacks)

    def call(recorder: Recorder) -> None:
        for callback in each:
            callback(recorder)

    return call
