"""A round of the storm: its run, the faults that can strike it, and the check of what remains."""

import contextlib
import os
import random
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from archsieve.results.database.errors import StoreError
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store

if TYPE_CHECKING:
    from server import Server

ORPHANS_S = 45  # how long processes may remain after their driver
MARK = "ARCHSIEVE_STORM"
MAX_WORKERS_KILLED = 2  # in a run: a trial that loses three workers fails, as documented


@dataclass
class Round:
    """One run: its folder, database, processes, and what was recorded before each fault."""

    name: str
    folder: Path
    database: str  # --db of the commands
    server: "Server | None"
    environment: dict[str, str]
    driver: subprocess.Popen[str] | None = None
    recorded: dict[tuple[int, str, int], float] = field(default_factory=dict)  # (trial, metric, epoch) -> value
    ended: dict[int, Any] = field(default_factory=dict)  # trial -> time of its end
    allowed: int = 0  # epochs that may be computed twice
    faults: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def start(self, *arguments: str) -> None:
        """Start a driver."""
        self.driver = subprocess.Popen(
            [sys.executable, "-m", "archsieve", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "messages").open("w"),
            text=True,
            start_new_session=True,
        )

    def wait(self, timeout: float) -> int | None:
        """Wait for the driver; return its exit code, or None after ``timeout`` seconds."""
        assert self.driver is not None
        try:
            return self.driver.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run another command; return its exit code and output."""
        done = subprocess.run(
            [sys.executable, "-m", "archsieve", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def message(self) -> str:
        """Return the messages of the last driver."""
        return (self.folder / "messages").read_text(errors="replace")

    def progress(self) -> int:
        """Return the number of epochs that the workers have computed."""
        counts = self.folder / "counts"
        return counts.read_text().count("\n") if counts.exists() else 0

    def look(self) -> int:
        """Remember what the database has, and return the number of running trials."""
        with contextlib.suppress(StoreError, ValueError, sqlite3.Error), self.opened() as store:
            for trial in store.history(self.name).trials:
                for metric, curve in store.curve(trial.trial).items():
                    self.recorded.update({(trial.trial, metric, epoch): value for epoch, value in curve})
                if trial.state is TrialState.COMPLETED:
                    self.ended.setdefault(trial.trial, trial.ended_at)
            return sum(trial.state is TrialState.RUNNING for trial in store.history(self.name).trials)
        return 2  # it cannot be read now; two workers run at most

    @contextlib.contextmanager
    def opened(self) -> Iterator[Any]:
        url = self.database if self.server else self.folder / self.database
        with open_store(url, read_only=True) as store:
            yield store


Strike = Callable[[Round, random.Random], bool]  # lets a fault happen; False if it does not apply now


def kill_part(name: str) -> Strike:
    """Kill the part of the driver's Ray whose program is ``name``."""

    def strike(round_: Round, rng: random.Random) -> bool:
        assert round_.driver is not None
        for process in psutil.Process(round_.driver.pid).children():
            if Path((process.cmdline() or [""])[0]).name == name:
                process.kill()
                return True
        return False

    return strike


def kill_worker(round_: Round, rng: random.Random) -> bool:
    """Kill a process that trains a trial."""
    with round_.opened() as store, store.read_transaction() as connection:
        query = "SELECT pid FROM attempt WHERE ended_at IS NULL AND pid IS NOT NULL"
        workers = list(connection.exec_driver_sql(query).scalars())
    if not workers or round_.faults["worker"] >= MAX_WORKERS_KILLED:
        return False
    os.kill(rng.choice(workers), signal.SIGKILL)
    return True


def send(number: int, times: int = 1) -> Strike:
    """Send a signal to the driver."""

    def strike(round_: Round, rng: random.Random) -> bool:
        for _ in range(times):
            if round_.driver is not None and round_.driver.poll() is None:
                round_.driver.send_signal(number)
            time.sleep(0.2)
        return True

    return strike


def pause(round_: Round, rng: random.Random) -> bool:
    """Suspend the driver, as a laptop that sleeps; its workers run on."""
    assert round_.driver is not None
    round_.driver.send_signal(signal.SIGSTOP)
    time.sleep(rng.uniform(3, 25))
    round_.driver.send_signal(signal.SIGCONT)
    return True


def jump_clock(round_: Round, rng: random.Random) -> bool:
    if "STORM_CLOCK" not in round_.environment:
        return False
    seconds = rng.choice((-1, 1)) * rng.randint(60, 7200)
    with Path(round_.environment["STORM_CLOCK"]).open("r+b") as file:
        file.write(struct.pack("q", seconds))
    return True


