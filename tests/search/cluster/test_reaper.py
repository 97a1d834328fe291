"""The reaper kills the remaining processes of a dead driver, and no others."""

import os
import signal
import subprocess
import sys
import time

import pytest

from archsieve.results.database.lease import start_ticks

# The driver starts five processes. The reaper must kill the first two:
# 1. a process with the mark in its environment;
# 2. a process like Ray's agents: a title instead of an environment, and an open log in the driver's session folder;
# 3. a process like 2, but of another driver;
# 4. a process like 2, but in an older session folder of a driver with the same process id;
# 5. a process without any relation to Ray.
DRIVER = """
import os, subprocess, sys
from datetime import datetime
from archsieve.search.cluster.reaper import MARK, reap_on_exit

def start(title, log, **settings):
    code = f"import time; log = open({log!r}, 'w'); print(flush=True); time.sleep(600)"
    command, streams = [title, "-S", "-c", code], {"stdout": subprocess.PIPE, "text": True}
    started = subprocess.Popen(command, executable=sys.executable, **streams, **settings)
    started.stdout.readline()
    return started.pid

def agent(driver, start_time):
    folder = f"{sys.argv[1]}/session_{start_time:%Y-%m-%d_%H-%M-%S_%f}_{driver}"
    os.makedirs(folder)
    return start("ray::Agent", folder + "/agent.log", env={})

with reap_on_exit():
    marked = start("python", os.devnull)
    del os.environ[MARK]
    me, now, earlier = os.getpid(), datetime.now(), datetime(2026, 11, 26, 12, 55, 3)
    print(marked, agent(me, now), agent(1, now), agent(me, earlier), start("python", os.devnull), flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("killed", [True, False])
def test_remaining_ray_processes_end_with_the_driver(killed, tmp_path):
    command = [sys.executable, "-c", DRIVER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        marked, agent, *others = map(int, driver.stdout.readline().split())
        assert all(map(start_ticks, (marked, agent, *others)))
        driver.kill() if killed else driver.communicate("end\n")
    while start_ticks(marked) or start_ticks(agent):
        time.sleep(0.1)
    assert [start_ticks(pid) is not None for pid in (marked, agent, *others)] == [False, False, True, True, True]
    for pid in others:
        os.kill(pid, signal.SIGKILL)
