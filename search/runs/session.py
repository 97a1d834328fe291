"""A session: one experiment from its start to its answer. What ``archsieve search`` does, as functions."""

import errno
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ...results.database.errors import NoStoreError, StoreError
from ...results.database.lease import now
from ...results.database.reader import Reading
from ...results.database.records import DatasetRecord, RunRecord, Trial, TrialState
from ...results.database.run_name import check_run_name
from ...results.database.store import Store, open_store
from ...results.database.url import Place, place_of
from ...results.database.zero_shot_records import table_of, why_not_tested
from ...results.query.best import best
from ...results.report.report import write_report
from ...spaces.architectures.budget import Budget
from ...spaces.parameters.task_kinds import ZERO_SHOT
from ..cluster.preflight import check_machine
from ..cluster.provenance import provenance
from ..config.diff import changes, code_changes
from ..config.schema import SearchFile
from ..experiment.experiment import Experiment, data_of, file_of
from ..experiment.experiment import experiment as make_experiment
from ..trials.checkpoint_files import checkpoints_of
from ..trials.failure_policy import Stop
from ..trials.spool import Spool
from .recorder import Recorder
from .tuner import run_trials
from .warm_start import earlier_trials
from .zero_shot_final import finalize_zero_shot, is_zero_shot_final

RUNS = Path("runs")
log = logging.getLogger("archsieve")


class FinalStep(NamedTuple):
    """What a task does once, on the workers, when all trials have ended; ``done`` tells whether the store has it."""

    run: Callable[[Experiment, Any, Recorder, Path], None]
    done: Callable[[Experiment, Reading, int], bool]


FINAL_STEPS = {ZERO_SHOT: FinalStep(finalize_zero_shot, is_zero_shot_final)}  # by task; the others have none


@dataclass(frozen=True)
class Outcome:
    """What a search came to: its best trials under the budget, all it trained, and where everything lies.

    ``too_slow`` are finished trials that were predicted inside the budget's latency and measured above it, or not at
    all: they are never among the best.
    ``zero_shot`` is the table of a zero-shot search's one test
    (see :func:`~archsieve.results.database.zero_shot_records.table_of`);
    without one ``not_tested`` may say why.
    ``complete`` is False where it was stopped before its last trial, ``stop`` says why; ``archsieve resume`` goes on.
    """

    run: str
    best: tuple[Trial, ...]
    trials: tuple[Trial, ...]
    exhausted: bool
    complete: bool
    seconds: float
    database: Place
    report: Path
    budget: Budget = field(default_factory=Budget)
    too_slow: tuple[Trial, ...] = ()
    stop: Stop | None = None
    zero_shot: Mapping[str, Any] | None = None
    not_tested: str | None = None

    @property
    def failed(self) -> tuple[Trial, ...]:
        """The trials that failed."""
        return tuple(trial for trial in self.trials if trial.state is TrialState.FAILED)

    @property
    def common_reason(self) -> str | None:
        """Why most of the failed trials failed."""
        reasons = [trial.reason or "no reason given" for trial in self.failed]
        return max(reasons, key=reasons.count, default=None)


def search(
    experiment: Experiment,
    *,
    name: str | None = None,
    database: str | Place | None = None,
    runs: str | Path = RUNS,
    address: str | None = None,
    top: int = 5,
    on_change: Callable[[Recorder], None] = lambda recorder: None,
) -> Outcome:
    """Run ``experiment`` under ``name`` and return what it came to.

    Everything is written below the folder ``runs``; the database is ``runs/archsieve.db`` unless another path or
    URL is named.
    Raises ``RunExistsError`` where the store has a run of that name, and ``ValueError`` where one in another database
    has left unfinished trials in its folder, before anything is trained.
    """
    started = time.monotonic()
    name = check_run_name(name or experiment.file.name or "run")
    place = place_of(database or Path(runs) / "archsieve.db")
    _check_folder(Path(runs) / name)
    check_machine(Path(runs), elsewhere=address is not None)
    with suppress(NoStoreError):
        check_free(place, name, experiment)
    _check_unclaimed(Path(runs) / name, experiment.file.resources.checkpoints)
    data, record = load(experiment)
    known = experiment.file.search.warm_start
    with open_store(place, create=not known) as store:
        if known:
            earlier_trials(store, experiment, record.content_hash, now())
        settings = experiment.file.search
        run_id = store.create_run(name, experiment.to_json(), settings.searcher, settings.seed, record, provenance())
        session = Session(experiment, data, store, run_id, Path(runs) / name, place, started)
        try:
            return session.drive(address, top, on_change)
        except Exception:
            with suppress(StoreError):  # what stopped the run is to be said, not what follows from it
                store.forget_unbegun(run_id)  # refused before its first trial, it takes no name
            raise


