"""Plug-ins of installed packages: recorded, found again, and compared on the nodes."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.search_file import parse
from archsieve.spaces.parameters.user_code import PluginError

from .conftest import PARTS, SPACE, written

ENTRY = """
import json, sys
import archsieve as av
from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.search_file import parse

if sys.argv[1] == "save":
    tables = {"data": {"name": "own-bars"}, "space": {"written": json.loads(sys.argv[2])}}
    record = experiment(parse(tables)).to_json()["plugins"]  # loads the entry points
    architecture = av.sample(av.Space.from_json(json.loads(sys.argv[2])))[0]
    av.train_architecture(architecture, "own-bars", {"epochs": 1}, device="cpu").save("net.safetensors")
    print(json.dumps(record))
else:
    print(av.load_model("net.safetensors").architecture)
"""


@pytest.mark.slow  # it builds and installs a package
def test_parts_of_an_installed_package_are_recorded_and_found_again(tmp_path):
    packages = tmp_path / "packages"
    distribution(packages, "1.2", "plugged_parts", text=PARTS)

    def run(*arguments, path=packages):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), *sys.path])}
        command = [sys.executable, "-c", ENTRY, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    saved = run("save", json.dumps(SPACE))
    assert saved.returncode == 0, saved.stderr
    plugins = json.loads(saved.stdout)
    record = plugins["registered"]["plugged_parts"]
    assert (record["distribution"], record["version"]) == ("plugged", "1.2")
    assert record["parts"]["datasets"] == ["own-bars"]
    loaded = run("load")
    assert "own-conv" in loaded.stdout, loaded.stderr

    record["file"] = str(tmp_path / "gone.py")  # of another machine
    search = {"data": {"name": "own-bars"}, "space": {"written": SPACE}, "plugins": plugins}
    with pytest.raises(PluginError, match=r"own-conv.*plugged 1\.2.*plugged is missing.*'plugged==1\.2'"):
        experiment(parse(search))


PACKAGE = """
import sys
from pathlib import Path
from archsieve.search.cluster.ray_runtime import ray_session
from archsieve.search.cluster.remote_jobs import check_plugins
from archsieve.search.config.schema import ResourcesSection
from archsieve.search.plugins import installed
from archsieve.spaces.parameters.user_code import PluginError
from archsieve.search.plugins.loading import load_plugins

driver, project = Path(sys.argv[1]), Path(sys.argv[2])
with ray_session(None):
    sys.path.insert(0, str(driver))  # this process sees other packages than the workers
    load_plugins(["plugged_shipped"], folders=[project])
    try:
        check_plugins(ResourcesSection())
    except PluginError as error:
        print(error)
    sys.path.remove(str(driver))
    del sys.modules["plugged_both"], sys.modules["plugged_one"]
    installed.plugin_entry_points.cache_clear()
    check_plugins(ResourcesSection())  # only the module that is sent
print("done")
"""


def distribution(folder: Path, version: str, *modules: str, text: str = "") -> None:
    """Write an installed package with modules that are entry points."""
    info = folder / f"plugged-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugged\nVersion: {version}\n")
    entries = "".join(f"{module} = {module}\n" for module in modules)
    (info / "entry_points.txt").write_text(f"[archsieve.plugins]\n{entries}")
    for module in modules:
        (folder / f"{module}.py").write_text(text or f"VERSION = {version!r}\n")


def test_a_node_without_a_package_or_with_another_version_is_named(tmp_path):
    driver, node = tmp_path / "driver", tmp_path / "node"
    distribution(driver, "1.2", "plugged_both", "plugged_one")
    distribution(node, "1.1", "plugged_both")
    written(tmp_path, "plugged_shipped", "import plugged_helper\n")
    written(tmp_path, "plugged_helper", "")
    temporary = Path(tempfile.mkdtemp(prefix="a"))  # short: Ray's sockets are in it
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(node), *sys.path]), "TMPDIR": str(temporary)}
    result = subprocess.run(
        [sys.executable, "-c", PACKAGE, driver, tmp_path], capture_output=True, text=True, check=False, env=environment
    )
    message, *done = result.stdout.splitlines() or [""]
    assert done == ["done"], result.stdout + result.stderr
    host = socket.gethostname()
    assert re.search(rf"plugged_both must be 1\.2 \(SHA-256 \w+\).*{host} has 1\.1 \(SHA-256 \w+\)", message), message
    assert re.search(rf"plugged_one must be 1\.2.*{host} has none", message), message
    assert not [*temporary.glob("*archsieve-plugins*")]  # the folder of the worker
    shutil.rmtree(temporary)