def fill_disk(round_: Round, rng: random.Random) -> bool:
    """Let writes below the folder of the runs fail until the driver has ended."""
    if "STORM_FULL" not in round_.environment:
        return False
    Path(round_.environment["STORM_FULL"]).touch()
    return True


def lock(round_: Round, rng: random.Random) -> bool:
    if round_.server is not None:
        return False
    connection = sqlite3.connect(round_.folder / round_.database, timeout=30, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    time.sleep(rng.uniform(1, 8))  # the limit of the driver is 4 s
    connection.close()
    return True


def remove_database(round_: Round, rng: random.Random) -> bool:
    if round_.server is not None:
        return False
    (round_.folder / round_.database).unlink()
    return True


def kill_server(round_: Round, rng: random.Random) -> bool:
    if round_.server is None:
        return False
    round_.server.kill()
    time.sleep(rng.uniform(0.5, 8))
    round_.server.start()
    return True


def end_connections(round_: Round, rng: random.Random) -> bool:
    if round_.server is None:
        return False
    round_.server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'storm%'")
    return True


FAULTS = {
    "driver": send(signal.SIGKILL),
    "worker": kill_worker,
    "raylet": kill_part("raylet"),
    "gcs": kill_part("gcs_server"),
    "ctrl-c": send(signal.SIGINT),
    "ctrl-c twice": send(signal.SIGINT, 2),
    "sigterm": send(signal.SIGTERM),
    "pause": pause,
    "clock": jump_clock,
    "disk": fill_disk,
    "lock": lock,
    "removed": remove_database,
    "server": kill_server,
    "connections": end_connections,
}


def orphans(round_: Round) -> list[int]:
    """Return the processes of the round that are left after its driver, once none or time is left."""
    mark, until = f"{MARK}={round_.folder.name}".encode(), time.monotonic() + ORPHANS_S
    while True:
        left = []
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if process.name.isdigit() and mark in (process / "environ").read_bytes():
                    left.append(int(process.name))
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.3)


@dataclass(frozen=True)
class Size:
    """The size of a run."""

    trials: int
    epochs: int


@dataclass(frozen=True)
class Result:
    """What a round has done. ``lost`` and ``duplicates`` must be 0, and ``retrained`` at most ``allowed``."""

    computed: int
    retrained: int
    allowed: int
    lost: int
    duplicates: int


def computed_epochs(round_: Round) -> Counter[tuple[int, int]]:
    """Return how often the workers have computed each epoch (trial, epoch)."""
    counts = round_.folder / "counts"
    lines = counts.read_text().splitlines() if counts.exists() else []
    return Counter((int(trial), int(epoch)) for _, trial, epoch in map(str.split, lines))


def check(round_: Round, size: Size) -> Result:
    """Compare the database with what it had before each fault and with what the workers have computed."""
    computed = computed_epochs(round_)
    with round_.opened() as store:
        trials = store.history(round_.name).trials
        curves = {trial.trial: store.curve(trial.trial) for trial in trials}
    values = {(t, metric, e): v for t, curve in curves.items() for metric, points in curve.items() for e, v in points}
    # the time of an epoch differs when it is computed again; everything else is the same
    changed = sum(1 for key, value in round_.recorded.items() if key[1] != "seconds" and values.get(key) != value)
    missing = sum(size.epochs - trial.epochs_done for trial in trials)
    uncounted = sum(1 for t in trials for e in range(1, t.epochs_done + 1) if not computed[t.trial, e])
    again = [t.trial for t in trials if t.trial in round_.ended and t.ended_at != round_.ended[t.trial]]
    numbers = [trial.number for trial in trials]
    if failed := [f"{t.number}: {t.state} {t.reason}" for t in trials if t.state is not TrialState.COMPLETED]:
        round_.problems.append(f"trials are not complete: {failed}")
    if set(numbers) != set(range(size.trials)):
        round_.problems.append(f"the trials are {numbers}")
    _check_deep(round_)
    return Result(
        computed=sum(computed.values()),
        retrained=sum(computed.values()) - len(computed),
        allowed=round_.allowed,
        lost=changed + missing + uncounted,
        duplicates=len(numbers) - len(set(numbers)) + len(again),
    )


def _check_deep(round_: Round) -> None:
    code, text = round_.command("db", "check", "--deep", "--db", round_.database)
    if code != 0:
        round_.problems.append(f"db check --deep: {text[-1200:]}")
