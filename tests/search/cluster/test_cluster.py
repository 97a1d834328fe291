"""A search on several machines, a head and two workers with separate networks and disks, and a search on one."""

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import time
from pathlib import Path

import pytest
from PIL import Image

from archsieve import __version__
from archsieve.results.database.errors import StoreError
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store

from ..drivers import Drivers, finished
from .machines import Cluster

SEARCH = """
[data]
name = "imagefolder"
path = "images"
image_size = 12
[budget]
params = "20k"
macs = "1M"
[space]
stem = 8
[[space.stages]]
block = ["conv-pool", "residual", "inception"]
width = [8, 16]
[recipe]
epochs = 100
batch_size = 16
lr = [0.01, 0.02]
[search]
trials = 4
searcher = "random"
cache = false
"""

slow = pytest.mark.slow
needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and iproute2"
)


@pytest.fixture(scope="module")
def cluster():
    cluster = Cluster()
    (cluster.work / "search.toml").write_text(SEARCH)
    draw(cluster.work / "images")
    yield cluster
    cluster.end()


def draw(folder):
    """Write images of two colours, on the driver's disk only."""
    for name, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
        (folder / name).mkdir(parents=True)
        for i in range(40):
            Image.new("RGB", (12, 12), tuple((c + 5 * i) % 256 for c in colour)).save(folder / name / f"{i}.png")


def search(cluster, name, *settings, command="search"):
    address = ["--address", cluster.address]
    if command == "resume":
        return cluster.drive("resume", name, *address)
    options = [part for setting in (f'resources.checkpoints="{cluster.shared}"', *settings) for part in ("-s", setting)]
    return cluster.drive("search", "search.toml", "--name", name, *options, *address)


def attempts(cluster, run):
    """Return (trial, node, process id, outcome) of every attempt of the run."""
    with contextlib.closing(sqlite3.connect(cluster.work / "runs" / "archsieve.db")) as database:
        return database.execute(
            "select trial_id, node, pid, outcome from attempt join trial using (trial_id) join run using (run_id) "
            "where run.name = ? order by trial_id, attempt",
            (run,),
        ).fetchall()


def wait_for(cluster, run, process, ready):
    while True:
        assert process.poll() is None, process.communicate()
        with contextlib.suppress(StoreError, ValueError):
            with open_store(cluster.work / "runs" / "archsieve.db", read_only=True) as store:
                trials = store.history(run).trials
            if ready([trial for trial in trials if trial.state is TrialState.RUNNING and trial.epochs_done >= 3]):
                return
        time.sleep(0.05)


def trials_and_events(cluster, run):
    """Return the run's trials and the kinds of its events."""
    with open_store(cluster.work / "runs" / "archsieve.db", read_only=True) as store:
        return store.history(run).trials, [event["kind"] for event in store.events(run)]


@pytest.fixture(scope="module")
def undisturbed(cluster):
    """Return the trials of an undisturbed search on both workers."""
    process = search(cluster, "whole")
    _, err = process.communicate()
    assert process.returncode == 0, err
    return finished(trials_and_events(cluster, "whole")[0])


@slow
@needs_namespaces
def test_a_search_runs_on_both_workers_and_the_driver_gets_the_results(cluster, undisturbed, tmp_path):
    """Workers have no access to the data, the run's folder or the database."""
    assert {node for _, node, _, _ in attempts(cluster, "whole")} == {"w1", "w2"}
    assert list(cluster.shared.rglob("*.pt")) == []
    shutil.copytree(cluster.work / "images", tmp_path / "images")
    (tmp_path / "search.toml").write_text(SEARCH)
    drivers = Drivers(tmp_path)
    code, _, err = drivers.run("search", "search.toml", "--name", "alone")
    drivers.end()
    assert code == 0, err
    assert finished(drivers.history("alone")) == undisturbed


