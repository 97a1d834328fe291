"""Fuzzing of every door: input from elsewhere is refused with one clear error, or accepted and can be shown.

A door gets mutations of valid input. Any error must be one that the command line reports as a single message with an
exit code; all other exceptions are bugs. The quick part has few mutations of each door, the slow one thousands.
"""

import json
import random
import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from archsieve.results.database.store import open_store
from archsieve.results.query.best import best
from archsieve.results.query.expression_query import filter_trials
from archsieve.results.query.read_only_sql import run_read_only_sql
from archsieve.results.report.report import write_report
from archsieve.results.transfer.exporter import export_runs, read_runs
from archsieve.results.transfer.importer import import_documents
from archsieve.search.cli.main import exit_code
from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.search_file import load_experiment, parse
from archsieve.search.experiment.stored_settings import search_file_of
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.blocks.standard import Conv, GlobalAverage

from .mutations import Mutate, mutated_arguments, mutated_bytes, mutated_json, mutated_text

ROOT = Path(__file__).parents[1]
EXPORT = ROOT / "docs" / "digits.parquet"
MAX_MESSAGE = 3000  # characters
QUERY = "val_accuracy > 0.7 and (params < 5M or not recipe.lr >= 0.02) and run = 'digits' and fingerprint like '0%'"
SQL = "SELECT name, count(*) FROM run JOIN trial USING (run_id) WHERE val_accuracy > 0.5 GROUP BY name LIMIT 3"
SEARCH_FILE = """
name = "a"
[data]
name = "digits"
limit = 300
[budget]
params = "20k"
[space]
stem = [8, 16]
[[space.stages]]
block = ["conv-pool", "residual"]
width = [8, 16]
[recipe]
epochs = 2
lr = {low = 0.05, high = 0.5, log = true}
[search]
trials = 4
searcher = "random"
"""
COMMAND_LINES = [
    ["results", "list", "--sort", "-params", "--top", "3", "--json"],
    ["results", "best", "--max-params", "60k", "--run", "digits"],
    ["results", "query", "params > 1k", "--sort", "macs"],
    ["results", "show", "digits:0"],
    ["results", "curve", "digits:1", "--json"],
    ["results", "compare", "digits:0", "digits:1"],
    ["status", "--json"],
    ["space", "mobile-space", "--max-params", "2M"],
    ["profile", "resnet20-cifar", "--classes", "10", "--input", "3x32x32", "--json"],
    ["db", "check"],
]


def check(door: Callable[[Any], object], seed: Any, mutate: Mutate, count: int) -> int:
    """Open the door with ``count`` mutations; return how many were accepted."""
    rng, accepted = random.Random(0), 0
    for number in range(count):
        mutation = mutate(seed, rng)
        error = refusal(door, mutation)
        if error is None:
            accepted += 1
            continue
        if exit_code(error) is None:
            raise AssertionError(f"mutation {number}: {str(mutation)[:2000]}") from error
        assert 0 < len(str(error)) <= MAX_MESSAGE, (number, str(error)[:200])
    return accepted


def refusal(door: Callable[[Any], object], mutation: Any) -> Exception | None:
    try:
        door(mutation)
    except Exception as error:
        return error
    return None


