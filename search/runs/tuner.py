"""The tuner: run the trials of one experiment with Ray Tune, and write their results to the store."""

import contextlib
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ...results.database.errors import StoreError, is_disk_full
from ...results.database.latency_records import record_errors
from ...results.database.records import RunStatus
from ...results.database.store import Store
from ...results.query.time_use import TIME_USE
from ...spaces.constrained.constrained_space import BudgetError
from ..cluster.capacity import ClusterCapacity
from ..cluster.errors import RayLostError, ResourceError, StopRequestedError
from ..cluster.fault_injection import worker_environment
from ..cluster.gpu_sharing import Shares, check_gpus
from ..cluster.node_data import prepare_nodes
from ..cluster.ray_runtime import check_resources, quiet, ray_session
from ..cluster.ray_watch import watch_ray
from ..cluster.remote_jobs import check_plugins, run_remote_jobs
from ..cluster.signals import handle_signals
from ..experiment.experiment import Experiment
from ..plugins.shipping import shipment
from ..searchers.search_plan import SearchPlan
from ..trials.checkpoint_files import Checkpoints, checkpoints_of
from ..trials.failure_policy import Stop, StopKind
from ..trials.latency import Timing
from ..trials.reserve import release_space, reserved_space
from ..trials.spool import Spool
from ..trials.trial_cache import TrialCache
from .preparation import prepare
from .recorder import Recorder
from .run_control import RunControl
from .time_limit import TimeLimit
from .warm_start import record_priors

if TYPE_CHECKING:
    from ..config.schema import ResourcesSection
    from ..trials.conditions import Conditions


def run_trials(
    experiment: Experiment,
    data: Any,
    store: Store,
    run_id: int,
    folder: Path,
    *,
    address: str | None = None,
    limit: TimeLimit | None = None,
    on_change: Callable[[Recorder], None] = lambda recorder: None,
    trainable: type | None = None,
    at_end: Callable[[Recorder], None] = lambda recorder: None,
) -> Recorder:
    """Train the proposals of the searcher until all trials are used or nothing new is left; return the recorder.

    Args:
        data: the data of the experiment's task for trials; each worker gets them once.
        run_id: the run in ``store``, which is closed there even if an exception ends this function.
        folder: the folder of the run, for its log and, during the run, Tune's scratch files.
        address: a Ray cluster; None starts Ray on this machine.
        limit: the time limit of this session; None for no limit.
        on_change: called whenever a trial starts, reports or ends.
        trainable: replaces ``NetworkTrial`` in tests; it takes the same arguments.
        at_end: called after the last trial, while Ray still runs.
    """
    control = RunControl(store, run_id)
    files = checkpoints_of(folder, experiment.file.resources.checkpoints), Spool(folder / "spool")
    recorder_of = partial(make_recorder, experiment, control, *files, on_change, limit or TimeLimit())
    with reserved_space(folder), closing(store, run_id, folder):
        if files[1].files():  # before anything that may fail: a resume that goes no further has stored them
            recorder_of(experiment.plan(experiment.constrained)).replay()
        recorder = None
        with (
            quiet(folder / "search.log"),
            contextlib.suppress(StopRequestedError),  # it ends the preparation
            running_ray(control, folder, address),
        ):
            shares, plan = prepare_on_nodes(experiment, data, control)
            recorder = recorder_of(plan)
            recorder.sweep()
            tune_trials(experiment, data, recorder, folder, trainable, shares)
            record_notes(recorder, plan)
            if recorder.complete and recorder.stopping is None:
                at_end(recorder)
        if control.stopping is not None and control.stopping.error is not None:
            raise control.stopping.error
        record_errors(store, run_id)
        recorder = recorder or recorder_of(experiment.plan(experiment.constrained))
    store.finish_run(run_id, RunStatus.FINISHED if recorder.complete else RunStatus.STOPPED)
    return recorder


def record_notes(recorder: Recorder, plan: SearchPlan) -> None:
    """Record the priors of the searcher, and how a session that its time limit ended used its time."""
    store, run_id, history = recorder.store, recorder.run_id, recorder.history
    record_priors(store, run_id, plan, history)
    if recorder.out_of_time:
        store.add_event(run_id, "info", TIME_USE, dict(recorder.limit.used(history.unfinished)))


@contextlib.contextmanager
def running_ray(control: RunControl, folder: Path, address: str | None) -> Iterator[None]:
    """Provide a running Ray whose death stops the run, and handle signals until it has ended."""

    def stop(error: RayLostError) -> None:
        control.stop(Stop(StopKind.ERROR, str(error), error=error))

    # twice: signals may come while Ray starts, and Ray puts a handler of its own over SIGTERM when it has
    with (
        graceful(control),
        watch_ray(folder.name, stop) as watch,
        ray_session(address, control.should_continue),
        watch.active(),
        graceful(control),
    ):
        yield


def prepare_on_nodes(experiment: Experiment, data: Any, control: RunControl) -> tuple[Shares | None, SearchPlan]:
    """Check and prepare the nodes; return the shares of GPUs, if trials share them, and the search plan.

    Raises ``StopRequestedError`` when the run must stop before that.
    """
    resources, search = experiment.file.resources, experiment.file.search
    if not control.should_continue():
        raise StopRequestedError
    check_resources(resources)
    check_plugins(resources, experiment.selection.computed, experiment.file.train, control.should_continue)
    prepare_nodes([split.images for split in getattr(data, "splits", ())], control.should_continue)
    shares = check_gpus(resources, data, search.folds, experiment.recipes, control.should_continue)
    check_ranks_start(resources, control.should_continue)
    return shares, prepare(experiment, data, control, shares)


