"""What survives when something breaks."""

import pytest

from archsieve.search.faults import POINTS, InjectedFaultError, Plan, fault, parse, told


@pytest.fixture
def planned(monkeypatch):
    """Plan a fault for this process."""
    from archsieve.search import faults

    monkeypatch.setattr(faults, "_visits", type(faults._visits)())

    def plan(text, **variables):
        monkeypatch.setenv("ARCHSIEVE_ENABLE_FAULTS", "1")
        monkeypatch.setenv("ARCHSIEVE_FAULT", text)
        for name, value in variables.items():
            monkeypatch.setenv(f"ARCHSIEVE_FAULT_{name.upper()}", str(value))

    return plan


def test_nothing_breaks_unless_it_is_asked_for(planned, monkeypatch):
    planned("after_insert:raise")
    monkeypatch.setenv("ARCHSIEVE_ENABLE_FAULTS", "0")
    assert [fault(point) for point in POINTS] == [None] * len(POINTS)
    assert told() == {}


def test_a_fault_comes_at_its_point_on_its_nth_visit(planned):
    planned("after_insert:raise:3")
    assert told() == {"ARCHSIEVE_ENABLE_FAULTS": "1", "ARCHSIEVE_FAULT": "after_insert:raise:3"}
    for _ in range(2):
        assert fault("before_insert") is None
        assert fault("after_insert") is None
    with pytest.raises(InjectedFaultError, match="injected at after_insert"):
        fault("after_insert")
    assert fault("after_insert") is None


def test_a_fault_that_is_counted_comes_only_so_often_in_all_processes(planned, tmp_path):
    planned("mid_epoch:nan", folder=tmp_path, times=2)
    from archsieve.search import faults

    fired = []
    for _ in range(4):  # four processes, each at its first visit
        faults._visits.clear()
        fired.append(fault("mid_epoch"))
    assert fired == ["nan", "nan", None, None]


def test_what_is_planned_is_spelled_or_refused():
    assert parse("mid_epoch:kill9") == Plan("mid_epoch", "kill9", 1)
    assert parse("ckpt_renamed:enospc:12") == Plan("ckpt_renamed", "enospc", 12)
    for wrong, said in {
        "mid_epok:kill9": "did you mean 'mid_epoch'",
        "mid_epoch:kill": "did you mean 'kill9'",
        "after_insert:nan": "a network gives nan mid_epoch",
        "mid_epoch:kill9:0": "counts visits from 1",
        "mid_epoch": "unknown action ''",
    }.items():
        with pytest.raises(ValueError, match=said):
            parse(wrong)
