"""Sections of the report with analyses: importance of choices, latency, proxies, problems of trials."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from ..analysis.health import stored_findings
from ..analysis.importance import MAX_TRIALS, MIN_TRIALS, Importances, importances_of
from ..database.latency_records import (
    LatencyRecord,
    PredictionError,
    calibration,
    calibration_quality,
    measurements,
    prediction_errors,
)
from ..database.proxy_records import MIN_TRIALS_FOR_CORRELATION, WARMUP_SELECTED, column_correlations
from ..database.reader import StoreReader
from ..query.priors import prior_lines, priors_of
from ..query.run_summary import sampled_choices
from . import plots
from .page_parts import figure_part, paragraph, section, table
from .run_data import RunData

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_CHOICES = 12  # in the figure of importances
MAX_LATENCIES = 20  # rows of the table, fastest trials first
MAX_FINDINGS = 50  # rows of the table


def health_section(data: RunData) -> Iterator[Markup]:
    """Yield a section with the problems of the trials of a run; nothing if there are none."""
    counts: Counter[str] = Counter()
    rows: list[tuple[int, str, str]] = []
    n_with_problems, last = 0, None
    for trial, finding in stored_findings(data.store, data.run.run_id):
        counts[finding.kind] += 1
        n_with_problems, last = n_with_problems + (trial != last), trial
        if len(rows) < MAX_FINDINGS:
            rows.append((trial, finding.kind, finding.message))
    if not rows:
        return
    kinds = ", ".join(f"{kind} {n}" for kind, n in counts.most_common())
    total = counts.total()
    more = f" The first {MAX_FINDINGS} of {total} problems are listed." if total > MAX_FINDINGS else ""
    note = paragraph(f"{n_with_problems} of {data.run.trials} trials have problems: {kinds}.{more}")
    columns = ("trial", "problem", "facts, and what to do")
    yield section("Problems found in trials", note, table(columns, rows))


def importance_section(data: RunData) -> Iterator[Markup]:
    """Yield a section with the importances of the choices, or with the reason why there are none.

    A run with fewer than two finished trials has no such section.
    """
    result = importances_of(sampled_choices(data.store, data.points, MAX_TRIALS))
    title = "Importance of choices"
    if result is None:
        if len(data.points) > 1:
            word = data.metric_word
            reason = f"This needs at least {MIN_TRIALS} finished trials that differ in choices and in {word}."
            yield section(title, paragraph(reason))
        return
    if not result.is_informative:
        yield section(title, paragraph(_uninformative_text(result, data.metric_word)))
        return
    # With a mean of 0 or less, shuffling the choice does not increase the error.
    shown = [choice for choice in result.choices if choice.mean > 0][:MAX_CHOICES]
    figure = figure_part(plots.importance_bars(shown, data.metric_points), "importance")
    yield section(
        title, paragraph(_method_text(result, data)), figure, paragraph(_limitations_text(result), muted=True)
    )


def _uninformative_text(result: Importances, metric: str) -> str:
    return (
        f"The choices do not explain the {metric} of these {result.n} trials: random forests predict the {metric} of "
        f"trials that they were not fitted on no better than the mean does (R² = {result.r2:.2f})."
    )


def _method_text(result: Importances, data: RunData) -> str:
    return (
        f"Random forests predict the {data.metric_word} of a trial from its recipe and choices. The importance of a "
        f"choice is the increase of their error, in {data.metric_points}, when its values are shuffled among the "
        "trials. "
        f"The forests explain {result.r2:.0%} of the variance of trials that they were not fitted on (n = {result.n})."
    )


def _limitations_text(result: Importances) -> str:
    return (
        f"These are estimates from {result.n} trials that the searcher selected. Two choices that changed together "
        "share their importance. A choice inside one kind of block affects only the trials with this block. The "
        "error bars are one standard deviation over folds and shuffles."
    )


def latency_section(data: RunData) -> Iterator[Markup]:
    """Yield a section with the latencies of a run; nothing if no latency was measured."""
    rows, budget = measurements(data.store, data.run.run_id), data.budget
    trained = sorted((row for row in rows if row.trial_id is not None), key=lambda row: row.latency_ms_p50)
    if not rows:
        return
    parts = [paragraph(_measurement_text(rows, trained))]
    if budget.latency_ms is not None:
        too_slow = sorted(data.points["trial"][~_meets_latency_limit(data)].tolist())
        parts.append(paragraph(_limit_text(budget.latency_ms, too_slow)))
        spread = (calibration(data.store, data.run.run_id) or {}).get("spread", {})  # earlier versions have none
        parts += [paragraph(text) for text in _error_texts(rows, spread.get("load_per_core"))]
        parts.append(figure_part(plots.predicted_against_measured(rows), "latency"))
    columns = ("trial_id", "latency_ms_p50", "latency_ms_p90", "predicted_ms", "peak_memory_bytes")
    parts.append(table(columns, [[getattr(row, name) for name in columns] for row in trained[:MAX_LATENCIES]]))
    yield section("Latency", *parts)


def _meets_latency_limit(data: RunData) -> "NDArray[np.bool_]":
    """Return for each finished trial what :meth:`Budget.meets_latency_limit` does; NaN breaks any limit."""
    import numpy as np

    limit, latency_ms = data.budget.latency_ms, data.points["latency_ms"]
    return np.ones(len(latency_ms), dtype=bool) if limit is None else latency_ms <= limit


def _measurement_text(rows: Sequence[LatencyRecord], trained: Sequence[LatencyRecord]) -> str:
    names = ("machine", "device", "precision", "batch_size", "threads", "warmup", "n", "torch")
    # All distinct values: trials of one run can be measured on different machines.
    values_by_name = {name: sorted({str(getattr(row, name)) for row in rows}) for name in names}
    conditions = "; ".join(f"{name} {', '.join(values)}" for name, values in values_by_name.items())
    shown = f", of which the {MAX_LATENCIES} fastest are listed" if len(trained) > MAX_LATENCIES else ""
    return (
        "Latency of a forward pass without gradients, in milliseconds: median (p50) and 90th percentile (p90) of n "
        f"passes on the worker that trained the network, or on the device of the search file ({conditions}). "
        f"{len(trained)} trials were measured{shown}."
    )


def _limit_text(latency_ms: float, too_slow: Sequence[int]) -> str:
    more = f" and {len(too_slow) - MAX_LATENCIES:,} more" if len(too_slow) > MAX_LATENCIES else ""
    result = (
        f"Finished trials that do not meet the limit: {', '.join(map(str, too_slow[:MAX_LATENCIES]))}{more}."
        if too_slow
        else "All finished trials meet the limit."
    )
    return (
        f"The budget allows {latency_ms:g} ms. The latency of a network is predicted before training. Networks with a "
        "predicted latency above the limit are not proposed. The measured latency then decides whether a trial is "
        f"inside the budget. {result}"
    )


def _error_texts(rows: Sequence[LatencyRecord], load: float | None) -> Iterator[str]:
    left_out, trained = prediction_errors(rows)
    yield (
        "Median prediction error on the calibration networks, which were timed untrained before the search "
        f"(leave-one-out): {_error_text(left_out)}."
    )
    yield f"Median prediction error on trained networks that were not used for calibration: {_error_text(trained)}."
    if (quality := calibration_quality(rows)) is not None:
        yield (
            f"Rank correlation (Spearman) of predicted and measured latency of the {quality.n} calibration networks: "
            f"{quality.spearman:.3f}. Within a measurement, the 90th percentile is {quality.spread:.1%} above the "
            "median (median over the networks)."
        )
    if load is not None:
        yield f"During the calibration the machine had a load of {load:.1f} for each core; above 1, timed passes wait."


def _error_text(error: PredictionError | None) -> str:
    return "not available" if error is None else f"{error.median_error:.1%} of the measured latency (n = {error.n})"


def prior_section(data: RunData) -> Iterator[Markup]:
    """Yield a section with what the searcher knew before the run; nothing if it knew nothing."""
    if (notes := priors_of(data.store, data.run.run_id)) is not None:
        yield section("What was known before", *map(paragraph, prior_lines(notes)))


def proxy_section(data: RunData) -> Iterator[Markup]:
    """Yield a section with the rank correlations of the proxies; nothing if there are too few completed trials."""
    completed = data.points[_meets_latency_limit(data) & data.points["completed"]]
    if len(completed) < MIN_TRIALS_FOR_CORRELATION:
        return
    correlations = column_correlations(data.store, data.run.run_id, completed)
    rows = [(row.proxy, row.n, row.spearman, row.kendall) for row in correlations]
    # 1 / sqrt(n - 1) is the standard deviation of Spearman's coefficient for independent rankings.
    text = (
        "A proxy is a score of the untrained network. The table shows the rank correlation of each proxy with "
        f"{_ranked_text(data)}, over the completed trials inside the budget {data.budget}. 1 means the same "
        f"order, -1 the reverse order. A value is empty if there are fewer than {MIN_TRIALS_FOR_CORRELATION} scores, "
        "or if all scores or all values are equal. "
        "The searcher selected the trials, and their recipes differ. "
        f"For {len(completed)} trials, a proxy that is unrelated to the metric has a Spearman correlation of "
        f"about ±{(len(completed) - 1) ** -0.5:.2f} (one standard deviation)."
    )
    columns = ("proxy", "n", "Spearman", "Kendall")
    yield section("Proxies", paragraph(text), table(columns, rows), *_warm_up(data.store, data.run.run_id))


def _ranked_text(data: RunData) -> str:
    """Return what a higher score means: a higher metric, or a lower one."""
    return data.selected_by if data.selection.higher_is_better else f"the negative {data.selected_by}"


def _warm_up(store: StoreReader, run_id: int) -> Iterator[Markup]:
    for event in store.events(run_id, WARMUP_SELECTED):
        detail = event["detail"]
        yield paragraph(
            f"Warm-up: the proxy {detail['proxy']} scored {detail['scored']} of {detail['candidates']} untrained "
            f"candidates inside the budget. The {len(detail['chosen'])} candidates with the highest scores were "
            "proposed first."
        )
