"""Complete searches: with a running Ray, training and a real database."""

import json
import re

import pytest

from archsieve.results.analysis.intervals import top_5_error
from archsieve.results.database.errors import RunExistsError
from archsieve.results.database.prediction_records import predictions_of
from archsieve.results.database.records import FailKind, TrialState
from archsieve.results.database.store import open_store
from archsieve.results.maintenance.backup import back_up
from archsieve.results.query.best import best
from archsieve.results.report.report import write_report
from archsieve.search.api.results import open_results
from archsieve.search.cli.headline import top_5_column
from archsieve.search.cluster.errors import ResourceError
from archsieve.search.cluster.provenance import provenance
from archsieve.search.config.schema import DECODING_KEYS
from archsieve.search.experiment.experiment import load_run_data
from archsieve.search.post.integrity import check_runs
from archsieve.search.runs.session import restored, resume, search
from archsieve.search.runs.thumbnails import read_thumbnails
from archsieve.search.trials.trainable import fail_kind
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import Conv, GlobalAverage, ResponseNorm
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.indexing import walk
from archsieve.spaces.parameters.domains import choice
from archsieve.spaces.search_space.space import Space

from ..conftest import TWO_WORKERS, python, small

pytestmark = pytest.mark.usefixtures("ray_running")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, ray_running):
    return search(small(resources=TWO_WORKERS), name="first", runs=tmp_path_factory.mktemp("runs"))


def test_a_search_trains_records_and_returns_trials(outcome):
    assert [trial.state for trial in outcome.trials] == [TrialState.COMPLETED] * 4
    assert not outcome.exhausted
    for trial in outcome.trials:
        assert trial.params <= 20_000
        assert trial.macs <= 1_000_000
        assert cost(Architecture.from_json(trial.architecture), 64).to_json() == {
            name: getattr(trial, name) for name in ("params", "macs", "activations", "memory_bytes")
        }
        assert trial.epochs_done == 2
        assert trial.test_accuracy is not None
    assert outcome.best[0].val_accuracy == max(trial.val_accuracy for trial in outcome.trials)
    assert outcome.report.stat().st_size > 10_000


def test_stored_predictions_give_intervals_equals_and_images_of_mistakes(outcome, tmp_path):
    trial = outcome.best[0]
    with open_store(outcome.database, read_only=True) as store:
        for one in outcome.trials:
            predictions = predictions_of(store, one)
            assert (predictions.labels == predictions.predicted).mean() == pytest.approx(one.val_accuracy)
        assert outcome.measured[0].interval.low < trial.val_accuracy < outcome.measured[0].interval.high
        assert outcome.winner.best == trial
        assert outcome.winner.n_compared == 3
        assert top_5_error(store, trial).value == outcome.top_5_errors[0].value
        shown = top_5_column(store, [*outcome.best[:1]] * 21)["top-5 error"]
        assert shown == [f"{outcome.top_5_errors[0].value:.4f}"] * 20 + [""]
        test_top_5 = store.test_metrics(trial.trial)["test_top_5_accuracy"]
        assert trial.test_accuracy <= test_top_5 <= 1
        thumbnails = read_thumbnails(store, store.run("first"))
        path = write_report(store, "first", tmp_path / "report.html", thumbnails)
    html, without = (one.read_text(encoding="utf-8").split("</script>", 1)[1] for one in (path, outcome.report))
    assert html.count("data:image/png;base64,") == without.count("data:image/png;base64,") == len(thumbnails.images) > 0
    assert max(map(len, thumbnails.images.values())) < 20_000
    assert "confusion" in html
    assert f"{1 - test_top_5:.4f}" in html[html.index("test top-5 error") :]
    with open_results(outcome.database) as results:
        assert results.with_interval(trial) == outcome.measured[0]
        assert results.compare(trial.trial, outcome.best[1].trial).test == "McNemar exact"
        assert results.classes(trial).n == outcome.measured[0].interval.n


def test_the_database_holds_every_epoch_and_layer(outcome):
    with open_store(outcome.database, read_only=True) as store:
        assert store.run("first").status.value == "finished"
        for trial in outcome.trials:
            curve = store.curve(trial.trial)
            assert [step for step, _ in curve["val_accuracy"]] == [1, 2]
            assert max(value for _, value in curve["val_accuracy"]) == trial.val_accuracy
            assert sum(layer["params"] for layer in store.layers(trial.fingerprint)) == trial.params
        assert best(store, budget=Budget(params=20_000))[0].trial == outcome.best[0].trial
        (driver,) = store.provenance("first")
        assert driver["versions"]["torch"].startswith("2.")


