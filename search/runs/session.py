"""Sessions: run one experiment from start to result. ``archsieve search`` and ``archsieve resume`` as functions."""

import errno
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...results.analysis.differences import Winner
from ...results.analysis.intervals import Measured
from ...results.database.errors import NoStoreError, StoreError
from ...results.database.lease import now
from ...results.database.reader import StoreReader
from ...results.database.records import DatasetRecord, RunRecord, Trial, TrialState
from ...results.database.run_name import check_run_name
from ...results.database.store import Store, open_store
from ...results.database.url import DatabaseLocation, parse_location
from ...results.database.zero_shot_records import failed_test_reason, latest_test_table
from ...results.report.report import write_report_of
from ...results.report.run_data import RunData
from ...spaces.architectures.budget import Budget
from ...spaces.parameters.task_kinds import ZERO_SHOT
from ..cluster.errors import RayLostError
from ..cluster.preflight import check_machine
from ..cluster.provenance import provenance
from ..cluster.signals import NOTHING_STARTED, advise, defer_signals
from ..config.diff import changes, code_changes
from ..config.selecting_metric import check_packages
from ..experiment import foreign_paths
from ..experiment.experiment import Experiment, load_run_data
from ..experiment.experiment import experiment as make_experiment
from ..experiment.search_file import parse
from ..experiment.stored_settings import search_file_of, stored_settings
from ..tasks.base import data_notes
from ..trials.checkpoint_files import checkpoints_of
from ..trials.failure_policy import Stop
from ..trials.spool import Spool
from .recorder import Recorder
from .thumbnails import thumbnails_of
from .time_limit import TimeLimit
from .tuner import run_trials
from .warm_start import ALL, learn_from, with_names
from .zero_shot_final import finalize_zero_shot, is_zero_shot_final

if TYPE_CHECKING:
    from ...models.data.dataset import ImageData
    from ...models.data.zero_shot import ZeroShotData

RUNS = Path("runs")
# Kinds of events of a run.
DATA_NOTES = "data_notes"
SKIPPED_IMAGES = "skipped_images"
log = logging.getLogger("archsieve")


class FinalStep(NamedTuple):
    """A task's step after all trials have ended: ``run`` does it once, on the workers.

    ``done`` returns whether the store has its result.
    """

    run: Callable[[Experiment, Any, Recorder, Path], None]
    done: Callable[[Experiment, StoreReader, int], bool]


FINAL_STEPS = {ZERO_SHOT: FinalStep(finalize_zero_shot, is_zero_shot_final)}  # by task; other tasks have no final step


@dataclass(frozen=True)
class Outcome:
    """The result of a search.

    Args:
        run: name of the run.
        best: the best trials within the budget, best first.
        trials: all trials.
        exhausted: whether the searcher had nothing new to propose.
        out_of_time: whether ``search.time_limit`` ended the search before its last trial.
        complete: False when the run was stopped before its last trial; ``archsieve resume`` continues it.
        seconds: duration of this session.
        database: path or URL of the results database.
        report: path of the HTML report.
        budget: the budget of the run.
        too_slow: finished trials whose latency was predicted within the budget, but measured above it or not at all;
            they are never among the best.
        stop: why the run was stopped; None otherwise.
        zero_shot: the table of a zero-shot search's test
            (see :func:`~archsieve.results.database.zero_shot_records.latest_test_table`); None without a test.
        not_tested: why a zero-shot search has no test, if known.
        measured: the selecting metric of each of the best trials, with its interval.
        top_5_errors: the same of their top-5 errors, None for fewer than ten classes.
        winner: the best trial with those that are not distinguishable from it; None without a best trial.
    """

    run: str
    best: tuple[Trial, ...]
    trials: tuple[Trial, ...]
    exhausted: bool
    complete: bool
    seconds: float
    database: DatabaseLocation
    report: Path
    budget: Budget = field(default_factory=Budget)
    too_slow: tuple[Trial, ...] = ()
    stop: Stop | None = None
    zero_shot: Mapping[str, Any] | None = None
    not_tested: str | None = None
    out_of_time: bool = False
    measured: tuple[Measured, ...] = ()
    top_5_errors: tuple[Measured | None, ...] = ()
    winner: Winner | None = None

    @property
    def failed(self) -> tuple[Trial, ...]:
        """The trials that failed."""
        return tuple(trial for trial in self.trials if trial.state is TrialState.FAILED)

    @property
    def common_reason(self) -> str | None:
        """The most frequent reason of the failed trials; None without failures."""
        reasons = [trial.reason or "no reason given" for trial in self.failed]
        return max(reasons, key=reasons.count, default=None)


