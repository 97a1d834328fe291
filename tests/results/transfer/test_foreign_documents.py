"""Mutated exports: each is refused with one clear error, or imported so that every command can show it."""

import copy
import json
import random

import pytest

from archsieve.results.database.errors import StoreError
from archsieve.results.database.records import FailKind, TrialState
from archsieve.results.database.store import open_store
from archsieve.results.report.report import write_report
from archsieve.results.transfer.exporter import export_runs, read_runs
from archsieve.results.transfer.importer import import_documents

from .test_transfer import proposal

VALUES = [
    *(None, True, 0, -1, 2**31, 2**63, 10**400, 1.5, float("nan"), float("inf"), 1e308),
    *("", "x" * 200_000, "nul\0", "\ud800", "\x1b[2J\x1b]0;title\x07", "../../etc", "2020-01-01"),
    "9999-12-31T23:59:59-14:00",
    *([], [1, 2], ["a", 3], [[[[]]]], {}, {"a": 1}, {"finding": 1}, {"x": {"y": [None]}}),
]
COMMANDS = [
    *(("status",), ("results", "list"), ("results", "best"), ("results", "show", "digits:0")),
    *(("results", "show", "digits:1"), ("results", "compare", "digits:0", "digits:1")),
    *(("results", "curve", "digits:0"), ("results", "query", "params > 0"), ("report", "digits"), ("db", "check")),
]


@pytest.fixture
def database(path):
    """The documents are the same on both engines."""
    return path


@pytest.fixture
def document(store, new_run, tmp_path):
    """The JSON export of a run in which every table and every kind of event has a row."""
    provenance = {"argv": ["archsieve"], "versions": {"archsieve": "0.1.0"}, "devices": ["cpu"]}
    run_id = new_run("digits", provenance=provenance)
    done, failed = (store.propose(run_id, **proposal(width)).trial for width in (8, 16))
    for trial in (done, failed):
        store.start(trial, device="cpu", node="a", pid=7)
        store.record_epoch(trial, 1, {"val_accuracy": 0.5, "val_loss": 1.0, "train_loss": 1.0})
    store.finish(done, TrialState.COMPLETED, summary={"val_accuracy": 0.5, "best_epoch": 1})
    store.finish(failed, TrialState.FAILED, fail_kind=FailKind.BUG, reason="broken")
    details = {
        "finding": {"finding": "overfit", "reason": "why"},
        "lr_found": {"lr": 0.1, "tries": [0.1]},
        "augmentation_cost": {"batch_ms": 1.0, "batch_size": 8, "device": "cpu"},
        "warmup_selected": {"proxy": "synflow", "candidates": 2, "scored": 2, "chosen": ["a"]},
        "zero_shot_not_tested": {"trial": 1, "reason": "why"},
        "zero_shot_tested": {"trial": 1, "rows": []},
        "zero_shot_model_tested": {"trial": 1, "model": "m", "words": 1, "scores": {}, "classes": []},
        "latency_calibrated": {"n": 1},
    }
    for kind, detail in details.items():
        store.add_event(run_id, "info", kind, detail, done)
    export_runs(store, tmp_path / "whole.json")
    return json.loads((tmp_path / "whole.json").read_text())


def mutated(document, rng):
    """A copy of the document with one change: a cell, a part of a cell, a column name, a row, or a table."""
    changed = copy.deepcopy(document)
    tables = changed["runs"][0]
    name = rng.choice([table for table in tables if tables[table]["rows"]])
    table, value = tables[name], copy.deepcopy(rng.choice(VALUES))
    row = rng.randrange(len(table["rows"]))
    kind = rng.choice(["cell", "cell", "cell", "part", "part", "column", "row", "rows", "table"])
    column = rng.randrange(len(table["columns"]))
    cell = table["rows"][row][column]
    if kind == "part" and isinstance(cell, dict | list) and cell:
        cell[rng.choice(list(cell) if isinstance(cell, dict) else range(len(cell)))] = value
    elif kind in ("cell", "part"):
        table["rows"][row][column] = value
    elif kind == "column":
        table["columns"][column] = value
    elif kind == "row":
        table["rows"][row] = value
    elif kind == "rows":
        table["rows"] = [*table["rows"], copy.deepcopy(table["rows"][row])]
    else:
        tables[name] = value
    return changed


