"""The report's sections of analysis: health, importance of choices, latency, proxies."""

from collections import Counter
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from ...spaces.architectures.budget import Budget
from ..analysis import importance
from ..analysis.health import findings_of
from ..analysis.importance import Importances, importances
from ..database.latency_records import LatencyRecord, PredictionError, measurements, prediction_errors
from ..database.proxy_records import LEAST, WARMED_UP, rank_correlations
from ..database.reader import Reading
from ..database.records import History, TrialState
from . import plots
from .html import paragraph, picture, section, table
from .run_data import Told

MAX_CHOICES = 12
MAX_LATENCIES = 20  # trials of the table, the quickest first

MAX_FINDINGS = 50  # rows of the table


def health_section(store: Reading, run_id: int, n_trials: int) -> Iterator[Markup]:
    """One section where something was found, else none."""
    found = findings_of(store, run_id)
    if not found:
        return
    counts = Counter(finding.kind for several in found.values() for finding in several)
    said = ", ".join(f"{kind} {n}" for kind, n in counts.most_common())
    rows = [(trial, finding.kind, finding.said) for trial, several in found.items() for finding in several]
    more = f" The first {MAX_FINDINGS} of {len(rows)} findings are listed." if len(rows) > MAX_FINDINGS else ""
    note = paragraph(f"Found in {len(found)} of {n_trials} trials: {said}.{more}")
    yield section("Health of the trials", note, table(("trial", "finding", "what it shows"), rows[:MAX_FINDINGS]))


def importance_section(told: Told) -> Iterator[Markup]:
    """One section where the trials are enough to say anything, or to say that they say nothing."""
    found = importances(told.history.trials)
    if found is None:
        if len(told.history.finished) > 1:
            needed = importance.LEAST
            text = f"Nothing to tell: it takes at least {needed} finished trials that differ in choices and accuracy."
            yield section("Which choices mattered", paragraph(text))
        return
    if not found.telling:
        yield section("Which choices mattered", paragraph(_silent(found)))
        return
    shown = [choice for choice in found.choices if choice.mean > 0][:MAX_CHOICES]
    drawn = picture(plots.importance_bars(shown), "importance")
    yield section("Which choices mattered", paragraph(_words(found)), drawn, paragraph(_caution(found), soft=True))


def _silent(found: Importances) -> str:
    return (
        f"The {found.n} trials do not tell: a forest of regression trees predicts the accuracy of trials that it has "
        f"not seen no better than their mean does (R² = {found.r2:.2f})."
    )


def _words(found: Importances) -> str:
    return (
        "By how many points of accuracy a prediction from the choices gets worse when one choice is shuffled among the "
        f"trials. The forest that predicts explains {found.r2:.0%} of the variance among trials it has not seen "
        f"(n = {found.n})."
    )


def _caution(found: Importances) -> str:
    return (
        f"This is what {found.n} trials suggest, no more: the searcher chose them, two choices that went together "
        "share their importance, and a choice that only one kind of block has counts for few trials. The whiskers are "
        "one standard deviation over folds and shuffles."
    )


def latency_section(store: Reading, run_id: int, history: History, budget: Budget) -> Iterator[Markup]:
    """One section where anything was measured, else none."""
    rows = measurements(store, run_id)
    trained = sorted((row for row in rows if row.trial_id is not None), key=lambda row: row.latency_ms_p50)
    if not rows:
        return
    parts = [paragraph(_told(rows, trained))]
    if budget.latency_ms is not None:
        late = [str(trial.trial) for trial in history.finished if not budget.in_time(trial.latency_ms)]
        parts.append(paragraph(_limited(budget.latency_ms, late)))
        parts += [paragraph(text) for text in _errors(rows)]
        parts.append(picture(plots.predicted_against_measured(rows), "latency"))
    columns = ("trial_id", "latency_ms_p50", "latency_ms_p90", "predicted_ms", "peak_memory_bytes")
    parts.append(table(columns, [[getattr(row, name) for name in columns] for row in trained[:MAX_LATENCIES]]))
    yield section("Latency", *parts)


def _told(rows: Sequence[LatencyRecord], trained: Sequence[LatencyRecord]) -> str:
    names = ("machine", "device", "precision", "batch_size", "threads", "warmup", "n", "torch")
    found = {name: sorted({str(getattr(row, name)) for row in rows}) for name in names}
    how = "; ".join(f"{name} {', '.join(values)}" for name, values in found.items())
    shown = f", the {MAX_LATENCIES} quickest below" if len(trained) > MAX_LATENCIES else ""
    return (
        f"A forward pass without gradients, in milliseconds: median (p50) and p90 over n passes on the worker that "
        f"trained the network ({how}). {len(trained)} trials were measured{shown}."
    )


def _limited(latency_ms: float, late: Sequence[str]) -> str:
    kept = "every finished trial kept it" if not late else f"finished trials that did not keep it: {', '.join(late)}"
    return (
        f"The budget allows {latency_ms:g} ms. Before training a network's latency is predicted, and what is predicted "
        f"above the limit is not proposed; the measurement decides what is under the budget: {kept}."
    )


def _errors(rows: Sequence[LatencyRecord]) -> Iterator[str]:
    left_out, trained = prediction_errors(rows)
    yield f"Median error of the prediction for calibrating networks, each left out in turn: {_said(left_out)}."
    yield f"For trained networks, none of them seen in calibration: {_said(trained)}."


def _said(error: PredictionError | None) -> str:
    return "none to tell" if error is None else f"{error.median_error:.1%} of the measured latency (n = {error.n})"


def proxy_section(store: Reading, run_id: int, history: History, budget: Budget) -> Iterator[Markup]:
    """One section where there are trials enough to rank, else none."""
    inside = [trial for trial in history if budget.in_time(trial.latency_ms)]
    ended = [trial for trial in inside if trial.state is TrialState.COMPLETED and trial.val_accuracy is not None]
    if len(ended) < LEAST:
        return
    found = rank_correlations(store, run_id, ended)
    rows = [(row.proxy, row.n, row.spearman, row.kendall) for row in found]
    text = (
        f"Rank correlation of each proxy with validation accuracy over the trials inside the budget {budget} that were "
        f"trained to their end. 1: the same order, -1: the reverse, empty: fewer than {LEAST} scores, or all alike. "
        f"The trials are those the searcher chose, with recipes that differ; among {len(ended)} of them chance alone "
        f"gives a Spearman correlation of about {(len(ended) - 1) ** -0.5:.2f} either way."
    )
    columns = ("proxy", "n", "Spearman", "Kendall")
    yield section("Proxies", paragraph(text), table(columns, rows), *_warm_up(store, run_id))


def _warm_up(store: Reading, run_id: int) -> Iterator[Markup]:
    for event in store.events(run_id, WARMED_UP):
        told = event["detail"]
        yield paragraph(
            f"Warm-up: {told['candidates']} candidates inside the budget were scored untrained by {told['proxy']} "
            f"({told['scored']} have a score), and the best {len(told['chosen'])} were proposed first."
        )