def search(
    experiment: Experiment,
    *,
    name: str | None = None,
    database: str | DatabaseLocation | None = None,
    runs: str | Path = RUNS,
    address: str | None = None,
    top: int = 5,
    on_change: Callable[[Recorder], None] = lambda recorder: None,
) -> Outcome:
    """Run ``experiment`` and return its result.

    Args:
        experiment: what to search.
        name: name of the run; by default the name in the search file, or "run".
        database: path or URL of the results database; by default ``archsieve.db`` in ``runs``.
        runs: the folder below which everything is written.
        address: host:port of a Ray cluster; None starts Ray on this machine.
        top: number of best trials in the result.
        on_change: called whenever a trial starts, reports or ends.

    Raises:
        RunExistsError: when the database has a run of this name.
        ValueError: when a run of another database has left unfinished trials in the folder of this name.

    Both are raised before anything is trained.
    """
    started = time.monotonic()
    name = check_run_name(name or experiment.file.name or "run")
    database_url = parse_location(database or Path(runs) / "archsieve.db")
    _check_before_loading(experiment, name, database_url, Path(runs), address)
    data, record = load(experiment)
    warm_start = experiment.file.search.warm_start
    # A new database has no earlier runs, so a search with a warm start must not create one.
    with open_store(database_url, create=not warm_start or warm_start == ALL) as store:
        if warm_start:
            # Check the earlier runs before this run is created, so that a mistake leaves no run.
            experiment = with_names(experiment, learn_from(store, experiment, record.content_hash, now()))
        images, run_id = experiment.task.images(data), _create_run(store, name, experiment, record)
        session = Session(experiment, data, store, run_id, Path(runs) / name, database_url, started)
        try:
            _record_notes(store, run_id, images)
            return session.drive(address, top, on_change)
        except RayLostError:
            raise  # its message states how to resume the run
        except Exception:
            with suppress(StoreError):  # the first error is the one to report, not a consequence of it
                store.delete_empty_run(run_id)  # a run that fails before its first trial leaves its name free
            raise


def resume(
    name: str,
    *,
    trials: int | None = None,
    time_limit: str | float | None = None,
    database: str | DatabaseLocation | None = None,
    runs: str | Path = RUNS,
    address: str | None = None,
    top: int = 5,
    allow_paths: bool = False,
    on_change: Callable[[Recorder], None] = lambda recorder: None,
) -> Outcome:
    """Resume the run ``name``.

    Unfinished trials continue after their last checkpoint, then the remaining trials follow. All settings are those of
    the run's start, except ``trials``. Trials that have ended are not trained again.

    Args:
        name: name of the run, the beginning of it, or "last" for the run that was started last.
        trials: a new total number of trials; None keeps the old one.
        time_limit: a new ``search.time_limit`` for this session, such as "1h" or "+1h"; None keeps the old one. It
            starts now.
        allow_paths: use the folders, files, URLs and commands that an imported run names.
        database, runs, address, top, on_change: as in :func:`search`.

    Raises:
        ValueError: when the data have changed, or the run is complete.
        StoreError: when another process drives the run.
        RefusedError: when the run was imported and names paths that are not allowed.
    """
    started = time.monotonic()
    database_url = parse_location(database or Path(runs) / "archsieve.db")
    check_machine(Path(runs), elsewhere=address is not None)
    advise(f"{NOTHING_STARTED}; {_how_to_continue(name)}")
    with open_store(database_url) as store:
        run = store.run(name)
        name = check_run_name(run.name)  # it becomes the name of a folder, and a database may come from elsewhere
        if allow_paths:
            foreign_paths.allow_paths(store, run)
        foreign_paths.check_paths(store, run)
        experiment = restored(run, trials, store, time_limit)
        check_packages(experiment.selection)
        data = load_run_data(run, experiment)  # raises when the data have changed
        run_id = _acquire_run(store, name, experiment)
        session = Session(experiment, data, store, run_id, Path(runs) / name, database_url, started)
        return session.drive(address, top, on_change)


