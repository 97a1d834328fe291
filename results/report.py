"""The report: one run as one offline page."""

import json
import os
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from ..spaces.budget import Budget
from . import plots
from .latency_section import latency_section
from .limits import budget_in
from .page import code, facts, page, paragraph, picture, section, table
from .proxy_section import proxy_section
from .query import best, why_none
from .reading import Reading
from .records import History, RunRecord, Trial, TrialState

TOP = 5
_UNITS = "macs are multiply-accumulates of convolutions and linear layers at batch 1; flops are 2 * macs."


def write_report(store: Reading, run: str | int, path: str | Path) -> Path:
    """Write the page on ``run`` to ``path`` and return it; an older page is replaced only by a whole one."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"a report is a file, but {path} is a folder; write to {path / 'report.html'}")
    told = _Told(store, store.run(run))
    html = page(f"archsieve: {told.run.name}", _sections(told), plotly=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(html, encoding="utf-8")
    return draft.replace(path)


@dataclass(frozen=True)
class _Told:
    """What the sections tell of: read once."""

    store: Reading
    run: RunRecord

    @cached_property
    def history(self) -> History:
        return self.store.history(self.run.run_id)

    @cached_property
    def budget(self) -> Budget:
        return budget_in(self.run.config)

    @cached_property
    def best(self) -> list[Trial]:
        return best(self.store, budget=self.budget, run=self.run.run_id, top=TOP)

    @cached_property
    def driver(self) -> Mapping[str, Any]:
        """The process that drove the run first."""
        return next(iter(self.store.provenance(self.run.run_id)), {})


def _sections(told: _Told) -> Iterator[str]:
    yield _head(told)
    yield _best(told)
    if told.best:
        yield _costs(told)
        yield from _curves(told)
        yield from _layers(told)
    yield from latency_section(told.store, told.run.run_id, told.history, told.budget)
    yield from proxy_section(told.store, told.run.run_id, told.history, told.budget)
    if any(trial.state is TrialState.FAILED for trial in told.history):
        yield _failures(told)
    yield _provenance(told)


def _head(told: _Told) -> str:
    run = told.run
    data = told.store.dataset(run.dataset_hash)
    sizes = {"training images": data.n_train, "for validation": data.n_val, "for the test": data.n_test}
    counts = ", ".join(f"{count} {state}" for state, count in sorted(run.counts.items())) or "none"
    entries = {
        "run": f"{run.name} ({run.status})",
        "data set": ", ".join([data.name, *(f"{count} {part}" for part, count in sizes.items() if count is not None)]),
        "budget": told.budget,
        "searcher": f"{run.searcher}, seed {run.seed}",
        "trials": counts,
        "began": _moment(run.created_at),
        "ended": _moment(run.finished_at),
        "versions": ", ".join(f"{name} {version}" for name, version in (told.driver.get("versions") or {}).items()),
    }
    argv = told.driver.get("argv")
    again = code(shlex.join(argv)) if argv else paragraph("The command was not recorded.")
    return section("What was searched", facts(entries), paragraph("The command to run it again:"), again)


def _moment(moment: datetime | None) -> str:
    return "not yet" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _best(told: _Told) -> str:
    if not told.best:
        reason = why_none(told.store, told.budget, told.run.name)
        return section("The best trials", paragraph(f"No trial to show: {reason}."))
    columns = ("trial", "val_accuracy", "params", "macs", "activations", "memory_bytes", "latency_ms", "epochs_done")
    rows = [[*(getattr(trial, name) for name in columns), _pairs(trial.recipe)] for trial in told.best]
    note = f"Chosen by validation accuracy alone; equal ones by fewer params, then fewer macs. {_UNITS}"
    winner = told.best[0]
    recorded = code(json.dumps({"fingerprint": winner.fingerprint, "architecture": winner.architecture}, indent=1))
    whole = f"<details><summary>The architecture of trial {winner.trial}</summary>{recorded}</details>"
    return section("The best trials", table((*columns, "recipe"), rows), paragraph(note), *_tested(winner), whole)


def _tested(trial: Trial) -> Iterator[str]:
    if trial.test_accuracy is not None:
        text = f"Trial {trial.trial} has a test accuracy of {trial.test_accuracy:.4f}: measured, never used to choose."
        yield paragraph(text)


def _pairs(entries: Mapping[str, Any]) -> str:
    short = {name: f"{value:g}" if isinstance(value, float) else value for name, value in entries.items()}
    return ", ".join(f"{name}={value}" for name, value in short.items())


def _costs(told: _Told) -> str:
    figures = (plots.accuracy_against(c, told.history.trials, getattr(told.budget, c)) for c in ("params", "macs"))
    return section("Accuracy against cost", *(picture(figure, f"cost-{i}") for i, figure in enumerate(figures)))


def _curves(told: _Told) -> Iterator[str]:
    curves = {f"trial {trial.trial}": told.store.curve(trial.trial) for trial in told.best}
    for metric in ("val_accuracy", "val_loss"):
        points = {name: curve[metric] for name, curve in curves.items() if metric in curve}
        if points:
            yield section("Learning curves", picture(plots.learning_curves(points, metric), "curves"))
            return


def _layers(told: _Told) -> Iterator[str]:
    winner = told.best[0]
    layers = told.store.layers(winner.fingerprint)
    if layers:
        bars = (picture(plots.layer_bars(layers, cost), f"layers-{cost}") for cost in ("params", "macs"))
        yield section(f"Layers of the best (trial {winner.trial})", *bars)


def _failures(told: _Told) -> str:
    failed = [trial for trial in told.history if trial.state is TrialState.FAILED]
    counts = Counter(str(trial.fail_kind) for trial in failed)
    rows = [(trial.trial, trial.fail_kind, trial.epochs_done, trial.reason) for trial in failed]
    drawn = picture(plots.failures(dict(counts.most_common())), "failures")
    return section("Failures", drawn, table(("trial", "kind", "epochs_done", "reason"), rows))


def _provenance(told: _Told) -> str:
    shown = {name: value for name, value in told.driver.items() if value is not None and not name.endswith("_id")}
    config = code(json.dumps(told.run.config, indent=1, ensure_ascii=False))
    return section("Where it comes from", facts(shown), paragraph("The settings of the run:"), config)
