"""The report's section on provenance: where the run comes from, and how to run it again."""

import json
import shlex
from datetime import datetime
from typing import Any

from .html import code, facts, folded, heading, paragraph, section, table
from .run_data import Told
from .summary_section import moment

_SHOWN = ("host", "devices", "git_commit", "git_dirty", "started_at", "ended_at", "end_reason")


def provenance_section(told: Told) -> str:
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
