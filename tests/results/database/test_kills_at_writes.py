"""Kills at every write of a growing database: the next command finds it whole, with everything that was recorded."""

import signal

import pytest

from ..write_faults import COMPILER, WHY_NOT, compile_library, run_with

pytestmark = pytest.mark.skipif(COMPILER is None, reason=WHY_NOT)
PROGRAM = """
import ctypes, json, os, shutil, signal, sys
from pathlib import Path

from archsieve.results.database import sqlite_file
from archsieve.results.database.errors import LockedError, StoreError
from archsieve.results.database.store import open_store
from archsieve.results.maintenance.integrity import check_store

sqlite_file.WAL_CHECKPOINT_PAGES = 8  # so that every few transactions copy the log into the file
folder, number, step = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
DATASET = {"content_hash": "d", "name": "digits"}
RUN = {"searcher": "random", "seed": 0, "dataset": DATASET, "provenance": {}}


def grow(path, written):
    # An architecture of 3 kB makes the file grow with every trial.
    with open_store(path) as store:
        for n in range(4):
            cost = {"params": 1, "macs": 1, "activations": 1, "memory_bytes": 1}
            network = {"blocks": ["conv" * 200 + str(n)]}
            trial = store.propose(1, architecture=network, fingerprint=f"f{n}" + "x" * 900, cost=cost,
                                  choices={}, recipe={"epochs": 1}, seed=n)
            store.start(trial.trial)
            store.record_epoch(trial.trial, 1, {name: 0.5 for name in ("val_accuracy", "val_loss", "train_loss")})
            os.write(written, b".")


def child(path, n):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            shim.arm(n, number)
            grow(path, writer)
        finally:
            os._exit(0)
    os.close(writer)
    _, status = os.waitpid(pid, os.WUNTRACED)
    found = look(path) if os.WIFSTOPPED(status) else None
    if os.WIFSTOPPED(status):
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    recorded = len(os.read(reader, 100))
    os.close(reader)
    return os.WIFSIGNALED(status), recorded, found


def look(path):
    try:
        sqlite_file.check_file(path)
    except LockedError:
        return None
    except StoreError as error:
        return str(error)
    return None


first = folder / "first.db"
with open_store(first, create=True) as store:
    store.create_run("run", {}, **RUN)
answer, n = [], step
while True:
    path = folder / str(n) / "archsieve.db"
    path.parent.mkdir()
    shutil.copyfile(first, path)
    killed, recorded, while_stopped = child(path, n)
    broken = look(path)
    trials = -1
    if broken is None:
        with open_store(path, read_only=True) as store:
            problems = [p for p in check_store(store, None, deep=True) if p.invariant != "I3"]
            trials = sum(trial.epochs_done for trial in store.trials("run"))
        broken = str(problems) if problems else None
    answer.append({"n": n, "killed": killed, "recorded": recorded, "trials": trials, "broken": broken,
                   "while_stopped": while_stopped})
    shutil.rmtree(path.parent)
    if not killed:
        break
    n += step
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return compile_library(tmp_path_factory.mktemp("library"))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("step", [23, pytest.param(1, marks=pytest.mark.slow)])
def test_a_growing_database_is_whole_at_every_write(library, tmp_path, how, step):
    *kills, last = run_with(library, PROGRAM, tmp_path, int(how), step, ARCHSIEVE_BUSY_S="0.05")
    assert (last["killed"], last["recorded"], last["trials"]) == (False, 4, 4)
    assert len(kills) > 150 // step
    assert [kill for kill in kills if kill["broken"] or kill["while_stopped"] or not kill["killed"]] == []
    # what was written before the kill is there; at most the transaction in progress may be there, too
    assert [kill for kill in kills if not kill["recorded"] <= kill["trials"] <= kill["recorded"] + 1] == []
