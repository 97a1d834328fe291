import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from archsieve.results.database.errors import StoreError
from archsieve.results.database.store import open_store


@pytest.fixture
def database(path):
    """Only SQLite has a file."""
    return path


def make_sqlite(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as raw:
        for statement in statements:
            raw.execute(statement)
        raw.commit()


def test_a_missing_file_is_named_and_not_made(path):
    with pytest.raises(StoreError, match=rf"no results database at {path}.*archsieve search"):
        open_store(path)
    with pytest.raises(StoreError, match="no results database"):
        open_store(path, read_only=True, create=True)
    assert list(path.parent.iterdir()) == []


def test_create_makes_folders_and_one_file_in_wal_mode(tmp_path):
    path = tmp_path / "runs" / "deep" / "archsieve.db"
    open_store(path, create=True).close()
    assert [p.name for p in path.parent.iterdir()] == ["archsieve.db"]
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_create_opens_an_existing_store(path, store, new_run):
    new_run("first")
    with open_store(path, create=True) as again:
        assert [run.name for run in again.runs()] == ["first"]


def test_a_url_and_a_relative_path_are_the_same_store(path, store, new_run, monkeypatch):
    new_run("one")
    monkeypatch.chdir(path.parent)
    for name in (f"sqlite:///{path}", "sqlite:///archsieve.db", "archsieve.db"):
        with open_store(name) as opened:
            assert opened.run("one").name == "one"


def test_a_path_with_odd_characters(tmp_path):
    path = tmp_path / "50% of? #1 ü.db"
    open_store(path, create=True).close()
    with open_store(path, read_only=True) as opened:
        assert opened.runs() == []


@pytest.mark.parametrize(
    ("content", "facts"),
    [(b"", "empty"), (b"a,b\n1,2\n", "not an SQLite database"), (b"SQLite format 3\0", "not an SQLite database")],
)
def test_other_files_are_refused_and_left_alone(path, content, facts):
    path.write_bytes(content)
    for create in (False, True):
        with pytest.raises(StoreError, match=facts):
            open_store(path, create=create)
    assert path.read_bytes() == content
    assert len(list(path.parent.iterdir())) == 1


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(StoreError, match="folder"):
        open_store(tmp_path, create=True)


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/archsieve\.db"):
        open_store(tmp_path / "file" / "archsieve.db", create=True)


def test_another_applications_database_is_refused(path):
    make_sqlite(path, "CREATE TABLE trial (id)", "CREATE TABLE meta (key, value)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another application"):
        open_store(path, create=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("version", "facts"), [("99", "newer.*upgrade archsieve"), ("0", "older.*archsieve db upgrade")]
)
def test_other_schemas_are_refused(path, version, facts):
    open_store(path, create=True).close()
    make_sqlite(path, f"UPDATE meta SET value = '{version}' WHERE key = 'schema_version'")
    with pytest.raises(StoreError, match=facts):
        open_store(path)


def test_a_damaged_store_is_a_store_error(path):
    open_store(path, create=True).close()
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StoreError, match=path.name):
        open_store(path)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/db", "nonsense://", "://"])
def test_urls_of_other_databases_are_refused(url):
    with pytest.raises(StoreError):
        open_store(url, create=True)


def test_a_password_is_never_repeated():
    with pytest.raises(StoreError) as caught:
        open_store("postgresql+psycopg://me:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)


def test_a_driver_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"postgresql.*pip install 'archsieve\[postgresql\]'") as caught:
        open_store("postgresql://me:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)


def test_read_only_reads_and_refuses_to_write(path, store, new_run):
    new_run("one")
    with open_store(path, read_only=True) as opened:
        assert opened.run("one").name == "one"
        with pytest.raises(StoreError, match="read only"):
            opened.finish_run(1, "finished")
        with opened.read_transaction() as connection, pytest.raises(Exception, match="readonly"):
            connection.exec_driver_sql("DELETE FROM run")
    assert [run.name for run in store.runs()] == ["one"]


def test_readers_do_not_wait_for_a_writer(path, store, new_run):
    new_run("one")
    with open_store(path) as reader, store.write_transaction() as connection:
        connection.exec_driver_sql("UPDATE run SET seed = 9")
        assert reader.run("one").seed == 3
    assert store.run("one").seed == 9


OPENED = {
    "a second store": "open_store(path, read_only=True).close()",
    "a backup": "back_up(path, path.with_name(f'{name}.db'))",
    "an upgrade": "upgrade(path)",
}
WRITER = """
import os, signal, subprocess, sys
from pathlib import Path
from archsieve.results.maintenance.backup import back_up
from archsieve.results.database.store import open_store
from archsieve.results.maintenance.upgrade import upgrade

path = Path(sys.argv[1])
store = open_store(path, create=True)
for name in ("one", "two"):
    store.create_run(name, {}, searcher="random", seed=0, dataset=%s, provenance={})
    OPENED
    other = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM run').close(); c.close()"
    subprocess.run([sys.executable, "-c", other, path], check=True)
store.create_run("last", {}, searcher="random", seed=0, dataset=%s, provenance={})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("opened", OPENED.values(), ids=OPENED)
def test_other_connections_of_a_process_do_not_drop_the_locks_of_its_store(path, opened):
    """Closing the file outside SQLite drops the locks of the process; another process could then remove its log."""
    data = "{'content_hash': 'd', 'name': 'digits'}"
    program = WRITER.replace("OPENED", opened) % (data, data)
    ended = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, cwd=path.parent)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with open_store(path) as store:
        assert [run.name for run in store.runs()] == ["one", "two", "last"]
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_write_that_raises_is_rolled_back(store, new_run):
    new_run("one")
    with pytest.raises(StoreError), store.write_transaction() as connection:  # noqa: PT012
        connection.exec_driver_sql("DELETE FROM process")
        connection.exec_driver_sql("nonsense")
    assert len(store.provenance("one")) == 1


def test_many_creators_make_one_store(path):
    program = (
        "import sys; from archsieve.results.database.store import open_store; "
        "open_store(sys.argv[1], create=True).close()"
    )
    creators = [subprocess.Popen([sys.executable, "-c", program, str(path)]) for _ in range(3)]
    assert [creator.wait() for creator in creators] == [0, 0, 0]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_imports_are_light():
    program = (
        "import sys; from archsieve.results.database import store; from archsieve.results.query import best, "
        "expression_query; from archsieve.results.report import report; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    heavy = {"pandas", "plotly", "numpy", "torch", "ray", "lark", "psutil"}
    assert heavy.isdisjoint(loaded.stdout.split())