def many(quick: int, slow: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("count", [quick, pytest.param(slow, marks=pytest.mark.slow)])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("doors") / "archsieve.db"
    with open_store(path, create=True) as store:
        import_documents(store, read_runs(EXPORT))
    return path


@many(40, 3000)
def test_search_files(tmp_path, count):
    path = tmp_path / "search.toml"

    def open_text(text: str) -> None:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        load_experiment(path)

    def open_tables(tables: Any) -> None:
        experiment(parse(tables))

    check(open_text, SEARCH_FILE, mutated_text, count)
    assert check(open_tables, tomllib.loads(SEARCH_FILE), mutated_json, count) > 0


@many(20, 1000)
def test_recorded_settings(tmp_path, count):
    """The settings of a run, with its plug-ins: a database from elsewhere may have any JSON value there."""
    record = {"file": "/nowhere/my_blocks.py", "version": "1.0", "sha256": "0" * 64}
    settings = experiment(parse(tomllib.loads(SEARCH_FILE))).to_json()
    settings["plugins"] = {"modules": ["my_blocks"], "recorded": {"my_blocks": record}}
    numbers = iter(range(count))
    with open_store(tmp_path / "archsieve.db", create=True) as store:

        def open_settings(config: Any) -> None:
            data = {"content_hash": "d", "name": "d"}
            run = store.create_run(f"r{next(numbers)}", config, "random", 0, data, {})
            search_file_of(store.run(run))

        assert check(open_settings, settings, mutated_json, count) > 0


@many(150, 5000)
def test_queries(results, count):
    with open_store(results, read_only=True) as store:
        accepted = check(
            lambda text: filter_trials(store, text, sort="-val_accuracy", top=3), QUERY, mutated_text, count
        )
        check(lambda text: filter_trials(store, "params > 0", sort=text, top=3), "-recipe.lr", mutated_text, count)
    assert accepted > 0


@many(4, 300)
def test_sql(results, count):
    with open_store(results, read_only=True) as store:
        check(lambda text: run_read_only_sql(store, text), SQL, mutated_text, count)


@many(100, 5000)
def test_architectures(tmp_path, count):
    from archsieve.spaces.architectures.catalogue import CATALOGUE

    network = CATALOGUE["resnet20-cifar"]().to_json()
    small = {**network, "blocks": network["blocks"][:3]}

    def open_value(value: Any) -> None:
        architecture = Architecture.from_json(value)
        assert Architecture.from_json(architecture.to_json()) == architecture
        assert architecture.cost.params >= 0

    assert check(open_value, small, mutated_json, count) > 0


@many(60, 3000)
def test_model_files(tmp_path, count):
    from archsieve.models.export.classifier import ImageModel

    path = tmp_path / "model.safetensors"
    original = model_bytes_of(Architecture((1, 8, 8), (Conv(4), GlobalAverage()), 3))

    def open_bytes(content: bytes) -> None:
        path.write_bytes(content)
        ImageModel.load(path)

    length = int.from_bytes(original[:8], "little")
    check(open_bytes, original, mutated_bytes, count)

    def open_header(header: Any) -> None:
        text = json.dumps({**json.loads(original[8 : 8 + length]), "__metadata__": {"archsieve": json.dumps(header)}})
        encoded = text.encode("utf-8", "surrogatepass")
        open_bytes(len(encoded).to_bytes(8, "little") + encoded + original[8 + length :])

    header = json.loads(json.loads(original[8 : 8 + length])["__metadata__"]["archsieve"])
    assert check(open_header, header, mutated_json, count) > 0


def model_bytes_of(architecture: Architecture) -> bytes:
    import torch

    from archsieve.models.data.dataset import ImageData, Split
    from archsieve.models.export.classifier import ImageModel
    from archsieve.models.networks.build import build

    split = Split(torch.zeros(6, 1, 8, 8, dtype=torch.uint8), torch.arange(6) % 3)
    data = ImageData.of("made", tuple("abc"), train=split, val=split)
    return ImageModel.of(architecture, build(architecture, seed=0).state_dict(), data, {"seed": 0}).to_bytes()


@pytest.mark.parametrize("kind", [".json", ".csv", ".parquet"])
@many(12, 1000)
def test_export_files(results, tmp_path, kind, count):
    """What an import accepts can be listed, queried, reported and exported again."""
    path, numbers = tmp_path / f"runs{kind}", iter(range(10**9))
    with open_store(results, read_only=True) as store:
        export_runs(store, path, [store.runs()[0].name])

    def open_bytes(content: bytes) -> None:
        path.write_bytes(content)
        database = tmp_path / f"{next(numbers)}.db"
        with open_store(database, create=True) as store:
            import_documents(store, read_runs(path))
            show(store, tmp_path)
        database.unlink()

    check(open_bytes, path.read_bytes(), mutated_bytes, count)


def show(store: Any, folder: Path) -> None:
    """Read an accepted run as the commands do; no error is expected here, so none may have an exit code."""
    try:
        for run in store.runs():
            best(store, budget=Budget(), run=run.name, top=3)
            filter_trials(store, "params > 0", run=run.name, top=3)
            write_report(store, run.name, folder / "report.html")
        export_runs(store, folder / "again.parquet", force=True)
    except Exception as error:
        raise AssertionError("an accepted run cannot be shown") from error


@many(60, 3000)
def test_optuna_studies(count):
    """A study from elsewhere has any parameters and attributes."""
    import optuna

    from archsieve.search.integrations.optuna_study import document_of_study

    start = datetime(2025, 1, 1)
    network = Architecture.from_json({"input_shape": [1, 8, 8], "blocks": [], "classes": 10}).to_json()
    seed = {"architecture": network, "val_loss": 0.5, "params": 5}

    def open_study(attributes: Any) -> None:
        study = optuna.create_study(direction="maximize")
        study.add_trial(
            optuna.trial.FrozenTrial(
                number=0,
                trial_id=0,
                state=optuna.trial.TrialState.COMPLETE,
                value=0.5,
                datetime_start=start,
                datetime_complete=start,
                params={},
                distributions={},
                user_attrs=attributes,
                system_attrs={},
                intermediate_values={1: 0.4, 2: 0.5},
            )
        )
        document_of_study(study, dataset="d")

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    assert check(open_study, seed, mutated_json, count) > 0


@many(40, 2000)
def test_command_lines(results, line, count):
    rng = random.Random(0)
    for _ in range(count):
        arguments = mutated_arguments([*rng.choice(COMMAND_LINES), "--db", str(results)], rng)
        if arguments[:1] in (["search"], ["dashboard"]):
            continue
        code, _, err = line(*arguments)
        assert code in (0, 2, 3, 4, 5, 6), (arguments, code, err)
        assert "Traceback" not in err, (arguments, err)
        assert len(err) < 3 * MAX_MESSAGE, arguments


@many(15, 500)
def test_ray_tune_results(tmp_path, count):
    """Results from elsewhere have any configuration, and any values in their reports."""
    import pandas as pd
    from ray.tune import Result

    from archsieve.search.integrations.ray_tune_results import document_of_results

    network = Architecture((1, 8, 8), (Conv(4), GlobalAverage()), 10).to_json()
    step = {"training_iteration": 1, "timestamp": 1.7e9, "time_total_s": 2.0, "val_accuracy": 0.5, "val_loss": 1.5}
    seed = {"config": {"architecture": network, "lr": 0.1}, "rows": [step, {**step, "training_iteration": 2}]}
    names = {"val_accuracy": "val_accuracy", "val_loss": "val_loss"}
    numbers = iter(range(10**9))

    def open_results(value: Any) -> None:
        rows = value.get("rows")
        rows = rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else []
        last = (rows or [{}])[-1]
        frame = pd.DataFrame(rows) if rows and len(rows) % 2 == 0 else None  # None: the loggers of Tune were off
        result = Result({**last, "config": value.get("config")}, None, None, "/nowhere", frame)
        document = document_of_results([result], dataset="d", name="theirs", metrics=names)
        database = tmp_path / f"{next(numbers)}.db"
        with open_store(database, create=True) as store:
            import_documents(store, [document])
            show(store, tmp_path)
        database.unlink()

    assert check(open_results, seed, mutated_json, count) > 0


@many(60, 3000)
def test_plugin_names_and_entry_points(tmp_path, monkeypatch, count):
    """An installed package offers any text as its entry points, and a search file names any text as a module."""
    from archsieve.search.plugins import installed
    from archsieve.search.plugins.loading import load_entry_points, load_plugins

    (tmp_path / "my_fuzzed_blocks.py").write_text("def load():\n    pass\n")
    info = tmp_path / "my_fuzzed_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-fuzzed-package\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def open_entry_points(text: str) -> None:
        (info / "entry_points.txt").write_bytes(text.encode("utf-8", "surrogatepass"))
        installed.plugin_entry_points.cache_clear()
        load_entry_points()

    entries = (
        "[archsieve.plugins]\nblocks = my_fuzzed_blocks:load\nother = my_fuzzed_blocks\n[console_scripts]\na = b:c\n"
    )
    try:
        assert check(open_entry_points, entries, mutated_text, count) > 0
        (info / "entry_points.txt").unlink()
        installed.plugin_entry_points.cache_clear()
        check(lambda name: load_plugins([name], folders=[tmp_path]), "my_fuzzed_blocks", mutated_text, count)
    finally:
        installed.plugin_entry_points.cache_clear()
