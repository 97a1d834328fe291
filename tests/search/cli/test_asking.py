"""Queries of the results database on the command line: results, JSON and exit codes."""

import gc
import json
import os
import pty
import shutil
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import archsieve
from archsieve.results.database.store import open_store
from archsieve.results.transfer.exporter import read_runs
from archsieve.results.transfer.importer import import_documents
from archsieve.search.cli.main import main

EXPORT = Path(archsieve.__file__).parent / "docs" / "digits.parquet"
REFUSED, DATABASE = 6, 5


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """The 24 trials of the documentation."""
    path = tmp_path_factory.mktemp("queries") / "digits.db"
    with open_store(path, create=True) as store:
        import_documents(store, read_runs(EXPORT))
    return path


@pytest.fixture
def call(database, tmp_path, monkeypatch, capsys):
    """Run ``archsieve ...`` in this process, with a copy of the database; return exit code, stdout, stderr."""
    shutil.copy(database, tmp_path / "digits.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARCHSIEVE_DB", "digits.db")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["archsieve", *arguments])
        with pytest.raises(SystemExit) as exit_info:
            main()
        gc.enable()  # the command line disables it
        return exit_info.value.code or 0, *capsys.readouterr()

    return run


def test_queries_print_json(call):
    code, out, err = call("results", "query", "val_accuracy > 0.98 and params < 45k", "--sort", "macs", "--json")
    assert (code, err) == (0, "")
    trials = json.loads(out)
    assert [trial["trial"] for trial in trials] == [5, 20, 23, 9]
    assert all(trial["params"] < 45_000 and trial["run"] == "digits" for trial in trials)

    code, out, _ = call("results", "sql", "SELECT trial_id, params FROM trial WHERE trial_id = 5", "--json")
    assert (code, json.loads(out)) == (0, [{"trial_id": 5, "params": 26_130}])

    code, out, _ = call("results", "compare", "5", "digits:0", "--json")
    comparison = json.loads(out)
    assert (code, [trial["trial"] for trial in comparison["trials"]]) == (0, [5, 1])
    rows = {row["name"]: row for row in comparison["rows"]}
    assert rows["params"]["values"] == {"5": 26_130, "1": 48_578}
    assert rows["params"]["differs"]

    code, out, _ = call("results", "curve", "db467355", "--json")
    (curve,) = json.loads(out)
    assert (code, curve["trial"], len(curve["curve"]["val_loss"])) == (0, 5, 12)
    assert call("results", "show", "digits:4", "--json")[1] == call("results", "show", "5", "--json")[1]


@pytest.mark.parametrize(
    ("arguments", "code", "fragments"),
    [
        (("query", "params < 5k"), 3, ("0 of 24 trials", "params < 5k", "26,130", "trial 5")),
        (("query", "val_acuracy > 0.9"), 2, ("  val_acuracy > 0.9\n  ^^^^^^^^^^^\n",)),
        (("query", "params > 1", "--sort", "test_accuracy"), 2, ("test_accuracy",)),
        (("list", "--sort", "-test_accuracy"), 2, ("test_accuracy",)),
        (("pareto", "--objectives", "test_accuracy,macs"), 2, ("test_accuracy",)),
        (("sql", "DELETE FROM trial"), REFUSED, ("'delete'",)),
        (("sql", "SELECT 1; SELECT 2"), REFUSED, ("statement",)),
        (("sql", "SELECT colour FROM trial"), 2, ("colour",)),
        (("show", "99"), 2, ("99",)),
        (("compare", "5"), 2, ("trials",)),
        (("curve", "5", "--metric", "val_los"), 2, ("'val_loss'",)),
        (("best", "--dataset", "digist"), 2, ("'digits'",)),
        (("list", "--max-params", "5k"), 3, ("26.1k", "trial 5")),
        (("pareto", "--max-params", "5k"), 3, ("26.1k", "trial 5")),
        (("export", "digits.xlsx"), 2, ("'.xlsx'",)),
        (("export", "x", "--format", "tensorbord"), 2, ("tensorboard", "'tensorbord'")),
        (("import", "digits.db"), 2, ("'digits'", "already")),
        (("query", "params > 1", "--db", "missing.db"), DATABASE, ("missing.db",)),
    ],
)
def test_an_invalid_query_is_one_error_and_changes_nothing(call, tmp_path, arguments, code, fragments):
    def content():
        with sqlite3.connect(tmp_path / "digits.db") as connection:
            return "\n".join(connection.iterdump())

    before = content()
    exit_code, out, err = call("results", *arguments)
    assert (exit_code, out) == (code, "")
    assert [fragment for fragment in fragments if fragment not in err] == []
    assert "Traceback" not in err
    assert content() == before


