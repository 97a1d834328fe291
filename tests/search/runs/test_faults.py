"""Recovery from faults: searches on a real Ray, and the parts that make them recover."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from archsieve.results.database.errors import RunExistsError
from archsieve.results.database.records import FailKind, TrialState
from archsieve.results.database.store import open_store
from archsieve.search.cluster.fault_injection import (
    POINTS,
    InjectedFaultError,
    Plan,
    fault,
    parse,
    worker_environment,
)
from archsieve.search.config.diff import changes, code_changes
from archsieve.search.post.integrity import check_runs
from archsieve.search.runs.session import resume, search
from archsieve.search.trials.checkpoint_files import checkpoints_of
from archsieve.search.trials.failure_policy import ConsecutiveFailures, StopKind
from archsieve.search.trials.report import Failure

from ..conftest import small
from ..drivers import finished

SPACE = {"stem": 8, "stages": [{"block": ["conv-pool", "residual", "inception"], "width": [8, 16]}]}


def tiny(epochs=4, trials=3, **tables):
    """Return an experiment: three networks of a space of six, one at a time."""
    search = {"trials": trials, **tables.pop("search", {})}
    return small(space=SPACE, data={"limit": 200}, recipe={"epochs": epochs}, search=search)


def broken_invariants(runs, deep=True):
    with open_store(runs / "archsieve.db", read_only=True) as store:
        return check_runs(store, runs, deep=deep)


def events(runs, kind):
    with open_store(runs / "archsieve.db", read_only=True) as store:
        return [event["detail"]["reason"] for event in store.events("run") if event["kind"] == kind]


def attempts(runs, trial):
    with open_store(runs / "archsieve.db", read_only=True) as store, store.read_transaction() as connection:
        query = f"SELECT outcome, pid IS NOT NULL FROM attempt WHERE trial_id = {trial} ORDER BY attempt"
        return [tuple(row) for row in connection.exec_driver_sql(query)]


@pytest.fixture
def planned(monkeypatch):
    """Return a function that plans a fault for this process."""
    from archsieve.search.cluster import fault_injection

    monkeypatch.setattr(fault_injection, "_visits", type(fault_injection._visits)())

    def plan(text, **variables):
        monkeypatch.setenv("ARCHSIEVE_ENABLE_FAULTS", "1")
        monkeypatch.setenv("ARCHSIEVE_FAULT", text)
        for name, value in variables.items():
            monkeypatch.setenv(f"ARCHSIEVE_FAULT_{name.upper()}", str(value))

    return plan


def test_faults_are_off_by_default(planned, monkeypatch):
    planned("after_insert:raise")
    monkeypatch.setenv("ARCHSIEVE_ENABLE_FAULTS", "0")
    assert [fault(point) for point in POINTS] == [None] * len(POINTS)
    assert worker_environment() == {}


def test_a_fault_happens_at_its_point_on_the_nth_visit(planned):
    planned("after_insert:raise:3")
    assert worker_environment() == {"ARCHSIEVE_ENABLE_FAULTS": "1", "ARCHSIEVE_FAULT": "after_insert:raise:3"}
    for _ in range(2):
        assert fault("before_insert") is None
        assert fault("after_insert") is None
    with pytest.raises(InjectedFaultError, match="after_insert"):
        fault("after_insert")
    assert fault("after_insert") is None


def test_a_counted_fault_is_limited_across_processes(planned, tmp_path):
    planned("mid_epoch:nan", folder=tmp_path, times=2)
    from archsieve.search.cluster import fault_injection

    fired = []
    for _ in range(4):  # as in four processes, each at its first visit
        fault_injection._visits.clear()
        fired.append(fault("mid_epoch"))
    assert fired == ["nan", "nan", None, None]


def test_a_plan_is_parsed_or_refused():
    assert parse("mid_epoch:kill9") == Plan("mid_epoch", "kill9", 1)
    assert parse("ckpt_renamed:enospc:12") == Plan("ckpt_renamed", "enospc", 12)
    for wrong, fact in {
        "mid_epok:kill9": "'mid_epoch'",
        "mid_epoch:kill": "'kill9'",
        "after_insert:nan": "mid_epoch.*'after_insert'",
        "mid_epoch:kill9:0": "at least 1, got '0'",
        "mid_epoch": "action ''",
    }.items():
        with pytest.raises(ValueError, match=fact):
            parse(wrong)


@pytest.fixture(scope="module")
def unbroken(ray_running, tmp_path_factory):
    """Return the trials of a run without a fault."""
    return finished(search(tiny(), name="run", runs=tmp_path_factory.mktemp("whole")).trials)


@pytest.fixture(scope="module")
def paused(ray_running, tmp_path_factory):
    """Return the folder and outcome of a run whose disk was full at the third checkpoint."""
    runs = tmp_path_factory.mktemp("paused")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARCHSIEVE_ENABLE_FAULTS", "1")
        patch.setenv("ARCHSIEVE_FAULT", "ckpt_tmp_written:enospc:3")
        return runs, search(tiny(), name="run", runs=runs)


@pytest.fixture
def copied(paused, tmp_path):
    """Return a copy of that run's folder."""
    shutil.copytree(paused[0], tmp_path / "runs")
    return tmp_path / "runs"


