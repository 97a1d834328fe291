"""A search whose database is named by a URL, as a user runs it."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from archsieve.results.database.store import open_store

from ...results.server import PASSWORD, Server, why_not

SEARCH = """
[data]
limit = 200
[budget]
params = "20k"
[space]
stem = 8
[[space.stages]]
block = "conv-pool"
width = [8, 16, 24]
[recipe]
epochs = 1
lr = 0.1
[search]
trials = 2
searcher = "random"
"""


@pytest.fixture
def server():
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="archsieve-pg-"))
    made = Server(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


@pytest.mark.slow
def test_a_search_on_a_server_and_every_question_after_it(command, tmp_path, server):
    (tmp_path / "a.toml").write_text(SEARCH)
    told = []

    def ask(*arguments, code=0, **variables):
        got, out, err = command(*arguments, **variables)
        told.append(out + err)
        assert got == code, err
        return out, err

    database, quoted = ("--db", server.url()), server.url().split(":")[2].split("@")[0]
    out, _ = ask("search", "a.toml", "--name", "one", "--json", *database)
    found = json.loads(out)
    assert (found["trials"], found["database"]) == (
        2,
        server.url().replace(server.url().split(":")[2].split("@")[0], "***"),
    )
    assert not (tmp_path / "runs" / "archsieve.db").exists()
    out, _ = ask("results", "best", "--json", ARCHSIEVE_DB=server.url())
    assert json.loads(out)[0]["trial"] == found["best"][0]["trial"]
    ask("resume", "one", "--trials", "+1", *database)
    out, _ = ask("status", "--json", *database)
    assert json.loads(out)[0]["completed"] == 3
    _, err = ask("search", "a.toml", "--name", "one", *database, code=2)
    assert "'one' exists" in err
    out, _ = ask("db", "info", "--json", *database)
    assert json.loads(out)["trials"] == 3
    ask("db", "backup", "b.dump", *database)
    ask("db", "upgrade", *database)
    ask("db", "check", *database)
    _, err = ask("results", "list", "--db", server.url(password="wrong"), code=5)
    assert "password authentication failed" in err
    with open_store(server.url(), read_only=True) as store:
        recorded = json.dumps([process["argv"] for process in store.provenance("one")])
    assert "***" in recorded
    pages = [path.read_text(errors="replace") for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    for text in (*told, *pages, recorded):
        assert PASSWORD not in text
        assert quoted not in text
