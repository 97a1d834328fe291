"""``full_disk.py FOLDER WORK:STEP ...``: repeat pieces of work while the disk is full from their n-th write on.

Prints lists of [n, problem]; a problem is null if what must hold does. The last entry is that of the work without a
fault. Runs with the library of tests/results/write_faults.c.
"""

import contextlib
import ctypes
import io
import json
import logging
import os
import shutil
import sys
from pathlib import Path

import torch
from PIL import Image

from archsieve.models.image_files.decoding import Decoding
from archsieve.models.image_files.errors import DataError
from archsieve.models.readers.read_index import read_index
from archsieve.models.storage import cache_build
from archsieve.models.storage.encoded import EncodedImages
from archsieve.results.database.errors import DiskFullError, is_disk_full
from archsieve.results.database.store import open_store
from archsieve.results.maintenance.integrity import check_store
from archsieve.results.report.report import write_report
from archsieve.search.cluster.ray_runtime import quiet
from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.search_file import parse
from archsieve.search.runs.recorder import Recorder
from archsieve.search.runs.run_control import RunControl
from archsieve.search.runs.tune_adapter import guarded
from archsieve.search.runs.tuner import closing
from archsieve.search.searchers.registry import SEARCHERS
from archsieve.search.trials.checkpoint_files import Checkpoints, load, save
from archsieve.search.trials.report import EpochMetrics, TrialReport, TrialStart
from archsieve.search.trials.reserve import reserved_space
from archsieve.search.trials.spool import Spool

