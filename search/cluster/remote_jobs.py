"""Remote jobs: functions that workers run once, outside of Tune, each with the resources of a trial."""

from collections.abc import Callable, Sequence
from typing import Any

from ..config.schema import ResourcesSection
from .ray_runtime import ResourceError, once

POLL_S = 0.2  # between two calls of go_on


def run_remote_jobs(
    function: Callable[..., Any],
    parts: Sequence[Any],
    shared: Any,
    resources: ResourcesSection,
    *,
    go_on: Callable[[], bool],
) -> list[Any] | None:
    """Return ``[function(part, shared) for part in parts]``, computed on as many workers as fit.

    ``go_on`` is called several times a second; when it returns False the jobs are cancelled and None is returned.
    Raises what a job raises, and :class:`ResourceError` when a worker is lost.
    """
    import ray

    shared_ref = ray.put(shared)
    job = once(function, resources.gpus).options(num_cpus=resources.cpus_per_trial, num_gpus=resources.gpus)
    runs = [job.remote(part, shared_ref) for part in parts]
    waiting = runs
    while waiting:
        if not go_on():
            for run in runs:
                ray.cancel(run)
            return None
        _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=POLL_S)
    try:
        return list(ray.get(runs))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        reason = str(error).splitlines()[0]
        raise ResourceError(
            f"a worker was lost during a remote job: {reason}; give workers less to do at once"
        ) from None
