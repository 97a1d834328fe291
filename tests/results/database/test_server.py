"""A store on a PostgreSQL server: what the server does to it, and who may open it."""

import contextlib
import logging
import subprocess
import sys
import threading
import time

import pytest

from archsieve.results.database.errors import LostError, NoStoreError, StoreError
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.results.maintenance.backup import back_up

from ..server import PASSWORD, USER


@pytest.fixture
def database(empty_database):
    return empty_database


def test_the_server_is_killed_and_comes_back(store, new_run, propose, postgresql, caplog):
    """Row 15: what is recorded meanwhile waits, and nothing is lost or said twice; one warning tells of it."""
    trial = propose(new_run()).trial
    store.start(trial)
    store.record_epoch(trial, 1, {"val_loss": 1.0})
    postgresql.kill()
    back = threading.Timer(3, postgresql.start)
    back.start()
    try:
        with caplog.at_level(logging.WARNING, logger="archsieve"):
            store.record_epoch(trial, 2, {"val_loss": 0.5})
    finally:
        back.join()
    store.record_epoch(trial, 3, {"val_loss": 0.25})
    store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": 0.5})
    assert store.curve(trial) == {"val_loss": [(1, 1.0), (2, 0.5), (3, 0.25)]}
    (warning,) = caplog.records
    assert "trying again" in warning.getMessage()
    assert PASSWORD not in warning.getMessage()


def test_a_reader_waits_for_the_server_too(store, new_run, propose, postgresql):
    run_id = new_run()
    trial = propose(run_id)
    postgresql.kill()
    back = threading.Timer(1, postgresql.start)
    back.start()
    try:
        assert store.history(run_id).trials == (trial,)
    finally:
        back.join()


def test_a_server_that_stays_away_is_an_error_in_time(store, new_run, propose, postgresql):
    trial = propose(new_run()).trial
    store.start(trial)
    store.patience.limit_s = 1
    postgresql.kill()
    try:
        with pytest.raises(LostError, match=r"is away.*start its server again") as caught:
            store.record_epoch(trial, 1, {"val_loss": 1.0})
        assert PASSWORD not in str(caught.value)
    finally:
        postgresql.start()
    store.record_epoch(trial, 1, {"val_loss": 1.0})
    assert store.curve(trial) == {"val_loss": [(1, 1.0)]}


def end_backends(postgresql, database):
    name = database.rpartition("/")[2]
    postgresql.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


def test_connections_that_the_server_ends_are_made_anew(store, new_run, propose, postgresql, database):
    run_id = new_run()
    for number in range(3):
        end_backends(postgresql, database)
        assert propose(run_id, f"f{number}").number == number
        end_backends(postgresql, database)
        assert len(store.history(run_id)) == number + 1


def test_a_write_cut_off_half_way_is_written_once(store, new_run, postgresql, database):
    run_id = new_run()
    tries = []

    def act(connection):
        tries.append(1)
        connection.exec_driver_sql("UPDATE run SET seed = seed + 1")
        if len(tries) == 1:
            end_backends(postgresql, database)
        connection.exec_driver_sql("UPDATE run SET searcher = 'after'")

    store.write(act)
    assert len(tries) == 2
    assert (store.run(run_id).seed, store.run(run_id).searcher) == (4, "after")


def test_a_proposal_whose_answer_was_lost_is_not_made_twice(store, new_run, propose, postgresql, database):
    """The commit came through, the news of it did not: the same proposal again is the same trial."""
    from sqlalchemy import event

    run_id, cut = new_run(), []

    def lose(connection):
        if not cut:
            cut.append(1)
            connection.connection.driver_connection.commit()
            end_backends(postgresql, database)

    event.listen(store.engine, "commit", lose)
    trial = propose(run_id)
    assert cut == [1]
    assert store.history(run_id).trials == (trial,)
    assert propose(run_id).number == 1


TAKER = """
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
        print("mine", flush=True)
        sys.stdin.readline()
"""