def resume(
    name: str,
    *,
    trials: int | None = None,
    database: str | Place | None = None,
    runs: str | Path = RUNS,
    address: str | None = None,
    top: int = 5,
    on_change: Callable[[Recorder], None] = lambda recorder: None,
) -> Outcome:
    """Go on with the run ``name``: what was under way goes on from its last epoch, then what is still to come.

    ``trials`` is a new total. Everything else is as it was when the run began; nothing that ended is trained again.
    Raises ``ValueError`` where the data have changed or all is done, ``StoreError`` where another process drives it.
    """
    started = time.monotonic()
    place = place_of(database or Path(runs) / "archsieve.db")
    check_machine(Path(runs), elsewhere=address is not None)
    with open_store(place) as store:
        run = store.run(check_run_name(name))  # a folder is named by it, whatever the store may say
        experiment = restored(run, trials, store)
        data = data_of(run, experiment)
        here = provenance()
        before = store.provenance(name)
        changed = code_changes(before[-1], here) if before else []
        run_id = store.resume_run(name, here, experiment.to_json())
        if changed:
            log.warning("the code has changed since this run was last driven: %s", "; ".join(changed))
            store.add_event(run_id, "warning", "code_changed", changed)
        return Session(experiment, data, store, run_id, Path(runs) / name, place, started).drive(
            address, top, on_change
        )


def restored(run: RunRecord, trials: int | None, store: Store) -> Experiment:
    """The experiment of a run in the store, with a new total of trials where one is given."""
    total = file_of(run).search.trials if trials is None else trials
    config = dict(run.config)
    ended = sum(count for state, count in run.counts.items() if state.final)
    found = make_experiment(SearchFile.model_validate({**config, "search": {**config["search"], "trials": total}}))
    if ended >= total and is_finalized(found, store, run.run_id):
        raise ValueError(
            f"run {run.name!r} is complete: {ended} of {total} trials have ended; "
            f"ask for more, as in archsieve resume {run.name} --trials +24"
        )
    return found


def load(experiment: Experiment) -> tuple[Any, DatasetRecord]:
    """The experiment's data, and what the store keeps of them."""
    return experiment.task.load(experiment.file)


def finalize(experiment: Experiment, data: Any, recorder: Recorder, folder: Path) -> None:
    """Run the final step of the experiment's task, where it has one."""
    if step := FINAL_STEPS.get(experiment.task.name):
        step.run(experiment, data, recorder, folder)


def is_finalized(experiment: Experiment, store: Reading, run_id: int) -> bool:
    """Whether the final step of the experiment's task has been done, or it has none."""
    step = FINAL_STEPS.get(experiment.task.name)
    return step is None or step.done(experiment, store, run_id)


@dataclass(frozen=True)
class Session:
    """A run that this process drives."""

    experiment: Experiment
    data: Any
    store: Store
    run_id: int
    folder: Path
    database: Place
    started: float

    def drive(self, address: str | None, top: int, on_change: Callable[[Recorder], None]) -> Outcome:
        """Train to the end, or to the first signal to stop, and say what it came to."""
        recorder = run_trials(
            self.experiment,
            self.experiment.task.for_trials(self.data),
            self.store,
            self.run_id,
            self.folder,
            address=address,
            on_change=on_change,
            at_end=lambda recorder: finalize(self.experiment, self.data, recorder, self.folder),
        )
        report = write_report(self.store, self.run_id, self.folder / "report.html")
        budget, history = self.experiment.budget, self.store.history(self.run_id)
        return Outcome(
            run=self.folder.name,
            best=tuple(best(self.store, budget=budget, run=self.run_id, top=top)),
            trials=history.trials,
            budget=budget,
            too_slow=tuple(trial for trial in history.finished if not budget.in_time(trial.latency_ms)),
            exhausted=recorder.exhausted,
            complete=recorder.complete and is_finalized(self.experiment, self.store, self.run_id),
            zero_shot=table_of(self.store, self.run_id),
            not_tested=why_not_tested(self.store, self.run_id),
            stop=recorder.stopping,
            seconds=time.monotonic() - self.started,
            database=self.database,
            report=report,
        )


def _check_folder(folder: Path) -> None:
    """Raise ``OSError`` where ``folder`` could not be made, before anything is."""
    nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def _check_unclaimed(folder: Path, url: str | None) -> None:
    """Raise where a run that is not in this store left what only a resume of it may use, or remove."""
    checkpoints = checkpoints_of(folder, url)
    left = [*(checkpoints.of_trial(trial).url for trial in checkpoints.trials()), *Spool(folder / "spool").files()]
    if left:
        raise ValueError(
            f"a new run starts with nothing of another's, but {left[0]} is of a run {folder.name!r} that is not in "
            "this database; take another --name, or remove it where that run will never be resumed"
        )


def check_free(database: Place, name: str, experiment: Experiment) -> None:
    """Raise where a run of that name is in the store already, with what it does otherwise than ``experiment``."""
    from ...results.database.errors import RunExistsError
    from ...results.database.run_name import free_name

    with open_store(database, read_only=True) as store:
        runs = {run.name: run for run in store.runs()}
    if name in runs:
        raise RunExistsError(name, free_name(name, runs), changes(runs[name].config, experiment.to_json()))


__all__ = ["RUNS", "Outcome", "resume", "search"]
