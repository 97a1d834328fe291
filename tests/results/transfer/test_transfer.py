"""Export and import of runs: all rows arrive unchanged, or nothing is written."""

import csv
import json
import math

import pytest

from archsieve.results.database.errors import RunExistsError
from archsieve.results.database.records import FailKind, TrialState
from archsieve.results.database.store import open_store
from archsieve.results.database.zero_shot_records import MODEL_TESTED, TESTED, latest_test_table, model_test
from archsieve.results.transfer import exporter, flat_rows, importer, json_stream, run_rows, staged_rows
from archsieve.results.transfer.exporter import FORMATS, database_documents, export_runs, read_runs
from archsieve.results.transfer.importer import IMPORTED_EVENT, import_documents
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.cost import cost, layer_costs
from archsieve.spaces.blocks.standard import Conv, GlobalAverage, Residual

sqlite_only = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # the engine makes no difference
KINDS = sorted(FORMATS)


def architecture_of_width(width):
    return Architecture((1, 8, 8), (Conv(width), Residual(2 * width), GlobalAverage()), 10)


def proposal(width, **recipe):
    architecture = architecture_of_width(width)
    costs = cost(architecture)
    return {
        "architecture": architecture.to_json(),
        "fingerprint": architecture.fingerprint,
        "cost": {
            **{name: getattr(costs, name) for name in ("params", "macs", "activations", "memory_bytes")},
            **{"ram_bytes": 100 * width, "flash_bytes": 2**40 + width},
        },
        "layers": [layer.to_json() for layer in layer_costs(architecture)],
        "choices": {"1.conv.width": width},
        "recipe": {"lr": 0.1 + 0.2, "epochs": 3, **recipe},
        "seed": 2**53 + 1,
    }


@pytest.fixture
def run(store, new_run):
    """A run with a completed, a failed, a running and a queued trial."""

    def propose(width, **recipe):
        return store.propose(run_id, **proposal(width, **recipe)).trial

    run_id = new_run("digits", provenance={"argv": ["archsieve", "search", 'a,b\n;"c".toml'], "host": "näh", "pid": 1})
    done, failed, running, _ = propose(8), propose(16, nesterov=True), propose(8, nesterov="no", odd=[1]), propose(4)
    for trial in (done, failed, running):
        store.start(trial, device="cpu", node="a", pid=7)
    store.record_epoch(done, 1, {"val_accuracy": 1 / 3, "val_loss": math.nan})
    store.record_epoch(done, 2, {"val_accuracy": 2 / 3, "val_loss": math.inf})
    store.finish(done, TrialState.COMPLETED, summary={"val_accuracy": 2 / 3, "test_accuracy": 0.5, "best_epoch": 2})
    store.finish(failed, TrialState.FAILED, fail_kind=FailKind.BUG, reason='a "quoted", reason\r\nin two lines; =1+1')
    store.record_epoch(running, 1, {"val_loss": 0.1})
    store.add_artifact(done, "best", "digits/best.safetensors", 10, "00")
    store.add_event(run_id, "info", "note", {"text": "ä"}, done)
    return run_id


@pytest.fixture
def other(tmp_path):
    with open_store(tmp_path / "other.db", create=True) as opened:
        yield opened


def comparable(store):
    """The tables of all runs in a store, with trial numbers for trial ids, and without the other ids of the store."""
    runs = []
    for document in database_documents(store):
        tables = {name: [dict(row) for row in rows] for name, rows in document.tables.items()}
        tables["event"] = [row for row in tables["event"] if row["kind"] != IMPORTED_EVENT]
        numbers = {row["trial_id"]: row["number"] for row in tables["trial"]}
        for rows in tables.values():
            for row in rows:
                row["trial_id"] = numbers.get(row.get("trial_id"))
                for key in ("run_id", "process_id", "event_id", "measurement_id"):
                    row.pop(key, None)
        runs.append(tables)
    return runs