library = ctypes.CDLL(os.environ["LD_PRELOAD"])
SPACE = {"stem": 8, "stages": [{"block": ["conv-pool", "residual", "inception"], "width": [8, 16]}]}
EXPERIMENT = experiment(
    parse(
        {
            "budget": {"params": "20k"},
            "space": SPACE,
            "recipe": {"epochs": 2},
            "search": {"trials": 3, "searcher": "random", "cache": False},
        }
    )
)
DATA = {"content_hash": "d", "name": "digits"}
METRICS = {"train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5, "lr": 0.1, "seconds": 1.0}


def fill(n, part, reserve=""):
    library.fill(n, str(part).encode(), str(reserve).encode())


def recorder_of(store, folder, run_id):
    searcher = SEARCHERS["random"](EXPERIMENT.constrained, EXPERIMENT.recipes)
    return Recorder(
        RunControl(store, run_id), searcher, 0, 3, Checkpoints(str(folder / "checkpoints")), Spool(folder / "spool")
    )


def report(number, **more):
    return TrialReport((EpochMetrics(number, METRICS),), done=number == 2, **more)


def drive(recorder):
    reported = {}
    for key in "abc":
        trial = guarded(recorder, recorder.propose, key)
        if trial is None:
            break
        guarded(recorder, recorder.started, key)
        # Workers report until Tune has stopped them, also after the disk is full.
        guarded(recorder, recorder.reported, key, report(1, start=TrialStart(0)))
        guarded(recorder, recorder.reported, key, report(2))
        guarded(recorder, recorder.completed, key, report(2))
        reported[trial.trial] = 2
        if recorder.stopping is not None:
            break
    return reported


def a_run(folder, n, part):
    run, path = folder / "run", folder / "archsieve.db"
    with open_store(path, create=True) as store:
        run_id = store.create_run("run", EXPERIMENT.to_json(), "random", 0, DATA, {})
        recorder = recorder_of(store, run, run_id)
        with reserved_space(run):
            fill(n, folder / part, run / ".reserved-space")
            reported = drive(recorder)
            stop = recorder.stopping
            with contextlib.suppress(Exception), closing(store, run_id, run):
                if stop is not None:
                    raise stop.error
                store.finish_run(run_id, "finished")
    unused = library.unused()
    fill(0, "")
    if stop is not None and not isinstance(stop.error, DiskFullError):
        return f"{type(stop.error).__name__}: {stop.error}", unused
    with open_store(path) as store:
        if stop is not None:
            run_id = store.resume_run("run", {})
            resumed = recorder_of(store, run, run_id)
            resumed.replay()
            store.finish_run(run_id, "stopped")
        done = {trial.trial: trial.epochs_done for trial in store.trials("run") if trial.state.final}
        if done != reported:
            return f"reported {reported}, recorded {done}", unused
        problems = check_store(store, None, deep=True)
    return (str(problems) if problems else None), unused


def database(folder, n):
    return a_run(folder, n, "archsieve.db")


def whole_disk(folder, n):
    return a_run(folder, n, "")


def checkpoint(folder, n):
    checkpoints = Checkpoints(str(folder)).of_trial(1)
    save(checkpoints, "identity", 1, {"x": torch.zeros(10)})
    fill(n, folder)
    problem = None
    try:
        save(checkpoints, "identity", 2, {"x": torch.ones(200_000)})
        expected = 1.0
    except OSError as error:
        expected, problem = 0.0, None if is_disk_full(error) else str(error)
    unused = library.unused()
    fill(0, "")
    state = load(checkpoints, "identity").state
    if state is None or state["x"][0] != expected:
        problem = f"the checkpoint before was lost: {state}"
    return problem, unused


def report_page(folder, n):
    with open_store(folder / "archsieve.db", create=True) as store:
        run_id = store.create_run("run", EXPERIMENT.to_json(), "random", 0, DATA, {})
        drive(recorder_of(store, folder / "run", run_id))
        path = write_report(store, run_id, folder / "report.html")
        before, problem = path.read_bytes(), None
        path.write_bytes(b"old")
        fill(n, folder / ".report.html")
        try:
            write_report(store, run_id, path)
            expected = len(before)
        except OSError as error:
            expected, problem = 3, None if is_disk_full(error) else str(error)
        unused = library.unused()
        fill(0, "")
    size = path.stat().st_size
    left = [one.name for one in folder.glob(".report*")]
    if abs(size - expected) > 100 or left:
        problem = f"{size} bytes, not {expected}; {left}"
    return problem, unused


def log(folder, n):
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed):
        with quiet(folder / "search.log"):
            fill(n, folder / "search.log")
            for _ in range(3):
                logging.getLogger("ray").error("a message")
        unused = library.unused()
        fill(0, "")
    return printed.getvalue() or None, unused


def cache(folder, n):
    """The decoded images of a data set."""
    for i in range(60):
        path = folder / "images" / f"class{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 12), (4 * i, 0, 0)).save(path)
    cache_build.MAX_CHUNK = 4
    images, target, problem = EncodedImages(read_index(folder / "images").canonical(), Decoding(12)), folder / "c", None
    fill(n, target)
    with contextlib.suppress(DataError):
        cache_build.open_cache(images, target)
    unused = library.unused()
    fill(0, "")
    if list(target.glob("*.partial")):
        problem = "a partial file remains"
    if int(cache_build.open_cache(images, target).pixels.sum()) != sum(4 * i * 144 for i in range(60)):
        problem = "the pixels are wrong"
    return problem, unused


WORK = {work.__name__: work for work in (database, whole_disk, checkpoint, report_page, log, cache)}


def repeat(name, base, step):
    """Return [n, problem] for n = step, 2 step, ... until the work needs fewer than n writes."""
    cases, n = [], step
    while True:
        folder = Path(base, name, str(n))
        folder.mkdir(parents=True)
        problem, unused = WORK[name](folder, n)
        cases.append([n, problem])
        shutil.rmtree(folder)
        if unused:
            return cases
        n += step


if __name__ == "__main__":
    steps = {name: int(step) for name, step in (argument.split(":") for argument in sys.argv[2:])}
    print(json.dumps({name: repeat(name, sys.argv[1], step) for name, step in steps.items()}))
