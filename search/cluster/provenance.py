"""Provenance: who ran what, where and with which versions, so that a run can be repeated."""

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
from ...results.database.url import mask_passwords

PACKAGES = ("torch", "torchvision", "ray", "optuna", "numpy", "scikit-learn", "sqlalchemy")


def provenance() -> dict[str, Any]:
    """Return host, process, command line, versions, git commit of the working folder, processors and GPUs.

    Passwords are masked. No environment variable is stored, because many of them hold secrets.
    """
    changes = _git("status", "--porcelain")  # None without a repository or without git
    return {
        **this_process(),
        "argv": [Path(sys.argv[0]).name, *map(mask_passwords, sys.argv[1:])],
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else changes != "",
        "versions": {"archsieve": __version__, "python": platform.python_version(), **_versions()},
        "devices": _devices(),
    }


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):  # a package that is not installed has no version
            versions[package] = version(package)
    return versions


def _devices() -> list[str]:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return [f"{os.cpu_count()} x {platform.machine()}", *gpus]


def _git(*arguments: str) -> str | None:
    """Return the output of a git command; None when git is missing, fails, or takes longer than 10 s."""
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
