"""Provenance: who ran what, where, with which versions; what it takes to run it again."""

import contextlib
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ... import __version__
from ...results.database.lease import this_process
from ...results.database.url import masked

PACKAGES = ("torch", "torchvision", "ray", "optuna", "numpy", "scikit-learn", "sqlalchemy")


def provenance() -> dict[str, Any]:
    """Host, process, command line, versions, git commit of the working folder, processors and GPUs.

    Passwords are masked, and nothing of the environment's variables is kept: they are full of secrets.
    """
    changes = _git("status", "--porcelain")  # None where there is no repository, or no git
    return {
        **this_process(),
        "argv": [Path(sys.argv[0]).name, *map(masked, sys.argv[1:])],
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else changes != "",
        "versions": {"archsieve": __version__, "python": platform.python_version(), **_versions()},
        "devices": _devices(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _devices() -> list[str]:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return [f"{os.cpu_count()} x {platform.machine()}", *gpus]


def _git(*arguments: str) -> str | None:
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
