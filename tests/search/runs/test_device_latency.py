"""A search whose latency is that of a device: calibrated and measured by a command, paused while it is offline."""

import sys

import pytest

from archsieve.results.database.latency_records import calibration, calibration_quality, measurements
from archsieve.results.database.records import FailKind, TrialState
from archsieve.results.database.store import open_store
from archsieve.search.runs.session import resume, search
from archsieve.search.trials.failure_policy import StopKind

from ..conftest import small

pytestmark = pytest.mark.usefixtures("ray_running")

SPACE = {"stem": [8, 16], "stages": [{"block": ["conv-pool"], "width": [8, 12, 16], "depth": [1, 2]}]}
CALIBRATION = 3
# A device whose time is one nanosecond for each byte of the file, and that is offline from a certain call on.
DEVICE = """
import json, pathlib, sys
folder = pathlib.Path(__file__).parent
with (folder / "calls").open("a") as calls:
    calls.write("x")
if len((folder / "calls").read_text()) > int((folder / "limit").read_text()):
    sys.exit("no route to host")
ms = len(pathlib.Path(sys.argv[1]).read_bytes()) / 1e6
print(json.dumps({"latency_ms_p50": ms, "latency_ms_p90": 1.1 * ms, "n": 20, "device": "board-7"}))
"""


@pytest.mark.slow  # two searches; test_retraining.py measures a network with a command, test_full_disk.py pauses a run
def test_a_search_measures_on_the_device_and_pauses_while_it_is_offline(tmp_path):
    (tmp_path / "device.py").write_text(DEVICE)
    (tmp_path / "limit").write_text(str(CALIBRATION + 1))  # the calibration and one trial
    experiment = small(
        space=SPACE,
        budget={"latency_ms": 10_000.0},
        recipe={"epochs": 1},
        search={"trials": 3},
        latency={"calibration": CALIBRATION},
        device={
            "run": f"{sys.executable} {tmp_path}/device.py {{model}}",
            "format": "torch-export",
            "name": "board",
            "retries": 0,
        },
    )
    paused = search(experiment, name="board", runs=tmp_path / "runs")
    assert paused.stop.kind is StopKind.DEVICE_OFFLINE
    assert "board did not answer" in paused.stop.reason
    with open_store(paused.database, read_only=True) as store:
        (trial,) = [one for one in store.trials("board") if one.state is TrialState.INTERRUPTED]
        assert trial.fail_kind is FailKind.DEVICE_OFFLINE
        rows = measurements(store, "board")
        assert {(row.device, row.machine, row.n) for row in rows} == {("board", "board-7", 20)}
        assert [row.trial_id is None for row in rows] == [True] * CALIBRATION + [False]
        assert calibration(store, "board")["n"] == CALIBRATION
        quality = calibration_quality(rows)
        assert quality.n == CALIBRATION
        assert quality.spread == pytest.approx(0.1)
    (tmp_path / "limit").write_text("1000")
    outcome = resume("board", database=paused.database, runs=tmp_path / "runs")
    assert [one.state for one in outcome.trials] == [TrialState.COMPLETED] * 3
    assert all(one.latency_ms > 0 for one in outcome.trials)
    with open_store(outcome.database, read_only=True) as store:
        assert len(measurements(store, "board")) == CALIBRATION + 3  # the calibration is not repeated
    assert "Rank correlation (Spearman) of predicted and measured" in outcome.report.read_text()
