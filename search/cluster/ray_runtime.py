"""Ray's runtime: started quietly, or joined; what it must have, and nothing of it under the home folder."""

import contextlib
import logging
import math
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ... import __version__
from ..config.schema import ResourcesSection
from .reaper import MARK, reaped
from .signals import held_back

REACH_S = 10
WORKER_BYTES = 1 << 29  # what a worker takes of a machine's memory, torch and CUDA's libraries above all
ROUNDING = 1e-6  # three trials of a third of a GPU fit on it
ASK_S = 300  # for a worker to start on a machine, and for what else runs there to make room


class ResourceError(RuntimeError):
    """The machines do not have what the experiment asks for."""


# A trial must start in milliseconds: Tune's own loggers off, its snapshots rare (the store is the only truth), and
# nothing of Ray's under the home folder.
TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "86400",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "10000",  # how many trials may wait for their workers is for StoreSearch to say
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # Ray prints the death of a worker on stdout, whatever log_to_driver says
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def check_resources(asked: ResourcesSection) -> None:
    """Refuse what no machine of the running Ray can ever give, naming what there is."""
    machines = alive()
    wanted = {"cpus": ("CPU", asked.cpus_per_trial), "gpus": ("GPU", asked.gpus)}
    cure = f"Ray has {spelled_resources()}; lower it, or start Ray where there are more and pass --address"
    for key, (name, amount) in wanted.items():
        most = max((machine["Resources"].get(name, 0) for machine in machines), default=0)
        if amount > most:
            said = "a share of" if key == "gpus" and asked.gpus_per_trial == "auto" else f"{amount:g}"
            raise ResourceError(
                f"resources.{key}_per_trial asks for {said} {name}s, but there are {most:g} on one machine: {cure}"
            )
    if not fitting(asked, machines):
        raise ResourceError(
            f"a trial takes {asked.cpus_per_trial:g} CPUs and {asked.gpus:g} GPUs of one machine, but none has both: "
            f"{cure}"
        )


def fitting(asked: ResourcesSection, machines: Sequence[Mapping[str, Any]]) -> int:
    """How many trials run at a time on ``machines``: what one takes is together on one of them, its memory too."""
    return sum(_slots(asked, machine["Resources"]) for machine in machines)


def _slots(asked: ResourcesSection, there: Mapping[str, float]) -> int:
    cores, gpus, memory = there.get("CPU", 0), there.get("GPU", 0), there.get("memory", math.inf)
    most = int(min(cores / asked.cpus_per_trial + ROUNDING, max(1, memory / WORKER_BYTES)))
    if not asked.gpus:
        return most
    of_each = max(1, int(1 / asked.gpus + ROUNDING))  # a fraction is one of a single GPU
    return min(most, int(gpus / max(1, asked.gpus)) * of_each)


def alive() -> list[dict[str, Any]]:
    """The machines of the running Ray, as it tells of them."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def spelled_resources() -> str:
    """What the machines of the running Ray have, in words."""
    machines = alive()
    totals = (f"{sum(m['Resources'].get(name, 0) for m in machines):g} {name}s" for name in ("CPU", "GPU"))
    return f"{' and '.join(totals)} on {len(machines)} machine{'' if len(machines) == 1 else 's'}"


@contextlib.contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """A running Ray: the one that is there already, the cluster at ``address``, or one of our own, ended afterwards."""
    if address is None:
        guard()  # before the import, which reads the environment
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # 0: Ray listens on the loopback alone
    import ray

    if ray.is_initialized():
        yield
        return
    with reaped() if address is None else contextlib.nullcontext():
        start(address)
        os.environ.pop(MARK, None)  # Ray carries the mark, and not what else this process starts
        try:
            if address is not None:
                check_workers()
            yield
        finally:
            # interrupted half-way, Ray's library ends this process when Python ends: without a message, or by a crash
            with held_back():
                ray.shutdown()


def start(address: str | None) -> None:
    """Start a Ray of our own, or join the cluster at ``address``."""
    import ray

    try:
        if address is not None:
            reach(address)
        # local: without an address Ray would join any cluster that RAY_ADDRESS or a file of an earlier one tells of
        ray.init(address or "local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except OSError as error:  # Ray's ConnectionError is one
        raise ResourceError(
            f"no Ray cluster answers at {address}: {error}; start one with `ray start --head`, name the host and port "
            f"that it says, and set RAY_AUTH_MODE and RAY_AUTH_TOKEN as they are there"
        ) from None


def reach(address: str) -> None:
    """Raise ``OSError`` where nobody listens at a host:port: Ray itself would try for two minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "://" not in address:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()


def check_workers() -> None:
    """Refuse a cluster with a machine that has no archsieve, or one of another version, naming the machine."""
    cure = "install the same version of it on every machine, into the Python that runs `ray start`"
    for host, found in ask_machines(installed, "CPU"):
        if isinstance(found, Exception):
            said = str(found).strip().splitlines()[-1]
            raise ResourceError(f"{host} cannot run archsieve: {said}; {cure}")
        if found != installed():
            raise ResourceError(f"{host} has archsieve {found}, but this is {installed()}; {cure}")


def ask_machines(function: Callable[[], Any], having: str, **amounts: float) -> list[tuple[str, Any]]:
    """The name of each machine ``having`` a resource, with what ``function`` says there, or runs into.

    ``amounts`` are what it takes there, as in ``num_gpus=0.01``. A machine that has just gone is left out.
    """
    import ray
    from ray.exceptions import GetTimeoutError, RayError, RaySystemError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked, told = [], []
    for machine in alive():
        if machine["Resources"].get(having):
            there = NodeAffinitySchedulingStrategy(machine["NodeID"], soft=False)
            options = {"num_cpus": 0, **amounts, "scheduling_strategy": there}
            job = once(function, amounts.get("num_gpus", 0)).options(**options)
            asked.append((machine["NodeManagerHostname"], job.remote()))
    for host, answer in asked:
        try:
            told.append((host, ray.get(answer, timeout=ASK_S)))
        except GetTimeoutError:
            raise ResourceError(f"{host} did not answer in {ASK_S} s; wait for what else runs there") from None
        except (RayTaskError, RaySystemError) as error:
            told.append((host, error))
        except RayError:
            continue
    return told


def once(function: Callable[..., Any], gpus: float) -> Any:
    """``function`` for workers; one with a GPU ends afterwards, and leaves its memory there and its choice of GPU.

    Ray sees to that by itself only where it is told of GPUs when it is told of the function, and not by its options.
    """
    import ray

    return ray.remote(max_calls=1)(function) if gpus else ray.remote(function)


def installed() -> str:
    """The version of archsieve here."""
    return __version__


def guard() -> None:
    """A token for a Ray of our own, where the user has none: without it Ray would write one under the home folder."""
    chosen = any(name in os.environ for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if not chosen and not (Path.home() / ".ray" / "auth_token").exists():
        if "ray" in sys.modules and not sys.modules["ray"].is_initialized():
            raise ResourceError(
                "Ray reads when it is imported whether it asks for a token, and was imported before the search began, "
                'without one; import ray later, set os.environ["RAY_AUTH_MODE"] before it, or call ray.init() yourself'
            )
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))


@contextlib.contextmanager
def quiet(log: Path) -> Iterator[None]:
    """Send the chatter of Ray and Optuna to the file ``log`` instead of the screen."""
    os.environ.update({name: value for name, value in TUNE_SETTINGS.items() if name not in os.environ})
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, delay=True)
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
        handler.close()
