"""A store on a PostgreSQL server: lost connections, several drivers, and access rights."""

import contextlib
import logging
import re
import subprocess
import sys
import threading
import time

import pytest

from archsieve.results.database.errors import ConnectionLostError, NoStoreError, StoreError
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.results.maintenance.backup import back_up

from ..server import PASSWORD, USER


@pytest.fixture
def database(empty_database):
    return empty_database


def test_writes_wait_while_the_server_restarts(store, new_run, propose, postgresql, caplog):
    """Writes are delayed, none is lost or duplicated, and one warning is logged.

    Row 15 of docs/contributing/tested_claims.md.
    """
    trial = propose(new_run()).trial
    store.start(trial)
    store.record_epoch(trial, 1, {"val_loss": 1.0})
    postgresql.kill()
    restart = threading.Timer(3, postgresql.start)
    restart.start()
    try:
        with caplog.at_level(logging.WARNING, logger="archsieve"):
            store.record_epoch(trial, 2, {"val_loss": 0.5})
    finally:
        restart.join()
    store.record_epoch(trial, 3, {"val_loss": 0.25})
    store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": 0.5})
    assert store.curve(trial) == {"val_loss": [(1, 1.0), (2, 0.5), (3, 0.25)]}
    (warning,) = caplog.records
    assert "trying again" in warning.getMessage()
    assert PASSWORD not in warning.getMessage()


def test_reads_wait_while_the_server_restarts(store, new_run, propose, postgresql):
    run_id = new_run()
    trial = propose(run_id)
    postgresql.kill()
    restart = threading.Timer(1, postgresql.start)
    restart.start()
    try:
        assert store.history(run_id).trials == (trial,)
    finally:
        restart.join()


def test_a_server_that_stays_down_raises_after_the_limit(store, new_run, propose, postgresql):
    trial = propose(new_run()).trial
    store.start(trial)
    store.retry.limit_s = 1
    postgresql.kill()
    try:
        with pytest.raises(ConnectionLostError, match="start its server") as caught:
            store.record_epoch(trial, 1, {"val_loss": 1.0})
        assert PASSWORD not in str(caught.value)
    finally:
        postgresql.start()
    store.record_epoch(trial, 1, {"val_loss": 1.0})
    assert store.curve(trial) == {"val_loss": [(1, 1.0)]}


def end_backends(postgresql, database):
    name = database.rpartition("/")[2]
    postgresql.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


def test_connections_that_the_server_closes_are_replaced(store, new_run, propose, postgresql, database):
    run_id = new_run()
    for number in range(3):
        end_backends(postgresql, database)
        assert propose(run_id, f"f{number}").number == number
        end_backends(postgresql, database)
        assert len(store.history(run_id)) == number + 1


def test_an_interrupted_write_is_written_once(store, new_run, postgresql, database):
    run_id = new_run()
    attempts = []

    def operation(connection):
        attempts.append(1)
        connection.exec_driver_sql("UPDATE run SET seed = seed + 1")
        if len(attempts) == 1:
            end_backends(postgresql, database)
        connection.exec_driver_sql("UPDATE run SET searcher = 'after'")

    store.write(operation)
    assert len(attempts) == 2
    assert (store.run(run_id).seed, store.run(run_id).searcher) == (4, "after")


def test_a_proposal_whose_commit_was_not_confirmed_is_written_once(store, new_run, propose, postgresql, database):
    """The connection is lost after the commit: the proposal is sent again and must be the same trial."""
    from sqlalchemy import event

    run_id, losses = new_run(), []

    def lose(connection):
        if not losses:
            losses.append(1)
            connection.connection.driver_connection.commit()
            end_backends(postgresql, database)

    event.listen(store.engine, "commit", lose)
    trial = propose(run_id)
    assert losses == [1]
    assert store.history(run_id).trials == (trial,)
    assert propose(run_id).number == 1


DRIVER = """
import sys
from archsieve.results.database.errors import StoreError
from archsieve.results.database.store import open_store

with open_store(sys.argv[1]) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        store.resume_run("digits", {})
    except StoreError as error:
        print(error)
    else:
        print("acquired", flush=True)
        sys.stdin.readline()
"""


def test_one_of_four_drivers_acquires_the_run(store, new_run, database):
    """The first process drives the run, and the errors of the others name it.

    Row 16 of docs/contributing/tested_claims.md.
    """
    run_id = new_run()
    store.finish_run(run_id, "stopped")
    with contextlib.ExitStack() as stack:
        drivers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", DRIVER, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(4)
        ]
        for driver in drivers:
            assert driver.stdout.readline() == "ready\n"
        for driver in drivers:
            driver.stdin.write("go\n")
            driver.stdin.flush()
        lines = [driver.stdout.readline().strip() for driver in drivers]
    assert lines.count("acquired") == 1
    assert all(f"run {run_id} is driven by process" in line for line in lines if line != "acquired")
    open_rows = [row for row in store.provenance(run_id) if row["ended_at"] is None]
    assert len(open_rows) == 1


