"""A search with a database on a PostgreSQL server, as users run it."""

import json

import pytest

from archsieve.results.database.store import open_store

from ...results.server import PASSWORD

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


@pytest.mark.slow
def test_a_search_on_a_server_and_all_queries_of_its_results(command, tmp_path, server):
    (tmp_path / "a.toml").write_text(SEARCH)
    outputs = []

    def run(*arguments, code=0, **variables):
        exit_code, out, err = command(*arguments, **variables)
        outputs.append(out + err)
        assert exit_code == code, err
        return out, err

    database, quoted_password = ("--db", server.url()), server.url().split(":")[2].split("@")[0]
    out, _ = run("search", "a.toml", "--name", "one", "--json", *database)
    report = json.loads(out)
    assert (report["trials"], report["database"]) == (
        2,
        server.url().replace(server.url().split(":")[2].split("@")[0], "***"),
    )
    assert not (tmp_path / "runs" / "archsieve.db").exists()
    out, _ = run("results", "best", "--json", ARCHSIEVE_DB=server.url())
    assert json.loads(out)[0]["trial"] == report["best"][0]["trial"]
    run("resume", "one", "--trials", "+1", *database)
    out, _ = run("status", "--json", *database)
    assert json.loads(out)[0]["completed"] == 3
    _, err = run("search", "a.toml", "--name", "one", *database, code=2)
    assert "'one' exists" in err
    out, _ = run("db", "info", "--json", *database)
    assert json.loads(out)["trials"] == 3
    run("db", "backup", "b.dump", *database)
    run("db", "upgrade", *database)
    run("db", "check", *database)
    _, err = run("results", "list", "--db", server.url(password="wrong"), code=5)
    assert "password authentication failed" in err
    with open_store(server.url(), read_only=True) as store:
        recorded = json.dumps([process["argv"] for process in store.provenance("one")])
    assert "***" in recorded
    pages = [path.read_text(errors="replace") for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    for text in (*outputs, *pages, recorded):
        assert PASSWORD not in text
        assert quoted_password not in text
