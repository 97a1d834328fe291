"""Plug-ins: what is refused before anything starts."""

import json
import re
import subprocess
import sys
import threading
from dataclasses import dataclass

import pytest
import torch
from PIL import Image

import archsieve as av
from archsieve.models.metrics.compute import check_custom_metrics
from archsieve.results.database.store import open_store
from archsieve.search.config.schema import PluginRecord
from archsieve.search.experiment.experiment import load_recorded_blocks
from archsieve.search.plugins import loading
from archsieve.search.plugins.loading import load_plugins, loaded_plugins
from archsieve.search.plugins.shipping import _unpickled, shipment
from archsieve.spaces.blocks.standard import BLOCKS
from archsieve.spaces.metrics.registry import register_metric
from archsieve.spaces.parameters.user_code import PluginError

from ..conftest import small
from .conftest import HEAD, written

BROKEN = {
    "raises": (HEAD + "\n\nraise KeyError('lost')\n", r"raises raised KeyError: 'lost' at .*raises\.py:7"),
    "ends": ("import sys\nsys.exit(3)\n", r"ends raised SystemExit: 3 at .*ends\.py:2"),
    "no_text": ("raise ValueError\n", r"no_text raised ValueError at .*no_text\.py:1"),
    "no_name": (
        HEAD + "@av.register_searcher\nclass Mine(av.Searcher):\n    def ask(self, history, rng):\n        pass\n",
        r"Mine; write @register_searcher\('my-name'.*no_name\.py:5",
    ),
    "name_of_metric": (
        HEAD + "@av.register_metric\ndef mine(labels, scores):\n    return 0.5\n",
        r"mine; write @register_metric\('.*name_of_metric\.py:5",
    ),
    "name_of_data": (
        HEAD + "@av.register_dataset(3, input_shape=(1, 8, 8), classes=2)\ndef load(request):\n    pass\n",
        r"data set.*3.*name_of_data\.py:5",
    ),
    "no_request": (
        HEAD + "@av.register_dataset('d', input_shape=(1, 8, 8), classes=2)\ndef load():\n    pass\n",
        r"'d'.*\(request\).*load has \(\).*no_request\.py:5",
    ),
    "no_loader": (
        HEAD + "av.register_dataset('d', input_shape=(1, 8, 8), classes=2)(3)\n",
        r"'d'.*function.*3.*no_loader\.py:5",
    ),
    "n_images": (
        HEAD + "@av.register_dataset('d', input_shape=(1, 8, 8), classes=2, n_training='x')\ndef load(r):\n    pass\n",
        r"n_training.*'d'.*'x'.*n_images\.py:5",
    ),
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


WRONG = {
    "block": """
@av.register_block("wrong")
@dataclass(frozen=True)
class Wrong(av.Block):
    def expand(self, shape):
        {body}
""",
    "module": """
@av.register_block("wrong")
@dataclass(frozen=True)
class Wrong(av.ModuleBlock):
    def module(self, in_shape):
        {body}
""",
    "data": """
@av.register_dataset("wrong", input_shape=(1, 8, 8), classes=2)
def load(request):
    images, labels = torch.zeros(20, 1, 8, 8), torch.arange(20) % 2
    classes = ("a", "b")
    {body}
    return av.Source(classes, av.Split(images, labels))
""",
    "metric": """
@av.register_metric("wrong")
def wrong(labels, scores):
    {body}
""",
    "searcher": """
@av.register_searcher("wrong")
class Wrong(av.Searcher):
    def ask(self, history, rng):
        {body}
""",
}


def use(kind, module):
    """Use the part ``wrong`` as a search does before its first trial."""
    if kind in ("block", "module"):
        av.Architecture((1, 8, 8), (module.Wrong(),), 2)
    elif kind == "data":
        av.load_data("wrong")
    elif kind == "metric":
        check_custom_metrics(["wrong"], torch.tensor([0, 1]), 2, "validation")
    else:
        loop = av.ask_tell(av.Space((1, 8, 8), [av.Conv(av.choice(4, 8))], classes=2), searcher="wrong")
        loop.ask(), loop.ask()


@pytest.mark.parametrize(
    ("kind", "body", "facts"),
    [
        ("block", "return None", "'wrong'.*tuple.*None"),
        ("block", "return (1,)", "'wrong'.*tuple of blocks.*1"),
        ("block", "return (self,)", "'wrong'.*smaller blocks"),
        ("block", "return (self.widht,)", "'wrong'.*AttributeError.*widht"),
        ("block", "return (av.Conv(8, kernel='3'),)", "'wrong'.*kernel.*'3'"),
        ("block", "return (Other(),)", "'other'.*RecursionError|'wrong'.*RecursionError"),
        ("block", "raise SystemExit(4)", "'wrong'.*SystemExit: 4"),
        ("module", "return None", "'wrong'.*Module.*NoneType"),
        ("module", "return nn.Flatten(0)", r"wrong.*\(N, C, H, W\).*\(128,\)"),
        ("module", "return nn.Linear(7, 7)", r"wrong.*\(1, 8, 8\)"),
        ("module", "raise SystemExit(4)", "'wrong'.*SystemExit: 4"),
        ("data", "raise SystemExit(4)", "'wrong'.*SystemExit: 4"),
        ("data", "open('nothing.bin')", "'wrong'.*FileNotFoundError.*nothing.bin"),
        ("data", "return 3", "'wrong'.*Source.*int"),
        ("data", "images = images.numpy()", "'wrong'.*images.*Tensor.*ndarray"),
        ("data", "labels = labels.tolist()", "'wrong'.*labels.*Tensor.*list"),
        ("data", "labels = labels + 1", r"'wrong'.*0\.\.1.*from 1 to 2"),
        ("data", "return av.Source(classes, images)", "'wrong'.*Split.*Tensor"),
        ("metric", "return [0.5]", "'wrong'.*one number.*list"),
        ("metric", "return 10**400", "'wrong'.*finite.*inf"),
        ("metric", "return 1 / 0", "'wrong'.*ZeroDivisionError"),
        ("metric", "raise SystemExit(4)", "'wrong'.*SystemExit: 4"),
        ("searcher", "return 3", "'wrong'.*Proposal.*int 3"),
        ("searcher", "return av.sample(self.constrained)[0]", "'wrong'.*Proposal.*Architecture"),
        ("searcher", "raise KeyError('lost')", "'wrong'.*KeyError: 'lost'"),
        ("searcher", "raise SystemExit(4)", "'wrong'.*SystemExit: 4"),
        ("searcher", "return self.random_proposal(av.History(()), __import__('random').Random(0))", "repeat.*'wrong'"),
    ],
)
def test_a_wrong_part_is_one_error_with_its_line(kind, body, facts, tmp_path, import_path):
    other = "@av.register_block('other')\n@dataclass(frozen=True)\nclass Other(av.Block):\n    depth: int = 0\n"
    other += "    def expand(self, shape):\n        return (Other(self.depth + 1),)\n"
    written(tmp_path, "plugged_wrong", HEAD + other + WRONG[kind].format(body=body))
    load_plugins(["plugged_wrong"], folders=[tmp_path])
    with pytest.raises(ValueError, match=rf"{facts}.* at .*plugged_wrong\.py:\d+") as caught:
        use(kind, sys.modules["plugged_wrong"])
    assert "\n" not in str(caught.value)


def test_a_block_with_a_list_is_refused(import_path):
    @av.register_block("listed")
    @dataclass(frozen=True)
    class Listed(av.Block):
        widths: object

        def expand(self, shape):
            return tuple(av.Conv(width) for width in self.widths)

    assert av.Architecture((1, 8, 8), (Listed((4, 8)),), 2).cost.params > 0
    with pytest.raises(ValueError, match=r"widths of 'listed' is \[4, 8\]; use a tuple"):
        av.Architecture((1, 8, 8), (Listed([4, 8]),), 2)
    with pytest.raises(ValueError, match=r"widths of 'listed' is \[4, 8\]; use a tuple"):
        av.Space((1, 8, 8), [av.choice(Listed([4, 8]), av.Conv(8))], classes=2)


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        ("classes = ('a', 'a')", "'wrong'.*different texts.*'a', 'a'"),
        ("classes = (0, 1)", r"'wrong'.*texts.*\(0, 1\)"),
        ("images[3, 0, 0] = torch.nan", "'wrong'.*finite"),
    ],
)
def test_wrong_classes_and_pixels_of_a_loader_are_refused(body, facts, tmp_path, import_path):
    written(tmp_path, "plugged_wrong", HEAD + WRONG["data"].format(body=body))
    load_plugins(["plugged_wrong"], folders=[tmp_path])
    with pytest.raises(av.errors.DataError, match=facts):
        av.load_data("wrong")


def test_the_key_that_names_a_missing_module_is_reported(tmp_path, monkeypatch, import_path, line):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError, match=r"^train\.function: .*'no_such_training'"):
        av.run_search(data="digits", train="no_such_training:train")
    with pytest.raises(PluginError, match=r"^plugins\.modules: .*'no_such_parts'"):
        av.run_search(data="digits", plugins=["no_such_parts"])
    code, _, err = line("predict", "net.safetensors", "photos", "--import", "no_such_parts")
    assert (code, "--import: unknown module 'no_such_parts'" in err) == (2, True)


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
