"""Ray's runtime: start or join it, check its resources, and keep its files out of the home folder."""

import contextlib
import logging
import math
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ... import __version__
from ...models.process.cores import usable_cores
from ...spaces.parameters.lookup import shorten
from ..config.schema import ResourcesSection
from .errors import ResourceError, StopRequestedError
from .ray_folder import private_folder
from .reaper import MARK, reap_on_exit
from .signals import defer_signals

CONNECT_TIMEOUT_S = 10
WORKER_BYTES = 1 << 29  # memory that one worker takes, most of it for torch and the libraries of CUDA
ROUNDING = 1e-6  # three trials with a third of a GPU each fit on one GPU
NODE_TIMEOUT_S = 300  # a worker must start on the node, and running tasks must make room for it
POLL_S = 0.2  # between two calls of should_continue


# Tune's own loggers are off and its snapshots are rare, so that a trial starts in milliseconds. Nothing is lost: the
# store holds the results. Nothing of Ray goes below the home folder. A variable that the user has set stays.
TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "86400",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "10000",  # no limit here: StoreSearch decides how many trials may wait for workers
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # Ray prints the death of a worker to stdout even with log_to_driver=False
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def check_resources(resources: ResourcesSection) -> None:
    """Raise :class:`ResourceError` when no node of the running Ray is large enough for a trial of ``resources``."""
    nodes = live_nodes()
    wanted = {"cpus": ("CPU", resources.cpus_per_trial), "gpus": ("GPU", resources.gpus)}
    fix = f"Ray has {describe_resources()}; lower this request, or start Ray with more and pass --address"
    for key, (name, amount) in wanted.items():
        available = max((node["Resources"].get(name, 0) for node in nodes), default=0)
        if amount > available:
            auto = key == "gpus" and resources.gpus_per_trial == "auto"
            spelled = "a share of a GPU" if auto else f"{amount:g} {name}s"
            raise ResourceError(
                f"resources.{key}_per_trial needs {spelled}, but no node has more than {available:g} {name}s: {fix}"
            )
    if not count_trial_slots(resources, nodes):
        raise ResourceError(
            f"a trial needs {resources.cpus_per_trial:g} CPUs and {resources.gpus:g} GPUs on one node, but no node has "
            f"both: {fix}"
        )


def count_trial_slots(resources: ResourcesSection, nodes: Sequence[Mapping[str, Any]]) -> int:
    """Return how many trials can run on ``nodes`` at the same time.

    A trial runs on a single node, so its cores, GPUs and memory must be available there together.
    """
    return sum(_slots(resources, node["Resources"]) for node in nodes)


def _slots(resources: ResourcesSection, available: Mapping[str, float]) -> int:
    cores, gpus, memory = available.get("CPU", 0), available.get("GPU", 0), available.get("memory", math.inf)
    # At least one trial: WORKER_BYTES is an estimate, and must not exclude a small node that may do.
    slots = int(min(cores / resources.cpus_per_trial + ROUNDING, max(1, memory / WORKER_BYTES)))
    if not resources.gpus:
        return slots
    # Ray takes a fraction from a single GPU: 0.6 fits once on each GPU, not three times on two of them.
    per_gpu = max(1, int(1 / resources.gpus + ROUNDING))
    return min(slots, int(gpus / max(1, resources.gpus)) * per_gpu)


def live_nodes() -> list[dict[str, Any]]:
    """Return Ray's records of the nodes that are alive."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def describe_resources() -> str:
    """Return the total resources of the running Ray as text, such as "8 CPUs and 1 GPUs on 2 nodes"."""
    nodes = live_nodes()
    totals = (f"{sum(n['Resources'].get(name, 0) for n in nodes):g} {name}s" for name in ("CPU", "GPU"))
    return f"{' and '.join(totals)} on {len(nodes)} node{'' if len(nodes) == 1 else 's'}"


@contextlib.contextmanager
def ray_session(address: str | None, should_continue: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Provide a running Ray: the one of this process if there is one, the cluster at ``address``, or a local one.

    A local Ray ends with the block, and a cluster is left. ``should_continue`` is as in :func:`run_on_nodes`.
    """
    if address is None:
        set_auth_token()  # before the import of ray, which reads the environment
    with loopback_only() if address is None else contextlib.nullcontext():
        import ray

        if ray.is_initialized():
            yield
            return
        with _own_or_joined(address, should_continue):
            yield


