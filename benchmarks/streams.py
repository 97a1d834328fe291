"""Measure seconds and peak memory of the report and the exports of a long run, each in its own process.

The database is that of `store.py`: 100,000 trials with architecture, recipe, choices and ten epochs. The processor time
is more reliable than the wall time on a machine that is shared.

    python benchmarks/streams.py [--trials 100000] [--rounds 3]
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from store import fill

COMMANDS = {
    "report": ("report", "run", "-o", "report.html"),
    **{f"export, {kind}": ("results", "export", f"run.{kind}", "--force") for kind in ("parquet", "csv", "json")},
}


def measured(arguments: tuple[str, ...], folder: Path) -> tuple[float, float, float]:
    """Run archsieve with ``arguments``; return wall seconds, processor seconds and the peak of memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "archsieve", *arguments, "--db", "many.db"], cwd=folder)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"archsieve {' '.join(arguments)} failed with exit code {process.returncode}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def cell(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fill(folder / "many.db", args.trials)
        rows = {name: [measured(command, folder) for _ in range(args.rounds)] for name, command in COMMANDS.items()}
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {args.trials:,} trials, n = {args.rounds}\n")
    print("| | wall s, median (min to max) | processor s | peak MB |\n|---|---|---|---|")
    for name, figures in rows.items():
        print(f"| {name} | {' | '.join(cell(list(column)) for column in zip(*figures, strict=True))} |")


if __name__ == "__main__":
    main()