def test_after_a_refusal_the_name_is_free(tmp_path):
    too_much = small(resources={"cpus_per_trial": 10_000})
    with pytest.raises(ResourceError, match=r"cpus_per_trial.* 10,?000 CPUs"):
        search(too_much, name="short", runs=tmp_path)
    assert search(small(search={"trials": 1}), name="short", runs=tmp_path).complete


def test_the_scratch_files_of_tune_are_removed(outcome):
    assert not (outcome.report.parent / "tune").exists()


def test_a_name_that_exists_is_refused_before_anything_is_trained(outcome):
    before = outcome.database.stat().st_mtime_ns
    with pytest.raises(RunExistsError, match=r"'first'.*'first-2'"):
        search(small(), name="first", runs=outcome.database.parent)
    assert outcome.database.stat().st_mtime_ns == before


@pytest.mark.parametrize("leftover", ["checkpoints/1/3.pt", "spool/1-2.jsonl"])
def test_files_of_a_run_in_another_database_are_kept(tmp_path, leftover):
    (tmp_path / "theirs" / leftover).parent.mkdir(parents=True)
    (tmp_path / "theirs" / leftover).write_bytes(b"theirs")
    with pytest.raises(ValueError, match=rf"{tmp_path}/theirs/.*'theirs'.*--name"):
        search(small(), name="theirs", runs=tmp_path, database=tmp_path / "mine.db")
    assert (tmp_path / "theirs" / leftover).read_bytes() == b"theirs"
    assert not (tmp_path / "mine.db").exists()


def test_the_same_seed_gives_the_same_trials(outcome, tmp_path):
    repeated = search(small(), name="again", runs=tmp_path)  # one worker, not two
    assert [t.fingerprint for t in repeated.trials] == [t.fingerprint for t in outcome.trials]
    assert [t.recipe for t in repeated.trials] == [t.recipe for t in outcome.trials]
    assert [t.val_accuracy for t in repeated.trials] == [t.val_accuracy for t in outcome.trials]


def update_trial(trial, **values):
    assignments = ", ".join(f"{name} = {value}" for name, value in values.items())
    return f"UPDATE trial SET {assignments} WHERE trial_id = {trial}"


@pytest.mark.parametrize(
    ("statement", "facts"),
    [
        (update_trial(1, recipe="json_set(recipe, '$.lr', 77.0)"), "trial 1 .*recipe"),
        (update_trial(1, recipe="json_set(recipe, '$.epochs', 5)"), "trial 1 .*2 of 5 epochs"),
        ("UPDATE architecture SET json = '{}'", "trial 1 .*ValueError"),
    ],
)
def test_the_check_finds_a_trial_that_contradicts_its_run(outcome, tmp_path, statement, facts):
    back_up(outcome.database, tmp_path / "archsieve.db")
    with open_store(tmp_path / "archsieve.db") as store:
        assert check_runs(store, tmp_path, deep=True) == []
        with store.write_transaction() as connection:
            connection.exec_driver_sql(statement)
        broken = check_runs(store, tmp_path, deep=True)
    assert any(one.invariant == "I6" and re.search(facts, one.message) for one in broken), broken


def test_the_check_finds_a_repeated_trial(outcome, tmp_path):
    back_up(outcome.database, tmp_path / "archsieve.db")
    same = ("fingerprint", "choices", "recipe", "params", "macs", "activations", "memory_bytes")
    with open_store(tmp_path / "archsieve.db") as store:
        with store.write_transaction() as connection:
            assignments = ", ".join(f"{name} = (SELECT {name} FROM trial WHERE trial_id = 1)" for name in same)
            connection.exec_driver_sql(f"UPDATE trial SET {assignments} WHERE trial_id = 2")
        broken = check_runs(store, tmp_path, deep=True)
    (repeated,) = broken
    assert re.search(r"trial 2 .*trial 1\b", repeated.message)


def test_the_check_skips_the_checkpoints_of_an_active_run(outcome, tmp_path):
    back_up(outcome.database, tmp_path / "archsieve.db")
    notes: list[str] = []
    with open_store(tmp_path / "archsieve.db") as store:
        run_id = store.resume_run("first", provenance())
        partial = tmp_path / "first" / "checkpoints" / "1" / "3.tmp"
        partial.parent.mkdir(parents=True)
        partial.touch()
        assert check_runs(store, tmp_path, note=notes.append) == []
        assert "run first" in notes[0]
        store.finish_run(run_id, "finished")
        assert [broken.invariant for broken in check_runs(store, tmp_path)] == ["I5"]


