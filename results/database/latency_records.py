"""Latency records: measured latencies of networks, and the errors of predicted latencies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from sqlalchemy import insert, select, update

from . import schema, trial_statements
from .lease import now
from .reader import StoreReader
from .rows import run_id_of
from .writer import StoreWriter

_m = schema.measurement.c
CALIBRATED = "latency_calibrated"  # kind of the event that holds the latency predictor of a run
PREDICTED = "latency_predicted"  # kind of the event that holds the prediction errors of a run


@dataclass(frozen=True, kw_only=True)
class LatencyRecord:
    """One latency measurement of a network: a row of the table ``measurement``.

    Latencies are milliseconds per forward pass; ``n`` is the number of timed passes, after ``warmup`` untimed ones.
    ``trial_id`` is None for an untrained network that was measured to calibrate the run's latency predictor.
    ``predicted_ms`` comes from a predictor that was not fitted on this network.
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
    """The median of |predicted - measured| / measured over ``n`` latencies."""

    n: int
    median_error: float


@dataclass(frozen=True)
class CalibrationQuality:
    """How well the predictor orders the ``n`` calibration networks, and how much one measurement varies.

    ``spearman`` is the rank correlation of the leave-one-out predictions and the measurements, ``spread`` the median of
    (p90 - p50) / p50 of a measurement.
    """

    n: int
    spearman: float
    spread: float


@dataclass(frozen=True)
class CalibrationNetwork:
    """An untrained network that was measured to calibrate a latency predictor, with its costs and its measurement.

    ``measured`` has the entries of ``models.profiling.latency.Measurement``. ``predicted_ms`` comes from a predictor
    that was fitted on all other networks of the calibration; None if there are no others.
    """

    architecture: Mapping[str, Any]
    fingerprint: str
    cost: Mapping[str, int]
    layers: Sequence[Mapping[str, Any]]
    measured: Mapping[str, Any]
    predicted_ms: float | None


def record_trial(
    store: StoreWriter, trial_id: int, measured: Mapping[str, Any], *, predicted_ms: float | None = None
) -> None:
    """Record a latency measurement of a trial's network; its median becomes the trial's ``latency_ms``."""
    t = schema.trial.c
    with store.write_transaction() as connection:
        row = connection.execute(select(t.run_id, t.fingerprint).where(t.trial_id == trial_id)).first()
        if row is None:
            raise ValueError(f"no trial has the id {trial_id}; propose it first")
        values = {**row._mapping, "trial_id": trial_id, "predicted_ms": predicted_ms}
        connection.execute(insert(schema.measurement).values(**_measurement_values(measured), **values))
        # The latest measurement replaces the latency of an earlier one.
        latency = update(schema.trial).where(t.trial_id == trial_id)
        connection.execute(latency.values(latency_ms=measured["latency_ms_p50"]))


def record_calibration(
    store: StoreWriter, run_id: int, networks: Sequence[CalibrationNetwork], detail: Mapping[str, Any]
) -> None:
    """Record the networks that a run's predictor was fitted on, and the predictor as an event, in one transaction."""
    event = {"run_id": run_id, "level": "info", "kind": CALIBRATED, "detail": dict(detail), "at": now()}
    with store.write_transaction() as connection:
        for network in networks:
            trial_statements.add_architecture(
                connection, network.fingerprint, network.architecture, network.cost, network.layers
            )
            values = {"run_id": run_id, "fingerprint": network.fingerprint, "predicted_ms": network.predicted_ms}
            connection.execute(insert(schema.measurement).values(**_measurement_values(network.measured), **values))
        connection.execute(insert(schema.event).values(**event))


def calibration(store: StoreReader, run: str | int) -> dict[str, Any] | None:
    """Return the run's predictor as :func:`record_calibration` recorded it last, or None if there is none."""
    events = store.events(run, CALIBRATED)
    return dict(events[-1]["detail"]) if events else None


def measurements(store: StoreReader, run: str | int, *, trial_id: int | None = None) -> list[LatencyRecord]:
    """Return the measurements of a run, or of one of its trials, oldest first."""
    with store.read_transaction() as connection:
        query = select(schema.measurement).where(_m.run_id == run_id_of(connection, run))
        if trial_id is not None:
            query = query.where(_m.trial_id == trial_id)
        rows = connection.execute(query.order_by(_m.measurement_id))
        return [LatencyRecord(**row._mapping) for row in rows]


def prediction_errors(rows: Sequence[LatencyRecord]) -> tuple[PredictionError | None, PredictionError | None]:
    """Return the leave-one-out error on the calibration networks, and the error on the networks of trials.

    Trials of a calibration network do not count in the second error, because the predictor was fitted on them.
    """
    calibration_rows = [row for row in rows if row.trial_id is None]
    fitted_on = {row.fingerprint for row in calibration_rows}
    trial_rows = [row for row in rows if row.trial_id is not None and row.fingerprint not in fitted_on]
    return _error(calibration_rows), _error(trial_rows)


def calibration_quality(rows: Sequence[LatencyRecord]) -> CalibrationQuality | None:
    """Return the quality of the calibration among ``rows``; None with fewer than three networks, or equal latencies."""
    pairs = [
        (row.predicted_ms, row.latency_ms_p50) for row in rows if row.trial_id is None and row.predicted_ms is not None
    ]
    if len(pairs) < 3 or any(len(set(values)) == 1 for values in zip(*pairs, strict=True)):
        return None
    from scipy.stats import spearmanr

    spreads = [(row.latency_ms_p90 - row.latency_ms_p50) / row.latency_ms_p50 for row in rows if row.trial_id is None]
    predicted, measured = zip(*pairs, strict=True)
    return CalibrationQuality(len(pairs), float(spearmanr(predicted, measured).statistic), median(spreads))


def record_errors(store: StoreWriter, run_id: int) -> None:
    """Record the prediction errors of a run as an event; do nothing if the run has no latency predictor."""
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


def _measurement_values(measured: Mapping[str, Any]) -> dict[str, Any]:
    # Keys without a column of the table are ignored.
    columns = {column.name for column in schema.measurement.c}
    return {**{name: value for name, value in measured.items() if name in columns}, "measured_at": now()}
