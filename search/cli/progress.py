"""The progress of a search: a live bar on a terminal, a line a trial elsewhere; always on stderr."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...results.database.records import History, Trial, TrialState
from ...spaces.architectures.budget import Budget, format_count

if TYPE_CHECKING:
    from rich.console import Console

    from ..runs.recorder import Recorder


class Progress:
    """What the bar shows: trials done, failures, the best so far, time left."""

    def __init__(self, console: "Console", trials: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.console = console
        self.total = trials
        self.started = time.monotonic()
        self.said: set[int] = set()
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("trials", total=trials, note="")

    def update(self, recorder: "Recorder") -> None:
        """Show where the run stands."""
        history = recorder.history
        done = [trial for trial in history if trial.state.final]
        note = recorder.doing or _note(history, recorder.searcher.sieve.budget)
        self.bar.update(self.task, completed=len(done), note=note)
        if not self.console.is_terminal:
            for trial in done:
                self._say(trial, len(done), recorder.searcher.sieve.budget)
            if recorder.doing:
                self.console.print(recorder.doing, highlight=False, markup=False)

    def _say(self, trial: Trial, done: int, budget: Budget) -> None:
        if trial.trial in self.said:
            return
        self.said.add(trial.trial)
        self.console.print(f"[{done}/{self.total}] {_line(trial, budget)}", highlight=False, markup=False)


@contextmanager
def shown(console: "Console", trials: int) -> Iterator[Progress]:
    """The progress of a run of ``trials`` on ``console`` while the block lasts."""
    progress = Progress(console, trials)
    with progress.bar:
        yield progress


def _note(history: History, budget: Budget) -> str:
    best = history.best(budget)
    failed = sum(trial.state is TrialState.FAILED for trial in history)
    parts = [f"{failed} failed"] if failed else []
    if best is not None and best.val_accuracy is not None:
        parts.append(f"best {best.val_accuracy:.2%} with {format_count(best.params)} params (trial {best.trial})")
    return ", ".join(parts) or "starting"


def _line(trial: Trial, budget: Budget) -> str:
    price = f"params {trial.params:,}, macs {trial.macs:,}"
    if trial.state is TrialState.FAILED:
        return f"trial {trial.trial}: failed ({trial.fail_kind}): {trial.reason}; {price}"
    late = "" if budget.in_time(trial.latency_ms) else f"; measured too slow: {_measured(trial)}"
    if trial.source is not None:
        return f"trial {trial.trial}: val_accuracy {trial.val_accuracy:.4f}, {trial.reason}; {price}"
    return f"trial {trial.trial}: val_accuracy {trial.val_accuracy:.4f}; {price}; {trial.epochs_done} epochs{late}"


def _measured(trial: Trial) -> str:
    return "not at all" if trial.latency_ms is None else f"latency_ms {trial.latency_ms:.3g}"
