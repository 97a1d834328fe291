"""Memory of the driver: what Tune and the history hold of each trial that has ended."""

import pytest

from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.search.runs.tune_adapter import released
from archsieve.search.trials.report import EpochMetrics, TrialReport

ARCHITECTURE = {"input_shape": [3, 8, 8], "blocks": [{"kind": "conv", "width": 8, "norm": True}] * 20, "classes": 10}


@pytest.mark.parametrize("status", ["TERMINATED", "ERROR"])
def test_tune_holds_little_of_a_trial_that_has_ended(tmp_path, status):
    from ray import tune
    from ray.train._internal.storage import StorageContext
    from ray.tune.experiment import Trial
    from ray.tune.registry import register_trainable

    register_trainable("none", type("Nothing", (tune.Trainable,), {}))
    storage = StorageContext(str(tmp_path), "tune")
    config = {"trial": "x" * 5000}
    trial = Trial("none", config=config, evaluated_params=config, storage=storage)
    report = TrialReport((EpochMetrics(1, {"val_accuracy": 0.5, "val_loss": 1.0}),), done=True)
    trial.update_last_result({**report.to_tune(), "training_iteration": 1, "config": config})
    before = sum(map(len, trial.get_json_state()))
    assert not released(trial)
    assert trial.config == config
    trial.set_status(status)
    assert released(trial)
    assert sum(map(len, trial.get_json_state())) < 4000 < before


def test_trials_of_a_history_share_equal_blocks_and_stay_equal(tmp_path):
    recipe = {"lr": 0.1, "one": 1, "yes": True, "name": "sgd", "stages": [1, 2]}
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        run_id = store.create_run("r", {}, "random", 0, {"content_hash": "d", "name": "d"}, {})
        for number in range(3):
            costs = dict.fromkeys(("params", "macs", "activations", "memory_bytes"), 1)
            proposal = {
                "architecture": ARCHITECTURE,
                "fingerprint": f"f{number}",
                "cost": costs,
                "choices": {"1": number},
            }
            trial = store.propose(run_id, **proposal, recipe=recipe | {"lr": number / 10}, seed=0).trial
            store.start(trial)
            store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": 0.5})
        history, trials = store.history(run_id), store.trials(run_id)
    assert list(history) == trials
    # 1 and True are equal in Python, and must not be exchanged
    assert [type(history.trials[2].recipe[name]) for name in ("one", "yes")] == [int, bool]
    blocks = {id(block) for trial in history for block in trial.architecture["blocks"]}
    assert len(blocks) == 1
