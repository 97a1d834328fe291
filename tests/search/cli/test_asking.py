"""The results database asked from the command line: answers, JSON and exit codes."""

import gc
import json
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

import archsieve
from archsieve.results.database.store import open_store
from archsieve.results.transfer.exporter import read_runs
from archsieve.results.transfer.importer import bring_in
from archsieve.search.cli.main import main

EXPORT = Path(archsieve.__file__).parent / "docs" / "digits.parquet"
REFUSED, DATABASE = 6, 5


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """The 24 trials of the documentation."""
    path = tmp_path_factory.mktemp("asked") / "digits.db"
    with open_store(path, create=True) as store:
        bring_in(store, read_runs(EXPORT))
    return path


@pytest.fixture
def asked(database, tmp_path, monkeypatch, capsys):
    """Run ``archsieve ...`` in this process, in a folder with a copy of the database: (exit code, stdout, stderr)."""
    shutil.copy(database, tmp_path / "digits.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARCHSIEVE_DB", "digits.db")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["archsieve", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        gc.enable()  # which the command line turns off
        return ended.value.code or 0, *capsys.readouterr()

    return run


def test_questions_are_answered_in_json(asked):
    code, out, err = asked("results", "query", "val_accuracy > 0.98 and params < 45k", "--sort", "macs", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [trial["trial"] for trial in found] == [5, 20, 23, 9]
    assert all(trial["params"] < 45_000 and trial["run"] == "digits" for trial in found)

    code, out, _ = asked("results", "sql", "SELECT trial_id, params FROM trial WHERE trial_id = 5", "--json")
    assert (code, json.loads(out)) == (0, [{"trial_id": 5, "params": 26_130}])

    code, out, _ = asked("results", "compare", "5", "digits:0", "--json")
    told = json.loads(out)
    assert (code, [trial["trial"] for trial in told["trials"]]) == (0, [5, 1])
    rows = {row["name"]: row for row in told["rows"]}
    assert rows["params"]["values"] == {"5": 26_130, "1": 48_578}
    assert rows["params"]["differs"]

    code, out, _ = asked("results", "curve", "db467355", "--json")
    (curve,) = json.loads(out)
    assert (code, curve["trial"], len(curve["curve"]["val_loss"])) == (0, 5, 12)
    assert asked("results", "show", "digits:4", "--json")[1] == asked("results", "show", "5", "--json")[1]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("query", "params < 5k"), 3, "26,130 (trial 5)"),
        (("query", "val_acuracy > 0.9"), 2, "  val_acuracy > 0.9\n  ^^^^^^^^^^^\n"),
        (("query", "params > 1", "--sort", "test_accuracy"), 2, "use val_accuracy"),
        (("list", "--sort", "-test_accuracy"), 2, "use val_accuracy"),
        (("pareto", "--objectives", "test_accuracy,macs"), 2, "use val_accuracy"),
        (("sql", "DELETE FROM trial"), REFUSED, "only reads"),
        (("sql", "SELECT 1; SELECT 2"), REFUSED, "more than one statement"),
        (("sql", "SELECT colour FROM trial"), 2, "no such column: colour"),
        (("show", "99"), 2, "no trial has the id 99"),
        (("compare", "5"), 2, "two or more"),
        (("curve", "5", "--metric", "val_los"), 2, "did you mean 'val_loss'"),
        (("best", "--dataset", "digist"), 2, "did you mean 'digits'"),
        (("list", "--max-params", "5k"), 3, "the smallest has 26.1k (trial 5)"),
        (("pareto", "--max-params", "5k"), 3, "the smallest has 26.1k (trial 5)"),
        (("export", "digits.xlsx"), 2, "unknown kind of file '.xlsx'"),
        (("export", "x", "--format", "tensorbord"), 2, "tensorboard"),
        (("import", "digits.db"), 2, "nothing was written"),
        (("query", "params > 1", "--db", "missing.db"), DATABASE, "no results database at missing.db"),
    ],
)
def test_what_is_no_question_is_one_clear_error_and_changes_nothing(asked, tmp_path, arguments, code, says):
    def content():
        with sqlite3.connect(tmp_path / "digits.db") as connection:
            return "\n".join(connection.iterdump())

    before = content()
    ended, out, err = asked("results", *arguments)
    assert (ended, out) == (code, "")
    assert says in err
    assert content() == before


def test_a_run_goes_out_comes_back_and_is_reported(asked, tmp_path):
    code, out, _ = asked("results", "export", "out.json", "--run", "digits", "--json")
    assert (code, json.loads(out)) == (0, {"runs": ["digits"], "file": "out.json"})
    code, _, err = asked("results", "export", "out.json")
    assert code == 2
    assert "--force" in err
    code, out, _ = asked("results", "import", "out.json", "--as", "again", "--db", "new.db", "--json")
    assert (code, json.loads(out)["runs"]) == (0, ["again"])
    best, again = (json.loads(asked("results", "best", "--db", db, "--json")[1])[0] for db in ("digits.db", "new.db"))
    assert {**best, "run": "again"} == again
    code, out, err = asked("report", "digits", "-o", "page/digits.html")
    assert (code, err) == (0, "")
    assert "wrote page/digits.html" in out
    assert "0.9889" in (tmp_path / "page" / "digits.html").read_text(encoding="utf-8")
    code, _, err = asked("report", "digit")
    assert code == 2
    assert "did you mean 'digits'" in err