@pytest.mark.parametrize("kind", KINDS)
def test_an_imported_run_equals_the_exported_one(store, run, other, tmp_path, kind, new_run, monkeypatch):
    for module in (run_rows, flat_rows, exporter, staged_rows, importer):
        monkeypatch.setattr(module, "_ROWS_AT_ONCE", 3)  # so that the four trials take two parts
    monkeypatch.setattr(exporter, "_ROWS_READ_AT_ONCE", 3)
    monkeypatch.setattr(json_stream, "_CHUNK", 7)  # characters, so that names and numbers are cut
    new_run("nothing-tried")
    store.finish_run(run, "stopped")
    path = tmp_path / f"runs{kind}"
    assert export_runs(store, path) == ["digits", "nothing-tried"]
    store.finish_run(2, "stopped")
    assert import_documents(other, read_runs(path)) == ["digits", "nothing-tried"]
    exported, imported = comparable(store), comparable(other)
    # the second run ended only after its export
    for row in (exported[1]["process"][0], imported[1]["process"][0], exported[1]["run"][0], imported[1]["run"][0]):
        for column in ("ended_at", "end_reason", "finished_at"):
            row.pop(column, None)
    assert imported == exported
    (done, failed, running, queued) = other.trials("digits")
    assert [trial.state for trial in (done, failed, running, queued)] == [
        "completed",
        "failed",
        "interrupted",
        "queued",
    ]
    devices = [(trial.ram_bytes, trial.flash_bytes) for trial in other.trials("digits")]
    assert devices == [(100 * width, 2**40 + width) for width in (8, 16, 8, 4)]
    assert set(other.curve(done.trial)) == {"val_accuracy", "val_loss"}
    assert math.isnan(other.curve(done.trial)["val_loss"][0][1])
    assert failed.reason.endswith("in two lines; =1+1")
    assert done.recipe["lr"] == 0.1 + 0.2
    assert running.recipe["odd"] == [1]
    assert other.artifacts(done.trial) == []  # files of artifacts are not exported
    again = tmp_path / f"again{kind}"
    export_runs(other, again, ["digits"])
    assert [document.name for document in read_runs(again)] == ["digits"]


def test_a_running_run_is_stopped_by_its_import(store, run, other, tmp_path):
    export_runs(store, tmp_path / "a.json")
    import_documents(other, read_runs(tmp_path / "a.json"))
    assert store.run("digits").status == "running"
    assert other.run("digits").status == "stopped"
    assert other.trials("digits")[2].state is TrialState.INTERRUPTED
    assert other.resume_run("digits", {"host": "here", "pid": 1}) == 1  # no other process holds its lease


def test_the_test_of_an_imported_run_has_the_new_id_of_its_trial(store, run, other, tmp_path):
    """Otherwise a prediction by the name of the run would load the model of another run."""
    tested = store.trials("digits")[-1].trial
    for kind in (TESTED, MODEL_TESTED):
        detail = {"trial": tested, "rows": [], "model": "m", "words": 1, "scores": {}, "classes": []}
        store.add_event(store.run("digits").run_id, "info", kind, detail, tested)
    export_runs(store, tmp_path / "a.json")
    first = other.create_run("first", {}, "random", 1, {"content_hash": "d1", "name": "digits"}, {})
    other.propose(first, **proposal(8))
    import_documents(other, read_runs(tmp_path / "a.json"))
    expected = other.trials("digits")[-1].trial
    assert expected != tested
    assert latest_test_table(other, "digits")["trial"] == expected
    assert model_test(other, "digits", expected)["trial"] == expected


def test_an_imported_run_gets_new_ids(store, run, other, tmp_path):
    other.create_run("first", {}, "random", 1, {"content_hash": "d1", "name": "digits"}, {})
    export_runs(store, tmp_path / "a.csv")
    assert import_documents(other, read_runs(tmp_path / "a.csv"), name="second") == ["second"]
    assert other.run("second").run_id == 2
    assert other.curve(other.trials("second")[0].trial)["val_accuracy"] == [(1, 1 / 3), (2, 2 / 3)]
    assert other.events("second")[0]["trial_id"] == other.trials("second")[0].trial
    assert other.events("second")[0]["run_id"] == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
def test_the_source_trial_of_another_run_is_kept_if_that_run_is_imported(store, other, new_run, tmp_path, kind, order):
    source = store.propose(new_run("first"), **proposal(8)).trial
    store.start(source)
    store.record_epoch(source, 1, {"val_accuracy": 0.5})
    store.finish(source, TrialState.COMPLETED, summary={"val_accuracy": 0.5, "best_epoch": 1})
    assert store.propose(new_run("second"), **proposal(8), source=source).source == source
    path = tmp_path / f"runs{kind}"
    export_runs(store, path, order)
    other.create_run("before", {}, "random", 1, {"content_hash": "d1", "name": "digits"}, {})
    import_documents(other, read_runs(path))
    assert [trial.source for trial in other.trials("second")] == [other.trials("first")[0].trial]
    with open_store(tmp_path / "third.db", create=True) as third:
        import_documents(third, read_runs(path, ["second"]))
        assert [trial.source for trial in third.trials("second")] == [None]


@sqlite_only
def test_a_run_that_is_not_in_the_file_is_an_error(store, run, tmp_path):
    export_runs(store, tmp_path / "a.json")
    with pytest.raises(ValueError, match="'digit'; did you mean 'digits'"):
        read_runs(tmp_path / "a.json", ["digits", "digit"])


