"""A disk that is full from the n-th write on: of the database, spool, checkpoints, log, cache and report."""

from pathlib import Path

import pytest

from ...results.write_faults import COMPILER, WHY_NOT, compile_library, run_with

pytestmark = pytest.mark.skipif(COMPILER is None, reason=WHY_NOT)
PROGRAM = Path(__file__).with_name("full_disk.py").read_text()


# Work and the distance between two of its writes that are tried. The second value tries every write.
QUICK = {"database": 41, "whole_disk": 37, "checkpoint": 1, "report_page": 1, "log": 1, "cache": 4}
EVERY = dict.fromkeys(QUICK, 1)


@pytest.mark.parametrize("steps", [QUICK, pytest.param(EVERY, marks=pytest.mark.slow)], ids=["some", "every"])
def test_a_disk_that_is_full_from_any_write_on_loses_nothing(tmp_path, steps):
    """After the failed write there is space only in what the run has reserved; later there is space again."""
    words = [f"{work}:{step}" for work, step in steps.items()]
    cases = run_with(compile_library(tmp_path), PROGRAM, tmp_path / "work", *words)
    assert {work: [case for case in found if case[1]] for work, found in cases.items()} == {work: [] for work in steps}
    assert min(map(len, cases.values())) >= 3
