"""Start drivers in separate processes, kill or stop them, and find the processes that they leave."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

from archsieve.results.database.errors import StoreError
from archsieve.results.database.store import open_store

MARK = "ARCHSIEVE_TEST_MARK"
RESUMABLE = (75, 130, -signal.SIGKILL)


class Drivers:
    """Start ``archsieve ...`` in ``folder``; each process and its children have a mark in their environment."""

    def __init__(self, folder):
        self.folder, self.mark = folder, uuid.uuid4().hex
        self.started = []

    def __call__(self, *arguments, **variables):
        process = subprocess.Popen(
            [sys.executable, "-m", "archsieve", *arguments],
            cwd=self.folder,
            env={**os.environ, MARK: self.mark, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments, **variables):
        """Run a driver to its end; return exit code, stdout, stderr."""
        process = self(*arguments, **variables)
        out, err = process.communicate()
        return process.returncode, out, err

    def resume_until_done(self, name):
        """Resume the run until a driver exits with code 0."""
        for _ in range(5):
            code, _, err = self.run("resume", name)
            if code == 0:
                return
            assert code in RESUMABLE, err
        raise AssertionError("the run did not finish after 5 resumes")

    def alive(self):
        """Return the running processes that have the mark or serve a driver's Ray: process id to command line.

        Ray's agents overwrite their environment with their title. They are processes by the open files of the driver's
        session.
        """
        sessions = tuple(f"_{process.pid}" for process in self.started)
        processes = {}
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if folder.name.isdigit() and (self._marked(folder) or self._serving(folder, sessions)):
                    processes[int(folder.name)] = (folder / "cmdline").read_bytes().strip(b"\0").decode()
        return processes

    def _marked(self, folder):
        return f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes()

    def _serving(self, folder, sessions):
        if not (folder / "cmdline").read_bytes().startswith(b"ray::"):
            return False
        opened = (part for link in (folder / "fd").iterdir() for part in link.readlink().parts)
        return any(part.startswith("session_") and part.endswith(sessions) for part in opened)

    def orphans(self, seconds=300):
        """Return the processes that are still alive after ``seconds``; return early when there are none."""
        until = time.monotonic() + seconds
        while self.alive() and time.monotonic() < until:
            time.sleep(0.2)
        return self.alive()

    def end(self):
        """Kill all processes that are still alive."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        for pid in self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def history(self, run):
        """Return the trials of a run."""
        with open_store(self.folder / "runs" / "archsieve.db", read_only=True) as store:
            return store.history(run).trials

    def wait_for(self, run, ready, process):
        """Wait until ``ready(trials)`` is true and return the trials; fail where ``process`` ends before."""
        while True:
            assert process.poll() is None, process.communicate()
            with contextlib.suppress(StoreError, ValueError):  # the database or the run does not exist yet
                trials = self.history(run)
                if ready(trials):
                    return trials
            time.sleep(0.05)


def finished(trials):
    """Return the results that must not depend on whether a run was interrupted."""
    return [(t.number, t.fingerprint, t.recipe, t.seed, t.state, t.val_accuracy, t.best_epoch) for t in trials]