@sqlite_only
@pytest.mark.parametrize("table", ["process", "attempt"])
def test_a_column_that_can_be_null_can_be_missing(store, run, other, tmp_path, table):
    path = tmp_path / "a.json"
    export_runs(store, path)
    content = json.loads(path.read_text())
    index = content["runs"][0][table]["columns"].index("ended_at")
    del content["runs"][0][table]["columns"][index]
    for row in content["runs"][0][table]["rows"]:
        del row[index]
    path.write_text(json.dumps(content))
    assert import_documents(other, read_runs(path)) == ["digits"]


@sqlite_only
def test_a_run_is_imported_once(store, run, other, tmp_path):
    path = tmp_path / "a.json"
    export_runs(store, path)
    with pytest.raises(ValueError, match=r"'another'.*already.*'digits'"):
        import_documents(store, read_runs(path), name="another")
    with pytest.raises(ValueError, match=r"already.*nothing was written"):
        import_documents(store, read_runs(tmp_path / "archsieve.db"))
    other.create_run("digits", {}, "random", 1, {"content_hash": "d1", "name": "digits"}, {})
    with pytest.raises(RunExistsError, match=r"'digits'.*'digits-2'"):
        import_documents(other, read_runs(path))
    assert len(other.runs()) == 1
    assert import_documents(other, read_runs(tmp_path / "archsieve.db"), name="b") == ["b"]
    assert export_runs(store, tmp_path / "b.json", ["digits", "dig", "last"]) == ["digits"]  # three names of one run
    assert [document.name for document in read_runs(tmp_path / "b.json")] == ["digits"]


def change_cell(path, table, column, value):
    """Change the cell of ``column`` in the first row of a table of the export ``path``."""
    content = json.loads(path.read_text())
    cells = content["runs"][0][table]
    cells["rows"][0][cells["columns"].index(column)] = value
    path.write_text(json.dumps(content))


@sqlite_only
@pytest.mark.parametrize(
    ("table", "column", "value", "pattern"),
    [
        ("architecture", "fingerprint", "0" * 64, "fingerprint.*000000000000"),
        ("architecture", "params", 5, "params, got 5"),
        ("architecture", "json", {"blocks": []}, "cannot be read"),
        ("trial", "params", 5, "trial number 0: its params.* 5"),
        ("trial", "number", 9, "0 to 3"),
        ("trial", "number", None, "trial.* number"),
        ("trial", "state", "perfect", "'perfect'.*TrialState"),
        ("trial", "state", "failed", "fail_kind.*failed"),
        ("trial", "val_accuracy", 98.7, r"val_accuracy.*\[0, 1\].*98\.7"),
        ("trial", "val_accuracy", "high", "float.*'high'"),
        ("trial", "epochs_done", True, "int.*True"),
        ("trial", "created_at", "yesterday", "ISO 8601.*'yesterday'"),
        ("trial", "fingerprint", "0" * 64, "trial number 0.*000000000000"),
        ("run", "name", "../up", r"'\.\./up'"),
        ("run", "status", "sleeping", "'sleeping'.*RunStatus"),
        ("metric", "special", "huge", "'digits'.*nothing was written"),
        ("metric", "trial_id", 99, "'digits'.*nothing was written"),
    ],
)
def test_contradictory_rows_are_refused(store, run, other, tmp_path, table, column, value, pattern):
    path = tmp_path / "a.json"
    export_runs(store, path)
    change_cell(path, table, column, value)
    with pytest.raises(ValueError, match=pattern):
        import_documents(other, read_runs(path))
    assert (other.runs(), other.trials()) == ([], [])


@pytest.mark.parametrize(
    ("name", "content", "pattern"),
    [
        ("a.json", b"", "written by archsieve results export"),
        ("a.json", b"[]", "written by archsieve results export.*application"),
        ("a.json", b'{"application": "archsieve", "format": 2}', "format.* 1, .*2"),
        ("a.json", b'{"application": "archsieve", "format": 1, "runs": []}', "at least one run"),
        ("a.json", b'{"application": "archsieve", "format": 1, "runs": [{"runn": 1}]}', "did you mean 'run'"),
        ("a.json", b'{"application": "archsieve", "format": 1, "runs": [{"run": 1}]}', "columns and rows"),
        ("a.json", b'{"application": "archsieve", "format": 1, "runs": [{}]}', "one run, got 0"),
        ("a.json", b"\xff", "UTF-8.* 0xff"),
        ("a.json", b"[" * 100_000, "written by archsieve results export"),
        ("a.csv", b"a,b\n1,2\n", "column run"),
        ("a.csv", b"run,trial_id,archsieve_run,archsieve_trial\nx,1,,\n", "'x'.*archsieve_run.* 0"),
        ("a.csv", b"run,trial_id,archsieve_run,archsieve_trial\nx,1,5,5\n", "'x'.*tables.*5"),
        ("a.parquet", b"PAR1", "written by archsieve results export"),
        ("a.xlsx", b"", "unknown kind of file '.xlsx'"),
    ],
)
def test_a_file_that_is_not_an_export_is_an_error(tmp_path, name, content, pattern):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=pattern):
        read_runs(tmp_path / name)