def check_ranks_start(resources: "ResourcesSection", should_continue: Callable[[], bool]) -> None:
    """Start the ranks of a trial once on a node, if it has several. Raises ``ResourceError`` if they cannot start."""
    if resources.ranks == 1:
        return
    from ...models.ranks.errors import RankLostError, RankStartError
    from ..trials.replicas import start_ranks

    try:
        answer = run_remote_jobs(
            start_ranks, [resources.ranks], resources.gpus > 0, resources, should_continue=should_continue
        )
    except (RankStartError, RankLostError) as error:
        raise ResourceError(str(error)) from error
    if answer is None:
        raise StopRequestedError


def make_recorder(
    experiment: Experiment,
    control: RunControl,
    checkpoints: Checkpoints,
    spool: Spool,
    on_change: Callable[[Recorder], None],
    limit: TimeLimit,
    plan: SearchPlan,
) -> Recorder:
    """Return the recorder of the run, for the trials of ``plan``."""
    search, store = experiment.file.search, control.store
    return Recorder(
        control,
        plan,
        search.seed,
        search.trials,
        checkpoints,
        spool,
        timeout_s=search.trial_timeout_s,
        on_change=on_change,
        cache=TrialCache(store, store.run(control.run_id)) if search.cache else None,
        limit=limit,
        selection=experiment.selection,
    )


@contextlib.contextmanager
def closing(store: Store, run_id: int, folder: Path) -> Iterator[None]:
    """Close the run in the store when an exception ends the block, then remove Tune's scratch files.

    The exception is raised again. An error while closing the run is suppressed, because the first one is the cause.
    """
    try:
        yield
    except BaseException as error:
        # No resume helps when nothing is within the budget. Other errors may be gone after a resume.
        if is_disk_full(error):
            release_space(folder)  # so that the database can take the end of the run
        status = RunStatus.FAILED if isinstance(error, BudgetError) else RunStatus.STOPPED
        with contextlib.suppress(StoreError):
            store.finish_run(run_id, status)
        raise
    finally:
        shutil.rmtree(folder / "tune", ignore_errors=True)


def tune_trials(
    experiment: Experiment,
    data: Any,
    recorder: Recorder,
    folder: Path,
    trainable: type | None = None,
    shares: Shares | None = None,
) -> None:
    """Run Tune until the recorder has no more trials. Workers train; the recorder proposes and writes the results."""
    from ray import tune

    from ..schedulers.tune_rules import make_scheduler
    from ..trials.trainable import NetworkTrial
    from .tune_adapter import StoreCallback, StoreSearch, StoreStopper

    resources = experiment.file.resources
    capacity = ClusterCapacity(resources, None if shares is None else shares.of_trial)
    conditions = conditions_of(experiment, data, recorder, shared=shares is not None)
    fixed = {"cpu": resources.cpus_per_trial, "gpu": resources.gpus}
    # with_parameters puts the data into Ray's object store once; in a configuration they would be copied per trial.
    configured = tune.with_resources(
        tune.with_parameters(trainable or NetworkTrial, data=data, conditions=conditions),
        fixed if shares is None else shares.resources(resources.cpus_per_trial),
    )
    tuner = tune.Tuner(
        configured,
        tune_config=tune.TuneConfig(
            search_alg=StoreSearch(recorder, capacity, keep_one_pending=resources.max_concurrent is not None),
            scheduler=make_scheduler(
                experiment.file.search, experiment.recipes.largest("epochs"), recorder.store, recorder.run_id
            ),
            num_samples=-1,  # the recorder ends the search; it proposes a trial again that lost its worker
            max_concurrent_trials=resources.max_concurrent,
            reuse_actors=True,  # a new worker would import torch and receive the data again
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(folder.resolve()),
            callbacks=[StoreCallback(recorder, capacity)],
            stop=StoreStopper(recorder),
            verbose=0,  # archsieve has its own progress display
            # Trials write their own checkpoints, which a resume of the run can use.
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )
    tuner.fit()


def conditions_of(experiment: Experiment, data: Any, recorder: Recorder, *, shared: bool) -> "Conditions":
    """Return the settings that all trials share. ``shared``: trials share GPUs by their predicted memory."""
    from ...models.diagnostics.zero_cost_proxies import probe
    from ..trials.conditions import Conditions

    search, resources = experiment.file.search, experiment.file.resources
    return Conditions(
        cpus=resources.cpus_per_trial,
        gpus=resources.gpus,
        precision=resources.precision,
        checkpoints=recorder.checkpoints,
        timing=Timing.of(experiment.file),
        probe=probe(data, search.seed) if search.proxies else None,
        proxies=tuple(search.proxies),
        folds=search.folds,
        fold_seed=experiment.file.data.seed,
        timeout_s=recorder.timeout_s,
        faults=worker_environment(),
        shared=shared,
        task=experiment.task.name,
        plugins=shipment(experiment.selection.computed, experiment.file.train),
        selection=experiment.selection,
        weights=experiment.file.space.weights,
        train=experiment.file.train,
        keep_predictions=search.record_predictions,
        stops_early=search.scheduler != "none",
        rungs=search.rungs,
        ranks=resources.ranks,
        sync_batch_norm=resources.sync_batch_norm,
    )


@contextlib.contextmanager
def graceful(control: RunControl) -> Iterator[None]:
    """Let the first signal stop the run resumably after pending writes; a second signal interrupts immediately."""

    def stop(number: int, frame: FrameType | None) -> None:
        if control.stopping is not None:
            raise KeyboardInterrupt
        control.stop(Stop(StopKind.SIGNAL, f"stopped by {signal.Signals(number).name}"))

    with handle_signals(stop):
        yield
