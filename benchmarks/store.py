"""Milliseconds to record a trial and to ask for the best, beside Optuna's RDB storage and MLflow's stores.

Recording: each side runs in processes of its own, one after the other in turn, so that a drift of the machine meets
all. A trial has 10 parameters and 12 epochs; ours and MLflow take 4 metrics an epoch, Optuna its one intermediate
value. Every write is durable before the next: Optuna and MLflow with SQLite as they set it up (rollback journal,
synchronous FULL), ours as it always is (write-ahead log, synchronous NORMAL: a crash of the process loses nothing, a
power cut may lose the last moments and damages nothing).

Asking: ours with 100,000 trials and 1,000,000 metric rows; the peers with fewer, for they take minutes to fill.

    python benchmarks/store.py [--rounds 3] [--trials 100000] [--mlflow PYTHON]

MLflow needs older packages than archsieve: --mlflow names the interpreter of an environment with `pip install mlflow`.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

PARAMS, EPOCHS = 10, 12
PATHS = ("2", "3", "4", "1.conv.width", *(f"{stage}.{of}" for stage in "234" for of in ("times", "width", "kernel")))
METRICS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")


QUESTIONS = (  # the first ten of those that match, and how many match
    ("val_accuracy > 0.7 and params < 5M", "-val_accuracy"),
    ("val_accuracy > 0.9 and params < 500k", "-val_accuracy"),
    ("epochs_done = 10 and macs < 100M", "macs"),
    ("duration_s > 20", "-duration_s"),
    ("train_accuracy > 0.9", ""),
    ("state = 'failed' and fail_kind = 'oom'", "trial"),
    ("fingerprint like '00%'", ""),
    ("run = 'run' and dataset = 'd' and depth > 5", ""),
    ("recipe.lr < 0.02 and val_accuracy > 0.7", "-val_accuracy"),
    ("recipe.lr < 0.011", "recipe.lr"),
    ("choices.2.width = 1 and choices.3.width = 2", ""),
)


def record_ours(folder: Path, trials: int) -> float:
    from archsieve.results.database.records import TrialState
    from archsieve.results.database.store import open_store

    cost = {"params": 1, "macs": 1, "activations": 1, "memory_bytes": 1}
    recipe = {f"p{number}": 0.5 for number in range(PARAMS)}
    with open_store(folder / "ours.db", create=True) as store:
        run = store.create_run("run", {}, "random", 0, {"content_hash": "d", "name": "d"}, {})

        def one(name: str) -> None:
            told = {"architecture": {"n": name}, "fingerprint": name, "cost": cost, "choices": {}, "recipe": recipe}
            trial = store.propose(run, **told, seed=0).trial
            store.start(trial)
            for epoch in range(1, EPOCHS + 1):
                store.record_epoch(trial, epoch, dict.fromkeys(METRICS, 0.5))
            store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": 0.5})

        return timed(one, trials)


def record_optuna(folder: Path, trials: int) -> float:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(storage=f"sqlite:///{folder}/optuna.db", sampler=sampler, direction="maximize")

    def one(name: str) -> None:
        trial = study.ask()
        for number in range(PARAMS):
            trial.suggest_float(f"p{number}", 0, 1)
        for epoch in range(1, EPOCHS + 1):
            trial.report(0.5, epoch)
        study.tell(trial, 0.5)

    return timed(one, trials)


def record_mlflow(folder: Path, trials: int, uri: str) -> float:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("e", artifact_location=str(folder / "artifacts"))

    def one(name: str) -> None:
        from mlflow.entities import Metric, Param

        run = client.create_run(experiment).info.run_id
        client.log_batch(run, params=[Param(f"p{number}", "0.5") for number in range(PARAMS)])
        for epoch in range(1, EPOCHS + 1):
            client.log_batch(run, metrics=[Metric(metric, 0.5, 0, epoch) for metric in METRICS])
        client.set_terminated(run)

    return timed(one, trials)


def timed(one: Callable[[str], None], trials: int) -> float:
    """Milliseconds a trial; the first two, which warm caches up, do not count."""
    one("warm 1")
    one("warm 2")
    began = time.perf_counter()
    for number in range(trials):
        one(f"t{number}")
    return (time.perf_counter() - began) / trials * 1e3


def fill(path: Path, trials: int) -> None:
    """A store with random trials of the size that a search's have, each with the metrics of ten epochs."""
    from sqlalchemy import insert

    from archsieve.results.database import schema
    from archsieve.results.database.store import open_store

    rng, at = random.Random(0), datetime.now(UTC)
    with open_store(path, create=True) as store:
        run = store.create_run("run", {}, "random", 0, {"content_hash": "d", "name": "d"}, {})
        for first in range(0, trials, 10_000):
            numbers = range(first, min(trials, first + 10_000))
            rows = [a_trial(run, number, at, rng) for number in numbers]
            metrics = [
                {"trial_id": number + 1, "name": "val_accuracy", "step": step, "value": step / 20, "special": None}
                for number in numbers
                for step in range(1, 11)
            ]
            with store.writing() as connection:
                connection.execute(insert(schema.architecture), [an_architecture(row) for row in rows])
                connection.execute(insert(schema.trial), rows)
                connection.execute(insert(schema.metric), metrics)


