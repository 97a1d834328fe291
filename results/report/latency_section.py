"""The report's section on latency: what was measured, what was predicted, and how far apart they are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...spaces.architectures.budget import Budget
from ..database.latency_records import PredictionError, measurements, prediction_errors
from ..database.reader import Reading
from ..database.records import History
from . import plots
from .html import paragraph, picture, section, table

_SHOWN = 20  # trials of the table, the quickest first


def latency_section(store: Reading, run_id: int, history: History, budget: Budget) -> Iterator[str]:
    """One section where anything was measured, else none."""
    rows = measurements(store, run_id)
    trained = sorted((row for row in rows if row["trial_id"] is not None), key=lambda row: row["latency_ms_p50"])
    if not rows:
        return
    parts = [paragraph(_told(rows, trained))]
    if budget.latency_ms is not None:
        late = [str(trial.trial) for trial in history.finished if not budget.in_time(trial.latency_ms)]
        parts.append(paragraph(_limited(budget.latency_ms, late)))
        parts += [paragraph(text) for text in _errors(rows)]
        parts.append(picture(plots.predicted_against_measured(rows), "latency"))
    columns = ("trial_id", "latency_ms_p50", "latency_ms_p90", "predicted_ms", "peak_memory_bytes")
    parts.append(table(columns, [[row[name] for name in columns] for row in trained[:_SHOWN]]))
    yield section("Latency", *parts)


def _told(rows: Sequence[Mapping[str, Any]], trained: Sequence[Mapping[str, Any]]) -> str:
    names = ("machine", "device", "precision", "batch_size", "threads", "warmup", "n", "torch")
    found = {name: sorted({str(row[name]) for row in rows}) for name in names}
    how = "; ".join(f"{name} {', '.join(values)}" for name, values in found.items())
    shown = f", the {_SHOWN} quickest below" if len(trained) > _SHOWN else ""
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


def _errors(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    left_out, trained = prediction_errors(rows)
    yield f"Median error of the prediction for calibrating networks, each left out in turn: {_said(left_out)}."
    yield f"For trained networks, none of them seen in calibration: {_said(trained)}."


def _said(error: PredictionError | None) -> str:
    return "none to tell" if error is None else f"{error.median_error:.1%} of the measured latency (n = {error.n})"
