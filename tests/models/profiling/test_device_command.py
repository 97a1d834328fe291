"""A command measures networks on a device: its output is checked, and a device that does not answer is tried again."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from archsieve.models.export.device_formats import DEVICE_FORMATS
from archsieve.models.export.formats import FORMATS as EXPORTED
from archsieve.models.export.timed_file import write_untrained
from archsieve.models.profiling.device_command import (
    DeviceCommand,
    DeviceOfflineError,
    DeviceOutputError,
    DeviceRefusedError,
    measurement,
)
from archsieve.results.database import schema
from archsieve.search.config.deploy_file import DEPLOYED, WITH_RAM, load_deploy_file
from archsieve.search.config.device_section import FORMATS, DeviceSection
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, GlobalAverage

GOOD = {"latency_ms_p50": 1.5, "latency_ms_p90": 2, "n": 10}


@pytest.fixture
def device(tmp_path, monkeypatch):
    """Return a function that makes the command of a device whose program is this Python code."""
    monkeypatch.setattr("archsieve.models.profiling.device_command.WAIT_S", 0.0)

    def make(program, **options):
        (tmp_path / "program.py").write_text(f"import sys\n{program}")
        return DeviceCommand(f"{sys.executable} program.py {{model}}", "board", folder=str(tmp_path), **options)

    return make


def test_the_last_line_is_the_measurement(device, tmp_path):
    row = device(f"print('starting', sys.argv[1]); print('''{json.dumps({**GOOD, 'device': 'M7'})}''')").measure(
        tmp_path / "net.pte"
    )
    assert (row["device"], row["machine"], row["latency_ms_p50"], row["latency_ms_p90"], row["n"]) == (
        *("board", "M7"),
        *(1.5, 2.0, 10),
    )
    needed = [
        column.name
        for column in schema.measurement.columns
        if not column.nullable and not column.foreign_keys and column.name not in ("measurement_id", "measured_at")
    ]
    assert set(needed) <= set(row)


@pytest.mark.parametrize(
    "output",
    [
        *("", "ok", "[1, 2]", "{}", json.dumps({**GOOD, "n": 0}), json.dumps({**GOOD, "latency_ms_p50": "1.5"})),
        *(json.dumps({**GOOD, "latency_ms_p50": -1}), json.dumps({**GOOD, "latency_ms_p90": 1})),
        *(json.dumps({**GOOD, "latency_ms_p90": float("nan")}), f"{json.dumps(GOOD)}\ndone"),
        *(json.dumps({**GOOD, "latency_ms_p90": 10**400}), json.dumps({**GOOD, "n": 10**20}), "[" * 9000),
    ],
)
def test_another_output_is_an_error_with_what_came_and_what_was_expected(output):
    with pytest.raises(DeviceOutputError, match=r'must be JSON such as \{"latency_ms_p50"') as error:
        measurement(output, "board")
    assert (output.splitlines() or ["no output"])[-1][:200] in str(error.value)


def test_a_network_that_cannot_run_is_no_fault_of_the_device(device, tmp_path):
    with pytest.raises(DeviceRefusedError, match="board cannot run the network: out of memory"):
        device('print(\'{"error": "out of memory"}\')').measure(tmp_path)


def test_a_device_that_does_not_answer_is_tried_again(device, tmp_path):
    program = f"""
from pathlib import Path
calls = Path("calls")
calls.write_text((calls.read_text() if calls.exists() else "") + "x")
if len(calls.read_text()) < 3:
    sys.exit("no route to host")