def a_trial(run: int, number: int, at: datetime, rng: random.Random) -> dict[str, object]:
    """A row of the table of trials; one in fifty failed."""
    from archsieve.spaces.recipes.recipe import Recipe

    params = rng.randint(10_000, 10_000_000)
    accuracy = min(1.0, 0.5 + rng.gauss(0.2, 0.05) + params / 10**8)
    ended = {
        **{"state": "completed", "val_accuracy": accuracy, "val_loss": 2 - accuracy, "test_accuracy": accuracy},
        **{"train_accuracy": min(1.0, accuracy + 0.02), "train_loss": 1.9 - accuracy, "best_epoch": 9},
        **{"fail_kind": None, "reason": None},
    }
    if number % 50 == 49:
        ended = dict.fromkeys(ended) | {"state": "failed", "fail_kind": "oom", "reason": "the GPU had no memory left"}
    recipe = Recipe(epochs=10, lr=10 ** rng.uniform(-2, 0), dropout=rng.choice((0.0, 0.1, 0.3)))
    seconds = rng.uniform(2, 30)
    return {
        **{"trial_id": number + 1, "run_id": run, "number": number, "fingerprint": f"{rng.getrandbits(256):064x}"},
        **{"choices": {path: rng.randint(0, 3) for path in PATHS}, "recipe": recipe.to_json(), "epochs_done": 10},
        **{"seed": rng.getrandbits(31), "params": params, "macs": 60 * params + rng.randint(0, 10**8)},
        **{"activations": params // 3, "memory_bytes": params * 40, "device": "cpu", "duration_s": seconds},
        **{"created_at": at, "started_at": at, "ended_at": at + timedelta(seconds=seconds), **ended},
    }


def an_architecture(row: dict[str, object]) -> dict[str, object]:
    """The row of the architecture of a trial; no two are the same, as in a search."""
    block = {"kind": "conv", "width": 32, "kernel": 3, "stride": 1, "padding": None, "groups": 1, "norm": True}
    costs = {name: row[name] for name in ("fingerprint", "params", "macs", "activations", "memory_bytes")}
    return {**costs, "json": {"blocks": [block] * 6, "classes": 10}, "depth": 7, "input_shape": [3, 32, 32]}


def ask_ours(path: Path, n: int) -> dict[str, list[float]]:
    from archsieve.results.database.store import open_store
    from archsieve.results.query.best import best
    from archsieve.results.query.expression_query import ask
    from archsieve.results.query.pareto_sql import front
    from archsieve.spaces.architectures.budget import Budget

    budget = Budget(params=500_000, macs=30_000_000)
    with open_store(path, read_only=True) as store:

        def asked(question: str, sort: str) -> Callable[[], object]:
            return lambda: ask(store, question, sort=sort, top=10)

        acts: dict[str, Callable[[], object]] = {
            "best under params <= 500k and macs <= 30M": lambda: best(store, budget=budget),
            "front of val_accuracy and macs": lambda: front(store, ("val_accuracy", "macs")),
            **{
                f"query, {question}{' --sort ' * bool(sort)}{sort}": asked(question, sort)
                for question, sort in QUESTIONS
            },
        }
        return {name: several(act, n) for name, act in acts.items()}


def ask_optuna(folder: Path, trials: int, n: int) -> dict[str, list[float]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url, rng = f"sqlite:///{folder}/many.db", random.Random(0)
    study = optuna.create_study(study_name="s", storage=url, direction="maximize")
    macs = optuna.distributions.FloatDistribution(0, 1)
    told = [
        optuna.create_trial(value=rng.random(), params={"macs": rng.random()}, distributions={"macs": macs})
        for _ in range(trials)
    ]
    study.add_trials(told)

    def best() -> object:
        """As its documentation has it: read all trials, keep those inside."""
        opened = optuna.load_study(study_name="s", storage=url)
        return max((t for t in opened.get_trials(deepcopy=False) if t.params["macs"] <= 0.3), key=lambda t: t.value)

    return {f"Optuna, best under a budget, {trials:,} trials": several(best, n)}


def several(act: Callable[[], object], n: int) -> list[float]:
    act()
    found = []
    for _ in range(n):
        began = time.perf_counter()
        act()
        found.append((time.perf_counter() - began) * 1e3)
    return found


def in_process(python: str, *arguments: str) -> object:
    """What this file says, run by ``python`` with ``arguments``, in a process and a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        told = [python, __file__, "--side", *arguments, "--folder", folder]
        quiet = {**os.environ, "MLFLOW_ENABLE_ASYNC_LOGGING": "false", "MLFLOW_ALLOW_FILE_STORE": "true"}
        result = subprocess.run(told, capture_output=True, text=True, env=quiet, check=False)
        if result.returncode:
            raise SystemExit(result.stderr[-2000:])
        return json.loads(result.stdout.splitlines()[-1])


def side(name: str, trials: int, folder: Path, n: int) -> object:
    match name:
        case "ours":
            return record_ours(folder, trials)
        case "optuna":
            return record_optuna(folder, trials)
        case "mlflow-sqlite":
            return record_mlflow(folder, trials, f"sqlite:///{folder}/mlflow.db")
        case "mlflow-file":
            return record_mlflow(folder, trials, (folder / "mlruns").as_uri())
        case "ask":
            fill(folder / "many.db", trials)
            return ask_ours(folder / "many.db", n)
        case "ask-optuna":
            return ask_optuna(folder, trials, n)
    raise SystemExit(f"no side {name}")


def line(name: str, values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"| {name} | {statistics.median(values):.3g} | {low:.3g} to {high:.3g} | {len(values)} |"


def versions(mlflow: str | None) -> str:
    from importlib.metadata import version

    told = [f"{name} {version(name)}" for name in ("sqlalchemy", "optuna")]
    if mlflow is not None:
        said = [mlflow, "-c", "from importlib.metadata import version; print(version('mlflow'))"]
        told.append(f"mlflow {subprocess.run(said, capture_output=True, text=True, check=True).stdout.strip()}")
    import sqlite3

    told.append(f"SQLite {sqlite3.sqlite_version}")
    load = f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"
    return ", ".join([f"Python {platform.python_version()}", *told, load])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", type=int, default=100, help="trials that ours records in a round")
    parser.add_argument("--peer-record", type=int, default=10)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--peer-trials", type=int, default=1_000)
    parser.add_argument("--n", type=int, default=20, help="times each question is asked")
    parser.add_argument("--mlflow", help="a Python that has MLflow")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(side(given.side, given.trials, given.folder, given.n)))
        return
    print(versions(given.mlflow), end="\n\n")
    sides = ["ours", "optuna", *(["mlflow-sqlite", "mlflow-file"] if given.mlflow else [])]
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(given.rounds):
        for name in sides:
            python = given.mlflow if name.startswith("mlflow") else sys.executable
            count = given.record if name == "ours" else given.peer_record
            found[name].append(float(in_process(python, name, "--trials", str(count))))  # type: ignore[arg-type]
    print("| recording | ms a trial, median | range of the rounds | rounds |\n|---|---|---|---|")
    for name, values in found.items():
        print(line(name, values))
    ours = statistics.median(found["ours"])
    print(f"\nOptuna takes {statistics.median(found['optuna']) / ours:.0f} times as long to record a trial.\n")
    print(f"| asking {given.trials:,} trials | ms, median | range | n |\n|---|---|---|---|")
    for name, count in (("ask", given.trials), ("ask-optuna", given.peer_trials)):
        told = in_process(sys.executable, name, "--trials", str(count), "--n", str(given.n))
        for question, values in told.items():  # type: ignore[attr-defined]
            print(line(question, values))


if __name__ == "__main__":
    main()
