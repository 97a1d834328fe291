"""Latency on a device: a command of the user runs an exported network there and prints the times as a line of JSON.

The protocol: the last line of the output is a JSON object with ``latency_ms_p50``, ``latency_ms_p90`` and ``n``, the
median, the 90th percentile and the number of timed passes of one image. ``device``, ``threads``, ``warmup``,
``temperature_c`` and ``load`` are optional. A network that cannot run there gives ``{"error": "REASON"}``. An exit code
other than 0, or no end within the time limit, means that the device did not answer: the command is repeated.
"""

import hashlib
import json
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

MODEL = "{model}"  # placeholder of the command: the path of the exported file or folder
WAIT_S = 2.0  # before the command is repeated; doubled each time
MAX_MS = 1e9  # a time above it is an error of the program
MAX_COUNT = 2**31 - 1  # of an integer column of the database
MAX_SHOWN = 200  # characters of an output in an error
EXPECTED = '{"latency_ms_p50": 1.9, "latency_ms_p90": 2.1, "n": 50}'


class DeviceOfflineError(RuntimeError):
    """The device did not answer; a later attempt may succeed."""


class DeviceOutputError(ValueError):
    """The output of the command does not follow the protocol."""


class DeviceRefusedError(ValueError):
    """The device cannot run this network."""


@dataclass(frozen=True)
class DeviceCommand:
    """The command that measures an exported network on a device.

    Args:
        run: the command, with ``{model}`` for the path of the exported file or folder. It is not run by a shell.
        name: what the database calls the device.
        timeout_s: seconds that one call may take.
        retries: how often the command is repeated if the device does not answer.
        folder: the working folder of the command; None for that of this process.
    """

    run: str
    name: str = "device"
    timeout_s: float = 120.0
    retries: int = 2
    folder: str | None = None

    def measure(self, model: Path) -> dict[str, Any]:
        """Return the measurement of the exported network ``model``, with the columns of the table ``measurement``.

        Of the processes of this user on this machine, one measures on the device at a time. Raises
        :class:`DeviceOfflineError`, :class:`DeviceOutputError` or :class:`DeviceRefusedError`.
        """
        command = [part.replace(MODEL, str(model)) for part in shlex.split(self.run)]
        # of this user: the file of another one cannot be opened
        key = f"{os.getuid()}-{hashlib.sha256(self.run.encode()).hexdigest()[:16]}"
        with FileLock(str(Path(tempfile.gettempdir()) / f"archsieve-device-{key}.lock")):
            output = self._output(command)
        return measurement(output, self.name)

    def _output(self, command: list[str]) -> str:
        reason = ""
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(WAIT_S * 2 ** (attempt - 1))
            try:
                done = self._ended(command)
            except subprocess.TimeoutExpired:
                reason = f"it did not end within {self.timeout_s:g} s"
                continue
            except OSError as error:
                raise DeviceOutputError(
                    f"device.run must be a command, but {command[0]} cannot be started: {error.strerror}; "
                    "check its path"
                ) from None
            if done.returncode == 0:
                return done.stdout
            reason = f"it ended with exit code {done.returncode}: {_short(done.stderr or done.stdout)}"
        raise DeviceOfflineError(
            f"the device {self.name} did not answer: {shlex.join(command)} was tried {self.retries + 1} times, and "
            f"{reason}; connect the device"
        )

    def _ended(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Return the ended command with its output; raise ``TimeoutExpired`` after ending it with all its children."""
        # A group of its own: a child such as that of sh or ssh would keep the output open after the end of its parent,
        # so that the time limit would not hold. The files are not pipes, as a server that the command starts (adb) may
        # keep them open.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.folder, start_new_session=True
            )
            try:
                code = process.wait(self.timeout_s)
            except BaseException:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        return subprocess.CompletedProcess(command, code, *texts)


def measurement(output: str, name: str) -> dict[str, Any]:
    """Return the measurement in the ``output`` of a command, for the device ``name``.

    Raises :class:`DeviceOutputError` if it does not follow the protocol, and :class:`DeviceRefusedError` if it says
    that the network cannot run.
    """
    lines = output.strip().splitlines()
    line: Any = None
    with suppress(ValueError, RecursionError):  # not JSON
        line = json.loads(lines[-1]) if lines else None
    if not isinstance(line, dict):
        raise _unexpected(_short(lines[-1]) if lines else "no output")
    if "error" in line:
        raise DeviceRefusedError(f"the device {name} cannot run the network: {_short(str(line['error']))}")
    p50: Any = line.get("latency_ms_p50")
    p90: Any = line.get("latency_ms_p90")
    n: Any = line.get("n")
    if not (_is_time(p50) and _is_time(p90) and type(n) is int and 1 <= n <= MAX_COUNT and p50 <= p90):
        raise _unexpected(_short(lines[-1]))
    return {
        "device": name,
        "machine": str(line.get("device", name)),
        "torch": "none",
        "precision": str(line.get("precision", "file")),
        "batch_size": 1,
        "threads": _count(line, "threads", 1),
        "warmup": _count(line, "warmup", 0),
        "n": n,
        "latency_ms_p50": float(p50),
        "latency_ms_p90": float(p90),
        "peak_memory_bytes": None,
        **{key: line[key] for key in ("temperature_c", "load") if key in line},
    }


def _is_time(value: Any) -> bool:
    # compared before it is converted: an integer of JSON may be too large for a float
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < MAX_MS


def _count(line: Mapping[str, Any], key: str, default: int) -> int:
    value = line.get(key, default)
    return value if type(value) is int and 0 <= value <= MAX_COUNT else default


def _unexpected(came: str) -> DeviceOutputError:
    return DeviceOutputError(
        f"the last line of the output of device.run must be JSON such as {EXPECTED}, in milliseconds above 0 and with "
        f"latency_ms_p50 <= latency_ms_p90, but it was: {came}; correct the program on the device"
    )


def _short(text: str) -> str:
    text = " ".join(text.split())
    return (text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} ...") or "no output"