def restored(run: RunRecord, trials: int | None, store: Store, time_limit: str | float | None = None) -> Experiment:
    """Return the experiment of a stored run, with a new number of trials or a new time limit if they are given.

    Raises ``ValueError`` when the run is complete and its final step is done.
    """
    planned = search_file_of(run).search.trials
    total = planned if trials is None else trials
    config = stored_settings(run.config)
    ended = sum(count for state, count in run.counts.items() if state.final)
    limit = time_limit.removeprefix("+") if isinstance(time_limit, str) else time_limit
    settings = {"trials": total} | ({} if limit is None else {"time_limit": limit})
    experiment = make_experiment(parse({**config, "search": {**config["search"], **settings}}))
    if ended >= total and is_finalized(experiment, store, run.run_id):
        rule = f"trials must be more than {ended}, but got {trials}: " if trials is not None else ""
        raise ValueError(
            f"{rule}run {run.name!r} is complete: {ended} of {max(ended, planned)} trials have ended; "
            f"add trials, for example with archsieve resume {run.name} --trials +24, or in Python trials={ended + 24}"
        )
    return experiment


def load(experiment: Experiment) -> tuple[Any, DatasetRecord]:
    """Load the experiment's data; return the data and their record for the store."""
    return experiment.task.load(experiment.file)


def finalize(experiment: Experiment, data: Any, recorder: Recorder, folder: Path) -> None:
    """Run the final step of the experiment's task, if it has one."""
    if step := FINAL_STEPS.get(experiment.task.name):
        step.run(experiment, data, recorder, folder)


def is_finalized(experiment: Experiment, store: StoreReader, run_id: int) -> bool:
    """Return whether the final step of the experiment's task is done; True for a task without one."""
    step = FINAL_STEPS.get(experiment.task.name)
    return step is None or step.done(experiment, store, run_id)


@dataclass(frozen=True)
class Session:
    """A run that this process drives, with what it needs until its result."""

    experiment: Experiment
    data: Any
    store: Store
    run_id: int
    folder: Path
    database: DatabaseLocation
    started: float

    def drive(self, address: str | None, top: int, on_change: Callable[[Recorder], None]) -> Outcome:
        """Train until the run is complete or stopped, write the report, and return the result."""
        recorder = run_trials(
            self.experiment,
            self.experiment.task.for_trials(self.data),  # without the data that only the final step may use
            self.store,
            self.run_id,
            self.folder,
            address=address,
            limit=TimeLimit.of(self.experiment.file.search.time_limit, self.started),
            on_change=on_change,
            at_end=lambda recorder: finalize(self.experiment, self.data, recorder, self.folder),
        )
        advise(f"the trials of this session are recorded; see archsieve report {self.folder.name}")
        run = RunData(self.store, self.store.run(self.run_id))
        thumbnails = thumbnails_of(self.store, run.run, self.experiment, self.data)
        report = write_report_of(run, self.folder / "report.html", thumbnails)
        budget, history = self.experiment.budget, self.store.history(self.run_id)
        shown = [run.headline(trial) for trial in run.best_trials(top)]
        return Outcome(
            run=self.folder.name,
            best=tuple(one.trial for one in shown),
            top_5_errors=tuple(one.top_5_error for one in shown),
            measured=tuple(one.measured for one in shown),
            winner=run.winner if shown else None,
            trials=history.trials,
            budget=budget,
            too_slow=tuple(trial for trial in history.finished if not budget.meets_latency_limit(trial.latency_ms)),
            exhausted=recorder.exhausted,
            out_of_time=recorder.out_of_time,
            # A run whose final step was interrupted is not complete, so that a resume repeats that step.
            complete=recorder.complete and is_finalized(self.experiment, self.store, self.run_id),
            zero_shot=latest_test_table(self.store, self.run_id),
            not_tested=failed_test_reason(self.store, self.run_id),
            stop=recorder.stopping,
            seconds=time.monotonic() - self.started,
            database=self.database,
            report=report,
        )


