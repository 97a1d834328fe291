"""Plug-ins: what is refused before anything starts, and own parts searched, resumed, retrained and exported."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from archsieve.search.config.schema import PluginRecord
from archsieve.search.plugins.errors import PluginError
from archsieve.search.plugins.loading import load_plugins, loaded_plugins

HEAD = "from dataclasses import dataclass\nimport torch\nfrom torch import nn\nimport archsieve as av\n"
PARTS = (
    HEAD
    + """
__version__ = "1.2"

@av.register_block("own-conv")
@dataclass(frozen=True)
class OwnConv(av.Block):
    width: int

    def expand(self, shape):
        return (av.Conv(self.width), av.Conv(self.width, 1))

class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.conv(x))

@av.register_block("own-gate")
@dataclass(frozen=True)
class OwnGate(av.ModuleBlock):
    def module(self, in_shape):
        return Gate(in_shape[0])

@av.register_dataset("own-bars", input_shape=(1, 8, 8), classes=2)
def load_bars(request):
    rng = torch.Generator().manual_seed(request.seed)
    images = torch.randint(0, 100, (200, 1, 8, 8), dtype=torch.uint8, generator=rng)
    labels = torch.arange(200) % 2
    for image, label, row in zip(images, labels, torch.randint(8, (200,), generator=rng)):
        (image[0].T if label else image[0])[row] += 150
    return av.Source(("lying", "standing"), av.Split(images, labels))

@av.register_metric("own_misses", higher_is_better=False)
def own_misses(labels, scores):
    return (scores.argmax(1) != labels).mean()

@av.register_searcher("own-searcher")
class OwnSearcher(av.Searcher):
    def ask(self, history, rng):
        return self.random_proposal(history, rng)
"""
)
SPACE = {
    "input_shape": [1, 8, 8],
    "classes": 2,
    "blocks": [
        {"kind": "own-conv", "width": {"choice": [4, 8, 12, 16]}},
        {"kind": "own-gate"},
        {"kind": "global-average"},
    ],
}
FILE = """
name = "own"
[data]
name = "own-bars"
[space]
written = { input_shape = [1, 8, 8], classes = 2, blocks = [
    { kind = "own-conv", width = { choice = [4, 8, 12, 16] } }, { kind = "own-gate" }, { kind = "global-average" } ] }
[recipe]
epochs = 2
batch_size = 32
[search]
searcher = "own-searcher"
metric = "own_misses"
record_metrics = ["f1"]
trials = 2
[plugins]
modules = ["own_parts"]
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


