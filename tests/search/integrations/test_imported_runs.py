"""Import of finished Optuna studies and Ray Tune results."""

import math

import optuna
import pytest
from ray import tune

from archsieve.results.database.records import FailKind, TrialState
from archsieve.results.database.store import open_store
from archsieve.results.query.best import best
from archsieve.results.query.expression_query import filter_trials
from archsieve.results.transfer.importer import import_documents
from archsieve.search.integrations.imported_run import UNKNOWN_SEED
from archsieve.search.integrations.optuna_study import document_of_study
from archsieve.search.integrations.ray_tune_results import document_of_results
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import Conv, GlobalAverage


def network(params):
    return Architecture((1, 8, 8), (Conv(params["width"]), GlobalAverage()), 10)


@pytest.fixture
def study():
    """Return a study with a trial in each state."""
    study = optuna.create_study(study_name="theirs", direction="maximize", sampler=optuna.samplers.RandomSampler(0))
    study.enqueue_trial({"width": 8, "lr": 0.1})

    def objective(trial):
        width = trial.suggest_int("width", 4, 32)
        trial.suggest_float("lr", 0.01, 1, log=True)
        for step in range(3):
            trial.report(0.1 * step + 0.3, step)
        if trial.number == 1:
            raise optuna.TrialPruned
        if trial.number == 2:
            raise OSError("no disk")
        return 0.5 if width == 8 else 0.4

    study.optimize(objective, n_trials=4, catch=OSError)
    study.ask({"width": optuna.distributions.IntDistribution(4, 32)})
    return study


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path / "archsieve.db", create=True) as opened:
        yield opened


def test_a_study_becomes_a_run(study, store):
    assert import_documents(store, [document_of_study(study, dataset="digits", architecture=network)]) == ["theirs"]
    trials = store.history("theirs").trials
    states = ["completed", "stopped_early", "failed", "completed", "interrupted"]
    assert [trial.state.value for trial in trials] == states
    first, pruned, failed, *_ = trials
    assert (first.val_accuracy, pruned.val_accuracy, failed.val_accuracy) == (0.5, pytest.approx(0.5), None)
    assert failed.fail_kind is FailKind.USER_ERROR
    assert dict(first.recipe) == {"width": 8, "lr": 0.1}
    assert (first.params, first.macs) == (cost(network({"width": 8})).params, cost(network({"width": 8})).macs)
    assert (first.seed, first.epochs_done) == (UNKNOWN_SEED, 3)
    original = study.trials[0]
    assert first.duration_s == pytest.approx((original.datetime_complete - original.datetime_start).total_seconds())
    assert first.started_at.timestamp() == pytest.approx(original.datetime_start.timestamp())
    assert store.curve(first.trial) == {"val_accuracy": [(step + 1, 0.1 * step + 0.3) for step in range(3)]}
    assert [trial.number for trial in filter_trials(store, "recipe.width = 8").trials] == [0]
    assert best(store, budget=Budget(), run="theirs")[0].number == 0


def test_a_study_can_be_imported_only_once(study, store):
    document = document_of_study(study, dataset="digits", architecture=network)
    import_documents(store, [document])
    with pytest.raises(ValueError, match="'theirs'"):
        import_documents(store, [document])
    assert len(store.runs()) == 1


def test_the_metric_must_fit_the_direction_of_the_study(store):
    study = optuna.create_study(direction="minimize")
    study.add_trial(optuna.create_trial(value=1.5, user_attrs={"architecture": network({"width": 4}).to_json()}))
    with pytest.raises(ValueError, match=r"metric .*'val_accuracy' and minimize.*val_loss"):
        document_of_study(study, dataset="digits", name="loss")
    import_documents(store, [document_of_study(study, dataset="digits", name="loss", metric="val_loss")])
    (trial,) = store.history("loss").trials
    assert (trial.val_loss, trial.val_accuracy) == (1.5, None)


def test_test_accuracy_is_stored_but_selects_no_trial(study, store):
    import_documents(store, [document_of_study(study, dataset="digits", metric="test_accuracy", architecture=network)])
    assert store.history("theirs").trials[0].test_accuracy == 0.5
    assert best(store, budget=Budget(), run="theirs") == []