def test_a_run_is_exported_imported_and_reported(call, tmp_path):
    code, out, _ = call("results", "export", "out.json", "--run", "digits", "--json")
    assert (code, json.loads(out)) == (0, {"runs": ["digits"], "file": "out.json"})
    code, _, err = call("results", "export", "out.json")
    assert code == 2
    assert "--force" in err
    code, out, _ = call("results", "import", "out.json", "--as", "copy", "--db", "new.db", "--json")
    assert (code, json.loads(out)["runs"]) == (0, ["copy"])
    best, copied = (json.loads(call("results", "best", "--db", db, "--json")[1])[0] for db in ("digits.db", "new.db"))
    assert {**best, "run": "copy"} == copied
    code, out, err = call("report", "digits", "-o", "page/digits.html")
    assert (code, err) == (0, "")
    assert "wrote page/digits.html" in out
    assert "0.9889" in (tmp_path / "page" / "digits.html").read_text(encoding="utf-8")
    code, _, err = call("report", "digist")
    assert code == 2
    assert "'digits'" in err


def test_the_best_of_several_data_sets_are_ranked_apart(call):
    """The data sets are the same run with other names; the runs on one of them select by different metrics."""
    with sqlite3.connect("digits.db") as connection:
        for run_id, name, metric in ((2, "glyphs", "accuracy"), (3, "glyphs", "log_loss")):
            for table, key, value in (("dataset", "content_hash", "'other'"), ("run", "run_id", run_id)):
                columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                config = f"json_set(config, '$.search.metric', '{metric}')"
                replaced = {key: value, "name": f"'{name}{run_id if table == 'run' else ''}'", "config": config}
                replaced["dataset_hash"] = "'other'"
                values = ", ".join(str(replaced.get(column, column)) for column in columns)
                connection.execute(f"INSERT OR IGNORE INTO {table} SELECT {values} FROM {table} LIMIT 1")
            columns = [row[1] for row in connection.execute("PRAGMA table_info(trial)")]
            replaced = {"trial_id": f"trial_id + {100 * run_id}", "run_id": run_id}
            values = ", ".join(str(replaced.get(column, column)) for column in columns)
            connection.execute(f"INSERT INTO trial SELECT {values} FROM trial WHERE run_id = 1 AND trial_id < 4")
    code, out, err = call("results", "best", "--top", "2", "--json")
    assert code == 0
    datasets = [entry["dataset"].split()[0] for entry in json.loads(out)]
    assert sorted(datasets) == ["digits"] * 2 + ["glyphs"] * 2
    assert all("log_loss" in line for line in err.splitlines())
    assert "log_loss" in err
    code, out, err = call("results", "best", "--data", "digits")
    assert (code, err) == (0, "")
    code, out, err = call("results", "best", "--run", "glyphs3", "--metric", "accuracy", "--json")
    assert (code, json.loads(out)[0]["run"], "dataset" in json.loads(out)[0]) == (0, "glyphs3", False)


def test_a_tensorboard_export_is_reported_as_json(call, tmp_path):
    code, out, _ = call("results", "export", "events", "--format", "tensorboard", "--json")
    assert (code, json.loads(out)) == (0, {"trials": 24, "folder": "events"})
    assert any((tmp_path / "events").rglob("*tfevents*"))


def test_a_value_of_another_form_hides_no_other_value_of_a_trial(call):
    huge = f'{{"lr": 1{"0" * 400}, "tries": []}}'
    with sqlite3.connect("digits.db") as connection:
        connection.execute(
            "INSERT INTO measurement SELECT 1, run_id, 5, fingerprint, 'cpu', 'm', '2', 'fp32', 1, 1, 1, 9, 'fast', 2, "
            "NULL, NULL, created_at FROM trial WHERE trial_id = 5"
        )
        connection.execute(
            "INSERT INTO event (run_id, trial_id, at, level, kind, detail) "
            "SELECT run_id, 5, at, level, 'lr_found', ? FROM event LIMIT 1",
            (huge,),
        )
    code, out, err = call("results", "show", "5")
    assert (code, err) == (0, "")
    for fact in ("the latency cannot be shown", "the start of training cannot be shown", "params: 26130", "recipe.lr"):
        assert fact in out