def outcome(document, folder):
    """Import the document: the error, or None where it was imported; nothing is written together with an error."""
    (folder / "changed.json").write_text(json.dumps(document))
    with open_store(folder / "runs" / "archsieve.db", create=True) as store:
        try:
            import_documents(store, read_runs(folder / "changed.json"))
        except (ValueError, StoreError) as error:
            assert store.runs() == []
            return error
    return None


@pytest.mark.parametrize("count", [30, pytest.param(400, marks=pytest.mark.slow)])
def test_a_mutated_export_is_refused_or_can_be_shown(document, line, tmp_path, count):
    rng = random.Random(0)
    imported = 0
    for n in range(count):
        changed = mutated(document, rng)
        folder = tmp_path / str(n)
        folder.mkdir()
        if (error := outcome(changed, folder)) is not None:
            assert len(str(error)) < 2000, str(error)[:500]
            continue
        imported += 1
        for command in COMMANDS if imported % 8 == 1 else COMMANDS[:4]:
            output = ("-o", str(folder / "r.html")) if command[0] == "report" else ()
            code, _, err = line(*command, *output, "--db", str(folder / "runs" / "archsieve.db"))
            assert code in (0, 2, 3, 5), (command, err)
            assert "Traceback" not in err
    assert imported > count // 20


def test_a_foreign_database_is_shown(store, document, path, line, tmp_path):
    """A database file passes no check at the door: reports and commands show what can be read of it."""
    rng = random.Random(1)
    columns = {
        "event": ("detail",),
        "process": ("argv", "versions", "other"),
        "run": ("config",),
        "trial": ("recipe", "choices", "reason"),
        "architecture": ("json",),
        "dataset": ("class_names", "input_shape"),
    }
    texts = [value for value in VALUES if not isinstance(value, float) and value not in ("\ud800", 10**400)]
    values = [json.dumps(value) for value in texts]
    pristine = path.with_name("pristine.db")
    store.close()
    pristine.write_bytes(path.read_bytes())
    for table, names in columns.items():
        for name in names:
            for value in rng.sample(values, 1):
                path.write_bytes(pristine.read_bytes())
                with open_store(path) as opened, opened.write_transaction() as connection:
                    connection.exec_driver_sql(f"UPDATE {table} SET {name} = ?", (value,))
                with open_store(path, read_only=True) as opened:
                    write_report(opened, "digits", tmp_path / "r.html")
                for command in COMMANDS[:5]:
                    code, _, err = line(*command, "--db", str(path))
                    assert code in (0, 2, 3), (table, name, value[:50], command, err)


def test_values_that_no_database_stores_are_refused(document, tmp_path):
    for n, (table, column, value) in enumerate(
        [
            ("trial", "seed", 2**63),
            ("trial", "best_epoch", 2**31),
            ("trial", "val_loss", 10**400),
            ("trial", "choices", {"a": 2**63}),
            ("trial", "recipe", []),
            ("trial", "reason", "nul\0"),
            ("process", "argv", ["archsieve", 5]),
            ("run", "config", {"data": 5}),
            ("run", "created_at", "0001-01-01T00:00:00+14:00"),
            ("event", "detail", {"finding": "overfit"}),
        ]
    ):
        changed = copy.deepcopy(document)
        cells = changed["runs"][0][table]
        cells["rows"][0][cells["columns"].index(column)] = value
        (tmp_path / str(n)).mkdir()
        error = outcome(changed, tmp_path / str(n))
        assert f"{table}.{column}" in str(error), (column, error)


@pytest.mark.parametrize("table", ["dataset", "architecture", "trial", "event", "metric", "attempt"])
def test_two_rows_with_one_primary_key_are_refused(document, tmp_path, table):
    rows = document["runs"][0][table]["rows"]
    rows.append(rows[0])
    (tmp_path / "twice.json").write_text(json.dumps(document))
    with (
        open_store(tmp_path / "new.db", create=True) as new,
        pytest.raises(ValueError, match=rf"each row of {table} must have its own \w+.* 2 rows have"),
    ):
        import_documents(new, read_runs(tmp_path / "twice.json"))
    with open_store(tmp_path / "new.db") as new:
        assert new.runs() == []
