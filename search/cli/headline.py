"""Headline values on the command line: metrics with their intervals, top-5 errors, and how good the best trial is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .output import share_text

if TYPE_CHECKING:
    from ...results.analysis.differences import Winner
    from ...results.analysis.intervals import Measured
    from ...results.database.reader import StoreReader
    from ...results.database.records import Trial
    from ...spaces.architectures.budget import Budget

MAX_TRIALS = 20  # with intervals and top-5 errors: each is computed from stored predictions


@dataclass(frozen=True)
class BestTrials:
    """The best trials of one data set, with the values that their table and JSON have.

    ``dataset`` is the name of the data set if there are several, else empty. ``metric`` ranks the trials; ``label`` is
    how a text calls it. ``mixed`` are the metrics with which the runs select, if they are several and none was named.
    """

    dataset: str
    trials: Sequence["Trial"]
    metric: str
    label: str
    columns: Mapping[str, Sequence[str]]
    measured: Sequence["Measured"]
    mixed: Sequence[str]


def best_trials(
    store: "StoreReader",
    label: str,
    *,
    budget: "Budget",
    run: str | None,
    dataset: str | None,
    top: int,
    metric: str | None,
) -> BestTrials:
    """Return the best trials of one data set, which ``label`` names if there are several."""
    from ...results.query.best import best, ranking
    from ...results.query.datasets import selecting_metrics
    from ...spaces.metrics.registry import before_int8

    trials = best(store, budget=budget, run=run, dataset=dataset, top=top, metric=metric)
    by = ranking(store, run, dataset, metric)
    columns, measured = headline_columns(store, trials, by.metric)
    if before_int8(by.metric) is not None:
        values = [{} if one.value is None else {one.metric: one.value} for one in measured]
        shown = zip(trials, values, strict=False)
        trials = [*(replace(t, metrics={**t.metrics, **value}) for t, value in shown), *trials[len(values) :]]
    metrics = selecting_metrics(store, dataset) if run is None and metric is None else []
    mixed = metrics if len(metrics) > 1 else ()
    return BestTrials(label, trials, by.metric, by.label, columns, measured, mixed)


def best_table(answer: BestTrials, budget: str) -> str:
    """Return the table of the best trials under ``budget``."""
    from .tables import trials_table

    of_data = f" on {answer.dataset}" if answer.dataset else ""
    title = f"best under {budget}{of_data}, by {answer.label}"
    return trials_table(answer.trials, title, metrics=[answer.metric], columns=answer.columns)


def best_json(answer: BestTrials) -> Iterator[dict[str, Any]]:
    """Yield each of the best trials as JSON types: those without an interval have the reason."""
    from .output import trial_json

    of_data = {"dataset": answer.dataset} if answer.dataset else {}
    measured = [*({"measured": one.to_json()} for one in answer.measured), *[{}] * len(answer.trials)]
    for trial, value in zip(answer.trials, measured, strict=False):
        yield {**trial_json(trial), **of_data, **value}


def headline_columns(
    store: "StoreReader", trials: Sequence["Trial"], metric: str | None = None
) -> tuple[dict[str, list[str]], list["Measured"]]:
    """Return the columns of the intervals and of the top-5 errors of the first trials, and the values of ``metric``.

    By default the metric is that of each trial's run. A column without any value is left out.
    """
    from ...results.analysis.intervals import top_5_error, with_interval

    first = trials[:MAX_TRIALS]
    measured = [with_interval(store, trial, metric) for trial in first]
    columns = _columns(measured, [top_5_error(store, trial) for trial in first])
    return _padded(columns, len(trials)), measured


def top_5_column(store: "StoreReader", trials: Sequence["Trial"]) -> dict[str, list[str]]:
    """Return the column of the top-5 errors of the first trials; none for data with fewer than ten classes."""
    from ...results.analysis.intervals import top_5_error

    errors = [top_5_error(store, trial) if trial.state.finished else None for trial in trials[:MAX_TRIALS]]
    return _padded(_columns([], errors), len(trials))


def _padded(columns: Mapping[str, list[str]], n_rows: int) -> dict[str, list[str]]:
    return {name: [*texts, *[""] * (n_rows - len(texts))] for name, texts in columns.items()}


def _columns(measured: Sequence["Measured"], errors: Sequence["Measured | None"]) -> dict[str, list[str]]:
    columns = {
        "95% interval": ["" if one.interval is None else str(one.interval) for one in measured],
        "top-5 error": ["" if one is None else share_text(one.value) for one in errors],
    }
    return {name: texts for name, texts in columns.items() if any(texts)}


def headline_json(outcome: Any) -> dict[str, Any]:
    """Return the interval of the best trial of a search, and the trials that are not distinguishable from it."""
    winner: Winner | None = outcome.winner
    if winner is None:
        return {"measured": None, "not_distinguishable": [], "smallest": None}
    return {
        "measured": outcome.measured[0].to_json(),
        "not_distinguishable": [trial.trial for trial in winner.equals],
        "compared": winner.n_compared,
        "smallest": winner.smallest.trial,
    }


def outcome_columns(outcome: Any) -> dict[str, list[str]]:
    """Return the columns of the intervals and top-5 errors of the best trials of a search; none without values."""
    return _columns(outcome.measured, outcome.top_5_errors)


def headline_lines(outcome: Any) -> Iterator[str]:
    """Yield the value of the best trial of a search with its interval, and how it compares with the others.

    The trials of a zero-shot search have no stored predictions, and their accuracy is no share of images.
    """
    winner: Winner | None = outcome.winner
    if winner is None or outcome.zero_shot or outcome.measured[0].value is None:
        return
    best: Measured = outcome.measured[0]
    if best.interval is not None or winner.n_compared:
        yield f"trial {winner.best.trial}: validation {best}\n{winner.text}\n"


def why_none(outcome: Any) -> str:
    """Return why a run has no usable network."""
    total = len(outcome.trials)
    if not outcome.failed:
        return f"0 of {total} trials have a result within the budget{too_slow(outcome)}; see {outcome.report}"
    return (
        f"{len(outcome.failed)} of {total} trials failed; the most frequent reason is: {outcome.common_reason}"
        f"{too_slow(outcome)}\nthe failures are listed in {outcome.report}"
    )


def too_slow(outcome: Any) -> str:
    """Return how many trials exceeded the latency limit when measured, although their prediction met it."""
    return f", {len(outcome.too_slow)} measured too slow" if outcome.too_slow else ""


def exhausted(outcome: Any) -> str:
    """Return why the searcher had no further proposal."""
    from ...results.database.records import FailKind

    if any(trial.fail_kind is FailKind.OOM for trial in outcome.trials):
        return "every architecture within the budget that needs less memory than the failed ones has been tried"
    return "every architecture within the budget has been tried"
