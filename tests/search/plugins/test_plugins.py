"""Plug-ins: what is refused before anything starts."""

import json
import re
import subprocess
import sys
import threading

import pytest
from PIL import Image

import archsieve as av
from archsieve.results.database.store import open_store
from archsieve.search.config.schema import PluginRecord
from archsieve.search.experiment.experiment import load_recorded_blocks
from archsieve.search.plugins import loading
from archsieve.search.plugins.errors import PluginError
from archsieve.search.plugins.loading import load_plugins, loaded_plugins
from archsieve.search.plugins.shipping import _unpickled, shipment
from archsieve.spaces.blocks.standard import BLOCKS
from archsieve.spaces.metrics.registry import register_metric

from ..conftest import small
from .conftest import HEAD, written

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
def test_a_block_of_the_wrong_shape_is_refused_when_it_is_costed(base, method, message, import_path):
    import archsieve as av

    namespace = {"__name__": "plugged_wrong"}
    exec(WRONG.format(name="wrong-block", base=base, method=method), namespace)
    with pytest.raises((TypeError, ValueError), match=message):
        av.Architecture((1, 8, 8), (namespace["Wrong"](),), 2)


def test_a_changed_module_of_a_folder_without_init_is_refused_before_it_runs(tmp_path, import_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare_folder").mkdir()
    written(tmp_path / "bare_folder", "parts", "import pathlib\npathlib.Path('ran').touch()\n")
    record = PluginRecord(file=str(tmp_path / "bare_folder" / "parts.py"), version=None, sha256="0" * 64)
    with pytest.raises(PluginError, match=r"bare_folder\.parts must be .*SHA-256 000000000000"):
        load_plugins(["bare_folder.parts"], recorded={"bare_folder.parts": record})
    assert not (tmp_path / "ran").exists()
    load_plugins(["bare_folder.parts"])
    assert (tmp_path / "ran").exists()


def test_an_unused_metric_that_cannot_be_sent_stops_no_search():
    lock = threading.Lock()

    def holds_a_lock(labels, scores):
        with lock:
            return 0.0

    def plain(labels, scores):
        return 0.5

    for function in (holds_a_lock, plain):
        register_metric(function.__name__)(function)
    assert list(_unpickled(shipment(["plain"]).metrics)) == ["plain"]
    assert shipment().metrics == b""
    with pytest.raises(PluginError, match="the metrics holds_a_lock cannot be sent"):
        shipment(["holds_a_lock"])


def test_the_network_of_a_run_needs_its_blocks_and_no_metric(tmp_path):
    parts = {"blocks": ["gone-block"], "metrics": ["gone_metric"]}
    registered = {"__main__": {"file": None, "version": None, "sha256": None, "parts": parts}}
    config = small().to_json() | {"plugins": {"modules": [], "recorded": {}, "registered": registered}}
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        store.create_run("r", config, "random", 0, {"content_hash": "d", "name": "digits"}, {})
        run = store.run("r")
    load_recorded_blocks(run, {"blocks": [{"kind": "conv", "width": 8}]})
    with pytest.raises(PluginError, match="needs the block 'gone-block', which"):
        load_recorded_blocks(run, {"blocks": [{"kind": "gone-block"}]})


def test_a_prediction_imports_the_custom_blocks_of_a_model(tmp_path, import_path, line):
    text = "@av.register_block('doubled')\n@dataclass(frozen=True)\nclass Doubled(av.Block):\n    width: int\n"
    written(tmp_path, "doubled", HEAD + text + "    def expand(self, shape):\n        return (av.Conv(self.width),)\n")
    load_plugins(["doubled"])
    network = av.Architecture((1, 8, 8), (BLOCKS["doubled"](4), av.GlobalAverage()), 10)
    av.train_architecture(network, av.load_data("digits", limit=200), {"epochs": 1}).save(tmp_path / "net.safetensors")
    Image.new("L", (8, 8)).save(tmp_path / "image.png")
    del BLOCKS["doubled"], loading._LOADED["doubled"], sys.modules["doubled"]
    code, _, err = line("predict", "net.safetensors", "image.png", "--json")
    assert (code, "'doubled'" in err) == (2, True)
    code, out, err = line("predict", "net.safetensors", "image.png", "--json", "--import", "doubled")
    assert (code, [row["image"] for row in json.loads(out)]) == (0, ["image.png"]), err
