"""A PostgreSQL of the tests' own: on loopback, in a temporary folder, gone afterwards."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import psutil

from archsieve.results.database.lease import started

LOOPBACK = "127.0.0.1"
USER, PASSWORD = "archsieve", "s3cr:t/%"  # the marks that a URL has to quote


def binaries() -> Path | None:
    """The folder of ``initdb`` and ``postgres``: on the path, or where Debian's packages put them."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if {"initdb", "postgres"} <= {p.name for p in folder.glob("*")}), None)


def why_not() -> str | None:
    """Why no server can be started here, or None where one can."""
    if binaries() is None:
        return "no PostgreSQL here: initdb and postgres are missing (Debian: apt-get install postgresql)"
    if os.getuid() == 0 and _other_user() is None:
        return "PostgreSQL does not run as root, and there is neither a user postgres nor nobody"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "no driver for PostgreSQL: pip install 'archsieve[postgresql]'"
    return None


def _other_user() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


class Server:
    """A PostgreSQL that can be killed and started again at the same port; passwords are asked for."""

    def __init__(self, folder: Path) -> None:
        found = binaries()
        assert found is not None
        self.binaries, self.folder, self.data = found, folder, folder / "data"
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.chmod(0o755)
        self._as = _as_other(folder)
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        asked = [
            "-D",
            self.data,
            "-U",
            USER,
            "-A",
            "scram-sha-256",
            f"--pwfile={folder / 'password'}",
            "-N",
            "-E",
            "UTF8",
        ]
        subprocess.run([found / "initdb", *asked], check=True, capture_output=True, timeout=120, **self._as)

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {"listen_addresses": LOOPBACK, "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        told = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            command = [self.binaries / "postgres", "-D", self.data, *told]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **self._as)
        until = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until, "PostgreSQL did not start"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, without a farewell to anyone: as a machine without power does.

        Its backends too: each outlives the server until it looks up, and may answer one statement more.
        """
        assert self.process is not None
        backends = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)
        for backend in backends:
            with contextlib.suppress(psutil.NoSuchProcess):
                backend.kill()
        until = time.monotonic() + 60
        while any(started(backend.pid) is not None for backend in backends):
            assert time.monotonic() < until, "PostgreSQL's processes do not end"
            time.sleep(0.05)

    def stop(self) -> None:
        """End it: whoever is connected is put out."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        """The URL of a database, password included."""
        return f"postgresql+psycopg://{USER}:{quote(password, safe='')}@{LOOPBACK}:{self.port}/{database}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements, each in a transaction of its own."""
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement)

    def connect(self, database: str = "postgres"):
        import psycopg

        return psycopg.connect(
            host=LOOPBACK, port=self.port, user=USER, password=PASSWORD, dbname=database, autocommit=True
        )

    def _answers(self) -> bool:
        import psycopg

        try:
            with self.connect():
                return True
        except psycopg.OperationalError:
            return False


def _as_other(folder: Path) -> dict:
    """How to start a process as somebody else where this one is root; the folder then belongs to him."""
    if os.getuid() != 0:
        return {}
    user = _other_user()
    assert user is not None
    shutil.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": folder}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]
