"""Measurements: how long networks took on their workers, as written down, and how far the predictions were off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from sqlalchemy import insert, select, update

from . import schema, trial_statements
from .lease import now
from .reader import Reading
from .rows import run_id_of
from .writer import Writing

_m = schema.measurement.c
CALIBRATED = "latency_calibrated"  # the event that keeps a run's predictor
PREDICTED = "latency_predicted"  # the event that tells how far it was off


@dataclass(frozen=True, kw_only=True)
class LatencyRecord:
    """One measured network: milliseconds a forward pass, and on what; the columns of the table ``measurement``.

    ``trial_id`` is None for a network that calibrated the run's predictor, untrained. ``predicted_ms`` comes from a
    predictor that had not seen the network.
    """

    measurement_id: int
    run_id: int
    trial_id: int | None
    fingerprint: str
    device: str
    machine: str
    torch: str
    precision: str
    batch_size: int
    threads: int
    warmup: int
    n: int
    latency_ms_p50: float
    latency_ms_p90: float
    peak_memory_bytes: int | None
    predicted_ms: float | None
    measured_at: datetime


@dataclass(frozen=True)
class PredictionError:
    """How far predicted latencies were from measured ones: the median of |predicted - measured| / measured."""

    n: int
    median_error: float


@dataclass(frozen=True)
class Untrained:
    """A network that was measured to calibrate a predictor; what it is, what it costs, and how long it took.

    ``measured`` has the entries of ``models.measure.Measurement``; ``predicted_ms`` comes from a predictor fitted on
    all the others, None where there are none.
    """

    architecture: Mapping[str, Any]
    fingerprint: str
    cost: Mapping[str, int]
    layers: Sequence[Mapping[str, Any]]
    measured: Mapping[str, Any]
    predicted_ms: float | None


def record_trial(
    store: Writing, trial_id: int, measured: Mapping[str, Any], *, predicted_ms: float | None = None
) -> None:
    """Write down how long the network of a trial took; its median becomes the trial's ``latency_ms``."""
    t = schema.trial.c
    with store.writing() as connection:
        row = connection.execute(select(t.run_id, t.fingerprint).where(t.trial_id == trial_id)).first()
        if row is None:
            raise ValueError(f"no trial has the id {trial_id}; propose it first")
        values = {**row._mapping, "trial_id": trial_id, "predicted_ms": predicted_ms}
        connection.execute(insert(schema.measurement).values(**_row(measured), **values))
        latency = update(schema.trial).where(t.trial_id == trial_id)
        connection.execute(latency.values(latency_ms=measured["latency_ms_p50"]))


def record_calibration(store: Writing, run_id: int, networks: Sequence[Untrained], detail: Mapping[str, Any]) -> None:
    """Write down the networks a run's predictor was fitted on and, as an event, the predictor: all or nothing."""
    event = {"run_id": run_id, "level": "info", "kind": CALIBRATED, "detail": dict(detail), "at": now()}
    with store.writing() as connection:
        for network in networks:
            trial_statements.add_architecture(
                connection, network.fingerprint, network.architecture, network.cost, network.layers
            )
            values = {"run_id": run_id, "fingerprint": network.fingerprint, "predicted_ms": network.predicted_ms}
            connection.execute(insert(schema.measurement).values(**_row(network.measured), **values))
        connection.execute(insert(schema.event).values(**event))


def calibration(store: Reading, run: str | int) -> dict[str, Any] | None:
    """What :func:`record_calibration` kept of the run's predictor, or None where it has none."""
    found = store.events(run, CALIBRATED)
    return dict(found[-1]["detail"]) if found else None


def measurements(store: Reading, run: str | int, *, trial_id: int | None = None) -> list[LatencyRecord]:
    """The measurements of a run or of one of its trials, oldest first; those without a trial calibrated it."""
    with store.reading() as connection:
        query = select(schema.measurement).where(_m.run_id == run_id_of(connection, run))
        if trial_id is not None:
            query = query.where(_m.trial_id == trial_id)
        rows = connection.execute(query.order_by(_m.measurement_id))
        return [LatencyRecord(**row._mapping) for row in rows]


def prediction_errors(rows: Sequence[LatencyRecord]) -> tuple[PredictionError | None, PredictionError | None]:
    """The errors on the networks a predictor was calibrated on, each left out in turn, and on those trained later.

    A trained network that was among the calibrated ones is left out: the predictor had seen it.
    """
    seen = {row.fingerprint for row in rows if row.trial_id is None}
    calibrating = [row for row in rows if row.trial_id is None]
    trained = [row for row in rows if row.trial_id is not None and row.fingerprint not in seen]
    return _error(calibrating), _error(trained)


def record_errors(store: Writing, run_id: int) -> None:
    """Log how far the predictions of a run were off, as an event; nothing where the run predicts no latency."""
    if calibration(store, run_id) is None:
        return
    left_out, trained = prediction_errors(measurements(store, run_id))
    detail = {
        name: {"n": error.n, "median_error": error.median_error} if error else None
        for name, error in (("left_out", left_out), ("trained", trained))
    }
    store.add_event(run_id, "info", PREDICTED, detail)


def _error(rows: Sequence[LatencyRecord]) -> PredictionError | None:
    errors = [
        abs(row.predicted_ms - row.latency_ms_p50) / row.latency_ms_p50 for row in rows if row.predicted_ms is not None
    ]
    return PredictionError(len(errors), median(errors)) if errors else None


def _row(measured: Mapping[str, Any]) -> dict[str, Any]:
    columns = {column.name for column in schema.measurement.c}
    return {**{name: value for name, value in measured.items() if name in columns}, "measured_at": now()}
