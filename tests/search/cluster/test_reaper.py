"""The reaper ends what a killed process leaves, and nothing else."""

import os
import signal
import subprocess
import sys
import time

import pytest

from archsieve.results.database.lease import started

# what it starts: one that carries the mark; one like Ray's agents, which have a title in place of their environment and
# a log of the driver's session open; a like one of another driver's; one of a Ray that is older, and was started by a
# process of the same id; and one that is not Ray's at all
DRIVER = """
import os, subprocess, sys
from datetime import datetime
from archsieve.search.cluster.reaper import MARK, reaped

def start(title, log, **settings):
    code = f"import time; log = open({log!r}, 'w'); print(flush=True); time.sleep(600)"
    command, streams = [title, "-S", "-c", code], {"stdout": subprocess.PIPE, "text": True}
    started = subprocess.Popen(command, executable=sys.executable, **streams, **settings)
    started.stdout.readline()
    return started.pid

def agent(driver, began):
    folder = f"{sys.argv[1]}/session_{began:%Y-%m-%d_%H-%M-%S_%f}_{driver}"
    os.makedirs(folder)
    return start("ray::Agent", folder + "/agent.log", env={})

with reaped():
    marked = start("python", os.devnull)
    del os.environ[MARK]
    me, now, earlier = os.getpid(), datetime.now(), datetime(2026, 11, 26, 12, 55, 3)
    print(marked, agent(me, now), agent(1, now), agent(me, earlier), start("python", os.devnull), flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("killed", [True, False])
def test_what_is_left_of_a_drivers_ray_ends_with_the_driver_however_that_ends(killed, tmp_path):
    command = [sys.executable, "-c", DRIVER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        marked, agent, *others = map(int, driver.stdout.readline().split())
        assert all(map(started, (marked, agent, *others)))
        driver.kill() if killed else driver.communicate("end\n")
    until = time.monotonic() + 60
    while (started(marked) or started(agent)) and time.monotonic() < until:
        time.sleep(0.1)
    assert [started(pid) is not None for pid in (marked, agent, *others)] == [False, False, True, True, True]
    for pid in others:
        os.kill(pid, signal.SIGKILL)