def test_failed_trials_are_recorded_and_the_search_continues(tmp_path):
    """One of three learning rates is far too large: those trials diverge, the others finish."""
    experiment = small(recipe={"lr": [0.1, 0.2, 1e30], "epochs": 1}, search={"trials": 9, "seed": 2})
    outcome = search(experiment, name="some", runs=tmp_path)
    for trial in outcome.trials:
        diverged = trial.recipe["lr"] == 1e30
        assert trial.state is (TrialState.FAILED if diverged else TrialState.COMPLETED)
        assert (trial.fail_kind is FailKind.DIVERGED) == diverged
    assert 0 < len(outcome.failed) < 9
    assert "Diverged" in outcome.common_reason
    assert len(outcome.best) > 0
    with open_store(outcome.database, read_only=True) as store, store.read_transaction() as connection:
        attempts = connection.exec_driver_sql("SELECT node, pid, device FROM attempt").all()
    assert len(attempts) == 9
    # Trials that fail in their first epoch have a node, process and device, too.
    assert None not in {value for row in attempts for value in row}


@pytest.mark.slow  # the test before this one has failed trials of one cause, test_cli.py those of a whole run
def test_a_recipe_that_cannot_train_fails_every_trial_with_its_reason(tmp_path):
    outcome = search(small(recipe={"batch_size": 1}, search={"trials": 2}), name="none", runs=tmp_path)
    assert [trial.fail_kind for trial in outcome.trials] == [FailKind.USER_ERROR] * 2
    assert outcome.best == ()
    assert "batch norm" in outcome.common_reason
    assert outcome.report.exists()


def test_the_recipe_of_one_network_is_tuned(tmp_path):
    experiment = small(
        space={"name": "plain20-cifar"},
        budget={"params": "300k", "macs": "3M"},
        recipe={"epochs": 1},
        search={"trials": 2},
    )
    outcome = search(experiment, name="one", runs=tmp_path)
    assert len({trial.fingerprint for trial in outcome.trials}) == 1
    assert len({trial.recipe["lr"] for trial in outcome.trials}) == 2


def test_a_space_written_in_python_is_kept_with_the_run_and_ends_it_when_it_runs_out(tmp_path):
    space = Space((1, 8, 8), (Conv(choice(8, 12), groups=1), choice((), ResponseNorm()), GlobalAverage()), 10, "mine")
    recipe, settings = {"epochs": 1, "lr": 0.1}, {"trials": 2, "searcher": "grid"}
    experiment = small(space={"written": space}, recipe=recipe, search=settings)
    outcome = search(experiment, name="mine", runs=tmp_path)
    assert not outcome.exhausted
    more = resume("mine", trials=10, runs=tmp_path)
    points = {architecture.fingerprint for _, architecture in walk(ConstrainedSpace(space, experiment.budget))}
    assert more.exhausted
    assert len(more.trials) == len(points) == 4
    assert {trial.fingerprint for trial in more.trials} == points
    assert [trial.fingerprint for trial in more.trials[:2]] == [trial.fingerprint for trial in outcome.trials]


@pytest.mark.parametrize(
    ("space", "facts"),
    [
        (
            {"written": {"blocks": []}},
            r"Space\.to_json.*KeyError",
        ),
        (
            {"written": Space((1, 8, 8), (GlobalAverage(),), 7)},
            r"10 classes.* 7",
        ),
        ({"written": Space((1, 8, 8), (GlobalAverage(),), 10), "name": "mixed"}, r"space\.name"),
    ],
)
def test_a_space_that_does_not_belong_to_the_data_is_refused(space, facts):
    with pytest.raises(ValueError, match=facts):
        small(space=space)


@pytest.mark.slow  # test_schedulers.py stops trials of known curves
def test_asha_stops_weak_trials_early(tmp_path):
    experiment = small(recipe={"epochs": 4}, search={"trials": 8, "scheduler": "asha", "reduction_factor": 2})
    outcome = search(experiment, name="asha", runs=tmp_path)
    stopped = [trial for trial in outcome.trials if trial.state is TrialState.STOPPED_EARLY]
    finished = [trial for trial in outcome.trials if trial.state is TrialState.COMPLETED]
    assert len(stopped) + len(finished) == 8
    assert 0 < len(stopped) < 8
    assert all(1 <= trial.epochs_done < 4 for trial in stopped)
    assert all(trial.epochs_done == 4 for trial in finished)


