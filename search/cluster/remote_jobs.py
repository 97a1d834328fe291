"""Remote jobs: functions that workers run once, outside of Tune, each with the resources of a trial."""

from collections.abc import Callable, Sequence
from typing import Any

from ..config.schema import ResourcesSection
from ..plugins.shipping import Shipment, shipment
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

    shared_ref, plugins_ref = ray.put(shared), ray.put(shipment())
    job = once(with_plugins, resources.gpus).options(num_cpus=resources.cpus_per_trial, num_gpus=resources.gpus)
    runs = [job.remote(plugins_ref, function, part, shared_ref) for part in parts]
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


def with_plugins(plugins: Shipment, function: Callable[..., Any], part: Any, shared: Any) -> Any:
    """Return ``function(part, shared)``, with the plug-ins of the driver in this worker."""
    plugins.install()
    return function(part, shared)


def check_plugins(resources: ResourcesSection, go_on: Callable[[], bool]) -> None:
    """Raise ``PluginError`` where a worker cannot import the plug-ins of this process; nothing to do without any."""
    if shipment() != Shipment():
        run_remote_jobs(_nothing, [None], None, resources, go_on=go_on)


def _nothing(part: Any, shared: Any) -> None:
    return None
