"""The spool: reports that could not be written to the database. A resume of the run writes them."""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ...results.database.atomic_file import atomic_write
from ...results.database.errors import DISK_FULL_ERRNOS, DiskFullError, StoreError
from .report import TrialReport, report_of_flat_result
from .reserve import disk_space, release_space

log = logging.getLogger("archsieve")
VERBS = ("record", "end")


class Spooled(NamedTuple):
    """A spooled report of a trial. ``verb`` is "record" or "end": the recorder's method that takes the report.

    ``identity`` is that of the trial's checkpoints. The id alone is not sufficient: a database that was set back to an
    older state gives it to another trial. ``after`` is the number of epochs that were reported before.
    """

    verb: str
    trial: int
    report: TrialReport
    identity: str | None = None
    after: int | None = None

    @property
    def epochs_before(self) -> int:
        """The number of epochs that the database must have of the trial before it can take the report."""
        if self.report.epochs:
            return self.report.epochs[0].epoch - 1
        return self.report.start.epoch if self.report.start is not None else self.after or 0

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON types."""
        entry = {"verb": self.verb, "trial": self.trial, "report": self.report.to_json()}
        known = {"identity": self.identity, "after": self.after}
        return entry | {name: value for name, value in known.items() if value is not None}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "Spooled":
        """Build an entry from the output of :meth:`to_json`.

        Version 0.1.0 wrote the whole result of Tune under ``result`` instead of a report.
        """
        old = "result" in entry
        report = report_of_flat_result(entry["result"]) if old else TrialReport.from_json(entry["report"])
        if entry["verb"] not in VERBS:
            raise ValueError(f"verb must be one of {', '.join(VERBS)}, got {str(entry['verb'])[:60]!r}")
        return cls(entry["verb"], entry["trial"], report, entry.get("identity"), entry.get("after"))


@dataclass
class Spool:
    """The spool files of a run below ``folder``, with one report per line.

    Each line is flushed to the disk before the next one is written. ``file`` is the file of this process; None until
    the first report is spooled.
    """

    folder: Path
    file: Path | None = field(default=None, init=False)

    def add(self, entry: Spooled) -> Path:
        """Append ``entry`` and return the file; on a full disk, in the space that the run has reserved.

        Raises ``DiskFullError`` if that is not enough.
        """
        try:
            return self._append(entry)
        except OSError as error:
            if error.errno not in DISK_FULL_ERRNOS:
                raise
            reason = str(error)
        if release_space(self.folder.parent):
            return self.add(entry)
        raise DiskFullError(
            f"a report of trial {entry.trial} could not be saved in {self.folder}: {reason}; "
            f"{disk_space(self.folder)}; free some disk space, then resume the run: archsieve resume RUN"
        )

    def _append(self, entry: Spooled) -> Path:
        if self.file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            # The time orders the files; the process id keeps two drivers apart.
            self.file = self.folder / f"{time.time_ns()}-{os.getpid()}.jsonl"
        with self.file.open("a", encoding="utf-8") as out:
            # Start with a line break: a full disk may have cut off the previous line.
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
                        f"{error}; resume the run with the version that wrote it, or move the file away, which loses "
                        "its reports"
                    ) from error

    def files(self) -> list[Path]:
        """Return the spool files, oldest first."""
        return sorted(self.folder.glob("*.jsonl"))

    def keep(self, entries: Sequence[Spooled]) -> Path:
        """Write ``entries`` to a file that no resume reads, and return it."""
        path = self.folder / f"{time.time_ns()}-{os.getpid()}.unknown"
        with atomic_write(path) as draft:
            draft.write_text("".join(json.dumps(entry.to_json(), default=str) + "\n" for entry in entries))
        return path

    def clear(self) -> None:
        """Remove all files whose reports have been written to the database, and the folder if it is empty then."""
        for path in self.files():
            path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()