BROKEN = {
    "raises": (HEAD + "\n\nraise KeyError('lost')\n", r"raises raised KeyError: 'lost' at .*raises\.py:7"),
    "no_syntax": ("def f(:\n", r"no_syntax.*SyntaxError.*no_syntax\.py:1"),
    "needs": ("import nothing_like_it\n", r"needs.*nothing_like_it.*needs\.py:1"),
    "taken": (
        HEAD + "@av.register_block('conv')\n@dataclass(frozen=True)\nclass Other(av.Block):\n    width: int\n"
        "    def expand(self, shape):\n        return ()\n",
        r"taken.*'conv'.*Conv.*Other.*taken\.py:5",
    ),
    "not_frozen": (
        HEAD + "@av.register_block('soft')\n@dataclass\nclass Soft(av.Block):\n    width: int\n",
        r"not_frozen.*frozen.*not_frozen\.py:5",
    ),
    "no_cost": (
        HEAD + "@av.register_block('bare')\n@dataclass(frozen=True)\nclass Bare(av.Block):\n    width: int\n",
        r"no_cost.*expand.*no_cost\.py:5",
    ),
    "no_block": (
        HEAD + "@av.register_block('mod')\nclass Mod(nn.Module):\n    pass\n",
        r"archsieve\.Block.*Mod.*no_block\.py:5",
    ),
    "bad_kind": (HEAD + "av.register_block('Own Block')\n", r"'Own Block'.*bad_kind\.py:5"),
    "bad_shape": (HEAD + "av.register_dataset('d', input_shape=(8, 8), classes=2)\n", r"\(8, 8\).*bad_shape\.py:5"),
    "one_class": (HEAD + "av.register_dataset('d', input_shape=(1, 8, 8), classes=1)\n", r"2 classes.*one_class\.py:5"),
    "taken_texts": (
        HEAD + "@av.register_dataset('glyphs', input_shape=(1, 8, 8), classes=2)\ndef load(request):\n    pass\n",
        r"'glyphs'.*taken_texts\.py:5",
    ),
    "taken_data": (
        HEAD + "@av.register_dataset('digits', input_shape=(1, 8, 8), classes=2)\ndef load(request):\n    pass\n",
        r"'digits'.*taken_data\.py:5",
    ),
    "no_searcher": (
        HEAD + "@av.register_searcher('mine')\nclass Mine:\n    pass\n",
        r"archsieve\.Searcher.*no_searcher\.py:5",
    ),
    "no_history": (
        HEAD + "@av.register_searcher('mine')\nclass Mine(av.Searcher):\n    def ask(self, history):\n        pass\n",
        r"ask\(self, history, rng\).*Mine.*no_history\.py:5",
    ),
    "two_kinds": (
        HEAD + "@av.register_block('one-kind')\n@av.register_block('two-kinds')\n@dataclass(frozen=True)\n"
        "class Two(av.Block):\n    width: int\n    def expand(self, shape):\n        return (av.Conv(self.width),)\n",
        r"two-kinds.*one-kind.*two_kinds\.py:5",
    ),
    "taken_metric": (
        HEAD + "@av.register_metric('log_loss')\ndef mine(labels, scores):\n    pass\n",
        r"'log_loss'.*taken_metric\.py:5",
    ),
    "three_arrays": (
        HEAD + "@av.register_metric('mine')\ndef mine(labels, scores, images):\n    pass\n",
        r"'mine'.*\(labels, scores, images\).*three_arrays\.py:5",
    ),
    "no_ask": (HEAD + "@av.register_searcher('mine')\nclass Mine(av.Searcher):\n    pass\n", r"ask.*no_ask\.py:5"),
    "taken_searcher": (
        HEAD
        + "@av.register_searcher('tpe')\nclass Mine(av.Searcher):\n    def ask(self, history, rng):\n        pass\n",
        r"'tpe'.*taken_searcher\.py:5",
    ),
}