def test_an_image_folder_is_searched(tmp_path, caplog):
    from PIL import Image

    for name, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for i in range(20):
            Image.new("RGB", (20, 16), tuple(c + i for c in colour)).save(folder / f"{i}.png")
    (tmp_path / "images" / "blue" / "torn.png").write_bytes(b"\x89PNG")
    data = {"name": "imagefolder", "path": str(tmp_path / "images"), "image_size": 12, "limit": None, "on_bad": "skip"}
    experiment = small(data=data, search={"trials": 1}, recipe={"epochs": 4, "batch_size": 8, "lr": 0.05})
    outcome = search(experiment, name="folder", runs=tmp_path / "runs")
    assert outcome.best[0].val_accuracy == 1.0
    json.dumps(outcome.best[0].architecture)
    with open_store(tmp_path / "runs" / "archsieve.db", read_only=True) as store:
        assert store.run("folder").config["data"]["decoding_rules"] == 2
        (skipped,), (noted,) = (store.events("folder", kind) for kind in ("skipped_images", "data_notes"))
    assert skipped["detail"]["count"] == 1
    assert "torn.png" in skipped["detail"]["images"][0]
    assert "40 of 40 images have a single colour" in noted["detail"]["notes"][0]
    assert "1 image was skipped" in caplog.text
    assert "single colour" in caplog.text


def test_a_run_without_recorded_rules_of_decoding_has_the_pixels_of_version_0_1_0(tmp_path):
    from PIL import Image

    from archsieve.models.data.registry import load_data

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(6):  # transparent images, which version 0.1.0 decoded without their alpha
            Image.new("RGBA", (8, 8), (i, ord(name), 0, 0)).save(tmp_path / name / f"{i}.png")
    new, old = (
        load_data("imagefolder", path=tmp_path, image_size=8, decoding_rules=rules).content_hash for rules in (2, 1)
    )
    assert new != old
    data = {"name": "imagefolder", "path": str(tmp_path), "image_size": 8, "limit": None}
    config = small(data=data).to_json()
    stored = {**config, "data": {key: value for key, value in config["data"].items() if key not in DECODING_KEYS}}
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        for name, settings, content_hash in (("new", config, new), ("old", stored, old)):
            store.create_run(name, settings, "random", 0, {"content_hash": content_hash, "name": "imagefolder"}, {})
            restored_run = restored(store.run(name), None, store)
            assert load_run_data(store.run(name), restored_run).content_hash == content_hash
            assert restored_run.to_json()["data"]["decoding_rules"] == (2 if name == "new" else 1)


def test_data_without_files_record_no_decoding():
    assert not set(small().to_json()["data"]) & set(DECODING_KEYS)


def test_errors_have_distinct_failure_kinds():
    import torch

    from archsieve.models.image_files.errors import DataError

    assert fail_kind(torch.OutOfMemoryError("CUDA out of memory")) is FailKind.OOM
    assert fail_kind(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")) is FailKind.OOM
    assert fail_kind(RuntimeError("DefaultCPUAllocator: not enough memory: you tried")) is FailKind.OOM
    assert fail_kind(torch.AcceleratorError("CUDA error: out of memory")) is FailKind.OOM
    assert fail_kind(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")) is FailKind.OOM
    assert fail_kind(RuntimeError("CUDA error: an illegal memory access was encountered")) is FailKind.BUG
    assert fail_kind(MemoryError()) is FailKind.OOM
    assert fail_kind(OSError(28, "No space left on device")) is FailKind.DISK_FULL
    assert fail_kind(DataError("broken")) is FailKind.DATA
    assert fail_kind(ValueError("bad")) is FailKind.USER_ERROR
    assert fail_kind(KeyError("bug")) is FailKind.BUG


def test_ray_imported_before_the_search_is_refused_with_a_fix(tmp_path):
    """Ray reads the token setting on import. Regression: a search failed after half a minute with a traceback."""
    program = """
import ray
from archsieve.search.experiment.experiment import experiment
from archsieve.search.cluster.errors import ResourceError
from archsieve.search.experiment.search_file import parse
from archsieve.search.runs.session import search
try:
    search(experiment(parse({})), name="run")
except ResourceError as error:
    print(error)
"""
    assert re.search(r"ray was imported.*RAY_AUTH_MODE.*ray\.init", python(program, tmp_path))
    with open_store(tmp_path / "runs" / "archsieve.db") as store:
        assert store.runs() == []
