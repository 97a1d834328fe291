"""Time limits: what starts, what pauses at the end of an epoch, and what is recorded of the time."""

import time
from dataclasses import replace

import pytest

from archsieve.results.analysis.predicted_time import predicted_seconds
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.results.query.time_use import time_use_lines, time_uses
from archsieve.search.api.searching import SearchFailedError, _result
from archsieve.search.runs.recorder import Recorder
from archsieve.search.runs.session import resume, search
from archsieve.search.runs.time_limit import TimeLimit
from archsieve.search.trials.failure_policy import StopKind
from archsieve.search.trials.report import TrialStart

from ..conftest import small
from .test_recorder import driven, epoch, killed, path  # noqa: F401  (fixtures)


@pytest.fixture
def clock(monkeypatch):
    """Return the clock of the driver; tests set ``clock.now``."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(time, "monotonic", lambda: Clock.now)
    return Clock


def start(recorder: Recorder, key: str) -> int:
    trial = recorder.propose(key)
    recorder.started(key)
    return trial.trial


def trial_like(trial, macs, seconds, epochs=2):
    return replace(trial, macs=macs, duration_s=seconds, epochs_done=epochs, state=TrialState.COMPLETED)


def test_seconds_are_a_line_in_the_macs(path, driven):  # noqa: F811
    with open_store(path, create=True) as store:
        trial = driven(store).propose("a")
    of = [trial_like(trial, macs, 2 * (1 + macs / 1000)) for macs in (1000, 2000, 4000)]
    assert predicted_seconds(3000, 2, of) == pytest.approx(8)
    assert predicted_seconds(3000, 4, of) == pytest.approx(16)
    assert predicted_seconds(3000, 2, []) is None
    assert predicted_seconds(3000, 2, [replace(of[0], source=7)]) is None  # reused results took no time
    assert predicted_seconds(9000, 2, of[:1]) == pytest.approx(4)  # one trial: its own seconds for every size
    falling = [trial_like(trial, macs, seconds) for macs, seconds in ((1000, 6), (2000, 4), (3000, 2))]
    assert predicted_seconds(9000, 2, falling) == pytest.approx(4)
    from_zero = [trial_like(trial, macs, 2 * max(0, macs / 1000 - 1) + 1e-9) for macs in (1000, 2000, 3000)]
    assert predicted_seconds(0, 2, from_zero) == 0
    # a scheduler that stops trials after half of their epochs is expected to do so again
    halved = [trial_like(trial, one.macs, one.duration_s / 2, epochs=1) for one in of]
    assert predicted_seconds(3000, 4, halved) == pytest.approx(8)


def test_no_trial_starts_that_is_predicted_to_end_too_late(path, driven, clock, monkeypatch):  # noqa: F811
    monkeypatch.setattr("archsieve.search.runs.time_limit.predicted_seconds", lambda *trial: 60.0)
    with open_store(path, create=True) as store:
        recorder = driven(store)
        recorder.limit = TimeLimit(clock.now + 100, 100.0)
        start(recorder, "a")
        clock.now += 30
        start(recorder, "b")  # 60 of the remaining 70 s
        clock.now += 20
        assert recorder.propose("c") is None
        assert recorder.out_of_time
        assert not recorder.complete
        for key in ("a", "b"):
            assert not recorder.pauses(key, epoch(1))
            recorder.reported(key, epoch(1, start=TrialStart(0)))
            recorder.completed(key, epoch(2))
        assert recorder.complete
        assert recorder.stopping is None
        (event,) = store.events("run", "time_limit")
        assert event["detail"] == {"trials": 2, "of": 4}
        used = recorder.limit.used(recorder.history.unfinished)
        assert (used["unused_s"], used["over_s"], used["refused_s"], used["unfinished"]) == (50.0, 0.0, 60.0, 0)

        # a resume for another 50 s can start nothing: an error with the predicted seconds
        again = driven(store)
        again.limit = TimeLimit(clock.now + 50, 50.0)
        assert again.propose("a") is None
        assert again.stopping.kind is StopKind.TIME_LIMIT
        assert "it is 50 s, and a trial is predicted to take 60 s here" in again.stopping.reason
        assert "archsieve resume run --time-limit 120s" in again.stopping.reason
        assert not again.complete


def test_running_trials_pause_at_the_end_of_an_epoch(path, driven, clock):  # noqa: F811
    with open_store(path, create=True) as store:
        recorder = driven(store)
        recorder.limit = TimeLimit(clock.now + 100, 100.0)
        start(recorder, "a")
        recorder.reported("a", epoch(1, start=TrialStart(0)))
        recorder.completed("a", epoch(2))
        number = start(recorder, "b")
        clock.now += 101
        assert recorder.pauses("b", epoch(1))
        recorder.reported("b", epoch(1, start=TrialStart(0)))
        recorder.completed("b", epoch(1))
        paused = store.trial(number)
        assert (paused.state, paused.epochs_done) == (TrialState.INTERRUPTED, 1)
        assert recorder.propose("c") is None
        assert (recorder.out_of_time, recorder.complete, recorder.may_propose_more) == (True, False, False)
        assert recorder.stopping is None
        assert recorder.limit.used(recorder.history.unfinished)["over_s"] == 1.0

        again = driven(store)
        assert again.propose("a").trial == number
        again.started("a")
        again.reported("a", epoch(2))
        again.completed("a", epoch(2))
        assert store.trial(number).state is TrialState.COMPLETED


def test_a_trial_that_ends_after_the_limit_counts(path, driven, clock):  # noqa: F811
    with open_store(path, create=True) as store:
        recorder = driven(store)
        recorder.limit = TimeLimit(clock.now - 1, 100.0)
        first = recorder.propose("a")  # a limit that is over before the first trial still starts one
        recorder.started("a")
        assert recorder.propose("b") is None
        recorder.lost("a", killed())  # a trial that was running is retried
        assert recorder.propose("c").trial == first.trial
        recorder.started("c")
        assert not recorder.pauses("c", epoch(2))
        recorder.reported("c", epoch(2, start=TrialStart(0)))
        recorder.completed("c", epoch(2))
        assert recorder.propose("d") is None
        assert recorder.complete


def test_a_time_limit_after_the_last_trial_changes_nothing(path, driven, clock):  # noqa: F811
    with open_store(path, create=True) as store:
        recorder = driven(store)
        for key in "abcd":
            assert recorder.propose(key) is not None
        recorder.limit = TimeLimit(clock.now - 1, 1.0)
        assert recorder.propose("e") is None
        assert not recorder.out_of_time
        assert store.events("run", "time_limit") == []


def test_first_trials_that_would_end_too_late_are_an_error(path, driven, clock):  # noqa: F811
    with open_store(path, create=True) as store:
        control, started = driven(store).control, clock.now
    limit = TimeLimit(clock.now + 100, 100.0)
    clock.now += 12
    limit.observe("a", 1)
    limit.observe("b", 1)
    limit.check_first_trials(control, "run", {"a": (30, started)})
    assert control.stopping is None  # the first epoch alone includes the start
    clock.now += 4
    limit.observe("a", 2)
    limit.observe("b", 2)
    limit.check_first_trials(control, "run", {"a": (30, started), "b": (5, started)})
    assert control.stopping is None  # b ends in time
    limit.check_first_trials(control, "run", {"a": (30, started), "c": (5, None)})
    assert control.stopping is None  # nothing is known of c
    limit.check_first_trials(control, "run", {"a": (30, started)})
    assert "a trial is predicted to take 128 s here" in control.stopping.reason  # 12 s, and 29 epochs of 4 s


def test_sentences_on_the_time():
    use = {"limit_s": 100.0, "unused_s": 12.0, "over_s": 0.0, "unfinished": 1, "unfinished_s": 40.0, "refused_s": 30.0}
    (line,) = time_use_lines([use])
    assert "12 s were not used, because the next trial was predicted to take 30 s." in line
    assert "40 s were spent in 1 trial without a result" in line


@pytest.mark.usefixtures("ray_running")
def test_a_limit_shorter_than_one_trial_is_an_error_and_a_resume_continues(tmp_path):
    limited = search(small(search={"time_limit": 0.001}), name="short", runs=tmp_path)
    assert (limited.complete, limited.out_of_time, len(limited.trials), limited.best) == (False, True, 1, ())
    assert limited.trials[0].epochs_done == 1
    assert "search.time_limit must be longer than one trial, but it is 0.001 s" in limited.stop.reason
    with pytest.raises(SearchFailedError, match="predicted to take"):
        _result(limited)
    with open_store(limited.database, read_only=True) as store:
        assert store.run("short").status.value == "stopped"
        (use,) = time_uses(store, "short")
        assert use["over_s"] > 0
        assert use["unfinished"] == 1
    assert "were spent in 1 trial without a result" in limited.report.read_text()
    resumed = resume("short", time_limit="+1h", trials=2, runs=tmp_path)
    assert (resumed.complete, resumed.out_of_time, len(resumed.trials)) == (True, False, 2)
    with open_store(limited.database, read_only=True) as store:
        assert store.run("short").config["search"]["time_limit"] == "1h"
        assert [step for step, _ in store.curve(resumed.trials[0].trial)["val_accuracy"]] == [1, 2]
