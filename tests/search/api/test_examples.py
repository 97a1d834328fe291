"""The examples in the style of other libraries: they run all trials, and every network is inside the budget."""

import ast
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import archsieve as av

EXAMPLES = Path(av.__file__).resolve().parent / "examples"
LOOPS = ("own_loop", "sklearn_style", "keras_tuner_style", "optuna_objective", "ray_tune")
DRAWN = ("optuna_pruning", "sklearn_grid_search", "ray_tune_asha")  # from networks that are drawn first
SEARCHED = ("pytorch_loop", "timm_training", "lightning_module")  # by a training function of their own
NEEDS = {"timm_training": "timm", "lightning_module": "lightning"}  # packages that are no requirement
MAX_PARAMS, MAX_MACS = 60_000, 1_000_000  # the budget of every example
LINE = re.compile(r"^trial (\d+): accuracy ([01]\.\d{4}), ([\d,]+) params", re.MULTILINE)


@pytest.fixture
def run_example(tmp_path, monkeypatch, capsys):
    """Return a function that runs ``examples/NAME.py TRIALS`` in the test's folder and returns what it prints."""

    def run(name, trials):
        if name.startswith("ray_tune"):
            return in_a_new_process(name, trials, tmp_path)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, str(trials)])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


def in_a_new_process(name, trials, folder):
    """Run an example that starts a Ray of its own, with the loggers of Tune that users have."""
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    environment.pop("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", None)  # runs of archsieve set it
    process = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", str(trials)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def imported_modules(nodes):
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("name", [*LOOPS, *DRAWN, *SEARCHED, "sklearn_classifier"])
def test_at_most_five_lines_of_a_loop_come_from_archsieve(name):
    text = (EXAMPLES / f"{name}.py").read_text()
    assert 1 < sum(line.endswith("  # archsieve") for line in text.splitlines()) <= 5
    modules = [module for module in imported_modules(ast.parse(text).body) if module.startswith("archsieve")]
    assert modules == ["archsieve"]


@pytest.mark.parametrize(
    "name",
    ["own_loop", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sklearn_style", "keras_tuner_style"))],
)
def test_a_loop_trains_each_trial_inside_the_budget_and_prints_the_best(name, run_example):
    out = run_example(name, 2)
    printed = [
        (int(number), float(accuracy), int(params.replace(",", ""))) for number, accuracy, params in LINE.findall(out)
    ]
    assert [number for number, _, _ in printed] == [0, 1]
    assert all(0 < params <= MAX_PARAMS for _, _, params in printed)
    best = re.search(r"^best: .*accuracy ([01]\.\d{4})", out, re.MULTILINE)
    assert float(best[1]) == max(accuracy for _, accuracy, _ in printed) > 0.1  # a tenth is a guess


@pytest.mark.parametrize(
    ("name", "run"),
    [("optuna_objective", "from-optuna"), pytest.param("ray_tune", "from-tune", marks=pytest.mark.slow)],
)
def test_a_loop_of_another_tool_stores_each_trial_inside_the_budget(name, run, run_example, tmp_path):
    out = run_example(name, 3)
    assert re.search(r"^3 trials; best: ", out, re.MULTILINE)
    with av.open_results(tmp_path / "runs" / "archsieve.db") as results:
        trials = results.trials(run)
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert all(trial.params <= MAX_PARAMS and trial.macs <= MAX_MACS for trial in trials)
    assert len({trial.fingerprint for trial in trials}) == 3  # no network twice
    assert all(trial.epochs_done == 3 and 0.01 <= trial.recipe["lr"] <= 0.3 for trial in trials)
    assert len(LINE.findall(out)) == 3


@pytest.mark.parametrize(
    ("name", "trials"),
    [
        ("sklearn_grid_search", 1),
        pytest.param("optuna_pruning", 3, marks=pytest.mark.slow),
        pytest.param("ray_tune_asha", 2, marks=pytest.mark.slow),
    ],
)
def test_networks_that_are_drawn_first_are_trained_inside_the_budget(name, trials, run_example):
    out = run_example(name, trials)
    accuracies = {
        int(number): float(value) for number, value in re.findall(r"^trial (\d+): accuracy ([\d.]+)", out, re.M)
    }
    assert sorted(accuracies) == list(range(trials))
    best = re.search(r"^best: .*accuracy ([01]\.\d{4})", out, re.MULTILINE)
    assert float(best[1]) == max(accuracies.values()) > 0.1  # a tenth is a guess
    params = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) params", out)]
    assert params
    assert all(0 < number <= MAX_PARAMS for number in params)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in SEARCHED])
def test_a_script_with_a_training_function_is_searched_inside_the_budget(name, ray_running, tmp_path, monkeypatch):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, "2"])
    result = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")["result"]
    assert [trial.state.value for trial in result.trials] == ["completed"] * 2
    assert all(trial.params <= MAX_PARAMS and trial.macs <= MAX_MACS for trial in result.trials)
    assert all(trial.epochs_done == 3 and trial.test_accuracy is not None for trial in result.trials)
    assert result.best[0].val_accuracy > 0.2


@pytest.mark.slow
def test_the_classifier_is_searched_and_scored(ray_running, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sklearn_classifier", "2"])
    runpy.run_path(str(EXAMPLES / "sklearn_classifier.py"), run_name="__main__")
    assert float(re.search(r"^best: accuracy ([01]\.\d{4})", capsys.readouterr().out, re.MULTILINE)[1]) > 0.2
    with av.open_results("runs/archsieve.db") as results:
        assert all(trial.params <= MAX_PARAMS for trial in results.trials())


def test_the_searcher_for_tune_limits_trials_reports_values_and_ends():
    from ray import cloudpickle
    from ray.tune.search import ConcurrencyLimiter, Searcher

    space = av.Space((1, 8, 8), [av.Conv(av.choice(8, 16, 32)), av.GlobalAverage()], classes=10)
    loop = av.ask_tell(space, searcher="random")
    search = runpy.run_path(str(EXAMPLES / "ray_tune.py"))["AskTellSearch"]
    limited = ConcurrencyLimiter(search(loop, metric="val_accuracy"), max_concurrent=2)
    first, second = limited.suggest("a"), limited.suggest("b")
    assert first["architecture"] != second["architecture"]
    assert av.Architecture.from_json(first["architecture"]).cost.params < 1_000
    assert limited.suggest("c") is None
    limited.on_trial_complete("a", {"val_accuracy": 0.5})
    limited.on_trial_complete("b", {"val_accuracy": 0.9}, error=True)
    assert loop.best[1] == 0.5
    assert cloudpickle.dumps(limited)  # a Tuner pickles its searcher
    assert [limited.suggest("d") == Searcher.FINISHED, limited.suggest("e")] == [False, Searcher.FINISHED]
