"""The private folder of a local Ray: who can enter it, and when it is removed."""

import os
import stat
import subprocess
import sys

import pytest

from archsieve.search.cluster.errors import ResourceError
from archsieve.search.cluster.ray_folder import PREFIX, parent_folder, private_folder, sweep

HOLDER = """
import sys
from archsieve.search.cluster.ray_folder import private_folder

with private_folder() as folder:
    (folder / "session").mkdir(parents=True)
    print(folder.parent, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def parent(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr("archsieve.search.cluster.ray_folder.MAX_SOCKET_BYTES", 1000)  # pytest's folder is long
    return tmp_path


def holder(parent):
    """Start a process that holds a folder; return both."""
    code = f"import archsieve.search.cluster.ray_folder as f; f.MAX_SOCKET_BYTES = 1000\n{HOLDER}"
    environment = {**os.environ, "RAY_TMPDIR": str(parent)}
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, parent / process.stdout.readline().strip()


def test_only_this_user_can_enter_the_folder_and_it_is_removed(parent):
    with private_folder() as folder:
        folder.mkdir(mode=0o777)  # as Ray does
        (folder / "socket").touch()
        state = folder.parent.stat()
        assert (stat.S_IMODE(state.st_mode), state.st_uid) == (0o700, os.geteuid())
    assert list(parent.iterdir()) == []


def test_the_folder_of_a_dead_driver_is_removed_and_no_other(parent):
    dead, left = holder(parent)
    dead.kill()
    dead.communicate()
    alive, used = holder(parent)  # its start removes the folder of the dead driver
    assert (left.exists(), used.exists()) == (False, True)
    foreign, linked, empty = (parent / f"{PREFIX}{name}" for name in ("foreign", "linked", "empty"))
    (foreign / "r").mkdir(parents=True)
    (foreign / "lock").touch()
    foreign.chmod(0o755)  # not made by this package
    (parent / "data").mkdir(mode=0o700)
    (parent / "data" / "lock").touch()
    linked.symlink_to(parent / "data")
    empty.mkdir(mode=0o700)  # a driver that was killed before it had the lock
    sweep(parent)
    assert {path.name for path in parent.iterdir()} == {foreign.name, linked.name, used.name, "data"}
    assert (parent / "data" / "lock").exists()
    alive.communicate("")
    assert not used.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_the_folder_of_another_user_is_kept(parent):
    folder = parent / f"{PREFIX}theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    sweep(parent)
    assert folder.exists()


def test_a_long_folder_is_refused_only_where_it_was_chosen_for_ray(monkeypatch, tmp_path):
    long = f"/tmp/{'a' * 80}"
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", long)
    assert str(parent_folder()) == "/tmp"
    monkeypatch.setenv("RAY_TMPDIR", long)
    with pytest.raises(ResourceError, match=r"RAY_TMPDIR.* at most \d\d bytes.* 107, .*has 85"):
        parent_folder()


def test_many_drivers_that_start_together_each_get_a_folder(parent):
    """A sweep never takes the folder that another driver is just creating."""
    code = (
        "import archsieve.search.cluster.ray_folder as f; f.MAX_SOCKET_BYTES = 1000\n"
        "for _ in range(60):\n"
        "    with f.private_folder() as folder:\n"
        "        folder.mkdir()\n"
        "        f.sweep(folder.parent.parent)\n"
        "        (folder / 'file').touch()\n"
    )
    environment = {**os.environ, "RAY_TMPDIR": str(parent)}
    drivers = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(4)]
    assert [driver.wait() for driver in drivers] == [0] * 4
    assert list(parent.iterdir()) == []
