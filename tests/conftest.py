"""One Ray for the whole session, and the command line in this process."""

import gc
import os
import sys
from pathlib import Path

import pytest
import torch

from archsieve.models.data.registry import DATASETS
from archsieve.models.data.shapes import SHAPES
from archsieve.search.cli.main import main
from archsieve.search.plugins import loading
from archsieve.search.searchers.registry import SEARCHERS
from archsieve.spaces.blocks.standard import BLOCKS
from archsieve.spaces.metrics import registry

# Ray's workers have a niceness of 15 by default: other test processes would leave them no time, and every search waits.
os.environ.setdefault("RAY_worker_niceness", "0")

LONGEST_FIRST = ("docs", "search")  # a long file that starts last leaves the other processes idle
SLOW_TEST_TIMEOUT_S = 3600  # the limit of the others is in pyproject.toml
# Files without shared fixtures, with several tests of a minute or more: their tests may run in different processes.
SPLIT_BY_TEST = {"test_docs.py", "test_plugins.py", "test_resume.py"}


def pytest_collection_modifyitems(items):
    """Put the folders with long tests first, and give slow tests more time.

    The limit of pytest-timeout is the only one: it ends a test that hangs. Tests wait without limits of their own, so
    that they do not fail on a busy machine.
    """
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_TEST_TIMEOUT_S))

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config, log):
    """Give each process whole files, so that the fixtures of a file are made once."""
    from xdist.scheduler import LoadScopeScheduling

    class FileScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if Path(file).name in SPLIT_BY_TEST else file

    return FileScheduling(config, log)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Compute with one thread, as workers do: the threads of four processes would wait for each other on two cores."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


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
        gc.unfreeze()
        return ended.value.code, *capsys.readouterr()

    return run


@pytest.fixture(autouse=True)
def registries_restored():
    """Forget what a test registers: the tests after it in the same process count the rows of these tables."""
    tables = (BLOCKS, DATASETS, SHAPES, SEARCHERS, registry._CUSTOM, loading._LOADED)
    before = [dict(table) for table in tables]
    yield
    for table, rows in zip(tables, before, strict=True):
        table.clear()
        table.update(rows)
