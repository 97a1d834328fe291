"""What must hold of every run, broken one by one."""

import hashlib

import pytest
from sqlalchemy import update

from archsieve.results.database import schema
from archsieve.results.maintenance.integrity import check_store


@pytest.fixture
def run_id(store, new_run, complete, propose):
    """A run as a driver leaves it that was told to stop: one trial completed, one failed, one set aside."""
    run_id = new_run("one")
    complete(run_id, "f0", 0.5)
    complete(run_id, "f1", None)
    trial = propose(run_id, "f2")
    store.start(trial.trial)
    store.record_epoch(trial.trial, 1, {"val_accuracy": 0.3, "val_loss": 1.0})
    store.finish_run(run_id, "stopped")
    return run_id


def change(store, table, where, **values):
    with store.writing() as connection:
        connection.execute(update(table).where(*where).values(**values))


def test_a_run_as_it_should_be_breaks_nothing(store, run_id, path):
    assert check_store(store, path.parent, deep=True) == []


def _renumber(store):
    change(store, schema.trial, [schema.trial.c.number == 1], number=7)


def _train_again(store):
    with store.writing() as connection:
        ended = connection.exec_driver_sql("SELECT ended_at FROM attempt WHERE trial_id = 1").scalar()
        row = "INSERT INTO attempt (trial_id, attempt, started_at, heartbeat_at, ended_at, outcome) VALUES (1, 1"
        connection.exec_driver_sql(f"{row}, '2999-01-01', '2999-01-01', '{ended}', 'completed')")


def _abandon(store):
    change(store, schema.trial, [schema.trial.c.trial_id == 3], state="running")


def _leave_a_gap(store):
    change(store, schema.metric, [schema.metric.c.trial_id == 1, schema.metric.c.step == 2], step=3)


def _miscount(store):
    change(store, schema.trial, [schema.trial.c.trial_id == 3], epochs_done=4)


def _forget_the_curve(store):
    with store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM metric WHERE trial_id = 1")


def _embellish(store):
    change(store, schema.trial, [schema.trial.c.trial_id == 1], val_accuracy=0.99)


def _leave_open(store):
    change(store, schema.attempt, [schema.attempt.c.trial_id == 1], ended_at=None)


def _shrink(store):
    change(store, schema.architecture, [schema.architecture.c.fingerprint == "f0"], params=1)


@pytest.mark.parametrize(
    ("breaking", "invariant", "said"),
    [
        (_renumber, "I1", "3 trials are numbered from 0 to 7"),
        (_train_again, "I2", "trial 1 completed 2 times, and was begun 1 times after its end"),
        (_abandon, "I3", "1 trials run, driven by nobody; go on with: archsieve resume one"),
        (_leave_a_gap, "I4", "trial 1 has 2 epochs of val_accuracy, from 1 to 3"),
        (_forget_the_curve, "I4", "trial 1 has done 2 epochs, but no val_accuracy of them is there"),
        (_embellish, "I4", "trial 1 has val_accuracy 0.99, but its best epoch, 2, has 0.5"),
        (_leave_open, "I2", "trial 1 has ended, but an attempt at it has not"),
        (_shrink, "I6", "trial 1 has other costs than the row of its architecture"),
        (_miscount, "I4", "trial 3 has 1 epochs of val_accuracy, from 1 to 1, and 4 are done"),
    ],
)
def test_what_is_broken_is_named_with_its_facts(store, run_id, path, breaking, invariant, said):
    breaking(store)
    found = check_store(store, path.parent)
    assert {(broken.invariant, broken.run) for broken in found} == {(invariant, "one")}
    assert any(said in broken.said for broken in found)


def test_a_run_whose_driver_has_died_is_broken_until_it_is_resumed(store, new_run, path):
    new_run("one", provenance={"pid": 2**22 + 1})
    (broken,) = check_store(store, path.parent)
    assert broken.invariant == "I3"
    assert "which has ended; go on with: archsieve resume one" in broken.said
    store.resume_run("one", {})
    assert check_store(store, path.parent) == []


def test_files_are_held_against_what_was_written(store, run_id, path):
    weights = path.parent / "one" / "best.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    store.add_artifact(1, "best", "one/best.safetensors", 7, hashlib.sha256(b"weights").hexdigest())
    assert check_store(store, path.parent, deep=True) == []
    weights.write_bytes(b"Weights")
    assert check_store(store, path.parent) == []
    assert "its sha256 differs" in check_store(store, path.parent, deep=True)[0].said
    weights.write_bytes(b"we")
    assert "has 2 bytes instead of 7" in check_store(store, path.parent)[0].said
    weights.unlink()
    assert [(b.invariant, "is not there" in b.said) for b in check_store(store, path.parent)] == [("I5", True)]