def test_many_creators_make_one_store(database):
    program = (
        "import sys; from archsieve.results.database.store import open_store; "
        "open_store(sys.argv[1], create=True).close()"
    )
    creators = [subprocess.Popen([sys.executable, "-c", program, database]) for _ in range(3)]
    assert [creator.wait() for creator in creators] == [0, 0, 0]
    with open_store(database) as opened:
        assert opened.runs() == []


def test_a_read_transaction_sees_one_snapshot(store, new_run, database):
    new_run("one")
    with store.read_transaction() as connection, open_store(database) as other:
        query = "SELECT count(*) FROM event"
        assert connection.exec_driver_sql(query).scalar() == 0
        other.add_event(1, "info", "x", {})
        assert connection.exec_driver_sql(query).scalar() == 0


def test_a_reader_cannot_write(store, new_run):
    new_run("one")
    with pytest.raises(StoreError, match="read-only"), store.read_transaction() as connection:
        connection.exec_driver_sql("DELETE FROM run")


def test_opening_and_writing_wait_while_all_connections_are_in_use(database, postgresql, new_run, caplog):
    """The words of the server are reported; to check host and port would not help."""
    import psycopg

    new_run()
    name = database.rpartition("/")[2]
    postgresql.execute(f"CREATE ROLE {name}_few LOGIN PASSWORD 'few' CONNECTION LIMIT 1")
    postgresql.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}_few", database=name)
    postgresql.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}_few", database=name)
    limited = re.sub("//.*@", f"//{name}_few:few@", database)
    try:
        held = psycopg.connect(limited.replace("+psycopg", ""))
        release = threading.Timer(2, held.close)
        release.start()
        with caplog.at_level(logging.WARNING, logger="archsieve"), open_store(limited) as store:
            release.join()
            (warning,) = [record.getMessage() for record in caplog.records]
            assert re.search("no free connection.*too many connections.*trying again", warning), warning
            assert [run.name for run in store.runs()] == ["digits"]
            store.retry.limit_s = 0.5
            store.engine.dispose()
            with (
                psycopg.connect(limited.replace("+psycopg", "")),
                pytest.raises(ConnectionLostError, match=r"no free connection.*too many connections.*max_connections"),
            ):
                store.add_event(1, "info", "x", {})
            store.add_event(1, "info", "y", {})
            assert [event["kind"] for event in store.events("digits")] == ["y"]
    finally:
        postgresql.execute(f"DROP OWNED BY {name}_few", database=name)
        postgresql.execute(f"DROP ROLE {name}_few")


def test_a_wrong_database_user_or_password_is_an_error(database, postgresql):
    with pytest.raises(NoStoreError, match="archsieve search"):
        open_store(database)
    cases = {
        postgresql.url("none"): "does not exist.*createdb",
        postgresql.url(password="wrong!"): "password authentication failed",
        postgresql.url().replace(USER, "nobody", 1): "user",
    }
    for url, facts in cases.items():
        with pytest.raises(StoreError, match=facts) as caught:
            open_store(url, create=True)
        assert PASSWORD not in str(caught.value)
        assert "wrong!" not in str(caught.value)


def test_another_applications_database_is_not_changed(database, postgresql):
    name = database.rpartition("/")[2]
    postgresql.execute("CREATE TABLE trial (id int)", database=name)
    with pytest.raises(StoreError, match="another application"):
        open_store(database, create=True)
    with postgresql.connect(name) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert tables == [("trial",)]


def test_a_backup_contains_no_password(store, new_run, database, tmp_path):
    new_run()
    target = back_up(database, tmp_path / "b.dump")
    assert target.read_bytes().startswith(b"PGDMP")
    assert PASSWORD.encode() not in target.read_bytes()
    with pytest.raises(StoreError, match=r"b\.dump exists"):
        back_up(database, target)
    with pytest.raises(StoreError, match="pg_dump") as caught:
        back_up(database.replace("%2F", "x"), tmp_path / "c.dump")
    assert PASSWORD not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["b.dump"]


@pytest.mark.slow
def test_nothing_is_lost_when_the_server_is_killed_repeatedly(store, new_run, propose, postgresql):
    trial, finished = propose(new_run()).trial, threading.Event()
    store.start(trial)

    def kill_repeatedly():
        for _ in range(4):
            time.sleep(1)
            postgresql.kill()
            postgresql.start()
        finished.set()

    killer = threading.Thread(target=kill_repeatedly)
    killer.start()
    epoch = 0
    while not finished.is_set():
        epoch += 1
        store.record_epoch(trial, epoch, {"val_loss": 1 / epoch})
    killer.join()
    assert store.curve(trial)["val_loss"] == [(step, 1 / step) for step in range(1, epoch + 1)]
