"""Compare milliseconds to record a trial and to query the best trials with Optuna's RDB storage and MLflow's stores.

Recording: each side runs in its own process. The sides alternate, so that a drift of the machine's speed affects all. A
trial has 10 parameters and 12 epochs. Ours and MLflow record 4 metrics per epoch, Optuna its single intermediate value.
Every write is durable before the next one. Optuna and MLflow use SQLite with their own settings (rollback journal,
synchronous FULL). Ours uses its normal settings (write-ahead log, synchronous NORMAL): a crash of the process loses
nothing; a power failure can lose the last writes but does not corrupt the database.

Queries: ours has 100,000 trials and 1,000,000 metric rows. The peers have fewer, because filling them takes minutes.

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
CHOICE_PATHS = (
    "2",
    "3",
    "4",
    "1.conv.width",
    *(f"{stage}.{of}" for stage in "234" for of in ("times", "width", "kernel")),
)
METRICS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")


QUERIES = (  # (query, sort); each returns the first ten matching trials and the number of matches
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


def record_ours(folder: Path, trials: int, *, with_predictions: bool = False) -> float:
    from archsieve.results.database.records import TrialState
    from archsieve.results.database.store import open_store

    predictions = random_predictions() if with_predictions else None
    cost = {"params": 1, "macs": 1, "activations": 1, "memory_bytes": 1}
    recipe = {f"p{number}": 0.5 for number in range(PARAMS)}
    with open_store(folder / "ours.db", create=True) as store:
        run = store.create_run("run", {}, "random", 0, {"content_hash": "d", "name": "d"}, {})

        def record_trial(name: str) -> None:
            proposal = {"architecture": {"n": name}, "fingerprint": name, "cost": cost, "choices": {}, "recipe": recipe}
            trial = store.propose(run, **proposal, seed=0).trial
            store.start(trial)
            for epoch in range(1, EPOCHS + 1):
                store.record_epoch(trial, epoch, dict.fromkeys(METRICS, 0.5))
            store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": 0.5}, predictions=predictions)

        return timed(record_trial, trials)


def random_predictions(n: int = 359, k: int = 10) -> dict[str, object]:
    """Return what a trial stores of the validation images of the digits."""
    import numpy as np

    from archsieve.results.database.prediction_records import Predictions

    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(0, k, n), rng.dirichlet(np.ones(k), n)
    of_label = probabilities[np.arange(n), labels]
    return Predictions(
        *(n, k, np.arange(n), labels, probabilities.argmax(1)),
        rank=(probabilities > of_label[:, None]).sum(1),
        label_probability=of_label,
        probabilities=probabilities,
    ).to_json()


def record_optuna(folder: Path, trials: int) -> float:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(storage=f"sqlite:///{folder}/optuna.db", sampler=sampler, direction="maximize")

    def record_trial(name: str) -> None:
        trial = study.ask()
        for number in range(PARAMS):
            trial.suggest_float(f"p{number}", 0, 1)
        for epoch in range(1, EPOCHS + 1):
            trial.report(0.5, epoch)
        study.tell(trial, 0.5)

    return timed(record_trial, trials)


def record_mlflow(folder: Path, trials: int, uri: str) -> float:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("e", artifact_location=str(folder / "artifacts"))

    def record_trial(name: str) -> None:
        from mlflow.entities import Metric, Param

        run = client.create_run(experiment).info.run_id
        client.log_batch(run, params=[Param(f"p{number}", "0.5") for number in range(PARAMS)])
        for epoch in range(1, EPOCHS + 1):
            client.log_batch(run, metrics=[Metric(metric, 0.5, 0, epoch) for metric in METRICS])
        client.set_terminated(run)

    return timed(record_trial, trials)


def timed(record_trial: Callable[[str], None], trials: int) -> float:
    """Return the milliseconds per trial; the first two trials warm up caches and do not count."""
    record_trial("warm 1")
    record_trial("warm 2")
    started = time.perf_counter()
    for number in range(trials):
        record_trial(f"t{number}")
    return (time.perf_counter() - started) / trials * 1e3


def fill(path: Path, trials: int) -> None:
    """Fill a store with random trials of realistic size, each with the metrics of ten epochs."""
    from sqlalchemy import insert

    from archsieve.results.database import schema
    from archsieve.results.database.store import open_store

    rng, now = random.Random(0), datetime.now(UTC)
    with open_store(path, create=True) as store:
        run = store.create_run("run", {}, "random", 0, {"content_hash": "d", "name": "d"}, {})
        # bulk inserts in parts: recording 100,000 trials one by one takes too long, one insert too much memory
        for first in range(0, trials, 10_000):
            numbers = range(first, min(trials, first + 10_000))
            rows = [trial_row(run, number, now, rng) for number in numbers]
            metrics = [
                {"trial_id": number + 1, "name": "val_accuracy", "step": step, "value": step / 20, "special": None}
                for number in numbers
                for step in range(1, 11)
            ]
            with store.write_transaction() as connection:
                connection.execute(insert(schema.architecture), [architecture_row(row) for row in rows])
                connection.execute(insert(schema.trial), rows)
                connection.execute(insert(schema.metric), metrics)


def trial_row(run: int, number: int, now: datetime, rng: random.Random) -> dict[str, object]:
    """Return a row of the table of trials; one in fifty failed."""
    from archsieve.spaces.recipes.recipe import Recipe

    params = rng.randint(10_000, 10_000_000)
    # accuracy rises slightly with the size of the network
    accuracy = min(1.0, 0.5 + rng.gauss(0.2, 0.05) + params / 10**8)
    outcome = {
        **{"state": "completed", "val_accuracy": accuracy, "val_loss": 2 - accuracy, "test_accuracy": accuracy},
        **{"train_accuracy": min(1.0, accuracy + 0.02), "train_loss": 1.9 - accuracy, "best_epoch": 9},
        **{"fail_kind": None, "reason": None},
    }
    if number % 50 == 49:
        outcome = dict.fromkeys(outcome) | {
            "state": "failed",
            "fail_kind": "oom",
            "reason": "the GPU had no memory left",
        }
    recipe = Recipe(epochs=10, lr=10 ** rng.uniform(-2, 0), dropout=rng.choice((0.0, 0.1, 0.3)))
    seconds = rng.uniform(2, 30)
    return {
        **{"trial_id": number + 1, "run_id": run, "number": number, "fingerprint": f"{rng.getrandbits(256):064x}"},
        **{
            "choices": {path: rng.randint(0, 3) for path in CHOICE_PATHS},
            "recipe": recipe.to_json(),
            "epochs_done": 10,
        },
        **{"seed": rng.getrandbits(31), "params": params, "macs": 60 * params + rng.randint(0, 10**8)},
        **{"activations": params // 3, "memory_bytes": params * 40, "device": "cpu", "duration_s": seconds},
        **{"created_at": now, "started_at": now, "ended_at": now + timedelta(seconds=seconds), **outcome},
    }


def architecture_row(row: dict[str, object]) -> dict[str, object]:
    """Return the row of a trial's architecture; all are different, as in a search."""
    block = {"kind": "conv", "width": 32, "kernel": 3, "stride": 1, "padding": None, "groups": 1, "norm": True}
    costs = {name: row[name] for name in ("fingerprint", "params", "macs", "activations", "memory_bytes")}
    return {**costs, "json": {"blocks": [block] * 6, "classes": 10}, "depth": 7, "input_shape": [3, 32, 32]}