def test_four_drivers_of_one_run_are_one(store, new_run, database):
    """Row 16: whoever comes first drives it, the others are told who."""
    run_id = new_run()
    store.finish_run(run_id, "stopped")
    with contextlib.ExitStack() as stack:
        takers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", TAKER, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(4)
        ]
        for taker in takers:
            assert taker.stdout.readline() == "ready\n"
        for taker in takers:
            taker.stdin.write("go\n")
            taker.stdin.flush()
        said = [taker.stdout.readline().strip() for taker in takers]
    assert said.count("mine") == 1
    assert all("one process drives a run" in line for line in said if line != "mine")
    held = [row for row in store.provenance(run_id) if row["ended_at"] is None]
    assert len(held) == 1


def test_many_creators_make_one_store(database):
    program = (
        "import sys; from archsieve.results.database.store import open_store; "
        "open_store(sys.argv[1], create=True).close()"
    )
    creators = [subprocess.Popen([sys.executable, "-c", program, database]) for _ in range(3)]
    assert [creator.wait(60) for creator in creators] == [0, 0, 0]
    with open_store(database) as opened:
        assert opened.runs() == []


def test_a_reader_sees_one_moment(store, new_run, database):
    new_run("one")
    with store.reading() as connection, open_store(database) as other:
        asked = "SELECT count(*) FROM event"
        assert connection.exec_driver_sql(asked).scalar() == 0
        other.add_event(1, "info", "x", {})
        assert connection.exec_driver_sql(asked).scalar() == 0


def test_a_reader_cannot_write(store, new_run):
    new_run("one")
    with pytest.raises(StoreError, match="read-only"), store.reading() as connection:
        connection.exec_driver_sql("DELETE FROM run")


def test_who_may_not_open_it(database, postgresql):
    with pytest.raises(NoStoreError, match="holds no results yet"):
        open_store(database)
    cases = {
        postgresql.url("none"): "does not exist; check the name, or make the database: createdb",
        postgresql.url(password="wrong!"): "password authentication failed.*check user and password",
        postgresql.url().replace(USER, "nobody", 1): "check user and password",
    }
    for url, said in cases.items():
        with pytest.raises(StoreError, match=said) as caught:
            open_store(url, create=True)
        assert PASSWORD not in str(caught.value)
        assert "wrong!" not in str(caught.value)


def test_another_applications_database_is_left_alone(database, postgresql):
    name = database.rpartition("/")[2]
    postgresql.execute("CREATE TABLE trial (id int)", database=name)
    with pytest.raises(StoreError, match="another application; nothing was changed"):
        open_store(database, create=True)
    with postgresql.connect(name) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert tables == [("trial",)]


def test_a_backup_is_made_and_tells_no_password(store, new_run, database, tmp_path):
    new_run()
    target = back_up(database, tmp_path / "b.dump")
    assert target.read_bytes().startswith(b"PGDMP")
    assert PASSWORD.encode() not in target.read_bytes()
    with pytest.raises(StoreError, match="overwrites nothing"):
        back_up(database, target)
    with pytest.raises(StoreError, match="pg_dump says") as caught:
        back_up(database.replace("%2F", "x"), tmp_path / "c.dump")
    assert PASSWORD not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["b.dump"]


@pytest.mark.slow
def test_a_server_that_is_killed_again_and_again_loses_nothing(store, new_run, propose, postgresql):
    trial, ended = propose(new_run()).trial, threading.Event()
    store.start(trial)

    def storm():
        for _ in range(4):
            time.sleep(1)
            postgresql.kill()
            postgresql.start()
        ended.set()

    killer = threading.Thread(target=storm)
    killer.start()
    epoch = 0
    while not ended.is_set():
        epoch += 1
        store.record_epoch(trial, epoch, {"val_loss": 1 / epoch})
    killer.join()
    assert store.curve(trial)["val_loss"] == [(step, 1 / step) for step in range(1, epoch + 1)]
