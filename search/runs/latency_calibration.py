"""Latency calibration: measure a few untrained networks on a worker, to predict latency before training."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

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

DRAWS_PER_NETWORK = 16  # architectures drawn for each one that is measured


def add_latency_model(
    experiment: Experiment, store: Store, run_id: int, *, should_continue: Callable[[], bool]
) -> ConstrainedSpace | None:
    """Return the experiment's constrained space, with a latency model if the budget limits latency.

    The model is fitted once per run, before the first proposal, and stored, so that a resumed run uses the same one. If
    the searcher learns which networks keep the limit, the limit of the predicted latency is wider by a margin.

    Returns None when ``should_continue`` returned False during the measurements. Raises ``BudgetError`` when no
    architecture has a predicted latency within the budget.
    """
    if experiment.budget.latency_ms is None:
        return experiment.constrained
    model = calibration(store, run_id) or _calibrate(experiment, store, run_id, should_continue)
    if model is None:
        return None
    from ...models.profiling.latency_predictor import LatencyPredictor

    base, predictor = experiment.constrained, LatencyPredictor.from_json(model["weights"])
    constrained = ConstrainedSpace(base.space, base.budget, base.batch_size, predictor)
    if experiment.learned_limit_ms is not None:
        budget = replace(base.budget, latency_ms=LATENCY_MARGIN * experiment.learned_limit_ms)
        wider = ConstrainedSpace(base.space, budget, base.batch_size, predictor)
        with suppress(BudgetError):  # the error below names the limit of the user
            check_feasible(wider)
            return wider
    check_feasible(constrained)
    return constrained


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
