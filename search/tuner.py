"""The tuner: Ray Tune runs the trials of one experiment; the store keeps what they found."""

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..results.records import RunStatus
from ..results.store import Store
from .experiment import Experiment
from .ray_runtime import check_resources, quiet, ray_session
from .recorder import Recorder
from .schedulers import make_scheduler
from .searchers import SEARCHERS


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
            scheduler=make_scheduler(experiment, recorder.store, recorder.run_id),
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
