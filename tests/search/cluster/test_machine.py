"""A machine with too few resources is refused before anything is written, and the error has the numbers."""

import os
import re
import resource
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from archsieve.search.cluster import preflight
from archsieve.search.cluster.errors import ResourceError
from archsieve.search.cluster.preflight import DISK_BYTES, check_machine
from archsieve.search.cluster.ray_runtime import ray_session

SEARCH = "[data]\nlimit = 100\n[search]\ntrials = 1\n[recipe]\nepochs = 1\n"
Usage = namedtuple("Usage", "total used free")


def test_a_sufficient_machine_passes(tmp_path):
    check_machine(tmp_path / "runs" / "not-yet-there")


def test_a_full_disk_is_refused_with_the_free_space(tmp_path, monkeypatch, line):
    (tmp_path / "tiny.toml").write_text(SEARCH)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 2**40, 12 * 2**20))
    code, out, err = line("search", "tiny.toml")
    assert (code, out) == (4, "")
    assert re.search(rf"256 MiB.*{tmp_path}.* 12 MiB.*--runs", err), err
    assert sorted(tmp_path.iterdir()) == [tmp_path / "tiny.toml"]


def test_too_little_shared_memory_is_refused_except_on_a_cluster(tmp_path, monkeypatch):
    small = {True: Usage(2**20, 0, 2**20), False: Usage(2**40, 0, 2**40)}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: small[Path(path) == Path("/dev/shm")])
    with pytest.raises(ResourceError, match=r"64 MiB.* 1 MiB.*--shm-size=1g"):
        check_machine(tmp_path)
    check_machine(tmp_path, elsewhere=True)
    assert small[False].free > DISK_BYTES


@pytest.mark.parametrize(("hard", "code", "numbers"), [(200, 4, ("1,024", "200", "ulimit -n 65536")), (None, 0, ())])
def test_a_low_limit_of_open_files_is_refused(tmp_path, hard, code, numbers):
    _, maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = (150, hard if hard is not None else maximum)
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from archsieve.search.cluster.preflight import check_machine\n"
        "from archsieve.search.cluster.errors import ResourceError\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, {limits})\n"
        "try:\n    check_machine(Path('.'))\n"
        "except ResourceError as error:\n    print(error); sys.exit(4)\n"
        "assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 150\n"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (process.returncode, process.stderr) == (code, "")
    assert all(number in process.stdout for number in numbers)
    assert preflight.FILES > 200


def test_a_missing_home_folder_is_not_needed(command, tmp_path):
    (tmp_path / "tiny.toml").write_text(SEARCH)
    code, out, err = command("search", "tiny.toml", "--dry-run", HOME="/proc/nowhere")
    assert (code, err) == (0, "")
    assert "nothing was started or written" in out


def test_the_switch_of_a_local_ray_does_not_outlive_it(ray_running, monkeypatch):
    """A `ray start` that the process runs later would refuse other nodes."""
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", raising=False)
    with ray_session(None):
        assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in os.environ
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "1")
    with ray_session(None):
        assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "1"
    assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "1"


LATE = """
import ray
from ray._private import services
from archsieve.search.cluster.ray_runtime import loopback_only

before = services.get_node_ip_address()
with loopback_only():
    print(services.get_node_ip_address())
assert services.get_node_ip_address() == before
"""


def test_a_local_ray_listens_on_the_loopback_if_ray_was_imported_earlier(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"}
    result = subprocess.run([sys.executable, "-c", LATE], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["127.0.0.1"]


LOCAL = """
import os, resource, sys
from archsieve.search.cluster.errors import ResourceError
from archsieve.search.cluster.ray_runtime import live_nodes, ray_session

if sys.argv[1:]:  # Ray's processes cannot write their files
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
try:
    with ray_session(None):
        print(live_nodes()[0]["Resources"]["CPU"])
except ResourceError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("variables", "limit", "pattern"),
    [
        ({"RAY_TMPDIR": f"/tmp/{'a' * 60}"}, (), r"RAY_TMPDIR .*\b\d\d bytes.*107.* has 65; "),
        ({"RAY_TMPDIR": "/proc/nowhere"}, (), r"this machine.*/proc/nowhere.*--address"),
        ({"TMPDIR": f"/tmp/{'a' * 100}"}, (), r"1\.0"),  # Ray has the cores of this process, and a shorter folder
        pytest.param({}, ("1",), r"its start failed: .*--address", marks=pytest.mark.slow),  # half a minute
    ],
    ids=["long", "missing", "long-tmpdir", "processes-die"],
)
def test_a_local_ray_that_cannot_start_is_not_reported_as_a_cluster(variables, limit, pattern):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | variables
    command = [sys.executable, "-c", LOCAL, *limit]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert re.search(pattern, result.stdout), result.stdout
    assert "ray start" not in result.stdout
