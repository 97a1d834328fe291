"""The integrity check: each invariant is violated in turn."""

import hashlib
import re

import pytest
from sqlalchemy import update

from archsieve.results.database import schema
from archsieve.results.maintenance.integrity import check_store


@pytest.fixture
def run_id(store, new_run, complete, propose):
    """A run that was stopped: one trial completed, one failed, one interrupted."""
    run_id = new_run("one")
    complete(run_id, "f0", 0.5)
    complete(run_id, "f1", None)
    trial = propose(run_id, "f2")
    store.start(trial.trial)
    store.record_epoch(trial.trial, 1, {"val_accuracy": 0.3, "val_loss": 1.0})
    store.finish_run(run_id, "stopped")
    return run_id


def update_rows(store, table, where, **values):
    with store.write_transaction() as connection:
        connection.execute(update(table).where(*where).values(**values))


def test_a_valid_run_has_no_violations(store, run_id, path):
    assert check_store(store, path.parent, deep=True) == []


def renumber(store):
    update_rows(store, schema.trial, [schema.trial.c.number == 1], number=7)


def train_again(store):
    with store.write_transaction() as connection:
        ended = connection.exec_driver_sql("SELECT ended_at FROM attempt WHERE trial_id = 1").scalar()
        row = "INSERT INTO attempt (trial_id, attempt, started_at, heartbeat_at, ended_at, outcome) VALUES (1, 1"
        connection.exec_driver_sql(f"{row}, '2999-01-01', '2999-01-01', '{ended}', 'completed')")


def abandon(store):
    update_rows(store, schema.trial, [schema.trial.c.trial_id == 3], state="running")


def leave_a_gap(store):
    update_rows(store, schema.metric, [schema.metric.c.trial_id == 1, schema.metric.c.step == 2], step=3)


def miscount_epochs(store):
    update_rows(store, schema.trial, [schema.trial.c.trial_id == 3], epochs_done=4)


def delete_the_curve(store):
    with store.write_transaction() as connection:
        connection.exec_driver_sql("DELETE FROM metric WHERE trial_id = 1")


def raise_the_accuracy(store):
    update_rows(store, schema.trial, [schema.trial.c.trial_id == 1], val_accuracy=0.99)


def reopen_an_attempt(store):
    update_rows(store, schema.attempt, [schema.attempt.c.trial_id == 1], ended_at=None)


def change_the_cost(store):
    update_rows(store, schema.architecture, [schema.architecture.c.fingerprint == "f0"], params=1)


@pytest.mark.parametrize(
    ("damage", "invariant", "facts"),
    [
        (renumber, "I1", "^3 trials .*0 to 7"),
        (train_again, "I2", "trial 1 .*2 times .*1 times after its end"),
        (abandon, "I3", "1 trials .*archsieve resume one"),
        (leave_a_gap, "I4", "trial 1 has 2 epochs of val_accuracy.*1 to 3"),
        (delete_the_curve, "I4", "trial 1 .*2 epochs.*no val_accuracy"),
        (raise_the_accuracy, "I4", r"trial 1 .*val_accuracy 0\.99.*epoch, 2, .*0\.5"),
        (reopen_an_attempt, "I2", "trial 1 .*attempt"),
        (change_the_cost, "I6", "trial 1 .*costs"),
        (miscount_epochs, "I4", "trial 3 has 1 epochs of val_accuracy.*1 to 1.*4 are done"),
    ],
)
def test_a_violation_is_reported_with_its_values(store, run_id, path, damage, invariant, facts):
    damage(store)
    violations = check_store(store, path.parent)
    assert {(broken.invariant, broken.run) for broken in violations} == {(invariant, "one")}
    assert any(re.search(facts, broken.message) for broken in violations)


def test_a_clock_that_was_set_back_is_no_violation(store, run_id, path):
    """An attempt that was interrupted before the jump has later times than the end of its trial."""
    with store.write_transaction() as connection:
        connection.exec_driver_sql("UPDATE attempt SET attempt = 1 WHERE trial_id = 1")
        connection.exec_driver_sql(
            "INSERT INTO attempt (trial_id, attempt, started_at, heartbeat_at, ended_at, outcome) "
            "SELECT trial_id, 0, '2999-01-01 00:00:00', '2999-01-01 00:00:00', '2999-01-01 00:00:00', 'interrupted' "
            "FROM attempt WHERE trial_id = 1"
        )
    assert check_store(store, path.parent) == []


def test_a_run_with_a_dead_driver_is_reported_until_it_is_resumed(store, new_run, path):
    new_run("one", provenance={"pid": 2**22 + 1})
    (broken,) = check_store(store, path.parent)
    assert broken.invariant == "I3"
    assert re.search(rf"process {2**22 + 1} .*archsieve resume one", broken.message)
    store.resume_run("one", {})
    assert check_store(store, path.parent) == []


def test_files_are_compared_with_their_records(store, run_id, path):
    weights = path.parent / "one" / "best.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    store.add_artifact(1, "best", "one/best.safetensors", 7, hashlib.sha256(b"weights").hexdigest())
    assert check_store(store, path.parent, deep=True) == []
    weights.write_bytes(b"Weights")
    assert check_store(store, path.parent) == []
    assert "sha256" in check_store(store, path.parent, deep=True)[0].message
    weights.write_bytes(b"we")
    assert re.search(r"\b2 bytes.*\b7\b", check_store(store, path.parent)[0].message)
    weights.unlink()
    assert [(b.invariant, str(weights) in b.message) for b in check_store(store, path.parent)] == [("I5", True)]
