"""The tuner: Ray Tune runs the trials of one experiment; the store keeps what they found."""

import contextlib
import logging
import os
import secrets
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..results.records import RunStatus
from ..results.store import Store
from .experiment import Experiment
from .recorder import Recorder
from .searchers import SEARCHERS


class ResourceError(RuntimeError):
    """The machines do not have what the experiment asks for."""


# A trial must start in milliseconds: Tune's own loggers off, its snapshots rare (the store is the only truth), and
# nothing of Ray's under the home folder.
TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "86400",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def run_trials(
    experiment: Experiment,
    data: Any,
    store: Store,
    run_id: int,
    folder: Path,
    *,
    address: str | None = None,
    on_change: Callable[[Recorder], None] = lambda recorder: None,
    trainable: type | None = None,
) -> Recorder:
    """Train what the searcher proposes until the trials are used up or nothing new is left; return the recorder.

    ``data`` is an :class:`~archsieve.models.image_data.ImageData`, handed to each worker once. ``folder`` is the run's
    own: Tune's scratch files lie there while it runs, and the log stays. The run is closed in the store whatever
    happens. ``trainable`` stands in for :class:`~archsieve.search.trial.NetworkTrial` and takes what it takes.
    """
    search = experiment.file.search
    searcher = SEARCHERS[search.searcher](experiment.sieve, experiment.recipes)
    recorder = Recorder(store, run_id, searcher, search.seed, search.trials, folder.resolve(), on_change)
    status = RunStatus.STOPPED
    try:
        with quiet(folder / "search.log"), ray_session(address):
            check_resources(experiment)
            tune_trials(experiment, data, recorder, folder, trainable)
        if recorder.complete:
            status = RunStatus.FINISHED
    finally:
        store.finish_run(run_id, status)
        shutil.rmtree(folder / "tune", ignore_errors=True)
    return recorder


def tune_trials(
    experiment: Experiment, data: Any, recorder: Recorder, folder: Path, trainable: type | None = None
) -> None:
    """Run Tune to its end: the recorder proposes and hears, workers train."""
    from ray import tune

    from .bridge import StoreCallback, StoreSearch
    from .trial import Conditions, NetworkTrial

    resources = experiment.file.resources
    conditions = Conditions(resources.cpus_per_trial, resources.gpus_per_trial, resources.precision, folder.resolve())
    ready = tune.with_resources(
        tune.with_parameters(trainable or NetworkTrial, data=data, conditions=conditions),
        {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial},
    )
    tuner = tune.Tuner(
        ready,
        tune_config=tune.TuneConfig(
            search_alg=StoreSearch(recorder),
            scheduler=make_scheduler(experiment),
            num_samples=recorder.left,
            max_concurrent_trials=resources.max_concurrent,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(folder.resolve()),
            callbacks=[StoreCallback(recorder)],
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )
    with graceful():
        tuner.fit()


@contextlib.contextmanager
def graceful() -> Iterator[None]:
    """Let a SIGTERM stop the run as Ctrl-C does: after the epochs under way, resumably."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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


def check_resources(experiment: Experiment) -> None:
    """Refuse what no machine of the cluster can ever give, naming what there is."""
    import ray

    have = ray.cluster_resources()  # type: ignore[no-untyped-call]
    asked = experiment.file.resources
    for name, amount, key in (("CPU", asked.cpus_per_trial, "cpus"), ("GPU", asked.gpus_per_trial, "gpus")):
        if amount > have.get(name, 0):
            raise ResourceError(
                f"resources.{key}_per_trial asks for {amount:g} {name}s, but there are {have.get(name, 0):g}; "
                f"lower it, or start Ray where there are more and pass --address"
            )


@contextlib.contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """A running Ray: the one that is there already, the cluster at ``address``, or one of our own, ended afterwards."""
    if address is None:
        guard()  # before the import, which reads the environment
    import ray

    if ray.is_initialized():
        yield
        return
    ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def guard() -> None:
    """A token for a Ray of our own, where the user has none: without it Ray would write one under the home folder."""
    chosen = any(name in os.environ for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if not chosen and not (Path.home() / ".ray" / "auth_token").exists():
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
