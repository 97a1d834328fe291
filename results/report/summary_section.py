"""The report's opening and its provenance: what was searched, where it comes from, how to run it again."""

import json
import shlex
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from markupsafe import Markup

from ...spaces.architectures.budget import format_count
from ..database.zero_shot_records import SELECTED_BY
from ..query.best import why_none
from .html import code, facts, folded, heading, paragraph, section, table, tiles
from .run_data import Told

_SHOWN = ("host", "devices", "git_commit", "git_dirty", "started_at", "ended_at", "end_reason")

UNITS = "macs are multiply-accumulates of convolutions and linear layers at batch 1; flops are 2 * macs."


def opening_section(told: Told) -> Markup:
    """What was looked for, what was found, and the settings in short."""
    texts = [_question(told), *_answer(told)]
    return section("What was searched", *map(paragraph, texts), tiles(_tiles(told)), facts(_facts(told)))


def _question(told: Told) -> str:
    limited = f" among those with {told.budget}" if str(told.budget) != "no limit" else ""
    sizes = {"to train": told.data.n_train, "for validation": told.data.n_val, "for the test": told.data.n_test}
    counts = ", ".join(f"{count:,} {part}" for part, count in sizes.items() if count is not None)
    linked = sum(trial.source is not None for trial in told.history)
    known = f" {linked} of them were not trained again: their figures come from earlier runs." if linked else ""
    return (
        f"Looked for: the network with the highest {told.selected_by} on {told.data.name}"
        f"{f' (images: {counts})' if counts else ''}{limited}. The searcher {told.run.searcher} (seed {told.run.seed}) "
        f"proposed {told.run.trials} trials: each is an architecture with a recipe, trained once.{known}"
    )


def _answer(told: Told) -> Iterator[str]:
    if not told.best:
        yield f"No trial to show: {why_none(told.store, told.budget, told.run.name)}."
        return
    winner = told.best[0]
    yield (
        f"Found: trial {winner.trial}, with a {told.selected_by} of {winner.val_accuracy:.4f}, "
        f"{winner.params:,} parameters and {winner.macs:,} multiply-accumulates."
    )
    if winner.test_accuracy is not None:
        yield f"Trial {winner.trial} has a test accuracy of {winner.test_accuracy:.4f}: measured, never used to choose."
    if told.is_zero_shot:
        yield SELECTED_BY
    elif told.data.n_val and winner.val_accuracy is not None:
        yield _chance(told.data.n_val, winner.val_accuracy)


def _chance(images: int, accuracy: float) -> str:
    margin = max(1.96 * (accuracy * (1 - accuracy) / images) ** 0.5, 1 / images)
    return (
        f"How sure: on {images:,} validation images an accuracy of {accuracy:.4f} is known to about ±"
        f"{margin:.4f} (95%), and the best of many trials is a little luckier than it is good."
    )


def _tiles(told: Told) -> dict[str, str]:
    seconds = sum(trial.duration_s or 0 for trial in told.history)
    counts = {"trials": f"{told.run.trials:,}", "of training, all trials added": _duration(seconds)}
    if told.failed:
        counts["trials failed"] = f"{len(told.failed):,}"
    if not told.best:
        return counts
    winner = told.best[0]
    best = {f"best {told.selected_by}": f"{winner.val_accuracy:.4f}"}
    for cost, words in (("params", "parameters"), ("macs", "multiply-accumulates")):
        high = getattr(told.budget, cost)
        limit = f", of {format_count(high)} allowed" if high is not None else ""
        best[f"{words} of the best{limit}"] = format_count(getattr(winner, cost))
    return best | counts


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _facts(told: Told) -> dict[str, object]:
    run = told.run
    versions = told.driver.get("versions") or {}
    shape = told.data.input_shape
    return {
        "run": f"{run.name} ({run.status})",
        "data set": told.data.name,
        "pictures": None if shape is None else f"{' x '.join(map(str, shape))}, {told.data.n_classes} classes",
        "budget": told.budget,
        "searcher": f"{run.searcher}, seed {run.seed}",
        "trials": ", ".join(f"{count} {state}" for state, count in sorted(run.counts.items())) or "none",
        "began": moment(run.created_at),
        "ended": moment(run.finished_at),
        "archsieve": versions.get("archsieve"),
    }


def moment(at: datetime | None) -> str:
    """A moment in words, in UTC."""
    return "not yet" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def provenance_section(told: Told) -> Markup:
    """The command, the commit, the versions, the settings."""
    drivers = told.store.provenance(told.run.run_id)
    shown = {name: _words(told.driver[name]) for name in _SHOWN if told.driver.get(name) is not None}
    others = {name: _words(value) for name, value in (told.driver.get("other") or {}).items()}
    versions = {"versions": ", ".join(" ".join(pair) for pair in (told.driver.get("versions") or {}).items())}
    again = (
        [paragraph("To run it again:"), code(_again(told))]
        if told.driver.get("argv")
        else [paragraph("The command was not recorded.")]
    )
    rows = [
        [d["host"], d["pid"], moment(d["started_at"]), d["end_reason"], shlex.join(d["argv"] or [])] for d in drivers
    ]
    resumed = [heading("Driven by"), table(("host", "pid", "began", "ended", "command"), rows)] if len(rows) > 1 else []
    config = folded("The settings of the run", code(json.dumps(told.run.config, indent=1, ensure_ascii=False)))
    return section("Where it comes from", *again, facts(shown | versions | others), *resumed, config)


def _words(value: Any) -> str:
    if isinstance(value, datetime):
        return moment(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _again(told: Told) -> str:
    """The commands, with the commit before them."""
    driver = told.driver
    lines = []
    if driver.get("git_commit"):
        dirty = "  # the folder had changes that were not committed" if driver.get("git_dirty") else ""
        lines.append(f"git checkout {shlex.quote(driver['git_commit'])}{dirty}")
    versions = driver.get("versions") or {}
    pins = [f"{name}=={version}" for name, version in versions.items() if name not in ("archsieve", "python")]
    if pins:
        lines.append(shlex.join(["pip", "install", *pins]))
    return "\n".join([*lines, shlex.join(driver["argv"])])