def test_a_run_is_named_by_its_beginning_by_last_or_by_nothing(call):
    with sqlite3.connect("digits.db") as connection:
        for run_id, name in ((2, "digits-2"), (3, "wide")):
            columns = [row[1] for row in connection.execute("PRAGMA table_info(run)")]
            values = {"run_id": run_id, "name": f"'{name}'"}
            copied = ", ".join(str(values.get(column, column)) for column in columns)
            connection.execute(f"INSERT INTO run SELECT {copied} FROM run LIMIT 1")
        connection.execute("UPDATE trial SET run_id = 3")
    assert call("status", "w")[1].startswith("wide: ")
    assert call("status", "last")[1].startswith("wide: ")
    assert call("status", "digits")[1].startswith("digits: ")  # a whole name, though another one begins with it
    code, _, err = call("status", "digit")
    assert (code, err) == (
        2,
        "archsieve: the names of several runs begin with 'digit': digits, digits-2; use a whole name\n",
    )
    code, out, _ = call("results", "show", "w:3", "--json")
    assert (code, json.loads(out)["run"]) == (0, "wide")
    assert call("results", "show", "last:3", "--json")[1] == out
    assert {trial["run"] for trial in json.loads(call("results", "list", "--run", "w", "--json")[1])} == {"wide"}
    code, out, _ = call("report", "--json")
    assert (code, json.loads(out)["run"]) == (0, "wide")
    code, _, err = call("resume")
    assert code == 2
    assert "run 'wide' is complete: 24 of 24 trials have ended" in err
    code, _, err = call("predict", "w", "nothing.png")
    assert code == 2
    assert "run 'wide' has no trained network" in err


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("results", "show", "99", "--json"), 2, "no trial has the id 99"),
        (("results", "list", "--limit", "0", "--json"), 2, "0 is not in the range"),
        (("results", "best", "--db", "none.db", "--json"), DATABASE, "none.db"),
    ],
)
def test_an_error_is_json_as_well(call, arguments, code, part):
    got, out, err = call(*arguments)
    error = json.loads(out)
    assert (got, error["exit_code"], list(error)) == (code, code, ["error", "exit_code"])
    assert part in error["error"]
    assert part in err


def on_terminal(width, *arguments):
    """Return what a command prints on a terminal with ``width`` columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(width), "TERM": "dumb"}
    process = subprocess.Popen(
        [sys.executable, "-m", "archsieve", *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    output = b""
    with suppress(OSError):  # Linux ends a terminal with EIO
        while part := os.read(ours, 65536):
            output += part
    os.close(ours)
    assert process.wait() == 0, output
    return output.decode().replace("\r\n", "\n")


def test_a_table_of_trials_fits_the_terminal(call):
    whole = call("results", "list", "--limit", "3")[1]
    assert max(map(len, whole.splitlines())) > 120
    wide, narrow = (on_terminal(width, "results", "list", "--limit", "3") for width in (250, 80))
    assert wide == whole
    *rows, note = narrow.strip().splitlines()
    assert max(map(len, rows)) <= 80
    assert note == "left out, as the terminal has 80 columns: recipe, state; see results show TRIAL"
    header = next(row.split() for row in rows if row.startswith("  trial"))
    assert header == ["trial", "run", "val_accuracy", "params", "macs", "architecture"]
    # narrower than the columns that are never left out, and than the title
    *_, note = on_terminal(20, "results", "list", "--limit", "3").strip().splitlines()
    assert note.startswith("left out, as the terminal has 20 columns: recipe, state, architecture, run, macs;")


def test_help_is_a_command_and_h_an_option(call):
    code, out, _ = call("results", "best", "--help")
    assert code == 0
    assert call("help", "results", "best") == (0, out, "")
    assert call("results", "best", "-h") == (0, out, "")
    assert call("help", "results", "bets")[0] == 2


def test_keys_of_a_search_file_are_overridden_in_every_command(call):
    Path("s.toml").write_text('[budget]\nparams = "60k"\n[space]\nname = "mixed"\n')
    code, out, _ = call("space", "s.toml", "-s", "budget.params=40k", "--json")
    assert (code, json.loads(out)["budget"]["params"]) == (0, 40_000)
    code, _, err = call("doctor", "s.toml", "-s", "recipe.lrr=1")
    assert (code, "recipe.lrr" in err) == (2, True)
    code, _, err = call("data", "s.toml", "-s", "data.name=shapes")
    assert (code, "shapes" in err) == (2, True)
    for command in (("space", "mixed"), ("doctor", "digits:0"), ("data", ".")):
        code, _, err = call(*command, "-s", "budget.params=40k")
        assert (code, "is not a search file" in err) == (2, True)
