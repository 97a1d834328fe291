"""Security: no code from files runs, no file outside a run's folder is touched, no secret is printed."""

import ast
import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import archsieve
from archsieve.results.database import lease, schema
from archsieve.results.database.artifacts import artifact_path, verified_path
from archsieve.results.database.errors import RefusedError, StoreError
from archsieve.results.database.store import open_store
from archsieve.results.database.url import mask_passwords, parse_location
from archsieve.results.maintenance.integrity import check_store
from archsieve.search.runs.session import resume

ROOT = Path(archsieve.__file__).resolve().parent
FILES = [path for folder in ("spaces", "models", "results", "search") for path in (ROOT / folder).rglob("*.py")]
# Ray passes a worker's error to the driver as a pickle in the folder of the run that wrote it; Ray unpickles it, too.
# Blocks that were written in a script or a notebook go from the driver to its workers as pickled classes, by Ray.
# The ranks of a trial get pickles through pipes and memory that only the process which started them can write.
RANKS = {f"models/ranks/{name}.py" for name in ("pool", "rank_process", "shared_objects")}
UNPICKLES = {"search/runs/tune_adapter.py", "search/plugins/shipping.py", *RANKS}
SECRET = "hunter2"


def calls(tree: ast.AST, *names: str) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in names]


def loads_safely(call: ast.Call) -> bool:
    values = [keyword.value for keyword in call.keywords if keyword.arg == "weights_only"]
    return len(values) == 1 and isinstance(values[0], ast.Constant) and values[0].value is True


def test_weights_are_loaded_without_running_code():
    loads = [(path, call) for path in FILES for call in calls(ast.parse(path.read_text()), "torch.load")]
    assert loads
    assert [path.name for path, call in loads if not loads_safely(call)] == []


def test_nothing_else_unpickles_or_evaluates():
    names = ("pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load", "eval", "exec", "marshal.loads")
    files = {str(path.relative_to(ROOT)) for path in FILES if calls(ast.parse(path.read_text()), *names)}
    assert files <= UNPICKLES


def test_safe_loads_are_distinguished_from_others():
    texts = ["torch.load(p, weights_only=True)", "torch.load(p)", "torch.load(p, weights_only=x)"]
    assert [loads_safely(calls(ast.parse(text), "torch.load")[0]) for text in texts] == [True, False, False]


def test_a_checkpoint_with_code_in_it_is_not_run(tmp_path):
    import torch

    from archsieve.search.trials.checkpoint_files import CheckpointDir, Header, load

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "pwned",))

    checkpoint_dir, state = CheckpointDir(str(tmp_path / "checkpoint_dir")), io.BytesIO()
    torch.save({"a": Evil()}, state)
    checkpoint_dir.write(Header("mine", 1), state.getvalue())  # the file is complete and its checksum is right
    checkpoint = load(checkpoint_dir, "mine")
    assert checkpoint.state is None
    assert len(checkpoint.problems) == 1
    assert not (tmp_path / "pwned").exists()


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path / "archsieve.db", create=True) as opened:
        yield opened


@pytest.fixture
def trial(store):
    run = store.create_run("run", {}, "random", 0, {"content_hash": "d", "name": "d"}, {})
    cost = {"params": 1, "macs": 1, "activations": 1, "memory_bytes": 1}
    proposal = {"architecture": {}, "fingerprint": "f", "cost": cost, "choices": {}, "recipe": {}, "seed": 0}
    return store.propose(run, **proposal).trial


@pytest.mark.parametrize("uri", ["../secret", "/etc/passwd", "link/secret", "a/../../secret", "C:x", "a\\b", "x\0"])
def test_a_file_outside_the_folder_is_refused(store, trial, tmp_path, uri):
    folder = tmp_path / "runs"
    folder.mkdir()
    (tmp_path / "secret").write_text(SECRET)
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(RefusedError, match="read"):
        artifact_path(folder, uri)
    row = {"trial_id": trial, "kind": "best", "uri": uri, "bytes": 7, "sha256": "x"}
    if "\0" not in uri:  # a database from another user may contain such a row
        with store.write_transaction() as connection:
            connection.execute(schema.artifact.insert().values(**row, created_at=lease.now()))
        (broken,) = [problem for problem in check_store(store, folder, deep=True) if problem.invariant == "I5"]
        assert repr(uri) in broken.message


