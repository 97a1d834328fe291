"""Remote jobs: functions that workers run once, outside of Tune, each with the resources of a trial."""

from collections.abc import Callable, Sequence
from typing import Any

from ..config.schema import ResourcesSection
from ..plugins.shipping import Shipment, shipment
from .ray_runtime import ResourceError, remote_function

POLL_S = 0.2  # between two calls of should_continue


def run_remote_jobs(
    function: Callable[..., Any],
    parts: Sequence[Any],
    shared: Any,
    resources: ResourcesSection,
    *,
    should_continue: Callable[[], bool],
    plugins: Shipment | None = None,
) -> list[Any] | None:
    """Return ``[function(part, shared) for part in parts]``, computed on as many workers as fit.

    Args:
        function: the job; it must be picklable.
        parts: one argument per job.
        shared: the second argument of all jobs, sent to each node once.
        resources: what one job takes: as much as a trial.
        should_continue: called several times a second. When it returns False, the jobs are cancelled and None is
            returned.
        plugins: what the workers need of the driver's plug-ins; found here if left out.

    Raises:
        ResourceError: when a worker is lost. An exception of a job is raised as it is.
    """
    import ray

    shared_ref, plugins_ref = ray.put(shared), ray.put(plugins or shipment())
    job = remote_function(with_plugins, resources.gpus)
    job = job.options(num_cpus=resources.cpus_per_trial, num_gpus=resources.gpus)
    runs = [job.remote(plugins_ref, function, part, shared_ref) for part in parts]
    pending = runs
    while pending:
        # Not a plain ray.get: it blocks, and the driver must send heartbeats and react to signals in the meantime.
        if not should_continue():
            for run in runs:
                ray.cancel(run)
            return None
        _, pending = ray.wait(pending, num_returns=len(pending), timeout=POLL_S)
    try:
        return list(ray.get(runs))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        reason = str(error).splitlines()[0]
        raise ResourceError(
            f"a worker was lost during a remote job: {reason}; run fewer workers at the same time, for example with a "
            "higher resources.cpus_per_trial"
        ) from None


def with_plugins(plugins: Shipment, function: Callable[..., Any], part: Any, shared: Any) -> Any:
    """Return ``function(part, shared)``, with the plug-ins of the driver in this worker."""
    plugins.install()
    return function(part, shared)


def check_plugins(resources: ResourcesSection, should_continue: Callable[[], bool]) -> None:
    """Raise ``PluginError`` where a worker cannot import the plug-ins of this process; nothing to do without any."""
    plugins = shipment()
    if plugins != Shipment():
        run_remote_jobs(_nothing, [None], None, resources, should_continue=should_continue, plugins=plugins)


def _nothing(part: Any, shared: Any) -> None:
    return None
