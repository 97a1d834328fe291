"""A test cluster on one machine: a head and workers, each with its own network, host name and disk."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RAY = Path(sys.executable).with_name("ray")
PORT = 6379


class Cluster:
    """A Ray cluster whose machines are network namespaces on one bridge, started with `ray start` as documented.

    ``work`` is the driver's disk: workers see an empty folder in its place. ``shared`` is a disk that all machines see.
    """

    def __init__(self, workers=("w1", "w2")):
        # A short path: the folder holds sockets, and the length of their paths is limited.
        self.folder = Path(tempfile.mkdtemp(prefix="as", dir="/tmp"))
        self.work, self.shared = self.folder / "work", self.folder / "shared"
        for path in (self.work, self.shared, self.folder / "ray"):
            path.mkdir()
        self.name = f"as{os.getpid()}"
        self.machines: list[str] = []
        self._started: list[subprocess.Popen] = []
        token = secrets.token_hex(32)
        self.variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0"}
        self._ip("netns", "add", self._of("switch"))
        try:
            self._ip("-n", self._of("switch"), "link", "add", "br0", "up", "type", "bridge")
            head = f"--head --port={PORT} --num-cpus=0 --include-dashboard=false --temp-dir={self.folder}/ray"
            self.start("head", head)
            for worker in workers:
                self.join(worker)
        except BaseException:
            self.end()
            raise

    @property
    def address(self):
        return f"10.77.0.1:{PORT}"

    def join(self, machine, **variables):
        """Start a worker with one core and wait until it has joined."""
        self.start(machine, f"--address={self.address} --num-cpus=1", private=True, **variables)

    def start(self, machine, arguments, private=False, **variables):
        self._plug_in(machine)
        node_options = f"--node-ip-address={self._host(machine)} --object-store-memory=150000000 --block"
        # An empty file system hides the driver's folders from workers, as if they were on another disk.
        hidden = "".join(f"mount -t tmpfs none {self.folder}/{name}; " for name in ("work", "ray") if private)
        command = f"hostname {machine}; {hidden}exec {RAY} start {arguments} {node_options}"
        with (self.folder / f"{machine}.log").open("w") as log:
            inside = ["unshare", "--uts", "sh", "-c", command]
            process = self._inside(machine, inside, log, log, **variables)
        self._started.append(process)
        while "Ray runtime started" not in (self.folder / f"{machine}.log").read_text():
            assert process.poll() is None, (self.folder / f"{machine}.log").read_text()
            time.sleep(0.2)

    def drive(self, *arguments, **variables):
        """Start ``archsieve ...`` on the head, in the folder that no worker sees."""
        command = [sys.executable, "-m", "archsieve", *arguments]
        return self._inside("head", command, subprocess.PIPE, subprocess.PIPE, self.work, **variables)

    def lose(self, machine):
        """Kill all processes of a machine together, as in a power failure."""
        pids = subprocess.run(["ip", "netns", "pids", self._of(machine)], capture_output=True, text=True, check=True)
        for pid in pids.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def end(self):
        for machine in self.machines:
            self.lose(machine)
            self._ip("netns", "del", self._of(machine))
        self._ip("netns", "del", self._of("switch"))
        for process in self._started:
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _plug_in(self, machine):
        if machine in self.machines:
            return
        self.machines.append(machine)
        namespace, switch = self._of(machine), self._of("switch")
        self._ip("netns", "add", namespace)
        self._ip("-n", namespace, "link", "add", "eth0", "type", "veth", "peer", "name", machine, "netns", switch)
        self._ip("-n", switch, "link", "set", machine, "master", "br0", "up")
        self._ip("-n", namespace, "addr", "add", f"{self._host(machine)}/24", "dev", "eth0")
        self._ip("-n", namespace, "link", "set", "eth0", "up")
        self._ip("-n", namespace, "link", "set", "lo", "up")

    def _inside(self, machine, command, out, err, cwd=None, **variables):
        return subprocess.Popen(
            ["ip", "netns", "exec", self._of(machine), *command],
            cwd=cwd,
            env={**os.environ, **self.variables, **variables},
            stdout=out,
            stderr=err,
            text=True,
            start_new_session=True,
        )

    def _host(self, machine):
        return f"10.77.0.{self.machines.index(machine) + 1}"

    def _of(self, machine):
        return f"{self.name}-{machine}"

    @staticmethod
    def _ip(*arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True)
