"""Search files, a database, checkpoints and a model of version 0.1.0 must work without changes.

``version_0_1_0/`` holds what that release wrote: a database with a finished classification run, a finished zero-shot
run and an interrupted run, the checkpoints of the interrupted run, the zero-shot model, and what the commands of that
release printed about them (``expected/``).
"""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from archsieve.models.zero_shot.saved_model import ZeroShotModel
from archsieve.results.database.reader import OLD_EVENT_KINDS
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.results.maintenance.integrity import check_store
from archsieve.search.runs.session import resume

STORED = Path(__file__).parent / "version_0_1_0"
RENAMED_KEYS = {"dearest": "most_expensive", "said": "message"}  # keys of 0.1.0 that have another name on purpose
SEARCH_FILES = sorted((STORED / "search_files").glob("*.toml"))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The folder of runs as version 0.1.0 wrote it."""
    shutil.copytree(STORED / "runs", tmp_path / "runs")
    with closing(sqlite3.connect(tmp_path / "runs" / "archsieve.db")) as raw:
        raw.executescript((STORED / "archsieve.sql").read_text(encoding="utf-8"))
        raw.execute("PRAGMA journal_mode = WAL")
    return tmp_path / "runs"


@pytest.fixture
def answer(line):
    """Run ``archsieve ... --json`` and return the parsed output."""

    def run(*arguments: str) -> Any:
        code, out, err = line(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


def expected(name: str) -> Any:
    """Return what version 0.1.0 printed, with the keys of today."""
    text = (STORED / "expected" / f"{name}.json").read_text(encoding="utf-8")
    return json.loads(text, object_hook=lambda table: {RENAMED_KEYS.get(key, key): table[key] for key in table})


def differences(before: Any, after: Any, where: str = "") -> list[str]:
    """Return the paths at which ``after`` lacks or changes a value of ``before``; new keys are allowed."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [d for key, value in before.items() for d in differences(value, after.get(key), f"{where}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [d for i, value in enumerate(before) for d in differences(value, after[i], f"{where}[{i}]")]
    return [] if before == after else [f"{where}: {before!r} became {after!r}"]


@pytest.mark.parametrize("path", SEARCH_FILES, ids=lambda path: path.stem)
def test_a_search_file_defines_the_same_space(path, answer):
    """Count, extremes, histogram and sampled architectures of each search file."""
    assert differences(expected(f"space_{path.stem}"), answer("space", str(path))) == []


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("list", ["list"]),
        ("best", ["best", "--data", "digits"]),  # of several data sets, each has its best trials
        ("pareto", ["pareto"]),
        ("query", ["query", "val_accuracy > 0.3 and params < 5k"]),
        ("show", ["show", "4"]),
    ],
)
def test_queries_of_a_database_give_the_same_results(name, arguments, answer, runs):
    assert differences(expected(name), answer("results", *arguments)) == []


def test_differences_are_detected():
    assert differences({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}], "new": 0}) == [".a[1].b: 2 became 3"]
    assert differences({"a": 1}, {}) == [".a: 1 became None"]
    assert differences([1], [1, 2]) == [": [1] became [1, 2]"]


def test_a_database_passes_the_integrity_check(runs):
    with open_store(runs / "archsieve.db") as store:
        assert list(check_store(store, runs, deep=True)) == []


def test_events_of_a_database_are_found_under_their_new_kind(runs):
    with closing(sqlite3.connect(runs / "archsieve.db")) as raw, raw:
        for kind in OLD_EVENT_KINDS.values():
            raw.execute(
                "INSERT INTO event (run_id, at, level, kind, detail) SELECT run_id, created_at, 'info', ?, '{}' "
                "FROM run WHERE name = 'interrupted'",
                (kind,),
            )
    with open_store(runs / "archsieve.db", read_only=True) as store:
        found = {new: [event["kind"] for event in store.events("interrupted", new)] for new in OLD_EVENT_KINDS}
    assert found == {new: [old] for new, old in OLD_EVENT_KINDS.items()}


def test_an_interrupted_run_is_resumed_from_its_checkpoints(runs, ray_running):
    with open_store(runs / "archsieve.db", read_only=True) as store:
        before = {trial.trial: store.curve(trial.trial) for trial in store.history("interrupted")}
    assert any(before.values())
    outcome = resume("interrupted", runs=runs)
    assert outcome.complete
    assert [trial.state for trial in outcome.trials] == [TrialState.COMPLETED] * 2
    assert [trial.trial for trial in outcome.trials] == list(before)
    with open_store(runs / "archsieve.db", read_only=True) as store:
        assert not [event for event in store.events("interrupted") if event["kind"] in ("rewound", "checkpoint")]
        for trial, curves in before.items():
            after = store.curve(trial)
            assert all(after[name][: len(curve)] == curve for name, curve in curves.items())
            assert [epoch for epoch, _ in after["val_accuracy"]] == list(range(1, 13))


def test_a_zero_shot_model_predicts_the_same(runs):
    stored = expected("zero_shot")
    model = ZeroShotModel.load(runs / "zero-shot" / "model-5.safetensors")
    images = torch.rand((3, *model.architecture.input_shape), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.scores(images, stored["texts"]), torch.tensor(stored["scores"]))
    assert model.predict(images, stored["texts"]) == stored["predicted"]
