"""A machine that is too small for a run is refused before anything is written, with what there is."""

import resource
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from archsieve.search.cluster import preflight
from archsieve.search.cluster.preflight import DISK_BYTES, check_machine
from archsieve.search.cluster.ray_runtime import ResourceError

SEARCH = "[data]\nlimit = 100\n[search]\ntrials = 1\n[recipe]\nepochs = 1\n"
Usage = namedtuple("Usage", "total used free")


def test_a_machine_that_will_do_says_nothing(tmp_path):
    check_machine(tmp_path / "runs" / "not-yet-there")


def test_a_full_disk_is_refused_with_what_is_free(tmp_path, monkeypatch, line):
    (tmp_path / "tiny.toml").write_text(SEARCH)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 2**40, 12 * 2**20))
    code, out, err = line("search", "tiny.toml")
    assert (code, out) == (4, "")
    assert f"a run takes 256 MiB of disk at least, but 12 MiB are free at {tmp_path}; free some" in err
    assert sorted(tmp_path.iterdir()) == [tmp_path / "tiny.toml"]


def test_little_shared_memory_is_refused_here_and_is_nothing_to_a_cluster(tmp_path, monkeypatch):
    small = {True: Usage(2**20, 0, 2**20), False: Usage(2**40, 0, 2**40)}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: small[Path(path) == Path("/dev/shm")])
    with pytest.raises(ResourceError, match=r"must hold 64 MiB at least, but holds 1 MiB; .*--shm-size=1g"):
        check_machine(tmp_path)
    check_machine(tmp_path, elsewhere=True)
    assert small[False].free > DISK_BYTES


@pytest.mark.parametrize(("hard", "code", "said"), [(200, 4, "but 200 are"), (None, 0, "")])
def test_few_open_files_are_refused_where_no_more_may_be_allowed(tmp_path, hard, code, said):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = (150, hard if hard is not None else most)
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from archsieve.search.cluster.preflight import check_machine\n"
        "from archsieve.search.cluster.ray_runtime import ResourceError\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, {limits})\n"
        "try:\n    check_machine(Path('.'))\n"
        "except ResourceError as error:\n    print(error); sys.exit(4)\n"
        "assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 150\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (told.returncode, told.stderr) == (code, "")
    assert said in told.stdout
    assert preflight.FILES > 200


def test_a_home_that_is_not_there_is_not_missed(command, tmp_path):
    (tmp_path / "tiny.toml").write_text(SEARCH)
    code, out, err = command("search", "tiny.toml", "--dry-run", HOME="/proc/nowhere")
    assert (code, err) == (0, "")
    assert "nothing was started or written" in out
