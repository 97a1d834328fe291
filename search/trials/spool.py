"""The spool: reports that the database could not take, kept in the run's folder until a resume writes them."""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ...results.database.errors import StoreError
from .report import TrialReport, report_of_flat_result

log = logging.getLogger("archsieve")


class Spooled(NamedTuple):
    """A report of a trial: ``verb`` is record or end, as the recorder's methods."""

    verb: str
    trial: int
    report: TrialReport

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON's own types."""
        return {"verb": self.verb, "trial": self.trial, "report": self.report.to_json()}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "Spooled":
        """The inverse of :meth:`to_json`; version 0.1.0 wrote the whole result of Tune instead of a report."""
        old = "result" in entry
        report = report_of_flat_result(entry["result"]) if old else TrialReport.from_json(entry["report"])
        return cls(entry["verb"], entry["trial"], report)


@dataclass
class Spool:
    """Files of one line each report, every line on the disk before the next one; empty as long as all goes well."""

    folder: Path
    file: Path | None = field(default=None, init=False)

    def add(self, entry: Spooled) -> Path:
        """Keep ``entry`` and return its file."""
        if self.file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.file = self.folder / f"{time.time_ns()}-{os.getpid()}.jsonl"
        with self.file.open("a", encoding="utf-8") as out:
            # a line of its own, whatever a full disk has cut short before it
            out.write("\n" + json.dumps(entry.to_json(), default=str) + "\n")
            out.flush()
            os.fsync(out.fileno())
        return self.file

    def entries(self) -> Iterator[Spooled]:
        """Yield the reports, oldest first; a line that is no JSON was cut short and is skipped with a warning.

        Raises ``StoreError`` for a line that is JSON but no report of this version: the file stays as it is.
        """
        for path in self.files():
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
                if not line:
                    continue
                try:
                    entry = json.loads(line)
                except ValueError:
                    log.warning("line %d of %s was cut short and is skipped", number, path)
                    continue
                try:
                    yield Spooled.from_json(entry)
                except (ValueError, TypeError, KeyError, AttributeError) as error:
                    raise StoreError(
                        f"line {number} of {path} must be a report that this version of archsieve can read, but: "
                        f"{error}; resume the run with the version that wrote it, or move the file away to lose it"
                    ) from error

    def files(self) -> list[Path]:
        """The files that have not been brought in."""
        return sorted(self.folder.glob("*.jsonl"))

    def clear(self) -> None:
        """Forget what has been brought in."""
        for path in self.files():
            path.unlink()
        if self.folder.is_dir():
            self.folder.rmdir()
