"""Errands: functions that workers run once, outside of Tune, each with the resources of a trial."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..config.schema import ResourcesSection
from .ray_runtime import ResourceError, once

if TYPE_CHECKING:
    import torch

LOOK_S = 0.2  # between two looks at whether the driver was told to stop


def settle(cpus: float, gpus: float) -> "torch.device":
    """Make a worker at home in its share of the machine; the device that its networks go to."""
    import torch

    torch.set_num_threads(max(1, int(cpus)))
    return torch.device("cuda" if gpus and torch.cuda.is_available() else "cpu")


def run_errands(
    function: Callable[..., Any],
    parts: Sequence[Any],
    shared: Any,
    resources: ResourcesSection,
    *,
    go_on: Callable[[], bool],
) -> list[Any] | None:
    """``[function(part, shared) for part in parts]``, on as many workers as there is room for.

    ``go_on`` is asked several times a second; where it says no the errands are called back, and None is returned.
    """
    import ray

    there = ray.put(shared)
    errand = once(function, resources.gpus).options(num_cpus=resources.cpus_per_trial, num_gpus=resources.gpus)
    runs = [errand.remote(part, there) for part in parts]
    waiting = runs
    while waiting:
        if not go_on():
            for run in runs:
                ray.cancel(run)
            return None
        _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=LOOK_S)
    try:
        return list(ray.get(runs))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        said = str(error).splitlines()[0]
        raise ResourceError(f"a worker was lost on an errand: {said}; give workers less to do at once") from None