print('''{json.dumps(GOOD)}''')
"""
    assert device(program, retries=2).measure(tmp_path)["n"] == 10
    assert (tmp_path / "calls").read_text() == "xxx"
    (tmp_path / "calls").unlink()
    with pytest.raises(DeviceOfflineError, match=r"board did not answer.*tried 2 times.*exit code 1: no route to host"):
        device(program, retries=1).measure(tmp_path)


def test_a_command_that_does_not_end_or_start_is_an_error(device, tmp_path):
    with pytest.raises(DeviceOfflineError, match=r"did not end within 0\.2 s"):
        device("import time; time.sleep(60)", timeout_s=0.2, retries=0).measure(tmp_path)
    child = "import subprocess; subprocess.run(['sleep', '600'])"  # keeps the output open after the end of its parent
    with pytest.raises(DeviceOfflineError, match=r"did not end within 0\.5 s"):
        device(child, timeout_s=0.5, retries=0).measure(tmp_path)
    with pytest.raises(DeviceOutputError, match=r"none/timing cannot be started.*check its path"):
        DeviceCommand("none/timing {model}").measure(tmp_path)


def test_a_server_that_the_command_starts_is_not_waited_for(device, tmp_path):
    # as that of adb, which keeps the output of its parent open
    server = "import subprocess; open('pid', 'w').write(str(subprocess.Popen(['sleep', '600']).pid))"
    assert device(f"{server}; print('''{json.dumps(GOOD)}''')").measure(tmp_path)["n"] == 10
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)  # an error if it had ended


def test_the_command_needs_the_place_of_the_model():
    assert DeviceSection().command() is None
    command = DeviceSection(run="sh -c 'cc {model}/a.c && ./a.out'", retries=0).command()
    assert (command.retries, command.folder) == (0, str(Path.cwd()))
    with pytest.raises(ValueError, match=r"must have \{model\}.*'ssh board ./timing'"):
        DeviceSection(run="ssh board ./timing")
    assert {"safetensors", *FORMATS} == {*EXPORTED, *DEVICE_FORMATS}
    with pytest.raises(ValueError, match=r"'executorch-int'.*'executorch-int8'"):
        DeviceSection(format="executorch-int")
    with pytest.raises(ValueError, match="close the quotes"):
        DeviceSection(run="sh -c 'cc {model}")


@pytest.mark.parametrize(
    ("device", "budget", "facts"),
    [
        ('format = "onnx"', "", ("'onnx'", "onnx-int8")),
        ('run = "x {model}"', "params = 5", ("'params'", "latency_ms")),
        ("", "latency_ms = 5", ("budget.latency_ms", "device.run")),
        ('format = "onnx-int8"', "ram = 5000", ("budget.ram", "'onnx-int8'", "executorch")),
        ("", "ram = -1", ("budget.ram", "-1")),
    ],
)
def test_a_limit_that_deploy_cannot_check_is_refused(tmp_path, device, budget, facts):
    (tmp_path / "device.toml").write_text(f"[device]\n{device}\n[budget]\n{budget}\n")
    with pytest.raises(ValueError, match=r"device\.toml: \S") as error:
        load_deploy_file(tmp_path / "device.toml")
    for fact in facts:
        assert fact in str(error.value)


def test_deploy_knows_the_formats_and_the_runtimes_that_report_memory(tmp_path):
    assert set(DEPLOYED) == set(DEVICE_FORMATS)
    assert set(WITH_RAM) == {name for name, row in DEVICE_FORMATS.items() if row.planned}
    (tmp_path / "device.toml").write_text('[device]\nrun = "x {model}"\n[budget]\nram = "5kB"\nlatency_ms = 5\n')
    assert load_deploy_file(tmp_path / "device.toml").limits.ram == 5000


def test_the_reference_runner_times_an_exported_network(tmp_path):
    network = Architecture((1, 8, 8), (Conv(4), GlobalAverage()), 3)
    path = write_untrained(network, "onnx", tmp_path)
    runner = Path(__file__).parents[3] / "examples/device_runner.py"
    row = DeviceCommand(f"{sys.executable} {runner} {{model}} 7").measure(path)
    assert (row["n"], row["warmup"]) == (7, 5)
    assert 0 < row["latency_ms_p50"] <= row["latency_ms_p90"]
    path.write_bytes(b"not a network")
    with pytest.raises((DeviceRefusedError, DeviceOfflineError)):
        DeviceCommand(f"{sys.executable} {runner} {{model}}", retries=0).measure(path)
