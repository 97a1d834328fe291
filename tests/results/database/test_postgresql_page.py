"""The commands of docs/postgresql.md: they are taken from the page and run against a server."""

import re
import subprocess
from pathlib import Path

import pytest

from archsieve.results.database.errors import StoreError
from archsieve.results.database.store import open_store
from archsieve.results.maintenance.backup import back_up
from archsieve.results.maintenance.upgrade import upgrade
from archsieve.results.query.read_only_sql import run_read_only_sql

from ..conftest import DATASET
from ..server import LOOPBACK

PAGE = Path(__file__).parents[3] / "docs" / "postgresql.md"
RUN = {"searcher": "random", "seed": 0, "dataset": DATASET, "provenance": {}}


def block(start):
    """Return the block of the page that begins with ``start``."""
    return next(text for text in re.findall(r"```text\n(.*?)```", PAGE.read_text(), re.DOTALL) if start in text)


def test_the_commands_create_roles_that_write_and_read_and_restore_a_backup(postgresql, tmp_path):
    script = postgresql.folder / "create.sql"  # pytest's folder is not readable by the server's user
    script.write_text(block("CREATE ROLE"))
    postgresql.client("psql", "-v", "ON_ERROR_STOP=1", "-f", script, "postgres")
    writer, reader = (
        f"postgresql://archsieve_{role}:change-{role}@{LOOPBACK}:{postgresql.port}/archsieve"
        for role in ("writer", "reader")
    )
    with pytest.raises(StoreError, match="permission denied"), open_store(reader, create=True):
        pass
    with open_store(writer, create=True) as one, open_store(writer) as two:
        one.create_run("one", {}, **RUN)
        two.create_run("two", {}, **RUN)
    with open_store(reader, read_only=True) as store:
        assert [run.name for run in store.runs()] == ["one", "two"]
        assert list(run_read_only_sql(store, "SELECT count(*) AS n FROM run").rows) == [(2,)]
    with open_store(reader) as store, pytest.raises(StoreError, match="permission denied"):
        store.create_run("three", {}, **RUN)
    saved = back_up(writer, tmp_path / "night.dump")
    with open_store(writer) as store:
        store.create_run("three", {}, **RUN)
    restore = block("pg_restore").replace("URL", writer).replace("night.dump", str(saved)).split()
    subprocess.run([postgresql.binaries / restore[0], *restore[1:]], check=True, capture_output=True, text=True)
    for url in (writer, reader):
        with open_store(url, read_only=True) as store:
            assert [run.name for run in store.runs()] == ["one", "two"]
    assert upgrade(writer).backup is None  # the schema is the newest
    with pytest.raises(StoreError, match=r"SSL|certificate"), open_store(f"{writer}?sslmode=verify-full"):
        pass