@pytest.mark.parametrize(
    ("study", "message"),
    [
        (optuna.create_study(directions=["maximize", "minimize"]), "one objective, but it has 2"),
        (optuna.create_study(direction="maximize"), "at least one trial, but optuna has none"),
    ],
)
def test_a_study_with_two_objectives_or_no_trial_is_an_error(study, message):
    with pytest.raises(ValueError, match=message):
        document_of_study(study, dataset="digits", name="r")


def test_a_trial_without_an_architecture_is_an_error(study):
    with pytest.raises(ValueError, match=r"trial 0 .*architecture=.*\(width, lr\)"):
        document_of_study(study, dataset="digits")


def test_a_percentage_is_an_error_and_nothing_is_written(store):
    study = optuna.create_study(direction="maximize")
    study.add_trial(optuna.create_trial(value=93.0, user_attrs={"architecture": network({"width": 4}).to_json()}))
    with pytest.raises(ValueError, match=r"val_accuracy .*\[0, 1\].*93\.0"):
        import_documents(store, [document_of_study(study, dataset="digits", name="r")])
    assert store.runs() == []


@pytest.fixture
def tune_loggers(ray_running, monkeypatch):
    """Turn on the loggers of Ray Tune, which runs of archsieve turn off: users have them by default."""
    monkeypatch.delenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", raising=False)


def trainable(config):
    for epoch in range(3):
        if config["width"] == 16 and epoch == 1:
            raise RuntimeError("no such width")
        tune.report({"acc": 0.5 - 0.1 * abs(epoch - 1), "loss": math.nan})


def test_a_result_grid_becomes_a_run(tune_loggers, store, tmp_path):
    grid = {"width": tune.grid_search([8, 16]), "lr": 0.1}
    results = tune.Tuner(trainable, param_space=grid, run_config=tune.RunConfig(storage_path=str(tmp_path))).fit()
    metrics = {"val_accuracy": "acc", "val_loss": "loss"}
    document = document_of_results(results, name="tuned", dataset="digits", metrics=metrics, architecture=network)
    import_documents(store, [document])
    done, failed = sorted(store.history("tuned").trials, key=lambda trial: trial.recipe["width"])
    assert (done.state, done.val_accuracy, done.best_epoch, done.epochs_done) == (TrialState.COMPLETED, 0.5, 2, 3)
    assert done.started_at <= done.ended_at
    assert failed.state is TrialState.FAILED
    assert "no such width" in failed.reason


@pytest.mark.parametrize(
    ("arguments", "code", "facts"),
    [
        (
            ("status", "theirs"),
            0,
            ("theirs", "finished", "5 of 5", "2 completed", "1 stopped_early", "1 failed", "0.5000"),
        ),
        (("results", "best", "--run", "theirs"), 0, ("conv 8 > global-average",)),
        (("results", "show", "theirs:0"), 0, ("conv",)),
        (("report", "theirs", "-o", "r.html"), 0, ("r.html",)),
        (("db", "check", "--deep"), 0, ("theirs", "optuna")),
        (("resume", "theirs"), 2, ("'theirs'", "optuna")),
        (("train", "theirs:0"), 2, ("'theirs'", "optuna")),
        (("ensemble", "theirs"), 2, ("'theirs'", "optuna")),
    ],
)
def test_commands_on_an_imported_run(study, line, arguments, code, facts):
    with open_store("runs/archsieve.db", create=True) as store:
        import_documents(store, [document_of_study(study, dataset="digits", architecture=network)])
    exit_code, out, err = line(*arguments)
    assert exit_code == code
    assert [fact for fact in facts if fact not in out + err] == [], out + err
    assert "Traceback" not in err


def test_a_study_of_another_metric_is_ranked_by_it(store):
    study = optuna.create_study(study_name="by-loss", direction="minimize")
    attributes = {"architecture": network({"width": 4}).to_json()}
    for value in (0.7, 0.2):
        study.add_trial(optuna.create_trial(value=value, user_attrs=attributes))
    with pytest.raises(ValueError, match=r"metric .*'f1_macro' and minimize"):
        document_of_study(study, dataset="digits", metric="f1_macro")
    import_documents(store, [document_of_study(study, dataset="digits", metric="log_loss")])
    ranked = best(store, budget=Budget(), run="by-loss", top=2)
    assert [(trial.number, trial.metrics["log_loss"], trial.val_accuracy) for trial in ranked] == [
        *((1, 0.2, None), (0, 0.7, None)),
    ]
