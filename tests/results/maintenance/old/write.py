"""Write a database that later versions must be able to upgrade. Run this once with the last release of a schema.

    python write.py PATH-OR-URL OUTPUT.sql

fills an empty database through the package and dumps it as SQL: SQLite with sqlite3, PostgreSQL with pg_dump.
"""

import math
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from archsieve.results.database.latency_records import record_trial
from archsieve.results.database.proxy_records import record_scores
from archsieve.results.database.records import FailKind, TrialState
from archsieve.results.database.schema import APPLICATION_ID
from archsieve.results.database.store import Store, open_store

DATASET = {"content_hash": "d1", "name": "digits", "n_train": 1000, "n_val": 300, "n_test": 497, "n_classes": 10}
LAYERS = [
    {"name": "conv", "kind": "conv", "out_shape": [8, 8, 8], "params": 80, "macs": 4608, "activations": 512},
    {"name": "fc", "kind": "linear", "out_shape": [10], "params": 1290, "macs": 1280, "activations": 10},
]
PROVENANCE = {"host": "old", "pid": 1, "boot_id": "b", "argv": ["archsieve", "search"], "versions": {"archsieve": "0"}}
MEASURED = {
    **{"device": "cpu", "machine": "m", "torch": "2", "precision": "fp32", "batch_size": 1, "threads": 1, "warmup": 3},
    **{"n": 9, "latency_ms_p50": 0.5, "latency_ms_p90": 0.75, "peak_memory_bytes": None},
}


def fill(store: Store) -> None:
    """Write a finished run with trials in several final states, a killed run, and a run with a reused result."""
    config = {"budget": {"params": "60k"}, "search": {"trials": 5}}
    run = store.create_run("finished", config, "random", 3, DATASET, PROVENANCE)
    for number, accuracy in enumerate((0.5, 0.9, 0.75)):
        trial = propose(store, run, f"f{number}")
        store.start(trial, device="cpu", node="n", pid=4)
        for epoch in (1, 2):
            store.record_epoch(trial, epoch, {"val_accuracy": accuracy * epoch / 2, "val_loss": 1 / epoch})
        state = TrialState.STOPPED_EARLY if number == 2 else TrialState.COMPLETED
        store.finish(trial, state, summary={"val_accuracy": accuracy, "best_epoch": 2, "test_accuracy": 0.25})
        store.add_artifact(trial, "best", f"finished/{trial}.safetensors", 10, "aa")
    diverged = propose(store, run, "f3")
    store.start(diverged)
    store.record_epoch(diverged, 1, {"val_loss": math.nan, "train_loss": math.inf})
    store.finish(diverged, TrialState.FAILED, fail_kind=FailKind.DIVERGED, reason="losses must stay finite; it's ü")
    store.add_event(run, "warning", "diverged", {"reason": "nan"}, diverged)
    record_trial(store, 2, MEASURED, predicted_ms=0.4)
    record_scores(store, run, "f1", {"synflow": 2.5, "naswot": "no such layer"})
    store.finish_run(run, "finished")
    killed = store.create_run("killed", config, "tpe", 4, DATASET, {**PROVENANCE, "weather": "fine"})
    store.start(propose(store, killed, "f0"))
    propose(store, killed, "f4")
    linked = store.create_run("linked", config, "tpe", 5, DATASET, PROVENANCE)
    propose(store, linked, "f1", source=2)
    store.finish_run(linked, "finished")


def propose(store: Store, run: int, fingerprint: str, source: int | None = None) -> int:
    cost = {"params": 1370, "macs": 5888, "activations": 522, "memory_bytes": 10**10}
    return store.propose(
        run,
        architecture={"input_shape": [1, 8, 8], "blocks": [fingerprint]},
        fingerprint=fingerprint,
        cost=cost,
        layers=LAYERS,
        choices={"stage.width": 1},
        recipe={"lr": 0.1, "epochs": 2},
        seed=5,
        source=source,
    ).trial


def dump(name: str) -> str:
    if "://" in name:
        command = ["pg_dump", "--inserts", "--no-owner", "--no-privileges", name.replace("+psycopg", "")]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        skipped = ("--", "SET", "\\", "SELECT pg_catalog.set_c")  # comments and session settings
        lines = [line for line in text.splitlines() if line and not line.startswith(skipped)]
        return "\n".join(lines) + "\n"
    with closing(sqlite3.connect(name)) as connection:
        return "\n".join([f"PRAGMA application_id = {APPLICATION_ID};", *connection.iterdump()]) + "\n"


if __name__ == "__main__":
    with open_store(sys.argv[1], create=True) as empty_store:
        fill(empty_store)
    Path(sys.argv[2]).write_text(dump(sys.argv[1]), encoding="utf-8")