def test_an_artifact_is_what_was_written(store, trial, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "best.safetensors").write_bytes(b"weights")
    store.add_artifact(trial, "best", "a/best.safetensors", 7, hashlib.sha256(b"weights").hexdigest())
    (row,) = store.artifacts(trial)
    assert verified_path(tmp_path, row).read_bytes() == b"weights"
    for content, pattern in ((b"Weights", "sha256"), (b"weight", "6 bytes.*7")):
        (tmp_path / "a" / "best.safetensors").write_bytes(content)
        with pytest.raises(ValueError, match=pattern):
            verified_path(tmp_path, row)
    (tmp_path / "a" / "best.safetensors").unlink()
    with pytest.raises(ValueError, match=r"best\.safetensors does not exist"):
        verified_path(tmp_path, row)


def test_a_run_name_from_another_database_cannot_lead_outside(store, tmp_path):
    run = store.create_run("x", {"search": {"trials": 1}}, "random", 0, {"content_hash": "d", "name": "d"}, {})
    store.finish_run(run, "stopped")
    with store.write_transaction() as connection:
        connection.exec_driver_sql("UPDATE run SET name = '../outside'")
    (tmp_path / "outside" / "tune").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"run name.*'\.\./outside'"):
        resume("../outside", database=tmp_path / "archsieve.db", runs=tmp_path / "runs")
    assert (tmp_path / "outside" / "tune").is_dir()


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://me:{SECRET}@host/db",
        f"--db=postgresql+psycopg://me:{SECRET}@host:5/db?sslmode=require",
        f"postgresql://me:a@b:{SECRET}@host/db",
        f"postgresql://me:/{SECRET}/@host/db",
        f"postgresql://host/db?user=me&password={SECRET}",
        f"postgresql://host/db?sslPassword={SECRET}&user=me",
        f"https://me:{SECRET}@host/path",
    ],
)
def test_passwords_are_masked(text):
    assert SECRET not in mask_passwords(text)
    assert "***" in mask_passwords(text)
    assert "host" in mask_passwords(text)


@pytest.mark.parametrize("text", ["runs/a.db", "-s", "recipe.lr=0.1", "postgresql://me@host/db", "a:b@c"])
def test_text_without_a_password_is_unchanged(text):
    assert mask_passwords(text) == text


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@x@host/db",
        f"postgresql://host/db?password={SECRET}",
        f"mysql://me:{SECRET}@host/db",
        f"postgresql://me:{SECRET}@host:port/db",
        f"postgresql+nodriver://me:{SECRET}@host/db",
    ],
)
def test_a_refused_url_is_not_printed(url):
    with pytest.raises(StoreError) as caught:
        open_store(url)
    assert SECRET not in str(caught.value)


def test_a_database_url_hides_its_password_when_printed():
    url = parse_location(f"postgresql://me:{SECRET}@host/db")
    assert SECRET not in f"{url} {url!r} {[url]}"
    assert url.password == SECRET


PROVENANCE = "import json; from archsieve.search.cluster.provenance import provenance; print(json.dumps(provenance()))"


def test_provenance_contains_no_secrets():
    variables = {**os.environ, "AWS_SECRET_ACCESS_KEY": SECRET, "PGPASSWORD": SECRET, "ARCHSIEVE_DB": SECRET}
    arguments = ["--db", f"postgresql://me:{SECRET}@host/db"]
    command = [sys.executable, "-c", PROVENANCE, *arguments]
    result = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
    record = json.loads(result.stdout)
    assert record["argv"][1:] == ["--db", "postgresql://me:***@host/db"]
    assert SECRET not in result.stdout
