"""Preparation of a run: what its workers measure before the first proposal, and the plan of proposals."""

from typing import Any

from ...spaces.architectures.budget import format_count
from ...spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from ..cluster.gpu_sharing import Shares
from ..cluster.ray_runtime import ResourceError
from ..experiment.experiment import Experiment
from ..searchers.initial_designs import check_design
from ..searchers.search_plan import SearchPlan, limit_memory
from .latency_calibration import calibrated
from .proxy_warmup import warm_up
from .run_control import RunControl
from .warm_start import earlier_trials


def prepare(experiment: Experiment, data: Any, control: RunControl, shares: Shares | None) -> SearchPlan:
    """Return the plan of the run's proposals, with all that the workers have to measure for it.

    That is a latency model where latency is limited, and proxy scores where there is a warm-up. A signal to stop ends
    the measurements early; the plan then lacks them, and nothing is proposed any more. ``shares`` are the parts of a
    GPU that trials get, None without.

    Raises ``BudgetError`` where nothing or not every initial design is inside the budget, :class:`ResourceError` where
    nothing fits on a GPU, ``ValueError`` where an earlier run cannot be learned from.
    """
    store, run_id = control.store, control.run_id
    sieve = calibrated(experiment, store, run_id, go_on=control.go_on)
    if sieve is None:
        return experiment.plan(experiment.sieve)
    sieve = on_gpus(sieve, shares)
    for design in experiment.designs:  # before the warm-up, which takes long
        check_design(design, sieve)
    run = store.run(run_id)
    earlier = earlier_trials(store, experiment, run.dataset_hash, run.created_at)
    best = warm_up(experiment, sieve, data, store, run_id, go_on=control.go_on)
    return experiment.plan(sieve, designs=best, earlier=earlier)


def on_gpus(sieve: ConstrainedSpace, shares: Shares | None) -> ConstrainedSpace:
    """Return ``sieve`` with what fits on a GPU of ``shares``; :class:`ResourceError` where nothing does."""
    if shares is None:
        return sieve
    try:
        return limit_memory(sieve, shares.most_memory_bytes)
    except BudgetError as error:
        raise ResourceError(
            f"a GPU here has {format_count(shares.gpu_bytes)}B, of which a trial's network may be predicted to take "
            f"{format_count(max(0, shares.most_memory_bytes))}B beside its pictures, but {error}; lower "
            "recipe.batch_size, or start Ray where GPUs have more memory"
        ) from None
