"""A session: one experiment from its start to its answer. What ``archsieve search`` does, as functions."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..results.query import best
from ..results.records import DatasetRecord, Trial, TrialState
from ..results.report import write_report
from ..results.run_name import check_run_name
from ..results.store import Store, open_store
from .experiment import Experiment
from .provenance import provenance
from .recorder import Recorder
from .tuner import run_trials

RUNS = Path("runs")


@dataclass(frozen=True)
class Outcome:
    """What a search came to: its best trials under the budget, all it trained, and where everything lies."""

    run: str
    best: tuple[Trial, ...]
    trials: tuple[Trial, ...]
    exhausted: bool
    seconds: float
    database: Path
    report: Path

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
    database: str | Path | None = None,
    runs: str | Path = RUNS,
    address: str | None = None,
    top: int = 5,
    on_change: Callable[[Recorder], None] = lambda recorder: None,
) -> Outcome:
    """Run ``experiment`` under ``name`` and return what it came to.

    Everything is written below the folder ``runs``; the database is ``runs/archsieve.db`` unless another is named.
    Raises ``RunExistsError`` where the store has a run of that name, before anything is trained.
    """
    from ..models.data import load_data

    started = time.monotonic()
    name = check_run_name(name or experiment.file.name or "run")
    database = Path(database or Path(runs) / "archsieve.db")
    if database.exists():
        check_free(database, name)
    section = experiment.file.data
    data = load_data(section.name, **section.model_dump(exclude={"name"}))
    with open_store(database, create=True) as store:
        record = DatasetRecord(
            content_hash=data.content_hash,
            name=data.name,
            n_train=len(data.train),
            n_val=len(data.val),
            n_test=len(data.test) if data.test is not None else None,
            n_classes=data.n_classes,
            class_names=data.classes,
            input_shape=data.input_shape,
            split_seed=section.seed,
        )
        settings = experiment.file.search
        run_id = store.create_run(name, experiment.to_json(), settings.searcher, settings.seed, record, provenance())
        folder = Path(runs) / name
        recorder = run_trials(experiment, data, store, run_id, folder, address=address, on_change=on_change)
        report = write_report(store, run_id, folder / "report.html")
        return Outcome(
            run=name,
            best=tuple(best(store, budget=experiment.budget, run=run_id, top=top)),
            trials=store.history(run_id).trials,
            exhausted=recorder.exhausted,
            seconds=time.monotonic() - started,
            database=database,
            report=report,
        )


def check_free(database: str | Path, name: str) -> None:
    """Raise where a run of that name is in the store already."""
    from ..results.errors import RunExistsError
    from ..results.run_name import free_name

    with open_store(database, read_only=True) as store:
        names = {run.name for run in store.runs()}
    if name in names:
        raise RunExistsError(name, free_name(name, names))


__all__ = ["RUNS", "Outcome", "Store", "search"]
