"""First and last section of the report: the summary, and how to reproduce the run."""

import json
import shlex
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from markupsafe import Markup

from ...spaces.architectures.budget import format_count
from ..database.zero_shot_records import SELECTION_NOTE
from ..query.best import no_match_reason
from ..query.time_use import time_use_lines, time_uses
from .page_parts import code, collapsible, facts, heading, paragraph, section, table, tiles
from .run_data import RunData

SELECTION_BIAS = (
    "The interval covers only the uncertainty from the choice of the validation images. This trial is the best of many "
    "by this value, so its value on new images is probably a little worse."
)
_DRIVER_FACTS = ("host", "devices", "git_commit", "git_dirty", "started_at", "ended_at", "end_reason")

UNITS = "macs are multiply-accumulates of convolutions, linear layers and attention for one image."


def summary_section(data: RunData) -> Markup:
    """Return the goal of the search, its result and the most important settings."""
    texts = [_goal(data), *_result(data), *time_use_lines(time_uses(data.store, data.run.name))]
    return section("Summary", *map(paragraph, texts), tiles(_tiles(data)), facts(_facts(data)))


def _goal(data: RunData) -> str:
    limited = f" within the budget {data.budget}" if str(data.budget) != "no limit" else ""
    sizes = {"training": data.dataset.n_train, "validation": data.dataset.n_val, "testing": data.dataset.n_test}
    counts = ", ".join(f"{count:,} for {purpose}" for purpose, count in sizes.items() if count is not None)
    n_reused = data.totals.n_reused
    reused = f" {n_reused} of them were not trained again: their metrics come from earlier runs." if n_reused else ""
    return (
        f"Goal: find the network with the {data.best_word} {data.selected_by} on {data.dataset.name}"
        f"{f' (images: {counts})' if counts else ''}{limited}. The searcher {data.run.searcher} (seed {data.run.seed}) "
        f"proposed {data.run.trials} trials. Each trial is an architecture with a recipe (the hyperparameters of its "
        f"training) and is trained once.{reused}"
    )


def _result(data: RunData) -> Iterator[str]:
    if not data.best:
        yield f"There is no best trial: {no_match_reason(data.store, data.budget, data.run.name)}."
        return
    winner = data.best[0]
    yield (
        f"Result: trial {winner.trial} has the {data.best_word} {data.selected_by}, {winner.metric_value:.4f}, with "
        f"{winner.params:,} parameters and {winner.macs:,} multiply-accumulates."
    )
    if winner.test_accuracy is not None:
        yield f"Its test accuracy is {winner.test_accuracy:.4f}. Test accuracy is never used to select a trial."
    if tests := data.store.test_metrics(winner.trial):
        yield f"Its other test metrics, which select nothing: {', '.join(f'{k} {v:.4f}' for k, v in tests.items())}."
    if data.is_zero_shot:
        yield SELECTION_NOTE
    else:
        yield f"Uncertainty: validation {data.measured[0]}. {SELECTION_BIAS}"
        yield data.winner.text


def _tiles(data: RunData) -> dict[str, str]:
    totals = data.totals
    counts = {"trials": f"{data.run.trials:,}", "total training time of all trials": _duration(totals.duration_s)}
    if totals.n_failed:
        counts["failed trials"] = f"{totals.n_failed:,}"
    if not data.best:
        return counts
    winner = data.best[0]
    best = {f"best {data.selected_by}": f"{winner.metric_value:.4f}"}
    for cost, words in (("params", "parameters"), ("macs", "multiply-accumulates")):
        high = getattr(data.budget, cost)
        limit = f" (limit {format_count(high)})" if high is not None else ""
        best[f"{words} of the best trial{limit}"] = format_count(getattr(winner, cost))
    return best | counts


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _facts(data: RunData) -> dict[str, object]:
    run = data.run
    versions = data.driver.get("versions") or {}
    shape = data.dataset.input_shape
    return {
        "run": f"{run.name} ({run.status})",
        "data set": data.dataset.name,
        "image shape": None if shape is None else f"{' x '.join(map(str, shape))}, {data.dataset.n_classes} classes",
        "budget": data.budget,
        "searcher": f"{run.searcher}, seed {run.seed}",
        "trials": ", ".join(f"{count} {state}" for state, count in sorted(run.counts.items())) or "none",
        "started": format_time(run.created_at),
        "ended": format_time(run.finished_at),
        "archsieve": versions.get("archsieve"),
    }


def format_time(time: datetime | None) -> str:
    """Return a UTC time as text, or "not yet" for None."""
    return "not yet" if time is None else f"{time:%Y-%m-%d %H:%M:%S} UTC"


def provenance_section(data: RunData) -> Markup:
    """Return the commands that repeat the run, its git commit, package versions, settings and driver processes."""
    drivers = data.store.provenance(data.run.run_id)
    known = {name: _text(data.driver[name]) for name in _DRIVER_FACTS if data.driver.get(name) is not None}
    others = {name: _text(value) for name, value in (data.driver.get("other") or {}).items()}
    versions = {"versions": ", ".join(" ".join(pair) for pair in (data.driver.get("versions") or {}).items())}
    commands = (
        [paragraph("Commands that repeat this run:"), code(_commands(data))]
        if data.driver.get("argv")
        else [paragraph("The command was not recorded.")]
    )
    rows = [
        [d["host"], d["pid"], format_time(d["started_at"]), d["end_reason"], shlex.join(d["argv"] or [])]
        for d in drivers
    ]
    columns = ("host", "pid", "started", "end reason", "command")
    # A run has several driver processes if it was resumed.
    processes = [heading("Driver processes"), table(columns, rows)] if len(rows) > 1 else []
    config = collapsible("Settings of the run", code(json.dumps(data.run.config, indent=1, ensure_ascii=False)))
    return section("How to reproduce this run", *commands, facts(known | versions | others), *processes, config)


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return format_time(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _commands(data: RunData) -> str:
    """Return shell commands: check out the commit, install the package versions, start the search."""
    driver = data.driver
    lines = []
    if driver.get("git_commit"):
        dirty = "  # the working tree had uncommitted changes" if driver.get("git_dirty") else ""
        lines.append(f"git checkout {shlex.quote(driver['git_commit'])}{dirty}")
    versions = driver.get("versions") or {}
    # archsieve itself comes from the commit, and pip cannot install Python.
    pins = [f"{name}=={version}" for name, version in versions.items() if name not in ("archsieve", "python")]
    if pins:
        lines.append(shlex.join(["pip", "install", *pins]))
    return "\n".join([*lines, shlex.join(driver["argv"])])