def ask_ours(path: Path, n: int) -> dict[str, list[float]]:
    from archsieve.results.database.store import open_store
    from archsieve.results.query.best import best
    from archsieve.results.query.expression_query import filter_trials
    from archsieve.results.query.pareto_sql import front
    from archsieve.spaces.architectures.budget import Budget

    budget = Budget(params=500_000, macs=30_000_000)
    with open_store(path, read_only=True) as store:

        def query_action(query: str, sort: str) -> Callable[[], object]:
            return lambda: filter_trials(store, query, sort=sort, top=10)

        actions: dict[str, Callable[[], object]] = {
            "best under params <= 500k and macs <= 30M": lambda: best(store, budget=budget),
            "front of val_accuracy and macs": lambda: front(store, ("val_accuracy", "macs")),
            **{f"query, {query}{' --sort ' * bool(sort)}{sort}": query_action(query, sort) for query, sort in QUERIES},
        }
        return {name: repeated_ms(action, n) for name, action in actions.items()}


def ask_optuna(folder: Path, trials: int, n: int) -> dict[str, list[float]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url, rng = f"sqlite:///{folder}/many.db", random.Random(0)
    study = optuna.create_study(study_name="s", storage=url, direction="maximize")
    macs = optuna.distributions.FloatDistribution(0, 1)
    created = [
        optuna.create_trial(value=rng.random(), params={"macs": rng.random()}, distributions={"macs": macs})
        for _ in range(trials)
    ]
    study.add_trials(created)

    def best() -> object:
        """Read all trials and keep those inside the budget, as Optuna's documentation recommends."""
        opened = optuna.load_study(study_name="s", storage=url)
        return max((t for t in opened.get_trials(deepcopy=False) if t.params["macs"] <= 0.3), key=lambda t: t.value)

    return {f"Optuna, best under a budget, {trials:,} trials": repeated_ms(best, n)}


def repeated_ms(action: Callable[[], object], n: int) -> list[float]:
    """Return the milliseconds of ``n`` calls of ``action``."""
    action()  # warms up caches, not timed
    times = []
    for _ in range(n):
        started = time.perf_counter()
        action()
        times.append((time.perf_counter() - started) * 1e3)
    return times


def in_process(python: str, *arguments: str) -> object:
    """Run this file with ``python`` and ``arguments`` in a new process and a new folder, and return its JSON output."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, __file__, "--side", *arguments, "--folder", folder]
        quiet = {**os.environ, "MLFLOW_ENABLE_ASYNC_LOGGING": "false", "MLFLOW_ALLOW_FILE_STORE": "true"}
        result = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
        if result.returncode:
            raise SystemExit(result.stderr[-2000:])
        return json.loads(result.stdout.splitlines()[-1])


def side(name: str, trials: int, folder: Path, n: int) -> object:
    match name:
        case "ours":
            return record_ours(folder, trials)
        case "ours with predictions":
            return record_ours(folder, trials, with_predictions=True)
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
    raise SystemExit(f"unknown side {name!r}")


def line(name: str, values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"| {name} | {statistics.median(values):.3g} | {low:.3g} to {high:.3g} | {len(values)} |"


def versions(mlflow: str | None) -> str:
    from importlib.metadata import version

    texts = [f"{name} {version(name)}" for name in ("sqlalchemy", "optuna")]
    if mlflow is not None:
        command = [mlflow, "-c", "from importlib.metadata import version; print(version('mlflow'))"]
        texts.append(f"mlflow {subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()}")
    import sqlite3

    texts.append(f"SQLite {sqlite3.sqlite_version}")
    load = f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"
    return ", ".join([f"Python {platform.python_version()}", *texts, load])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", type=int, default=100, help="trials per round that archsieve records")
    parser.add_argument("--peer-record", type=int, default=10)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--peer-trials", type=int, default=1_000)
    parser.add_argument("--n", type=int, default=20, help="repetitions of each query")
    parser.add_argument("--mlflow", help="the Python interpreter of an environment with MLflow")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(side(args.side, args.trials, args.folder, args.n)))
        return
    print(versions(args.mlflow), end="\n\n")
    sides = ["ours", "ours with predictions", "optuna", *(["mlflow-sqlite", "mlflow-file"] if args.mlflow else [])]
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name in sides:
            python = args.mlflow if name.startswith("mlflow") else sys.executable
            count = args.record if name.startswith("ours") else args.peer_record
            times[name].append(float(in_process(python, name, "--trials", str(count))))  # type: ignore[arg-type]
    print("| recording | ms per trial, median | range over rounds | rounds |\n|---|---|---|---|")
    for name, values in times.items():
        print(line(name, values))
    ours = statistics.median(times["ours"])
    print(f"\nOptuna takes {statistics.median(times['optuna']) / ours:.0f} times as long to record a trial.\n")
    print(f"| query on {args.trials:,} trials | ms, median | range | n |\n|---|---|---|---|")
    for name, count in (("ask", args.trials), ("ask-optuna", args.peer_trials)):
        times_by_query = in_process(sys.executable, name, "--trials", str(count), "--n", str(args.n))
        for query, values in times_by_query.items():  # type: ignore[attr-defined]
            print(line(query, values))


if __name__ == "__main__":
    main()
