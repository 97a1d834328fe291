"""The storm: break searches at random for a given time, follow every message literally, and check that nothing is lost.

Rounds alternate between SQLite and PostgreSQL. A round is one run. While it is driven, a random fault strikes a few
seconds after each start: a killed driver, worker, node manager or state server of Ray, a stopped or interrupted driver,
a paused driver, a jump of its clock, a full disk, a locked or removed database, a killed database server. After the
driver has ended, the commands of its message are executed as they are. A checker then compares the database with the
epochs that the workers have computed, which they count themselves (storm_counter.py).

    python benchmarks/storm.py [--minutes 30] [--faults 40] [--seed 0] [--databases sqlite,postgresql] [--only driver]

Faults strike for --minutes, and after that until there were --faults of them: a busy machine needs minutes for a start.

Exit code 1 if anything was lost, duplicated, or retrained beyond one epoch for each trial that a fault interrupted.
Only loopback addresses are used. A full disk and clock jumps need a C compiler, PostgreSQL its server programs.
"""

import argparse
import os
import random
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
from storm_round import FAULTS, MARK, Result, Round, Size, check, orphans

from archsieve.results.database.errors import StoreError

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "results"))  # the server of the tests
from server import Server, why_not  # noqa: E402

SEARCH = """
[data]
limit = 200
[budget]
params = "20k"
macs = "1M"
[space]
stem = 8
[[space.stages]]
block = ["conv-pool", "residual", "inception"]
width = [8, 16]
[recipe]
epochs = EPOCHS
lr = [0.1, 0.3]
[search]
trials = TRIALS
searcher = "random"
cache = false
[plugins]
modules = ["storm_counter"]
"""
RESUMABLE = (0, 4, 5, 75, 130, -signal.SIGKILL)
BEFORE_START = (-signal.SIGINT, -signal.SIGTERM)  # no file of archsieve is loaded yet, or no run exists
DRIVER_TIMEOUT_S = 900  # of one driver without a fault that strikes; a crowded machine is slow
MAX_DRIVERS = 60  # of one run
MAX_FAULTS = 20
_COMMAND = re.compile(r"archsieve ((?:resume|search|db restore) [^;\n]*)")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def preload(folder: Path) -> dict[str, str]:
    """Return the variables for a full disk and clock jumps; empty without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return {}
    library = folder / "storm_faults.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "storm_faults.c", "-ldl"]
    subprocess.run(command, check=True)
    return {"LD_PRELOAD": str(library)}


def make_round(number: int, kind: str, base: Path, server: Server | None, library: dict[str, str], size: Size) -> Round:
    """Create the folder and the database of a run."""
    folder, name = base / f"{number}-{kind}", f"storm{number}"
    folder.mkdir()
    text = SEARCH.replace("EPOCHS", str(size.epochs)).replace("TRIALS", str(size.trials))
    (folder / "search.toml").write_text(text)
    shutil.copy(HERE / "storm_counter.py", folder)
    (folder / "clock").write_bytes(bytes(8))
    environment = {**os.environ, MARK: folder.name, "STORM_COUNTS": str(folder / "counts"), "ARCHSIEVE_BUSY_S": "4"}
    if library:
        runs = folder / "runs"
        reserve = runs / name / ".reserved-space"
        variables = {"FULL": folder / "full", "PART": runs, "RESERVE": reserve, "CLOCK": folder / "clock"}
        environment |= library | {f"STORM_{key}": str(value) for key, value in variables.items()}
    if kind == "sqlite":
        return Round(name, folder, "runs/archsieve.db", None, environment)
    assert server is not None
    server.execute(f"CREATE DATABASE {name}")
    environment["ARCHSIEVE_DB"] = server.url(name)
    return Round(name, folder, server.url(name), server, environment)


def strike(round_: Round, kind: str, rng: random.Random) -> None:
    """Wait until epochs are computed, or for a random early moment, and let the fault happen."""
    before, started = round_.progress(), time.monotonic()
    early = rng.random() < 0.2  # also while Python, the data or Ray are loaded
    wanted = before + rng.randint(1, 150)
    limit = rng.uniform(0.5, 8) if early else DRIVER_TIMEOUT_S
    while time.monotonic() - started < limit and round_.driver.poll() is None:
        if not early and round_.progress() >= wanted:
            break
        time.sleep(0.05)
    if round_.driver.poll() is not None:
        return
    running = round_.look()
    try:
        struck = FAULTS[kind](round_, rng)
    except (OSError, ValueError, StoreError, sqlite3.Error, psutil.Error, subprocess.SubprocessError) as error:
        say(f"{round_.name}: {kind} did not happen: {error}")
        return
    if struck:
        round_.faults[kind] += 1
        round_.allowed += max(1, running)
        say(f"{round_.name}: {kind}{' (early)' if early else ''}, {running} running")


def advice(round_: Round, code: int) -> list[list[str]]:
    """Return the commands that the message of the driver recommends, in their order, as words."""
    text = round_.message()
    found = [command.strip(" .,'`") for command in _COMMAND.findall(text)]
    if not found:  # a driver that was killed has no message; or "nothing was started"
        started = code != 130
        found = [f"resume {round_.name}" if started else f"search search.toml --name {round_.name}"]
    return [shlex.split(re.sub(r"\bRUN\b", round_.name, command)) for command in dict.fromkeys(found)]


def follow(round_: Round, code: int) -> bool:
    """Do what the message of the driver says; return whether the run is complete."""
    Path(round_.environment.get("STORM_FULL", round_.folder / "full")).unlink(missing_ok=True)  # "free some disk space"
    if code not in (*RESUMABLE, *BEFORE_START) or (code in RESUMABLE and "Traceback" in round_.message()):
        round_.problems.append(f"exit code {code}: {round_.message()[-1500:]}")
    if left := orphans(round_):
        round_.problems.append(f"processes are left: {left}")
    if code == 0:
        return True
    *before, last = advice(round_, code)
    for words in before:
        if words[0] != "resume":
            done, text = round_.command(*words)
            if done != 0:
                round_.problems.append(f"the advice {' '.join(words)!r} fails: {text[-800:]}")
    say(f"{round_.name}: exit code {code}; archsieve {' '.join(last)}")
    round_.start(*last)
    return False


def is_unknown(round_: Round, code: int) -> bool:
    """Return whether a driver was ended before it had created its run: a new search starts it, as documented."""
    text = round_.message()
    return code in (2, 5) and any(words in text for words in ("unknown run", "no results database", "holds no results"))


def drive(round_: Round, rng: random.Random, goes_on: Callable[[int], bool], kinds: list[str]) -> None:
    """Drive the run to its end; faults strike while ``goes_on`` returns true for the number of those of this round."""
    round_.start("search", "search.toml", "--name", round_.name)
    for _ in range(MAX_DRIVERS):
        code = None
        while code is None and (n_faults := round_.faults.total()) < MAX_FAULTS and goes_on(n_faults):
            strike(round_, rng.choice(kinds), rng)
            code = round_.wait(rng.uniform(1, 8))  # some faults end the driver, others do not
        if code is None:
            code = round_.wait(DRIVER_TIMEOUT_S)
        if code is None:
            round_.problems.append(f"the driver hangs: {round_.message()[-500:]}")
            os.killpg(round_.driver.pid, signal.SIGKILL)
            code = round_.driver.wait()
        if is_unknown(round_, code):
            round_.start("search", "search.toml", "--name", round_.name)
        elif follow(round_, code):
            return
    round_.problems.append(f"the run did not end after {MAX_DRIVERS} drivers")


def show(results: list[tuple[Round, Result]], seconds: float) -> None:
    """Print the table of rounds, the totals and the problems."""
    print("| run | database | faults | epochs computed | retrained (allowed) | lost | duplicates | problems |")
    print("|---|---|---|---|---|---|---|---|")
    for round_, one in results:
        faults = ", ".join(f"{count} {kind}" for kind, count in round_.faults.items())
        kind = "PostgreSQL" if round_.server else "SQLite"
        print(
            f"| {round_.name} | {kind} | {faults} | {one.computed} | {one.retrained} ({one.allowed}) | {one.lost} "
            f"| {one.duplicates} | {len(round_.problems)} |"
        )
    total = sum((round_.faults for round_, _ in results), Counter())
    sums = {name: sum(getattr(one, name) for _, one in results) for name in ("computed", "retrained", "lost")}
    print(
        f"\n{seconds / 60:.1f} min, {len(results)} runs, {total.total()} faults: {sums['computed']} epochs computed, "
        f"{sums['retrained']} retrained, {sums['lost']} lost, {sum(one.duplicates for _, one in results)} duplicated"
    )
    for round_, _ in results:
        for problem in round_.problems:
            print(f"\n{round_.name}: {problem}")


def is_good(round_: Round, one: Result) -> bool:
    return not (round_.problems or one.lost or one.duplicates) and one.retrained <= one.allowed


def storm(options: argparse.Namespace, base: Path, server: Server | None) -> list[tuple[Round, Result]]:
    """Run rounds until the time is over and the faults have struck."""
    rng, deadline = random.Random(options.seed), time.monotonic() + 60 * options.minutes
    library, size = preload(base), Size(options.trials, options.epochs)
    results: list[tuple[Round, Result]] = []
    kinds = options.only.split(",") if options.only else list(FAULTS)

    def goes_on(now: int = 0) -> bool:
        """Return whether more faults shall strike when the round that is driven had ``now``."""
        before = sum(round_.faults.total() for round_, _ in results)
        return time.monotonic() < deadline or before + now < options.faults

    while goes_on():
        number = len(results)
        kind = options.databases.split(",")[number % len(options.databases.split(","))]
        round_ = make_round(number, kind, base, server, library, size)
        try:
            drive(round_, rng, goes_on, kinds)
            results.append((round_, check(round_, size)))
        finally:
            if round_.driver is not None and round_.driver.poll() is None:
                os.killpg(round_.driver.pid, signal.SIGKILL)
                round_.driver.wait()
        say(f"{round_.name}: {results[-1][1]}; problems: {round_.problems}")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--faults", type=int, default=0, help="strike at least so many, also after --minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--only", help=f"faults, separated by commas: {', '.join(FAULTS)}")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=600)
    options = parser.parse_args()
    if "postgresql" in options.databases and (reason := why_not()):
        raise SystemExit(f"{reason}; or leave it out with --databases sqlite")
    base, started, server = Path(tempfile.mkdtemp(prefix="archsieve-storm-")), time.monotonic(), None
    try:
        if "postgresql" in options.databases:
            (base / "server").mkdir()
            base.chmod(0o755)  # the server runs as another user
            server = Server(base / "server")
            server.start()
        results = storm(options, base, server)
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(base, ignore_errors=True)
    show(results, time.monotonic() - started)
    raise SystemExit(0 if all(is_good(*one) for one in results) else 1)


if __name__ == "__main__":
    main()
