"""Faults at the n-th write of a process: a library that is loaded before the C library (see write_faults.c)."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

COMPILER = shutil.which("cc") or shutil.which("gcc")
WHY_NOT = "a C compiler is needed to break a process at a write"


def compile_library(folder: Path) -> Path:
    """Compile the library in ``folder`` and return its path."""
    assert COMPILER is not None
    library, source = folder / "write_faults.so", Path(__file__).with_suffix(".c")
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def run_with(library: Path, program: str, *arguments: object, **variables: str) -> Any:
    """Run a Python program with the library; return what it prints as JSON."""
    environment = {**os.environ, "LD_PRELOAD": str(library), **variables}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)
