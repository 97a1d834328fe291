"""The cores that this process may use: fewer than the machine has, in a container or in a job of a cluster."""

import os
from collections.abc import Mapping
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def usable_cores(
    environment: Mapping[str, str] = os.environ, cgroup: Path = CGROUP, own_groups: Path = OWN_GROUPS
) -> int:
    """Return the number of cores that this process may use, at least 1.

    It is the smallest of the cores of its affinity, the CPU quotas of its cgroup and of those above it (a container, a
    service, a job), rounded down, and the CPUs of its task in a job of Slurm.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slurm = environment.get("SLURM_CPUS_PER_TASK", "")
    quotas = map(_quota, _groups(cgroup, own_groups))
    limits = [allowed, *quotas, int(slurm) if slurm.isdigit() else None]
    return max(1, min(limit for limit in limits if limit is not None))


def load_per_core() -> float | None:
    """Return the mean number of running processes in the last minute for each core of the machine; None if unknown.

    Above 1, processes wait for each other, and what is timed takes longer than on an idle machine.
    """
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except (OSError, AttributeError):  # an operating system without it
        return None


def n_threads() -> int:
    """Return the number of threads that decode or read images: the usable cores, at most 8."""
    return min(8, usable_cores())


def _groups(cgroup: Path, own_groups: Path) -> list[Path]:
    """Return the folder of the cgroup of this process and those above it; in a container it is ``cgroup`` itself."""
    try:
        lines = own_groups.read_text().splitlines()
    except OSError:
        lines = []
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")  # version 2
    group = cgroup / own
    return [cgroup] if ".." in group.parts else [group, *group.parents[: len(Path(own).parts)]]


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
