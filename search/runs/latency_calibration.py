"""Latency calibration: measure a few untrained networks on a worker, to predict latency before training."""

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from statistics import median
from typing import Any

from ...models.profiling.device_command import DeviceOfflineError
from ...results.database.latency_records import CalibrationNetwork, calibration, record_calibration
from ...results.database.store import Store
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.cost import cost, layer_costs
from ...spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from ...spaces.constrained.feasibility import check_feasible
from ...spaces.constrained.sampling import sample_one
from ..cluster.remote_jobs import run_remote_jobs
from ..experiment.experiment import Experiment
from ..searchers.latency_feasibility import LATENCY_MARGIN
from ..trials.latency import Timing, time_networks

UNCERTAIN = "latency_limit_uncertain"  # kind of the event of a limit that may be too low, but is not shown to be
DRAWS_PER_NETWORK = 16  # architectures drawn for each one that is measured


def add_latency_model(
    experiment: Experiment, store: Store, run_id: int, *, should_continue: Callable[[], bool]
) -> ConstrainedSpace | None:
    """Return the experiment's constrained space, with a latency model if the budget limits latency.

    The model is fitted once per run, before the first proposal, and stored, so that a resumed run uses the same one. If
    the searcher learns which networks keep the limit, the limit of the predicted latency is wider by a margin.

    Where no architecture has a predicted latency within the budget, the spread of the calibration decides: if networks
    may be faster than predicted by as much as is missing, the limit of the predicted latency is wider by the spread,
    and the measured latency of each trial decides. Otherwise raises ``BudgetError``. Returns None when
    ``should_continue`` returned False during the measurements.
    """
    limit_ms = experiment.budget.latency_ms
    if limit_ms is None:
        return experiment.constrained
    model = calibration(store, run_id) or _calibrate(experiment, store, run_id, should_continue)
    if model is None:
        return None
    from ...models.profiling.latency_predictor import LatencyPredictor

    base, predictor = experiment.constrained, LatencyPredictor.from_json(model["weights"])
    constrained = ConstrainedSpace(base.space, base.budget, base.batch_size, predictor)

    def wider(factor: float) -> ConstrainedSpace:
        budget = replace(base.budget, latency_ms=factor * limit_ms)
        return ConstrainedSpace(base.space, budget, base.batch_size, predictor)

    if experiment.learned_limit_ms is not None:
        with suppress(BudgetError):  # the error below names the limit of the user
            check_feasible(learned := wider(LATENCY_MARGIN))
            return learned
    try:
        check_feasible(constrained)
    except BudgetError as error:
        spread = model.get("spread")  # runs of earlier versions have none
        if spread is None:
            raise
        try:
            check_feasible(space := wider(spread["factor"]))
        except BudgetError:
            raise BudgetError(f"{error}; {spread_text(spread)}") from None
        if not store.events(run_id, UNCERTAIN):
            reason = f"no network is predicted to keep the limit, but {spread_text(spread)}: trials decide"
            store.add_event(run_id, "warning", UNCERTAIN, {"reason": reason, **spread})
        return space
    return constrained


def spread_of(measurements: Sequence[Mapping[str, Any]], predicted: Sequence[float | None]) -> dict[str, float | None]:
    """Return by how much networks may be faster than a predictor says that was fitted on ``measurements``.

    ``error`` is the largest relative excess of a leave-one-out prediction (``predicted``, in ms) over its measurement.
    ``noise`` is the median of (p90 - p50) / p50 of a measurement, and ``load_per_core`` the median load of the machine
    meanwhile, None on a device. ``factor`` is the product of 1 + error, 1 + noise, and the load if it is above 1: on a
    machine with a load of 2 for each core, a process has about half of a core.
    """
    pairs = [(ms, row["latency_ms_p50"]) for ms, row in zip(predicted, measurements, strict=True) if ms is not None]
    error = max((ms / measured - 1 for ms, measured in pairs), default=0.0)
    noise = median((row["latency_ms_p90"] - row["latency_ms_p50"]) / row["latency_ms_p50"] for row in measurements)
    loads = [row["load_per_core"] for row in measurements if "load_per_core" in row]
    load = median(loads) if loads else None
    factor = (1 + max(error, 0.0)) * (1 + noise) * max(1.0, load or 0.0)
    return {"error": error, "noise": noise, "load_per_core": load, "factor": factor}


def spread_text(spread: Mapping[str, float | None]) -> str:
    """Return a part of a sentence on how much the networks of the calibration may be faster than predicted."""
    load = spread["load_per_core"]
    busy = "" if load is None else f", and the machine had a load of {load:.1f} for each core"
    return (
        f"networks may be faster than predicted by a factor of {spread['factor']:.2f}: a prediction of the calibration "
        f"was {spread['error']:+.0%} off, a measurement varies by {spread['noise']:.0%}{busy}"
    )


def _calibrate(
    experiment: Experiment, store: Store, run_id: int, should_continue: Callable[[], bool]
) -> dict[str, dict[str, float]] | None:
    from ...models.profiling.latency_predictor import fit_latency, leave_one_out_ms

    networks = evenly_spaced(experiment.constrained, experiment.file.latency.calibration, experiment.file.search.seed)
    # A single job measures all networks one after another: networks measured in parallel slow each other down.
    try:
        results = run_remote_jobs(
            time_networks,
            [[network.to_json() for network in networks]],
            Timing.of(experiment.file),
            experiment.file.resources,
            should_continue=should_continue,
        )
    except DeviceOfflineError as error:
        raise DeviceOfflineError(f"{error}, and continue with: archsieve resume {store.run(run_id).name}") from None
    if results is None:
        return None
    measurements = results[0]
    times = [measured["latency_ms_p50"] for measured in measurements]
    # Each prediction comes from a fit without that network; otherwise the stored errors would be too small.
    predicted = leave_one_out_ms(networks, times)
    rows = [
        CalibrationNetwork(
            architecture=network.to_json(),
            fingerprint=network.fingerprint,
            cost=cost(network, experiment.constrained.batch_size).to_json(),
            layers=[row.to_json() for row in layer_costs(network)],
            measured=measured,
            predicted_ms=ms,
        )
        for network, measured, ms in zip(networks, measurements, predicted, strict=True)
    ]
    detail = {
        "weights": fit_latency(networks, times).to_json(),
        "spread": spread_of(measurements, predicted),
        "n": len(networks),
        "machine": measurements[0]["machine"],
    }
    record_calibration(store, run_id, rows, detail)
    return detail


def evenly_spaced(constrained: ConstrainedSpace, n: int, seed: int) -> list[Architecture]:
    """Return up to ``n`` architectures within the budget, from few multiply-accumulates to many in even ranks."""
    # The seed has its own prefix, so that these draws are independent of other draws from the same number.
    rng = random.Random(f"calibration {seed}")
    drawn = {
        one.fingerprint: one for one in (sample_one(constrained, rng, "log-macs") for _ in range(DRAWS_PER_NETWORK * n))
    }
    ordered = sorted(drawn.values(), key=lambda one: (one.cost.macs, one.fingerprint))
    ranks = {round(index * (len(ordered) - 1) / max(n - 1, 1)) for index in range(n)}
    return [ordered[rank] for rank in sorted(ranks)]
