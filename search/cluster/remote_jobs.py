"""Remote jobs: functions that workers run once, outside of Tune, each with the resources of a trial."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ...spaces.parameters.user_code import PluginError, first_line
from ..config.schema import ResourcesSection
from ..config.train_section import BUILT_IN_TRAINING, TrainSection
from ..plugins.shipping import Shipment, installed_plugins, shipment, version_here
from .errors import ResourceError
from .ray_runtime import POLL_S, remote_function, run_on_nodes


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
        raise ResourceError(
            f"a worker was lost during a remote job: {first_line(error)}; run fewer workers at the same time, for "
            "example with a higher resources.cpus_per_trial"
        ) from None


def with_plugins(plugins: Shipment, function: Callable[..., Any], part: Any, shared: Any) -> Any:
    """Return ``function(part, shared)``, with the plug-ins of the driver in this worker."""
    plugins.install()
    return function(part, shared)


def check_plugins(
    resources: ResourcesSection,
    metrics: Collection[str] = (),
    train: TrainSection = BUILT_IN_TRAINING,
    should_continue: Callable[[], bool] = lambda: True,
) -> None:
    """Import the plug-ins of this process once on each node that can run trials; nothing to do without any.

    ``metrics`` are the names of the metrics that the search uses, ``train`` its custom functions; ``should_continue``
    is as in :func:`run_on_nodes`.

    Raises :class:`PluginError` that names each node which cannot import a plug-in, or where an installed plug-in is
    missing or has another version.
    """
    import ray

    plugins, expected = shipment(metrics, train), installed_plugins()
    if plugins == Shipment() and not expected:
        return
    reference = ray.put(plugins)

    def versions() -> dict[str, str | None]:
        here = {module: version_here(module) for module in expected}
        if here == expected:
            ray.get(reference).install()
        return here

    answers = run_on_nodes(versions, "GPU" if resources.gpus else "CPU", should_continue)
    problems = [problem for host, answer in answers for problem in _problems(host, answer, expected)]
    if problems:
        raise PluginError("; ".join(problems))


def _problems(host: str, answer: Any, expected: Mapping[str, str]) -> list[str]:
    """Return a text for each plug-in of a node that differs from this process, or for the exception of an import."""
    if isinstance(answer, Exception):
        cause = getattr(answer, "cause", answer)
        return [f"{host} cannot import the plug-ins: {str(cause).strip().splitlines()[-1]}"]
    return [
        f"the plug-in {module} must be {version}, as in this process, but {host} has {answer[module] or 'none'}; "
        f"install the same version of its package on {host}"
        for module, version in expected.items()
        if answer[module] != version
    ]
