"""A run in optuna-dashboard: a complete copy, served on the loopback address, stopped with Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import threading
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from archsieve.results.database.records import FailKind, TrialState
from archsieve.results.database.store import open_store
from archsieve.search.cluster.errors import ResourceError
from archsieve.search.integrations.optuna_dashboard import scratch_copy, server

COST = dict.fromkeys(("params", "macs", "activations", "memory_bytes"), 10)


@pytest.fixture
def database(tmp_path):
    """Create a run with a trial in every state; return the path of its database."""
    path = tmp_path / "archsieve.db"
    with open_store(path, create=True) as store:
        run_id = store.create_run("digits", {}, "random", 1, {"content_hash": "d", "name": "digits"}, {})
        # the last two trials do not end: one is running, one is queued
        states = [*(state for state in TrialState if state not in (TrialState.QUEUED, TrialState.RUNNING)), None, None]
        for number, state in enumerate(states):
            recipe = {"lr": 10.0**-number, "epochs": 3 + number, "optimizer": "sgd" if number else "adam", "same": 1}
            choices = {"2": number % 2} | ({"2.conv.width": 8} if number else {"2.pool": [1, 2]})
            trial = store.propose(
                run_id, architecture={}, fingerprint=f"f{number}", cost=COST, choices=choices, recipe=recipe, seed=1
            ).trial
            if number == len(states) - 1:
                continue
            store.start(trial)
            store.record_epoch(trial, 1, {"val_accuracy": 0.1 * number})
            if state is not None:
                failed = {"fail_kind": FailKind.OOM} if state is TrialState.FAILED else {}
                metrics = {} if failed else {"val_accuracy": 0.1 * number, "test_accuracy": 0.987}
                store.finish(trial, state, summary=metrics, **failed)
    return path


def test_the_copy_has_every_trial_and_no_test_accuracy(database):
    import optuna

    with open_store(database, read_only=True) as store:
        trials = store.trials()
        study = optuna.load_study(study_name="digits", storage=scratch_copy(store, "digits"))
    states = {"completed": "COMPLETE", "stopped_early": "PRUNED", "failed": "FAIL", "interrupted": "WAITING"}
    expected = [{**states, "running": "RUNNING", "queued": "WAITING"}[trial.state.value] for trial in trials]
    assert [trial.state.name for trial in study.trials] == expected
    assert study.best_value == max(t.val_accuracy for t in trials if t.state is TrialState.COMPLETED)
    for trial, copied in zip(trials, study.trials, strict=True):
        assert copied.user_attrs["trial"] == trial.trial
        assert copied.user_attrs["params"] == 10
        assert copied.params["lr"] == trial.recipe["lr"]
        assert "same" not in copied.params
        assert copied.params["choice 2"] == trial.choices["2"]
        assert all(
            copied.distributions[name]._contains(copied.distributions[name].to_internal_repr(value))
            for name, value in copied.params.items()
        )
        assert copied.intermediate_values == dict(enumerate([0.1 * trial.number], 1)) or trial.state == "queued"
    assert study.trials[0].distributions["lr"].log
    assert "0.987" not in repr(study.trials)


def test_the_copy_of_a_run_has_the_value_and_the_direction_of_its_metric(database):
    import optuna

    config = {"search": {"metric": "log_loss", "record_metrics": ["f1_macro"], "minimized": ["log_loss"]}}
    with open_store(database) as store:
        run_id = store.create_run("by-loss", config, "random", 1, {"content_hash": "d", "name": "digits"}, {})
        for loss in (0.7, 0.3):
            proposal = {"architecture": {}, "fingerprint": f"{loss}", "cost": COST, "choices": {}, "recipe": {}}
            trial = store.propose(run_id, **proposal, seed=1).trial
            store.record_epoch(trial, 1, {"val_accuracy": loss, "log_loss": loss, "f1_macro": 0.5})
            store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": loss, "best_epoch": 1})
        study = optuna.load_study(study_name="by-loss", storage=scratch_copy(store, "by-loss"))
    assert (study.direction.name, study.best_trial.number, study.best_value) == ("MINIMIZE", 1, 0.3)
    assert study.metric_names == ["log_loss"]
    assert study.best_trial.intermediate_values == {1: 0.3}
    assert study.best_trial.user_attrs["f1_macro"] == 0.5


def test_the_server_listens_on_loopback_and_a_used_port_is_an_error(database):
    with open_store(database, read_only=True) as store:
        running = server(store, "digits", 0)
        with pytest.raises(ResourceError, match=rf"port {running.server_port} .*Address already in use.*--port"):
            server(store, "digits", running.server_port)
        with pytest.raises(ValueError, match="did you mean 'digits'"):
            server(store, "digist", 0)
    assert running.server_address[0] == "127.0.0.1"
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    try:
        root = f"http://127.0.0.1:{running.server_port}"
        studies = json.load(urlopen(f"{root}/api/studies"))["study_summaries"]
        assert [study["study_name"] for study in studies] == ["digits"]
        detail = json.load(urlopen(f"{root}/api/studies/{studies[0]['study_id']}?after=0"))
        assert len(detail["trials"]) == 6
        assert b"<html" in urlopen(f"{root}/dashboard/").read().lower()
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def test_ctrl_c_stops_the_server(database, tmp_path):
    command = [sys.executable, "-m", "archsieve", "dashboard", "digits", "--port", "0", "--db", str(database)]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a process that a shell starts in the background inherits an ignored SIGINT
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        line = process.stdout.readline()
        assert "digits" in line
        port = int(line.split(":")[2].split("/")[0])
        assert urlopen(f"http://127.0.0.1:{port}/api/studies").status == 200
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 0
    assert "Traceback" not in err
    with pytest.raises(URLError, match="refused"):
        urlopen(f"http://127.0.0.1:{port}/api/studies")
