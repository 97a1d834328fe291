"""A PostgreSQL server for tests: it listens on the loopback address only and stores its data in a temporary folder."""

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

from archsieve.results.database.lease import start_ticks

LOOPBACK = "127.0.0.1"
USER, PASSWORD = "archsieve", "s3cr:t/%"  # with characters that must be quoted in a URL


def binaries() -> Path | None:
    """Return the folder of ``initdb`` and ``postgres``: from the PATH, or the folder of Debian's packages."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if {"initdb", "postgres"} <= {p.name for p in folder.glob("*")}), None)


def why_not() -> str | None:
    """Return why no server can be started on this machine, or None if one can."""
    if binaries() is None:
        return "initdb and postgres of PostgreSQL are missing (Debian: apt-get install postgresql)"
    if os.getuid() == 0 and _other_user() is None:
        return "PostgreSQL does not run as root, and there is no user postgres and no user nobody"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "the driver of PostgreSQL is missing: pip install 'archsieve[postgresql]'"
    return None


def _other_user() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


class Server:
    """A PostgreSQL server that requires a password and can be killed and started again at the same port."""

    def __init__(self, folder: Path) -> None:
        binaries_folder = binaries()
        assert binaries_folder is not None
        self.binaries, self.folder, self.data = binaries_folder, folder, folder / "data"
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.chmod(0o755)
        self._user_options = _user_options(folder)
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        options = [
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
        initdb = [self.binaries / "initdb", *options]
        subprocess.run(initdb, check=True, capture_output=True, **self._user_options)

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        settings = {"listen_addresses": LOOPBACK, "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            command = [self.binaries / "postgres", "-D", self.data, *options]
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, **self._user_options
            )
        while not self._accepts_connections():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the server without a shutdown, like a power failure.

        Its backend processes are killed too: each of them runs on until it notices that the server is gone, and can
        answer one more statement.
        """
        assert self.process is not None
        backends = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for backend in backends:
            with contextlib.suppress(psutil.NoSuchProcess):
                backend.kill()
        while any(start_ticks(backend.pid) is not None for backend in backends):
            time.sleep(0.05)

    def stop(self) -> None:
        """Shut the server down; open connections are closed."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        """Return the URL of a database, with the password."""
        return f"postgresql+psycopg://{USER}:{quote(password, safe='')}@{LOOPBACK}:{self.port}/{database}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements, each in a separate transaction."""
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement)

    def client(self, program: str, *arguments: str | Path, user: str = USER, password: str = PASSWORD) -> None:
        """Run a client program of PostgreSQL, such as psql."""
        address = {"PGHOST": LOOPBACK, "PGPORT": str(self.port), "PGUSER": user, "PGPASSWORD": password}
        command = [self.binaries / program, *arguments]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, **address})

    def connect(self, database: str = "postgres"):
        import psycopg

        return psycopg.connect(
            host=LOOPBACK, port=self.port, user=USER, password=PASSWORD, dbname=database, autocommit=True
        )

    def _accepts_connections(self) -> bool:
        import psycopg

        try:
            with self.connect():
                return True
        except psycopg.OperationalError:
            return False


def _user_options(folder: Path) -> dict:
    """Return the options of ``Popen`` that start a process as another user if this process is root.

    PostgreSQL refuses to run as root. The other user becomes the owner of ``folder``.
    """
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
