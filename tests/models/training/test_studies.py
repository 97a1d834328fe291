"""The studies of the examples: the table that each prints shows the point that it makes."""

import subprocess
import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[3] / "examples" / "studies.py"


def told_by(study, seeds):
    """The cells of the table that ``study`` prints, row by row, below its head."""
    told = subprocess.run(
        [sys.executable, STUDIES, study, "--seeds", str(seeds)], capture_output=True, text=True, check=True
    )
    rows = [line.strip("| ").split(" | ") for line in told.stdout.splitlines() if line.startswith("| ")]
    return [[cell.strip(" |") for cell in row] for row in rows[1:]]


def mean(cell):
    return float(cell.split(" ± ")[0].replace(",", ""))


@pytest.mark.slow
def test_removals_together_cost_more_than_the_sum_of_their_parts():
    *_, (removed, _, _, drop, parts) = told_by("depth", 2)
    assert removed == "both conv and both fc"
    assert float(drop) > float(parts) + 2


@pytest.mark.slow
def test_depth_without_shortcuts_raises_the_training_error_and_with_them_does_not():
    errors = {(row[0], int(row[1])): mean(row[3]) for row in told_by("residual", 2)}
    assert errors["plain", 62] > errors["plain", 8] + 30
    assert abs(errors["residual", 62] - errors["residual", 8]) < 3
    assert errors["plain", 62] > errors["residual", 62] + 30


@pytest.mark.slow
def test_reductions_save_more_than_half_of_the_macs():
    table = told_by("inception", 2)
    params, macs = ({row[0]: mean(row[place]) for row in table} for place in (1, 2))
    assert macs["with"] < macs["without"] / 2
    assert params["with"] < params["without"] / 2


@pytest.mark.slow
def test_random_search_finds_better_than_a_grid_of_as_many_trials():
    rows = {row[0]: row for row in told_by("search", 2)}
    assert rows["grid"][1] == rows["random"][1] == "27"
    assert mean(rows["random"][2]) < mean(rows["grid"][2])


def test_an_unknown_study_names_the_nearest():
    told = subprocess.run([sys.executable, STUDIES, "dept"], capture_output=True, text=True, check=False)
    assert told.returncode != 0
    assert "did you mean 'depth'" in told.stderr