@slow
@needs_namespaces
def test_a_killed_worker_costs_one_epoch(cluster, undisturbed):
    process = search(cluster, "killed")
    wait_for(cluster, "killed", process, lambda running: len(running) == 2)
    killed = next(pid for _, _, pid, outcome in attempts(cluster, "killed") if outcome is None)
    os.kill(killed, signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == 0, err
    trials, events = trials_and_events(cluster, "killed")
    assert events.count("worker_lost") == 1
    assert "rewound" not in events  # no reported epoch was trained again
    assert len(attempts(cluster, "killed")) == len(trials) + 1
    assert finished(trials) == undisturbed


@slow
@needs_namespaces
def test_a_lost_machine_costs_one_epoch_and_a_run_without_nodes_waits_and_stops(cluster, undisturbed):
    process = search(cluster, "lost", "resources.node_timeout_s=5")
    wait_for(cluster, "lost", process, lambda running: len(running) == 2)
    cluster.lose("w2")
    moved = {trial for trial, node, _, _ in attempts(cluster, "lost") if node == "w2"}
    wait_for(
        cluster,
        "lost",
        process,
        lambda running: {trial for trial, node, _, _ in attempts(cluster, "lost") if node == "w1"} >= moved,
    )
    cluster.lose("w1")
    _, err = process.communicate()
    assert process.returncode == 75, err
    assert "5 s" in err
    assert "archsieve resume lost" in err
    for worker in ("w1", "w2"):
        cluster.join(worker)
    process = search(cluster, "lost", command="resume")
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert finished(trials_and_events(cluster, "lost")[0]) == undisturbed


@slow
@needs_namespaces
def test_a_wrong_token_is_refused(cluster):
    process = cluster.drive(
        "search", "search.toml", "--name", "x", "--address", cluster.address, RAY_AUTH_TOKEN="0" * 64
    )
    out, err = process.communicate()
    assert (process.returncode, out) == (4, ""), err
    assert cluster.address in err
    assert "RAY_AUTH_TOKEN" in err


@slow
@needs_namespaces
@pytest.mark.parametrize(
    ("package", "named"),
    [('__version__ = "0"', ("w3", "archsieve 0", __version__)), ("raise ImportError", ("w3",))],
)
def test_a_node_with_another_archsieve_is_named_and_refused(cluster, tmp_path, package, named):
    """The worker imports another version of archsieve, or one that raises."""
    other = tmp_path / "archsieve"
    other.mkdir()
    (other / "__init__.py").write_text(package + "\n")
    cluster.join("w3", PYTHONPATH=str(tmp_path))
    process = search(cluster, f"other-{len(named)}")
    out, err = process.communicate()
    cluster.lose("w3")
    assert (process.returncode, out) == (4, ""), err
    assert all(part in err for part in named)
    assert "ray start" in err  # the fix


@slow
@needs_namespaces
def test_a_node_that_joins_gets_trials(cluster):
    process = search(cluster, "grows", "recipe.epochs=1000000")
    wait_for(cluster, "grows", process, lambda running: len(running) == 2)
    cluster.join("w4")
    wait_for(cluster, "grows", process, lambda running: len(running) == 3)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    cluster.lose("w4")
    assert process.returncode == 75, err
    assert [node for _, node, _, _ in attempts(cluster, "grows")][2:] == ["w4"]


@pytest.mark.slow
def test_an_address_without_a_cluster_is_refused_quickly(command, tmp_path):
    (tmp_path / "search.toml").write_text("[data]\nlimit = 100\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    code, out, err = command("search", "search.toml", "--address", f"127.0.0.1:{port}")
    assert (code, out) == (4, ""), err
    assert f"127.0.0.1:{port}" in err
    assert "ray start --head" in err


@pytest.mark.skipif(not Path("/proc/net/tcp6").exists(), reason="reads /proc")
def test_a_local_ray_listens_on_the_loopback_only(tmp_path):
    """Ray is local even if the environment names a cluster, as in the shell of a user of one."""
    (tmp_path / "search.toml").write_text(
        '[data]\nlimit = 100\n[recipe]\nepochs = 5000\n[search]\nsearcher = "random"\n'
    )
    drivers = Drivers(tmp_path)
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "1" * 64, "RAY_ADDRESS": "127.0.0.1:9"}
    process = drivers("search", "search.toml", "--name", "run", **environment)
    try:
        drivers.wait_for("run", lambda trials: any(trial.epochs_done for trial in trials), process)
        listening = [address for pid in drivers.alive() for address in addresses(pid)]
        assert len(listening) >= 4  # Ray's state server, its node, its worker, the driver
        assert all(address in ("127.0.0.1", "::1") for address in listening)
    finally:
        drivers.end()


def addresses(pid):
    """Yield the addresses on which a process listens; an IPv4 address mapped to IPv6 is given as IPv4."""
    sockets = set()
    with contextlib.suppress(OSError):
        links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
        sockets = {link[8:-1] for link in links if link.startswith("socket:")}
    for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            parts = line.split()
            # The columns of /proc/net/tcp: 0A is the state LISTEN, column 9 the inode of the socket.
            if parts[3] == "0A" and parts[9] in sockets:
                words = bytes.fromhex(parts[1].split(":")[0])
                raw = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
                yield socket.inet_ntop(family, raw).removeprefix("::ffff:")
