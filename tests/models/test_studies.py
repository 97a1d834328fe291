"""The studies of the examples: each prints its table."""

import subprocess
import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[2] / "examples" / "studies.py"


@pytest.mark.slow
@pytest.mark.parametrize(("study", "row"), [("depth", "| both conv and both fc |"), ("inception", "| without |")])
def test_a_study_prints_its_table(study, row):
    told = subprocess.run([sys.executable, STUDIES, study, "--seeds", "2"], capture_output=True, text=True, check=True)
    assert row in told.stdout
    assert "±" in told.stdout


def test_an_unknown_study_names_the_nearest():
    told = subprocess.run([sys.executable, STUDIES, "dept"], capture_output=True, text=True, check=False)
    assert told.returncode != 0
    assert "did you mean 'depth'" in told.stderr
