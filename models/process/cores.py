"""The cores that this process may use: fewer than the machine has, in a container or in a job of a cluster."""

import os
from collections.abc import Mapping
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_cores(environment: Mapping[str, str] = os.environ, cgroup: Path = CGROUP) -> int:
    """Return the number of cores that this process may use, at least 1.

    It is the smallest of the cores of its affinity, the CPU quota of its cgroup (a container), rounded down, and the
    CPUs of its task in a job of Slurm.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slurm = environment.get("SLURM_CPUS_PER_TASK", "")
    limits = [allowed, _quota(cgroup), int(slurm) if slurm.isdigit() else None]
    return max(1, min(limit for limit in limits if limit is not None))


def n_threads() -> int:
    """Return the number of threads that decode or read images: the usable cores, at most 8."""
    return min(8, usable_cores())


def _quota(cgroup: Path) -> int | None:
    """Return the CPU quota in cores, rounded down as Ray does; None without one. Version 2 of cgroups comes first."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = ((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        except OSError:
            return None
    try:
        # version 2 writes "max" and version 1 writes -1 where there is no quota
        return int(quota) // int(period) if int(quota) > 0 and int(period) > 0 else None
    except ValueError:
        return None
