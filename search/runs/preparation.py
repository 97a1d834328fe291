"""Preparation of a run: the measurements that its workers make before the first proposal, and the search plan."""

from functools import partial
from typing import Any

from ...spaces.architectures.budget import format_count
from ...spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from ..cluster.errors import ResourceError
from ..cluster.gpu_sharing import Shares
from ..experiment.experiment import Experiment
from ..searchers.initial_designs import check_design
from ..searchers.search_plan import SearchPlan, limit_memory
from .latency_calibration import add_latency_model
from .proxy_warmup import warm_up
from .run_control import RunControl
from .warm_start import learn_from


def prepare(experiment: Experiment, data: Any, control: RunControl, shares: Shares | None) -> SearchPlan:
    """Return the search plan of the run, after the measurements that it needs.

    These are a latency model when the budget limits latency, and proxy scores when the search has a warm-up. A signal
    to stop ends the measurements early. The plan is then incomplete, but the run makes no more proposals.

    Args:
        experiment: what to search.
        data: the data for trials.
        control: the run in the store.
        shares: the rule for shares of a GPU; None when trials do not share GPUs by predicted memory.

    Raises:
        BudgetError: when no architecture, or not every initial design, is within the budget.
        ResourceError: when no architecture fits on a GPU.
        ValueError: when the search cannot learn from an earlier run.
    """
    store, run_id = control.store, control.run_id
    run = store.run(run_id)
    earlier = learn_from(store, experiment, run.dataset_hash, run.created_at)
    plan_of = partial(experiment.plan, earlier=earlier.trials, runs=earlier.runs)
    constrained = add_latency_model(experiment, store, run_id, should_continue=control.should_continue)
    if constrained is None:
        return plan_of(experiment.constrained)
    constrained = limit_to_gpus(constrained, shares)
    for design in experiment.designs:  # before the warm-up, which takes a long time
        check_design(design, constrained)
    best = warm_up(experiment, constrained, data, store, run_id, should_continue=control.should_continue)
    return plan_of(constrained, designs=best)


def limit_to_gpus(constrained: ConstrainedSpace, shares: Shares | None) -> ConstrainedSpace:
    """Return ``constrained`` limited to networks that fit on a GPU of ``shares``; it is unchanged without ``shares``.

    Raises :class:`ResourceError` when no network fits.
    """
    if shares is None:
        return constrained
    try:
        return limit_memory(constrained, shares.max_memory_bytes)
    except BudgetError as error:
        raise ResourceError(
            f"the smallest GPU has {format_count(shares.gpu_bytes)}B and leaves a network "
            f"{format_count(max(0, shares.max_memory_bytes))}B of predicted training memory, but {error}; "
            "lower recipe.batch_size, or use GPUs with more memory"
        ) from None