@sqlite_only
def test_a_column_of_a_newer_archsieve_is_not_dropped_in_silence(store, run, other, tmp_path):
    path = tmp_path / "a.json"
    export_runs(store, path)
    content = json.loads(path.read_text())
    content["runs"][0]["trial"]["columns"][0] = "trial_idd"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="trial 'trial_idd'; did you mean 'trial_id'"):
        import_documents(other, read_runs(path))
    assert other.runs() == []


@sqlite_only
def test_an_export_replaces_a_file_only_with_force(store, run, tmp_path):
    path = tmp_path / "out.json"
    path.write_text("mine")
    with pytest.raises(ValueError, match=r"out\.json.*exists.*--force"):
        export_runs(store, path)
    assert path.read_text() == "mine"
    for target, fact in ((tmp_path, "unknown kind of file"), (tmp_path / "no" / "a.json", "does not exist")):
        with pytest.raises(ValueError, match=fact):
            export_runs(store, target)
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        export_runs(store, path, ["digist"], force=True)
    assert path.read_text() == "mine"
    export_runs(store, path, ["digits"], force=True)
    assert json.loads(path.read_text())["application"] == "archsieve"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".out")] == []
    with pytest.raises(ValueError, match=r"missing\.json"):
        read_runs(tmp_path / "missing.json")


@sqlite_only
def test_a_csv_file_has_state_metrics_and_recipe_of_each_trial(store, run, tmp_path):
    export_runs(store, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["completed", "failed", "running", "queued"]
    assert float(rows[0]["val_accuracy"]) == 2 / 3
    assert float(rows[0]["recipe.lr"]) == 0.1 + 0.2
    assert [bool(row["archsieve_run"]) for row in rows] == [True, False, False, False]


@sqlite_only
def test_a_parquet_file_opens_in_pandas(store, run, tmp_path):
    import pandas

    export_runs(store, tmp_path / "a.parquet")
    table = pandas.read_parquet(tmp_path / "a.parquet")
    assert list(table.state) == ["completed", "failed", "running", "queued"]
    assert table.params.sum() == sum(trial.params for trial in store.trials())


@sqlite_only
def test_tensorboard_reads_the_curves(store, run, tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    from archsieve.results.transfer.tensorboard import write_events

    folder = tmp_path / "tb"
    assert write_events(store, folder, ["digits"]) == 4
    (file,) = (folder / "digits" / "trial-1").rglob("events*")
    points = []
    data, offset = file.read_bytes(), 0
    while offset < len(data):  # 8 bytes of length, 4 of checksum, the event, 4 of checksum
        length = int.from_bytes(data[offset : offset + 8], "little")
        for value in Event.FromString(data[offset + 12 : offset + 12 + length]).summary.value:
            points.append((value.tag, value.simple_value))
        offset += length + 16
    assert [v for tag, v in points if tag == "val_accuracy"] == pytest.approx([1 / 3, 2 / 3])
    assert "val_loss" not in dict(points)  # NaN and infinite values are not exported
    with pytest.raises(ValueError, match=r"empty.*tb"):
        write_events(store, folder)


@sqlite_only
def test_a_network_with_unknown_blocks_is_imported_as_recorded(store, tmp_path, new_run):
    """Reading a database needs no class of a custom block; importing it into another one needs none, either."""
    run = new_run("custom")
    trial = store.propose(run, **proposal(8))
    store.start(trial.trial)
    store.finish(trial.trial, TrialState.COMPLETED, summary={"val_accuracy": 0.5})
    path = tmp_path / "custom.json"
    export_runs(store, path)
    path.write_text(path.read_text().replace('"kind": "residual"', '"kind": "two-convs"'))
    assert "two-convs" in path.read_text()
    with open_store(tmp_path / "copy.db", create=True) as copy:
        import_documents(copy, read_runs(path))
        (imported,) = copy.trials("custom")
    assert imported.architecture["blocks"][1]["kind"] == "two-convs"
    assert (imported.params, imported.fingerprint) == (trial.params, trial.fingerprint)