def test_a_full_disk_pauses_the_run_and_leaves_the_checkpoint_before(paused):
    runs, outcome = paused
    assert not outcome.complete
    assert outcome.stop.kind is StopKind.DISK_FULL
    assert "No space left on device" in outcome.stop.reason
    (trial,) = outcome.trials[:1]
    assert (trial.state, trial.fail_kind, trial.epochs_done) == (TrialState.INTERRUPTED, FailKind.DISK_FULL, 2)
    assert checkpoints_of(runs / "run", None).of_trial(trial.trial).epochs() == [2, 1]
    assert attempts(runs, trial.trial) == [("disk_full", True)]
    assert broken_invariants(runs) == []


@pytest.mark.slow  # a copied run with a torn checkpoint is resumed below
def test_a_copied_run_resumes_like_an_uninterrupted_one(copied, unbroken):
    assert finished(resume("run", runs=copied).trials) == unbroken
    assert attempts(copied, 1) == [("disk_full", True), ("completed", True)]
    assert broken_invariants(copied) == []


def flip(path):
    """Flip one bit of a file."""
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])


@pytest.mark.parametrize(
    ("damage", "epoch", "problem"),
    [
        (lambda checkpoint_dir: flip(checkpoint_dir / "2.pt"), 1, "2.pt"),
        pytest.param(shutil.rmtree, 0, None, marks=pytest.mark.slow),
    ],
    ids=["torn", "gone"],
)
def test_a_lost_checkpoint_costs_its_epochs_and_is_reported(copied, unbroken, damage, epoch, problem):
    damage(copied / "run" / "checkpoints" / "1")
    invariants = {one.invariant for one in broken_invariants(copied)}
    assert invariants == ({"I4", "I5"} if problem else {"I4"})
    outcome = resume("run", runs=copied)
    assert finished(outcome.trials) == unbroken
    assert attempts(copied, 1) == [("disk_full", True), ("completed", True)]
    (reason,) = events(copied, "rewound")
    assert f"last {2 - epoch} epochs" in reason
    assert f"epoch {epoch}" in reason
    assert [problem in reason for reason in events(copied, "checkpoint")] == ([True] if problem else [])
    assert broken_invariants(copied) == []


def test_another_search_under_the_name_of_a_run_is_refused_with_the_difference(paused):
    runs, _ = paused
    with pytest.raises(RunExistsError, match=r"recipe.epochs was 4 and is 5.*'run-2'"):
        search(tiny(epochs=5), name="run", runs=runs)


def test_a_worker_that_is_killed_costs_an_epoch_and_no_more(ray_running, planned, unbroken, tmp_path):
    planned("ckpt_renamed:kill9:2", folder=tmp_path)
    outcome = search(tiny(), name="run", runs=tmp_path)
    assert finished(outcome.trials) == unbroken
    assert attempts(tmp_path, 1) == [("worker_lost", True), ("completed", True)]
    assert [len(attempts(tmp_path, trial)) for trial in (2, 3)] == [1, 1]
    (reason,) = events(tmp_path, "worker_lost")
    assert "1 of 3" in reason
    assert events(tmp_path, "rewound") == []  # the checkpoint was newer than the store, so the metrics came from it
    assert broken_invariants(tmp_path) == []


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        pytest.param("nan", FailKind.DIVERGED, marks=pytest.mark.slow),
        ("oom", FailKind.OOM),
        pytest.param("sleep", FailKind.TIMEOUT, marks=pytest.mark.slow),
    ],
)
def test_one_trial_that_breaks_fails_as_what_it_is_and_the_others_finish(ray_running, planned, tmp_path, action, kind):
    planned(f"mid_epoch:{action}:3", folder=tmp_path)
    outcome = search(
        tiny(trials=2, search={"trial_timeout_s": 60.0 if action == "sleep" else 600.0}), name="run", runs=tmp_path
    )
    first, second = outcome.trials
    assert (first.state, first.fail_kind) == (TrialState.FAILED, kind)
    assert len(attempts(tmp_path, first.trial)) == 1  # none of these is retried
    assert second.state is TrialState.COMPLETED
    assert outcome.complete
    assert broken_invariants(tmp_path) == []


