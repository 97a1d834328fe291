"""One Ray for the whole session, and the command line in this process."""

import gc
import os
import sys
from pathlib import Path

import pytest

from archsieve.search.cli.main import main


@pytest.fixture(scope="session")
def ray_running():
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray

    from archsieve.search.cluster.ray_runtime import quiet

    with quiet(Path(os.devnull)):
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield ray
        ray.shutdown()


@pytest.fixture
def line(tmp_path, monkeypatch, capsys):
    """Run ``archsieve ...`` in a folder of its own, in this process: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["archsieve", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        gc.enable()  # which the command line turns off
        return ended.value.code, *capsys.readouterr()

    return run