def _create_run(store: Store, name: str, experiment: Experiment, record: DatasetRecord) -> int:
    """Create the run in the store and return its id."""
    settings, origin = experiment.file.search, provenance()
    with defer_signals():  # the message of an interruption must not contradict the database
        run_id = store.create_run(name, experiment.to_json(), settings.searcher, settings.seed, record, origin)
        advise(_how_to_continue(name))
    return run_id


def _acquire_run(store: Store, name: str, experiment: Experiment) -> int:
    """Resume the run in the store and return its id; warn if the code has changed since its last session."""
    current, earlier = provenance(), store.provenance(name)
    changed = code_changes(earlier[-1], current) if earlier else []
    run_id = store.resume_run(name, current, experiment.to_json())
    advise(_how_to_continue(name))
    if changed:
        log.warning("the code has changed since the last session of this run: %s", "; ".join(changed))
        store.add_event(run_id, "warning", "code_changed", changed)
    return run_id


def _how_to_continue(name: str) -> str:
    return f"continue the run with: archsieve resume {name}"


def _record_notes(store: Store, run_id: int, images: "ImageData | ZeroShotData") -> None:
    """Log what the user should know about the images, and store it with the list of the images that were skipped."""
    for note in data_notes(images):
        log.warning("%s", note)
    if images.notes:
        store.add_event(run_id, "info", DATA_NOTES, {"notes": list(images.notes)})
    if images.skipped:
        store.add_event(
            run_id, "warning", SKIPPED_IMAGES, {"count": len(images.skipped), "images": list(images.skipped)}
        )


def _check_before_loading(
    experiment: Experiment, name: str, database: DatabaseLocation, runs: Path, address: str | None
) -> None:
    """Check what can stop the run ``name`` later, and raise: loading the data may take long."""
    check_packages(experiment.selection)
    _check_folder(runs / name)
    check_machine(runs, elsewhere=address is not None)
    with suppress(NoStoreError):  # a database that is missing is created later
        check_free(database, name, experiment)
    _check_unclaimed(runs / name, experiment.file.resources.checkpoints)


def _check_folder(folder: Path) -> None:
    """Raise ``OSError`` when ``folder`` cannot be created, before anything is written."""
    nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def _check_unclaimed(folder: Path, url: str | None) -> None:
    """Raise ``ValueError`` when a run that is not in this store has left checkpoints or spooled reports.

    Only a resume of that run may use or remove them.
    """
    checkpoints = checkpoints_of(folder, url)
    leftovers = [*(checkpoints.of_trial(trial).url for trial in checkpoints.trials()), *Spool(folder / "spool").files()]
    if leftovers:
        raise ValueError(
            f"a new run needs an empty folder, but {leftovers[0]} belongs to a run {folder.name!r} that is not in this "
            "database; choose another --name, or remove it if that run will not be resumed"
        )


def check_free(database: DatabaseLocation, name: str, experiment: Experiment) -> None:
    """Raise ``RunExistsError`` when the store has a run of this name; the error lists how the settings differ."""
    from ...results.database.errors import RunExistsError
    from ...results.database.run_name import free_name

    with open_store(database, read_only=True) as store:
        runs = {run.name: run for run in store.runs()}
    if name in runs:
        raise RunExistsError(name, free_name(name, runs), changes(runs[name].config, experiment.to_json()))


__all__ = ["RUNS", "Outcome", "resume", "search"]