@pytest.fixture
def import_path(monkeypatch):
    """Restore the import path and the modules afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name in BROKEN or name.startswith("plugged"):
            del sys.modules[name]


@pytest.mark.parametrize("name", BROKEN)
def test_a_plug_in_that_cannot_be_used_is_one_error_with_module_and_line(name, tmp_path, import_path):
    text, message = BROKEN[name]
    written(tmp_path, name, text)
    with pytest.raises(PluginError, match=message):
        load_plugins([name], folders=[tmp_path])
    with pytest.raises(PluginError, match=message):  # the second try is the first one again
        load_plugins([name], folders=[tmp_path])


def test_a_module_that_is_not_there_is_named_with_the_nearest(tmp_path, import_path):
    written(tmp_path, "plugged_blocks", "")
    with pytest.raises(PluginError, match=r"'plugged_block'.*plugged_blocks"):
        load_plugins(["plugged_block"], folders=[tmp_path])
    with pytest.raises(PluginError, match=r"my_blocks\.py.*'my_blocks'"):
        load_plugins(["my_blocks.py"], folders=[tmp_path])
    own = written(tmp_path, "json", "")
    with pytest.raises(PluginError, match=rf"{own}.*'json'"):
        load_plugins(["json"], folders=[tmp_path])


@pytest.mark.parametrize("layout", ["package", "sub-module", "link"])
def test_a_recorded_plug_in_is_found_in_a_new_process_and_elsewhere(layout, tmp_path):
    """Its folder is on no import path: only the record says where it is."""
    project, name = tmp_path / "project", "plugged_parts"
    (project / "plugged_package").mkdir(parents=True)
    file = {
        "package": "plugged_package/__init__.py",
        "sub-module": "plugged_package/more.py",
        "link": "plugged_parts.py",
    }
    (project / "plugged_package" / "__init__.py").write_text("")
    (project / "original.py").write_text("VALUE = 1\n")
    if layout == "link":
        (project / file[layout]).symlink_to(project / "original.py")
    else:
        (project / file[layout]).write_text("VALUE = 1\n")
        name = "plugged_package" if layout == "package" else "plugged_package.more"
    program = (
        "import json, sys\nfrom pathlib import Path\nfrom archsieve.search.config.schema import PluginRecord\n"
        "from archsieve.search.plugins.loading import load_plugins, loaded_plugins\n"
        "name, folders, record = sys.argv[1], [Path(sys.argv[2])] * bool(sys.argv[2]), json.loads(sys.argv[3])\n"
        "load_plugins([name], folders=folders, recorded={name: PluginRecord(**record)} if record else {})\n"
        "assert sys.modules[name].VALUE == 1\nprint(json.dumps(loaded_plugins([name])[0].to_json()))\n"
    )

    def run(folder, record):
        command = [sys.executable, "-c", program, name, folder, record]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    record = run(str(project), "{}").stdout
    assert json.loads(record)["file"] == str(project / file[layout])
    assert run("", record).stdout == record
    (project / file[layout]).write_text("VALUE = 1 / 0\n")
    refused = run("", record).stderr  # before the changed code runs
    assert "ZeroDivisionError" not in refused
    assert re.search(rf"PluginError: .*{name} must be .*{json.loads(record)['sha256'][:12]}", refused), refused


def test_what_a_run_records_is_held_against_the_module(tmp_path, import_path):
    package = tmp_path / "plugged_package"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '3.1'\n")
    (package / "more.py").write_text("VALUE = 1\n")
    load_plugins(["plugged_package"], folders=[tmp_path])
    (plugin,) = loaded_plugins(["plugged_package"])
    assert plugin.version == "3.1"
    assert plugin.sources == {
        "plugged_package/__init__.py": b"__version__ = '3.1'\n",
        "plugged_package/more.py": b"VALUE = 1\n",
    }
    record = PluginRecord(**plugin.to_json())
    load_plugins(["plugged_package"], recorded={"plugged_package": record})
    changed = record.model_copy(update={"sha256": "0" * 64, "version": "3.0"})
    with pytest.raises(
        PluginError, match=rf"plugged_package.*{package}.*3\.0.*000000000000.*3\.1.*{plugin.sha256[:12]}"
    ):
        load_plugins(["plugged_package"], recorded={"plugged_package": changed})


WRONG = (
    HEAD
    + """
@av.register_block("{name}")
@dataclass(frozen=True)
class Wrong(av.{base}):
    def {method}
"""
)


@pytest.mark.parametrize(
    ("base", "method", "message"),
    [
        ("Block", "expand(self, shape):\n        return None", "wrong-.*tuple.*None"),
        ("Block", "expand(self, shape):\n        return (1,)", "wrong-.*tuple of blocks.*1"),
        ("Block", "expand(self, shape):\n        return (self,)", "wrong-.*smaller blocks"),
        ("ModuleBlock", "module(self, in_shape):\n        return None", "wrong-.*Module.*NoneType"),
        ("ModuleBlock", "module(self, in_shape):\n        return nn.Flatten(0)", r"wrong-.*\(N, C, H, W\).*\(128,\)"),
        ("ModuleBlock", "module(self, in_shape):\n        return nn.Linear(7, 7)", r"wrong-.*\(1, 8, 8\)"),
    ],
)
def test_a_block_of_the_wrong_shape_is_refused_when_it_is_costed(base, method, message, tmp_path, request):
    name = f"wrong-{request.node.callspec.indices['base']}"
    program = WRONG.format(name=name, base=base, method=method) + (
        "try:\n    av.Architecture((1, 8, 8), (Wrong(),), 2)\n"
        "except (TypeError, ValueError) as error:\n    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert re.search(message, result.stdout), result.stdout


def test_own_parts_are_searched_resumed_retrained_and_shown_without_their_code(command, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    parts = written(project, "own_parts", PARTS)
    (project / "own.toml").write_text(FILE)
    code, out, err = command("search", "project/own.toml", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["trials"], found["failed"]) == (2, 0)

    code, out, err = command("resume", "own", "--trials", "3", "--json")
    assert (code, json.loads(out or "{}").get("trials")) == (0, 3), err
    code, out, err = command("train", "1", "--epochs", "1", "--json")
    assert code == 0, err
    (network,) = json.loads(out)["networks"]
    for measured in ("val", "test"):
        misses = network["own_misses" if measured == "val" else "test_own_misses"]
        assert misses == pytest.approx(1 - network[f"{measured}_accuracy"])
    code, _, err = command("export", "1", "-o", "net.pt2", "--format", "torch-export")
    assert code == 0, err

    parts.write_text(PARTS.replace("1.2", "1.3"))
    code, _, err = command("resume", "own", "--trials", "4")
    assert (code, "own_parts" in err, "1.2" in err) == (2, True, True), err
    parts.unlink()
    code, _, err = command("train", "1")
    assert (code, "own_parts" in err) == (2, True), err
    code, out, err = command("results", "best", "--run", "own", "--top", "3", "--json")
    ranked = [trial["metrics"]["own_misses"] for trial in json.loads(out)]
    assert (code, len(ranked), ranked) == (0, 3, sorted(ranked)), err
    assert {"own_misses", "f1"} <= set(json.loads(out)[0]["metrics"])
    code, out, err = command("results", "show", "1", "--json")
    shown = json.loads(out)
    assert shown["test_metrics"]["test_own_misses"] == pytest.approx(1 - shown["test_accuracy"])
    for asked in (("list",), ("show", "1"), ("query", "params < 1M"), ("best", "--run", "own"), ("compare", "1", "2")):
        code, out, err = command("results", *asked)
        assert code == 0, err
        assert "own-conv" in out or asked[0] == "compare"
    code, _, err = command("report", "own", "-o", "report.html")
    assert (code, "own-conv" in (tmp_path / "report.html").read_text()) == (0, True), err
    code, _, err = command("results", "export", "runs.json")
    assert code == 0, err


SCRIPT = (
    PARTS
    + """
