"""examples/studies.py: the table of each study shows the effect that the study is about."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[3] / "examples" / "studies.py"


def latest_test_table(study, seeds):
    """Return the cells of the table that ``study`` prints, row by row, without the header."""
    process = subprocess.run(
        [sys.executable, STUDIES, study, "--seeds", str(seeds)], capture_output=True, text=True, check=True
    )
    rows = [line.strip("| ").split(" | ") for line in process.stdout.splitlines() if line.startswith("| ")]
    return [[cell.strip(" |") for cell in row] for row in rows[1:]]


def mean(cell):
    return float(cell.split(" ± ")[0].replace(",", ""))


@pytest.mark.slow
def test_removing_all_layers_costs_more_than_the_sum_of_single_removals():
    *_, (removed, _, _, drop, parts) = latest_test_table("depth", 2)
    assert removed == "both conv and both fc"
    assert float(drop) > float(parts) + 2


@pytest.mark.slow
def test_depth_raises_the_training_error_only_without_shortcuts():
    errors = {(row[0], int(row[1])): mean(row[3]) for row in latest_test_table("residual", 2)}
    assert errors["plain", 62] > errors["plain", 8] + 30
    assert abs(errors["residual", 62] - errors["residual", 8]) < 3
    assert errors["plain", 62] > errors["residual", 62] + 30


@pytest.mark.slow
def test_reductions_save_more_than_half_of_the_macs():
    table = latest_test_table("inception", 2)
    params, macs = ({row[0]: mean(row[column]) for row in table} for column in (1, 2))
    assert macs["with"] < macs["without"] / 2
    assert params["with"] < params["without"] / 2


@pytest.mark.slow
def test_random_search_beats_a_grid_with_as_many_trials():
    rows = {row[0]: row for row in latest_test_table("search", 2)}
    assert rows["grid"][1] == rows["random"][1] == "27"
    assert mean(rows["random"][2]) < mean(rows["grid"][2])


def test_an_unknown_study_names_the_nearest(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["studies.py", "dept"])
    with pytest.raises(ValueError, match="'depth'"):
        runpy.run_path(str(STUDIES), run_name="__main__")
