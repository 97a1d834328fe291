"""What is sent of a plug-in: its files and the modules of its folder that it imports; unpacked, and cleaned up."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from archsieve.search.plugins.sources import digest_of, sources_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    files = {
        "plugged_main.py": "import json\nimport plugged_helper\nfrom plugged_package import inner\nimport archsieve\n"
        "\ndef later():\n    from plugged_late import VALUE\n    import plugged_missing\n",
        "plugged_helper.py": "import plugged_second\n",
        "plugged_second.py": "import plugged_main\n",
        "plugged_late.py": "VALUE = 1\n",
        "plugged_other.py": "",
        "json.py": "",  # Python imports its own
        "plugged_package/__init__.py": "",
        "plugged_package/inner.py": "from . import deep\n",
        "plugged_package/deep.py": "",
        "plugged_namespace/part.py": "import plugged_other\n",
        "plugged_uses.py": "import plugged_namespace.part\n",
        "plugged_broken.py": "def f(:\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "sent"),
    [
        (
            "plugged_main",
            {"plugged_main.py", "plugged_helper.py", "plugged_second.py", "plugged_late.py", "plugged_package/inner.py"}
            | {"plugged_package/__init__.py", "plugged_package/deep.py"},
        ),
        ("plugged_late", {"plugged_late.py"}),
        ("plugged_uses", {"plugged_uses.py", "plugged_namespace/part.py", "plugged_other.py"}),
        ("plugged_broken", {"plugged_broken.py"}),
    ],
)
def test_imported_neighbours_are_sent_and_hashed(module, sent, folder):
    sources = sources_of(module, folder / f"{module}.py")
    assert set(sources) == sent
    before = digest_of(sources)
    changed = sorted(sent - {f"{module}.py"})[-1:]
    for name in changed:
        (folder / name).write_text("# another version\n")
        assert digest_of(sources_of(module, folder / f"{module}.py")) != before


UNPACK = "from archsieve.search.plugins.unpacking import unpack; import os, sys, time\n"


def run(program, folder):
    process = subprocess.Popen(
        [sys.executable, "-c", UNPACK + program],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline().strip()


def test_an_unpacked_folder_is_removed_at_exit_and_after_a_kill(tmp_path):
    unpacked = "folder = unpack({'a/b.py': b'x'}); print(folder, flush=True)"
    process, folder = run(unpacked + "; assert (folder / 'a' / 'b.py').read_bytes() == b'x'", tmp_path)
    assert process.wait() == 0
    process.stdout.close()
    assert folder.startswith(str(tmp_path))
    assert not [*tmp_path.iterdir()]

    killed, left = run(unpacked + "; time.sleep(600)", tmp_path)
    alive, used = run(unpacked + "; time.sleep(600)", tmp_path)
    try:
        assert {path.name for path in tmp_path.iterdir()} == {Path(left).name, Path(used).name}
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        last, _ = run(unpacked, tmp_path)
        assert last.wait() == 0
        assert [path.name for path in tmp_path.iterdir()] == [Path(used).name]  # of a process that lives
    finally:
        alive.kill()
        alive.wait()
        for process in (killed, alive, last):
            process.stdout.close()
