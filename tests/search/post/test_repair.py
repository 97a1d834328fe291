"""The repair of ``archsieve db check``: it removes what ended trials have left, and nothing else."""

from pathlib import Path

from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.search.post.integrity import check_runs, repair_runs
from archsieve.search.trials.checkpoint_files import Checkpoints, Header, identity_of_trial
from archsieve.search.trials.report import TrialReport
from archsieve.search.trials.spool import Spool, Spooled
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import Conv, GlobalAverage

DATA = {"content_hash": "0", "name": "none"}


def complete_run(store):
    """A complete run with a completed trial; returns the trial."""
    architecture = Architecture((1, 8, 8), (Conv(8), GlobalAverage()), 10)
    run_id = store.create_run("shared", {}, "random", 0, DATA, {})
    trial = store.propose(
        run_id,
        architecture=architecture.to_json(),
        fingerprint=architecture.fingerprint,
        cost=cost(architecture).to_json(),
        choices={},
        recipe={"epochs": 1},
        seed=0,
    ).trial
    store.start(trial)
    store.record_epoch(trial, 1, {"val_accuracy": 0.5, "val_loss": 1.0, "train_loss": 1.0})
    store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": 0.5, "best_epoch": 1})
    store.add_artifact(trial, "weights", "shared/weights.safetensors", 3, "0" * 64)
    store.finish_run(run_id, "finished")
    return store.trial(trial)


def test_a_repair_removes_what_ended_trials_have_left(tmp_path, line):
    runs = tmp_path / "runs"
    with open_store(runs / "archsieve.db", create=True) as store:
        trial = complete_run(store)
        (runs / "shared").mkdir()
        (runs / "shared" / "weights.safetensors").write_bytes(b"abc")
        directory = Checkpoints(str(runs / "shared" / "checkpoints")).of_trial(trial.trial)
        directory.write(Header(identity_of_trial(trial), 1), b"of the old worker")
        foreign = Path(directory.path(1)).with_name("notes.txt")
        foreign.write_text("mine")
        Spool(runs / "shared" / "spool").add(Spooled("end", trial.trial, TrialReport(), identity_of_trial(trial)))
        broken = check_runs(store, runs)
        assert [violation.invariant for violation in broken] == ["I5", "I5"]
        assert all("db check --repair" in violation.message for violation in broken)
        done = list(repair_runs(store, runs))
        assert (len(done), directory.names(), Spool(runs / "shared" / "spool").files()) == (2, ["notes.txt"], [])
        (left,) = check_runs(store, runs)
        assert "another place" in left.message
        foreign.unlink()
        foreign.parent.rmdir()
        assert list(repair_runs(store, runs)) == []
    code, out, err = line("db", "check", "--repair", "--json")
    assert (code, out.strip()) == (0, "[]"), err


def test_a_repair_keeps_reports_that_are_not_in_the_database(tmp_path):
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        trial = complete_run(store)
        spool = Spool(tmp_path / "shared" / "spool")
        spool.add(Spooled("end", trial.trial, TrialReport(), "of another trial"))
        assert list(repair_runs(store, tmp_path)) == []
        assert len(spool.files()) == 1


def test_a_run_on_a_server_is_not_broken_from_another_folder(tmp_path, server):
    with open_store(server.url(), create=True) as store:
        complete_run(store)
        notes = []
        assert check_runs(store, tmp_path / "elsewhere", note=notes.append) == []
        assert str(tmp_path / "elsewhere" / "shared") in notes[0]
        (tmp_path / "here" / "shared").mkdir(parents=True)
        (missing,) = check_runs(store, tmp_path / "here")
        assert (missing.invariant, "weights.safetensors" in missing.message) == ("I5", True)
