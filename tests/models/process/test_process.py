"""The process: the cores it may use, and when garbage collection runs."""

import gc
import os
import weakref

import pytest

from archsieve.models.process.cores import usable_cores
from archsieve.models.process.garbage import pause_collection, resume_collection

ALLOWED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("files", "environment", "cores"),
    [
        ({}, {}, ALLOWED),
        ({"cpu.max": "max 100000\n"}, {}, ALLOWED),
        ({"cpu.max": "100000 100000\n"}, {}, 1),
        ({"cpu.max": "50000 100000\n"}, {}, 1),  # half a core
        ({"cpu.max": "99900000 100000\n"}, {}, ALLOWED),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, {}, ALLOWED),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, {}, 1),
        ({}, {"SLURM_CPUS_PER_TASK": "1"}, 1),
        ({}, {"SLURM_CPUS_PER_TASK": "many"}, ALLOWED),
    ],
)
def test_cores_are_those_that_affinity_quota_and_slurm_allow(files, environment, cores, tmp_path):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert usable_cores(environment, tmp_path) == cores


@pytest.mark.parametrize(
    ("group", "limited", "cores"),
    [
        ("0::/jobs/one\n", "jobs/one", 1),
        ("12:cpu:/old\n0::/jobs/one\n", "jobs", 1),
        ("0::/jobs/one\n", "jobs/two", ALLOWED),
        ("0::/\n", "", 1),
        ("0::/../outside\n", "", 1),
    ],
)
def test_the_quota_may_be_that_of_a_group_above(group, limited, cores, tmp_path):
    for folder in ("jobs/one", "jobs/two"):
        (tmp_path / "cgroup" / folder).mkdir(parents=True)
    (tmp_path / "cgroup" / limited / "cpu.max").write_text("100000 100000\n")
    (tmp_path / "own").write_text(group)
    assert usable_cores({}, tmp_path / "cgroup", tmp_path / "own") == cores


def test_fewer_cores_of_the_affinity_are_seen():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores({}) == 1
    finally:
        os.sched_setaffinity(0, allowed)


class Node:
    """An object that only garbage collection frees."""

    def __init__(self) -> None:
        self.itself = self


def test_collection_resumes_for_new_objects_only_where_the_program_paused_it():
    resume_collection()  # after a test that ran a command in this process
    gc.disable()  # by a user, who calls a function of the package
    try:
        resume_collection()
        assert not gc.isenabled()

        pause_collection()
        old = weakref.ref(Node())
        resume_collection()
        new = weakref.ref(Node())
        gc.collect()
        assert gc.isenabled()
        assert (old() is not None, new()) == (True, None)
    finally:
        gc.unfreeze()
        gc.enable()
