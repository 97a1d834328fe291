"""A disk that is full from the n-th write on: of the database, spool, checkpoints, log, cache and report."""

from pathlib import Path

import pytest

from ...results.write_faults import COMPILER, WHY_NOT, compile_library, run_with

pytestmark = pytest.mark.skipif(COMPILER is None, reason=WHY_NOT)
PROGRAM = Path(__file__).with_name("full_disk.py").read_text()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return compile_library(tmp_path_factory.mktemp("library"))


@pytest.mark.parametrize(
    ("work", "step", "fewest"),
    [
        ("database", 17, 3),
        ("whole_disk", 23, 3),
        ("checkpoint", 1, 2),
        ("report_page", 1, 2),
        ("log", 1, 2),
        ("cache", 3, 2),
        *(pytest.param(work, 1, 40, marks=pytest.mark.slow) for work in ("database", "whole_disk")),
    ],
)
def test_a_disk_that_is_full_from_any_write_on_loses_nothing(library, tmp_path, work, step, fewest):
    """After the failed write there is space only in what the run has reserved; later there is space again."""
    cases = run_with(library, PROGRAM, work, tmp_path / "work", step)
    assert [case for case in cases if case[1] is not None] == []
    assert len(cases) >= fewest