def own_hits(labels, scores):
    return (scores.argmax(1) == labels).mean()

if __name__ == "__main__":
    space = av.Space((1, 8, 8), [OwnConv(av.choice(4, 8, 12)), OwnGate(), av.GlobalAverage()], classes=2)
    result = av.run_search(
        data="own-bars", space=space, budget={"params": "2k"}, searcher="own-searcher", trials=2, seed=1,
        recipe={"epochs": 1, "batch_size": 32, "lr": av.Range(0.01, 0.1, log=True)}, name="script",
        settings={"search.proxies": ["synflow"]}, metric=own_hits, direction="maximize", record_metrics=["own_misses"],
    )
    assert all(trial.metrics["own_hits"] == trial.val_accuracy for trial in result.best)
    assert len(result.trials) == 2 and result.complete and result.report.is_file()
    assert all(trial.params <= 2000 for trial in result.trials)
    assert list(result.best.to_pandas()["val_accuracy"]) == [trial.val_accuracy for trial in result.best]
    more = av.resume_search("script", trials=3)
    assert len(more.trials) == 3 and more.trials[:2] == result.trials
    model = av.train(more.best[0], seeds=2)
    batch = load_bars(av.Request()).train.images[:4]
    assert model.export("net.pt2").is_file()
    again = av.load_model(model.save("net.safetensors"))
    assert again.predict(batch) == model.predict(batch) and set(again.predict(batch)) <= {"lying", "standing"}
    from PIL import Image
    Image.fromarray(batch[0, 0].numpy()).save("one.png")
    assert again.predict(["one.png"]) == again.predict(batch[:1])
    with av.open_results() as results:
        assert results.best(params="2k")[0] == more.best[0]
        assert len(results.query("params < 1M and recipe.lr > 0.01", run="script")) == 3
        assert results.query("params < 1").no_match_reason.startswith("0 of 3")
        assert len(results.curves("script")) == 3 and len(results.layers()) > 3
        assert results.trial("script:0").number == 0 and results.runs[0].name == "script"
        assert set(results.pareto(["val_accuracy", "params"])) <= set(results.trials())
    try:
        av.run_search(data="own-bars", space=space, recipe={"epochs": 1, "lr": 1e30}, trials=1, name="bad")
    except RuntimeError as error:
        print("all failed:", error)
    print("done")
"""
)


def test_parts_of_a_script_reach_the_workers_and_the_public_interface_does_all_jobs(tmp_path):
    script = written(tmp_path, "script", SCRIPT)
    result = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False
    )
    assert result.stdout.splitlines()[-1:] == ["done"], result.stdout + result.stderr
    assert "all failed: " in result.stdout
