"""Imported runs: the folders, files and URLs that they name are used only after the user has allowed them."""

import json
import re
from typing import get_args

import pytest
from pydantic import BaseModel
from sqlalchemy import insert, update

from archsieve.results.database import schema
from archsieve.results.database.errors import RefusedError
from archsieve.results.database.lease import now
from archsieve.results.database.run_name import MAX_NAME_LENGTH
from archsieve.results.database.store import open_store
from archsieve.results.transfer.exporter import export_runs, read_runs
from archsieve.results.transfer.importer import IMPORTED_EVENT, PATHS_ALLOWED_EVENT, import_documents
from archsieve.results.transfer.tensorboard import write_events
from archsieve.search.config.schema import SearchFile
from archsieve.search.experiment.file_paths import PATH_KEYS
from archsieve.search.experiment.foreign_paths import REFERENCES, allow_paths, check_paths
from archsieve.search.post.integrity import check_runs
from archsieve.spaces.recipes.recipe import Recipe
from archsieve.spaces.recipes.zero_shot_recipe import ZeroShotRecipe

from ..conftest import small

DATA = {"content_hash": "d", "name": "digits"}
PATHS = {
    "resources.checkpoints": {"resources": {"checkpoints": "/srv/others"}},
    "data.path": {"data": {"path": "/srv/data"}},
    "data.texts": {"data": {"texts": "/srv/texts"}},
    "data.cache": {"data": {"cache": "/srv/cache"}},
    "search.sampler.registry": {
        "search": {"searcher": "optunahub:samplers/evil", "sampler": {"registry": "/srv/packages"}}
    },
    "search.start_from.0": {"search": {"start_from": ["/srv/net.json"]}},
    "plugins.modules.evil": {"plugins": {"modules": ["evil"], "recorded": {}}},
    "recipe.teacher": {"recipe": {"teacher": ["none", "/srv/teacher.safetensors"]}},
    "recipe.text": {"recipe": {"text": {"options": ["tfidf", "sentence:/srv/encoder"]}}},
    "train.loss": {"train": {"loss": "evil:loss"}},
    "device.run": {"device": {"run": "rm -r {model}"}},
    "space.weights": {"space": {"weights": "https://example.org/x.pt"}},
    "plugins.recorded.evil.file": {
        "plugins": {
            "modules": ["evil"],
            "recorded": {"evil": {"file": "/tmp/x/evil.py", "version": None, "sha256": ""}},
        }
    },
}


def imported(tmp_path, tables, name="theirs"):
    """A database with an imported run that has the settings ``tables``."""
    config = small().to_json()
    for table, entries in tables.items():
        config[table] = {**config.get(table, {}), **entries}
    with open_store(tmp_path / "other.db", create=True) as other:
        run_id = other.create_run(name, config, "random", 0, DATA, {})
        other.finish_run(run_id, "stopped")
        export_runs(other, tmp_path / "runs.json")
    with open_store(tmp_path / "runs" / "archsieve.db", create=True) as store:
        import_documents(store, read_runs(tmp_path / "runs.json"))
    return tmp_path / "runs" / "archsieve.db"


@pytest.mark.parametrize("key", PATHS)
def test_a_path_of_an_imported_run_is_refused(tmp_path, line, key):
    imported(tmp_path, PATHS[key])
    code, _, err = line("resume", "theirs")
    assert code == 6, err
    assert key in err
    assert "--allow-paths" in err


def test_a_resume_removes_nothing_from_a_folder_that_an_import_names(tmp_path, line):
    folder = tmp_path / "home"
    for trial in ("1", "2"):
        (folder / "theirs" / trial).mkdir(parents=True)
        (folder / "theirs" / trial / "thesis.txt").write_text("text")
    database = imported(tmp_path, {"resources": {"checkpoints": str(folder)}})
    assert line("resume", "theirs")[0] == 6
    notes = []
    with open_store(database) as store:
        assert check_runs(store, database.parent, deep=True, note=notes.append) == []
        with pytest.raises(RefusedError):
            check_paths(store, store.run("theirs"))
    assert ["resources.checkpoints" in note for note in notes] == [True, True]
    assert len(list(folder.rglob("thesis.txt"))) == 2


def test_a_run_made_here_and_one_without_paths_need_no_consent(tmp_path):
    database = imported(tmp_path, {})
    with open_store(database) as store:
        check_paths(store, store.run("theirs"))
        store.create_run("mine", {"data": {"path": "/data"}}, "random", 0, DATA, {})
        check_paths(store, store.run("mine"))


def test_a_run_name_of_a_foreign_database_makes_no_folder_elsewhere(tmp_path):
    imported(tmp_path, {})
    with open_store(tmp_path / "other.db") as other:
        for name in ("../up", "/abs", "a" * (MAX_NAME_LENGTH + 1)):
            with other.write_transaction() as connection:
                connection.exec_driver_sql("UPDATE run SET name = ?", (name,))
            with pytest.raises(ValueError, match="run name"):
                write_events(other, tmp_path / "events")
    assert not (tmp_path / "up").exists()


def test_allowed_paths_are_remembered_until_they_change(tmp_path):
    database = imported(tmp_path, PATHS["data.path"])
    with open_store(database) as store:
        allow_paths(store, store.run("theirs"))
        check_paths(store, store.run("theirs"))
        changed = {**store.run("theirs").config, "resources": {"checkpoints": "/srv/others"}}
        with store.write_transaction() as connection:
            connection.exec_driver_sql("UPDATE run SET config = ?", (json.dumps(changed),))
        with pytest.raises(RefusedError, match=r"resources\.checkpoints"):
            check_paths(store, store.run("theirs"))