@contextlib.contextmanager
def loopback_only() -> Iterator[None]:
    """Let a Ray that starts in the block listen on the loopback interface only, unless the user has set its variable.

    The variable is removed afterwards: a `ray start` that this process runs later would refuse other nodes.
    """
    name = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # Ray's switch for systems where it does not support several nodes
    if name in os.environ:
        yield
        return
    os.environ[name] = "0"  # read when Ray is imported, here and in its processes
    constants = sys.modules.get("ray._private.ray_constants")  # what an earlier import has read
    before = getattr(constants, "ENABLE_RAY_CLUSTER", None)
    try:
        if before is not None:
            constants.ENABLE_RAY_CLUSTER = False  # type: ignore[union-attr]
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            constants.ENABLE_RAY_CLUSTER = before  # type: ignore[union-attr]


@contextlib.contextmanager
def _own_or_joined(address: str | None, should_continue: Callable[[], bool]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        folder = None
        if address is None:
            folder = stack.enter_context(private_folder())
            stack.enter_context(reap_on_exit(folder))
        # A shutdown that a signal interrupts half-way makes Ray's library end this process when Python exits,
        # without a message or by a crash. The same applies to a start.
        stack.enter_context(shut_down_at_end())
        with defer_signals():
            start(address, folder)
        os.environ.pop(MARK, None)  # only Ray's processes carry the mark, not what else this process starts
        if address is not None:
            check_workers(should_continue)
        yield


@contextlib.contextmanager
def shut_down_at_end() -> Iterator[None]:
    """Shut Ray down after the block, also if it has started only in part."""
    import ray

    try:
        yield
    finally:
        with defer_signals():
            ray.shutdown()


def start(address: str | None, folder: Path | None = None) -> None:
    """Start a local Ray with its files in ``folder``, or join the cluster at ``address``.

    A local Ray has the cores that this process may use. Raises :class:`ResourceError` if no cluster answers, or if Ray
    cannot start here.
    """
    import ray

    options: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        _start_local(options, folder)
        return
    try:
        check_reachable(address)
        ray.init(address, **options)
    except OSError as error:  # includes Ray's ConnectionError
        raise ResourceError(
            f"no Ray cluster can be reached at {address}: {error}; start one with `ray start --head`, pass the host "
            f"and port that it prints, and set RAY_AUTH_MODE and RAY_AUTH_TOKEN to the cluster's values"
        ) from None


def _start_local(options: Mapping[str, Any], folder: Path | None) -> None:
    import ray

    try:
        # "local", because without an address Ray joins any cluster that RAY_ADDRESS or a file of an earlier one names.
        ray.init("local", num_cpus=usable_cores(), _temp_dir=None if folder is None else str(folder), **options)
    except Exception as error:  # Ray has no class of its own for this; it raises OSError, RuntimeError and Exception
        cause = " ".join(str(error).split()) or type(error).__name__
        raise ResourceError(
            "Ray must be able to start processes on this machine, to open ports on the loopback interface and to write "
            f"to {folder or 'its folder'}, but its start failed: {shorten(cause)}; correct the cause (limits of "
            "processes and memory, free disk space), or use a running cluster with --address"
        ) from error


def check_reachable(address: str) -> None:
    """Raise ``OSError`` when no process listens at a host:port. Ray itself would try for two minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "://" not in address:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()


def check_workers(should_continue: Callable[[], bool] = lambda: True) -> None:
    """Raise :class:`ResourceError` when a node has no archsieve or another version; the message names the node."""
    fix = "install the same version on every node, into the Python that runs `ray start`"
    for host, answer in run_on_nodes(installed_version, "CPU", should_continue):
        if isinstance(answer, Exception):
            message = str(answer).strip().splitlines()[-1]
            raise ResourceError(f"{host} cannot run archsieve: {message}; {fix}")
        if answer != installed_version():
            raise ResourceError(f"{host} has archsieve {answer}, but this process has {installed_version()}; {fix}")


def run_on_nodes(
    function: Callable[[], Any],
    having: str,
    should_continue: Callable[[], bool] = lambda: True,
    **amounts: float,
) -> list[tuple[str, Any]]:
    """Run ``function`` once on each node that has the resource ``having``.

    Args:
        function: takes no arguments.
        having: Ray's name of a resource, such as "CPU" or "GPU".
        should_continue: called several times a second; when it returns False, the calls are cancelled.
        amounts: what the function takes on a node, as in ``num_gpus=0.01``.

    Returns:
        (host name, result) of each node; the result is an exception when the function raised one. A node that has just
        left the cluster is missing.

    Raises:
        ResourceError: when a node does not answer within ``NODE_TIMEOUT_S`` seconds.
        StopRequestedError: when ``should_continue`` returned False.
    """
    from ray.exceptions import RayError, RaySystemError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Submit all tasks before waiting for the first one, so that the nodes start their workers at the same time.
    submitted, results = [], []
    for node in live_nodes():
        if node["Resources"].get(having):
            affinity = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            options = {"num_cpus": 0, **amounts, "scheduling_strategy": affinity}
            job = remote_function(function, amounts.get("num_gpus", 0)).options(**options)
            submitted.append((node["NodeManagerHostname"], job.remote()))
    deadline = time.monotonic() + NODE_TIMEOUT_S
    for host, reference in submitted:
        try:
            results.append((host, _answer(host, reference, deadline, should_continue)))
        except (RayTaskError, RaySystemError) as error:
            results.append((host, error))
        except RayError:
            continue
    return results


def _answer(host: str, reference: Any, deadline: float, should_continue: Callable[[], bool]) -> Any:
    """Return the result of a call on ``host``."""
    import ray

    # Not a plain ray.get: it blocks, and the driver must send heartbeats and react to signals in the meantime.
    while not ray.wait([reference], timeout=POLL_S)[0]:
        if not should_continue():
            ray.cancel(reference)
            raise StopRequestedError
        if time.monotonic() > deadline:
            raise ResourceError(
                f"{host} did not answer within {NODE_TIMEOUT_S} s; wait until other tasks on it have ended"
            )
    return ray.get(reference)


def remote_function(function: Callable[..., Any], gpus: float) -> Any:
    """Return ``function`` as a Ray remote function. With a GPU, its worker ends after one call and frees the memory.

    Ray does so by itself only when the decorator gives ``num_gpus``. Here the amount comes later, with ``options``, so
    ``max_calls`` must be set explicitly. Otherwise the worker would keep its memory and its choice of GPU.
    """
    import ray

    return ray.remote(max_calls=1)(function) if gpus else ray.remote(function)


def installed_version() -> str:
    """Return the version of archsieve in this process."""
    return __version__


def set_auth_token() -> None:
    """Set a random token for a local Ray unless the user has chosen one. Ray would write one below the home folder.

    Raises :class:`ResourceError` when Ray was imported earlier: it has then read its settings already.
    """
    chosen = any(name in os.environ for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if not chosen and not (Path.home() / ".ray" / "auth_token").exists():
        if "ray" in sys.modules and not sys.modules["ray"].is_initialized():
            raise ResourceError(
                "ray was imported before the search started, without an authentication token, and reads this setting "
                'only on import; import ray later, set os.environ["RAY_AUTH_MODE"] before the import, or call '
                "ray.init() yourself"
            )
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))


@contextlib.contextmanager
def quiet(log: Path) -> Iterator[None]:
    """Send the messages of Ray and Optuna to the file ``log`` instead of the screen."""
    os.environ.update({name: value for name, value in TUNE_SETTINGS.items() if name not in os.environ})
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, delay=True)
    # On a full disk, each message would otherwise print a traceback.
    handler.handleError = lambda record: None  # type: ignore[method-assign]
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [
        logging.getLogger(name) for name in ("ray", "ray.tune", "ray.train", "ray.data", "optuna", "py.warnings")
    ]
    before = [(logger, logger.handlers[:], logger.propagate) for logger in loggers]
    logging.captureWarnings(True)
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
        with contextlib.suppress(OSError):
            handler.close()
