"""The progress of a search on stderr: a live bar on a terminal, else one line for each trial."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...results.database.records import History, Trial, TrialState
from ...spaces.architectures.budget import Budget, format_count
from ...spaces.metrics.registry import ACCURACY
from .output import printable
from .tables import selected_text

if TYPE_CHECKING:
    from rich.console import Console

    from ..runs.recorder import Recorder


class Progress:
    """A progress bar with the number of final trials, failures, the best trial and the remaining time."""

    def __init__(self, console: "Console", trials: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.console = console
        self.total = trials
        self.started = time.monotonic()
        self.printed: set[int] = set()  # ids of the trials that have a line already
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not console.is_terminal,  # control sequences of a bar would fill a log file
        )
        self.task = self.bar.add_task("trials", total=trials, note="")

    def update(self, recorder: "Recorder") -> None:
        """Show the current state of the run."""
        history = recorder.history
        final = [trial for trial in history if trial.state.final]
        note = recorder.activity or _note(history, recorder.searcher.constrained.budget)
        self.bar.update(self.task, completed=len(final), note=note)
        if not self.console.is_terminal:
            for trial in final:
                self._print(trial, recorder.searcher.constrained.budget)
            if recorder.activity:
                self.console.print(recorder.activity, highlight=False, markup=False)

    def _print(self, trial: Trial, budget: Budget) -> None:
        if trial.trial in self.printed:
            return
        self.printed.add(trial.trial)
        line = printable(f"[{len(self.printed)}/{self.total}] {_line(trial, budget)}")
        self.console.print(line, highlight=False, markup=False)


@contextmanager
def show_progress(console: "Console", trials: int) -> Iterator[Progress]:
    """Show the progress of a run of ``trials`` trials on ``console`` inside a ``with`` block."""
    progress = Progress(console, trials)
    with progress.bar:
        yield progress


def _note(history: History, budget: Budget) -> str:
    best = history.best(budget)
    failed = sum(trial.state is TrialState.FAILED for trial in history)
    parts = [f"{failed} failed"] if failed else []
    if best is not None and best.metric_value is not None:
        value = f"{best.metric_value:.2%}" if best.metric == ACCURACY else selected_text(best)
        parts.append(f"best {value} with {format_count(best.params)} params (trial {best.trial})")
    return ", ".join(parts) or "starting"


def _line(trial: Trial, budget: Budget) -> str:
    cost = f"params {trial.params:,}, macs {trial.macs:,}"
    if trial.state is TrialState.FAILED:
        return f"trial {trial.trial}: failed ({trial.fail_kind}): {trial.reason}; {cost}"
    # the budget limits the predicted latency before training; the measured one can still exceed it
    too_slow = "" if budget.meets_latency_limit(trial.latency_ms) else f"; measured too slow: {_measured(trial)}"
    if trial.source is not None:  # copied from an earlier run; the reason names that run
        return f"trial {trial.trial}: {selected_text(trial)}, {trial.reason}; {cost}"
    return f"trial {trial.trial}: {selected_text(trial)}; {cost}; {trial.epochs_done} epochs{too_slow}"


def _measured(trial: Trial) -> str:
    return "no latency was measured" if trial.latency_ms is None else f"latency_ms {trial.latency_ms:.3g}"