@pytest.mark.parametrize("kept", [False, True])
def test_an_export_does_not_carry_the_consent_of_another_user(tmp_path, line, kept):
    config = {**small().to_json(), "data": {**small().to_json()["data"], "path": "/srv/data"}}
    with open_store(tmp_path / "other.db", create=True) as other:
        run_id = other.create_run("theirs", config, "random", 0, DATA, {})
        other.finish_run(run_id, "stopped")
        other.add_event(run_id, "info", IMPORTED_EVENT, {"version": "0"})
        allow_paths(other, other.run("theirs"))
        check_paths(other, other.run("theirs"))
        export_runs(other, tmp_path / "runs.json")
    with open_store(tmp_path / "runs" / "archsieve.db", create=True) as store:
        import_documents(store, read_runs(tmp_path / "runs.json"))
        assert store.events("theirs", PATHS_ALLOWED_EVENT) == []
        if kept:  # as an earlier version imported it
            with store.write_transaction() as connection:
                connection.execute(update(schema.event).values(event_id=schema.event.c.event_id + 100))
            detail = {"data.path": "/srv/data"}
            row = {"event_id": 1, "run_id": store.run("theirs").run_id, "at": now(), "level": "warning"}
            with store.write_transaction() as connection:
                connection.execute(insert(schema.event).values(**row, kind=PATHS_ALLOWED_EVENT, detail=detail))
    code, _, err = line("resume", "theirs")
    assert code == 6, err
    assert "data.path" in err


def keys_with_text(model, parents=()):
    """The keys of a search file that hold one text, with their description."""
    for name, field in model.model_fields.items():
        types = get_args(field.annotation) or (field.annotation,)
        if str in types:
            yield (*parents, name), f"{name}: {field.description}"
        for part in types:
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from keys_with_text(part, (*parents, name))


def test_every_text_of_a_search_file_that_names_a_file_is_a_path():
    words = re.compile(r"\b(folder|file|path|director|URL)", re.IGNORECASE)
    named = {key for key, text in keys_with_text(SearchFile) if words.search(text)}
    # recorded.file is listed with the modules; registered.file is always None
    assert named == {*PATH_KEYS, ("plugins", "recorded", "file"), ("plugins", "registered", "file")}


def text_keys(model, parents=()):
    """The keys of a search file that accept text, alone or in a list or table."""
    for name, field in model.model_fields.items():
        parts = get_args(field.annotation) or (field.annotation,)
        sections = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
        for part in sections:
            yield from text_keys(part, (*parents, name))
        if not sections and re.search(r"\bstr\b|\bAny\b", str(field.annotation)):
            yield (*parents, name)


# Settings with text that names no path, URL, module or command: it is looked up in a table of the package, is the name
# of a run, a class, a column or a device, or is only shown.
NAMES = {
    "data": ("name", "columns", "label_separator", "seen", "unseen"),
    "space": ("name", "networks", "backbone", "written"),
    "search": (
        "searcher",
        "objectives",
        "metric",
        "record_metrics",
        "minimized",
        "warm_start",
        "time_limit",
        "proxies",
    ),
    "zero_shot": ("baselines",),
    "device": ("format", "name"),
}


def test_every_setting_that_accepts_text_is_a_reference_or_a_name():
    keys = {key for key in text_keys(SearchFile) if key[-1] not in ("recipe", "budget") and len(key) == 2}
    names = {(section, key) for section, keys in NAMES.items() for key in keys}
    assert names.isdisjoint(REFERENCES)
    assert keys == {*names, *(key for key in REFERENCES if key[0] != "recipe" and key != ("plugins", "recorded"))}


def test_every_recipe_key_that_accepts_a_path_is_a_reference():
    checked = {key for section, key in REFERENCES if section == "recipe"}
    for text in ("/srv/x.safetensors", "sentence:/srv/x", "https://example.org/x.pt", "evil:f"):
        tables = (Recipe.constraints, ZeroShotRecipe.constraints)
        accepted = {key for table in tables for key, each in table.items() if each.holds(text)}
        assert accepted == {key for key in checked if list(REFERENCES["recipe", key](text))}, text


def test_a_path_in_the_recipe_of_a_trial_is_refused(tmp_path):
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        run_id = store.create_run("theirs", small().to_json(), "random", 0, DATA, {})
        costs = dict.fromkeys(("params", "macs", "activations", "memory_bytes"), 1)
        for key, value in (
            ("teacher", "none"),
            ("teacher", "/srv/a.pt"),
            ("teacher", "/srv/b.pt"),
            ("text", "sentence:/c"),
        ):
            content = {"architecture": {}, "fingerprint": value, "cost": costs, "choices": {}}
            store.propose(run_id, **content, recipe={key: value}, seed=0)
        store.add_event(run_id, "info", IMPORTED_EVENT, {"version": "0"})
        with pytest.raises(RefusedError, match=r"text = 'sentence:/c', .*teacher = '/srv/a.*teacher.2 = '/srv/b"):
            check_paths(store, store.run("theirs"))
        allow_paths(store, store.run("theirs"))
        check_paths(store, store.run("theirs"))
