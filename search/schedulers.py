"""Schedulers: which trials go on, and which are stopped early. Imports Ray only when one is made."""

from typing import Any

from .experiment import Experiment


def make_scheduler(experiment: Experiment) -> Any:
    """Tune's scheduler: first in first out, or asynchronous successive halving (Li et al. 2020, arXiv 1810.05934)."""
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

    search = experiment.file.search
    if search.scheduler == "none":
        return FIFOScheduler()  # type: ignore[no-untyped-call]
    return ASHAScheduler(
        time_attr="epoch",
        metric="val_accuracy",
        mode="max",
        max_t=experiment.recipes.largest("epochs"),
        grace_period=search.grace_epochs,
        reduction_factor=search.reduction_factor,
    )
