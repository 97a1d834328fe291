"""Calibration: a few untrained networks timed on a worker, so that latency can be predicted before training."""

import random
from collections.abc import Callable

from ...results.database.latency_records import Untrained, calibration, record_calibration
from ...results.database.store import Store
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.cost import cost, layer_costs
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.feasibility import check_feasible
from ...spaces.constrained.sampling import sample_one
from ..cluster.remote_jobs import run_remote_jobs
from ..experiment.experiment import Experiment
from ..trials.latency import Timing, time_networks

DRAWN = 16  # architectures drawn for each one that is timed


def calibrated(
    experiment: Experiment, store: Store, run_id: int, *, go_on: Callable[[], bool]
) -> ConstrainedSpace | None:
    """The experiment's sieve, with a clock where the budget limits latency; None where ``go_on`` said no meanwhile.

    The clock is fitted once in a run, before its first proposal, and kept in the store: a resumed run sieves by the
    same one. Raises ``BudgetError`` where nothing is predicted to be in time.
    """
    if experiment.budget.latency_ms is None:
        return experiment.sieve
    kept = calibration(store, run_id) or _calibrate(experiment, store, run_id, go_on)
    if kept is None:
        return None
    from ...models.profiling.latency_predictor import LatencyPredictor

    plain = experiment.sieve
    sieve = ConstrainedSpace(plain.space, plain.budget, plain.batch_size, LatencyPredictor.from_json(kept["weights"]))
    check_feasible(sieve)
    return sieve


def _calibrate(
    experiment: Experiment, store: Store, run_id: int, go_on: Callable[[], bool]
) -> dict[str, dict[str, float]] | None:
    from ...models.profiling.latency_predictor import fit_latency, left_out_ms

    networks = spread(experiment.sieve, experiment.file.latency.calibration, experiment.file.search.seed)
    told = [network.to_json() for network in networks]
    # one worker, one after another: networks that are timed side by side slow each other down
    found = run_remote_jobs(time_networks, [told], Timing.of(experiment.file), experiment.file.resources, go_on=go_on)
    if found is None:
        return None
    times = [measured["latency_ms_p50"] for measured in found[0]]
    predicted = left_out_ms(networks, times)
    rows = [
        Untrained(
            architecture=network.to_json(),
            fingerprint=network.fingerprint,
            cost=cost(network, experiment.sieve.batch_size).to_json(),
            layers=[row.to_json() for row in layer_costs(network)],
            measured=measured,
            predicted_ms=ms,
        )
        for network, measured, ms in zip(networks, found[0], predicted, strict=True)
    ]
    detail = {
        "weights": fit_latency(networks, times).to_json(),
        "n": len(networks),
        "machine": found[0][0]["machine"],
    }
    record_calibration(store, run_id, rows, detail)
    return detail


def spread(sieve: ConstrainedSpace, n: int, seed: int) -> list[Architecture]:
    """Up to ``n`` architectures inside the budget, from few multiply-accumulates to many in even steps of rank."""
    rng = random.Random(f"calibration {seed}")
    drawn = {one.fingerprint: one for one in (sample_one(sieve, rng, "log-macs") for _ in range(DRAWN * n))}
    ordered = sorted(drawn.values(), key=lambda one: (one.cost.macs, one.fingerprint))
    places = {round(place * (len(ordered) - 1) / max(n - 1, 1)) for place in range(n)}
    return [ordered[place] for place in sorted(places)]
