"""The reaper ends what a killed process leaves, and nothing else."""

import os
import signal
import subprocess
import sys
import time

import pytest

from archsieve.search.reaper import marked

DRIVER = """
import os, subprocess, sys, time
from archsieve.search.reaper import MARK, reaped

sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
with reaped():
    subprocess.Popen(sleep, stdout=subprocess.DEVNULL)
    print(os.environ[MARK], flush=True)
    os.environ.pop(MARK)
    other = subprocess.Popen(sleep, stdout=subprocess.DEVNULL)
    print(other.pid, flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("killed", [True, False])
def test_what_carries_the_mark_ends_with_the_driver_however_that_ends(killed):
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        mark, other = driver.stdout.readline().strip(), int(driver.stdout.readline())
        assert len(marked(mark)) == 1
        driver.kill() if killed else driver.communicate("end\n")
    until = time.monotonic() + 60
    while marked(mark) and time.monotonic() < until:
        time.sleep(0.1)
    assert marked(mark) == []
    os.kill(other, signal.SIGKILL)  # it lived: it did not carry the mark