@pytest.mark.slow
def test_three_failures_with_one_cause_stop_the_run_with_a_traceback(ray_running, tmp_path):
    experiment = small(recipe={"batch_size": 1}, search={"trials": 6})
    outcome = search(experiment, name="run", runs=tmp_path)
    assert [trial.fail_kind for trial in outcome.failed] == [FailKind.USER_ERROR] * 3
    assert outcome.stop.kind is StopKind.SAME_FAILURE
    assert re.search(r"3 .*\(user_error\): ValueError: batch norm", outcome.stop.reason), outcome.stop.reason
    assert outcome.stop.detail.count("Traceback") == 1
    assert not outcome.complete


def test_failures_are_compared_by_where_they_were_raised():
    failures, trace = ConsecutiveFailures(), 'Traceback\n  File "{}.py", line 7, in f\n    x\nKeyError: {}\n'
    for n in range(2):
        assert failures.add(Failure(FailKind.BUG, f"KeyError: {n}", trace.format("a", n))) is None
    assert failures.add(Failure(FailKind.BUG, "KeyError: 2", trace.format("b", 2))) is None
    assert failures.add(Failure(FailKind.BUG, "KeyError: 3", trace.format("b", 3))) is None
    failures.reset()
    assert failures.add(Failure(FailKind.BUG, "KeyError: 4", trace.format("b", 4))) is None
    for _ in range(9):
        assert failures.add(Failure(FailKind.DIVERGED, "nan")) is None


def test_changed_settings_are_named():
    before = {"name": "a", "budget": {"params": "20k"}, "search": {"trials": 3, "seed": 0}}
    after = {"name": "b", "budget": {"params": "30k", "macs": "1M"}, "search": {"trials": 3, "seed": 0}}
    assert changes(before, after) == ['budget.macs was not set and is "1M"', 'budget.params was "20k" and is "30k"']
    assert changes(before, before) == changes({"epochs": 600}, {"epochs": 600.0}) == []
    assert changes({}, {str(n): n for n in range(7)})[-1] == "and 2 more"
    old = {"git_commit": "a", "versions": {"torch": "1", "ray": "2"}}
    new = {"git_commit": "b", "versions": {"torch": "1", "ray": "3"}}
    assert code_changes(old, new) == ["git commit was a and is b", "ray was 2 and is 3"]


def ask(runs, *arguments, **variables):
    """Run ``archsieve ...`` on the run's database in a new process."""
    environment = {**os.environ, "ARCHSIEVE_DB": str(runs / "archsieve.db"), **variables}
    command = [sys.executable, "-m", "archsieve", *arguments]
    return subprocess.run(command, cwd=runs, env=environment, capture_output=True, text=True)


def test_a_killed_export_leaves_no_half_file(paused, tmp_path):
    planned = {"ARCHSIEVE_ENABLE_FAULTS": "1", "ARCHSIEVE_FAULT": "export_tmp:kill9"}
    target = tmp_path / "run.json"
    assert ask(paused[0], "results", "export", str(target), **planned).returncode == -signal.SIGKILL
    assert not target.exists()
    assert ask(paused[0], "results", "export", str(target)).returncode == 0
    assert target.stat().st_size > 1000


def test_a_narrow_dumb_terminal_and_a_closed_pipe_work(paused):
    listing = ask(paused[0], "results", "list", TERM="dumb", COLUMNS="40")
    assert listing.returncode == 0
    assert "\x1b" not in listing.stdout + listing.stderr
    script = f"{sys.executable} -m archsieve results list --json | head -1; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "ARCHSIEVE_DB": str(paused[0] / "archsieve.db")}
    piped = subprocess.run(["bash", "-c", script], cwd=paused[0], env=environment, capture_output=True, text=True)
    assert piped.stderr == ""
    assert piped.stdout.splitlines() == ["[", "0"]


def test_the_database_is_checked_and_described_on_the_command_line(paused, tmp_path):
    runs = paused[0]
    check = ask(runs, "db", "check", "--deep")
    assert (check.returncode, check.stderr) == (0, "")
    shutil.copytree(runs, tmp_path / "runs")
    flip(tmp_path / "runs" / "run" / "checkpoints" / "1" / "2.pt")
    check = ask(tmp_path / "runs", "db", "check")
    assert check.returncode == 5
    assert re.search(r"I5 .*2\.pt", check.stdout), check.stdout
    assert "archsieve resume run" in check.stdout
    assert ask(runs, "db", "info", "--json").stdout.count('"runs": 1') == 1
    backup = ask(runs, "db", "backup", str(tmp_path / "copy.db"))
    assert backup.returncode == 0
    assert (tmp_path / "copy.db").stat().st_size > 10_000
