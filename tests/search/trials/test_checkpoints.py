"""Checkpoints: whole, or known to be broken; here or behind a URL."""

import errno
from pathlib import Path

import pytest
import torch

from archsieve.search.trials.checkpoint_files import (
    BrokenCheckpointError,
    Checkpoints,
    Header,
    checkpoints_of,
    identity_of,
    load,
    save,
)


@pytest.fixture(params=["path", "file", "memory"])
def checkpoints(request, tmp_path):
    """A run's checkpoints in a folder, behind ``file://`` and in fsspec's memory."""
    url = {"path": str(tmp_path / "shared"), "file": f"file://{tmp_path}/shared", "memory": f"memory://{tmp_path}"}
    return checkpoints_of(tmp_path / "digits", url[request.param])


def state(epoch):
    return {"weights": torch.arange(1000) + epoch, "history": [{"epoch": e} for e in range(1, epoch + 1)]}


def filled(checkpoint_dir, epochs=3, identity="a"):
    for epoch in range(1, epochs + 1):
        save(checkpoint_dir, identity, epoch, state(epoch))
    return checkpoint_dir


def test_the_last_two_epochs_stay(checkpoints):
    checkpoint_dir = checkpoints.of_trial(7)
    assert load(checkpoint_dir, "a") == (None, [])
    filled(checkpoint_dir)
    assert checkpoint_dir.epochs() == [3, 2]
    found = load(checkpoint_dir, "a")
    assert found.problems == []
    assert torch.equal(found.state["weights"], state(3)["weights"])
    assert checkpoint_dir.read(2)[0] == Header("a", 2)
    assert list(checkpoints.trials()) == [7]
    checkpoint_dir.clear()
    assert (checkpoint_dir.names(), list(checkpoints.trials())) == ([], [])
    checkpoint_dir.clear()


def broken_bytes(whole):
    middle = len(whole) // 2
    flipped = bytes([whole[middle] ^ 1])
    return [b"", whole[:middle], whole[:-1], whole[:middle] + flipped + whole[middle + 1 :], b"no newline"]


@pytest.mark.parametrize("damage", range(5))
def test_a_torn_checkpoint_gives_way_to_the_one_before(tmp_path, damage):
    checkpoint_dir = filled(Checkpoints(str(tmp_path)).of_trial(1))
    last = Path(checkpoint_dir.path(3))
    last.write_bytes(broken_bytes(last.read_bytes())[damage])
    found = load(checkpoint_dir, "a")
    assert len(found.state["history"]) == 2
    assert found.problems == [f"the checkpoint {last} is not whole: its sum is not what it says"]
    with pytest.raises(BrokenCheckpointError, match="not whole"):
        checkpoint_dir.read(3)
    save(checkpoint_dir, "a", 3, state(3))
    assert load(checkpoint_dir, "a").problems == []


def test_a_write_that_was_cut_short_is_told_and_changes_nothing(tmp_path):
    checkpoint_dir = filled(Checkpoints(str(tmp_path)).of_trial(1))
    (tmp_path / "1" / "4.tmp").write_bytes(b"half")
    found = load(checkpoint_dir, "a")
    assert len(found.state["history"]) == 3
    assert found.problems == [f"the writing of a checkpoint in {checkpoint_dir.url} was cut short"]


def test_another_trials_checkpoint_is_not_taken_up_and_does_not_push_out_new_ones(tmp_path):
    checkpoint_dir = filled(Checkpoints(str(tmp_path)).of_trial(1), epochs=9)
    found = load(checkpoint_dir, "b")
    assert found.state is None
    assert [problem.split(" is ")[1] for problem in found.problems] == ["another trial's"] * 2
    save(checkpoint_dir, "b", 1, state(1))
    assert checkpoint_dir.epochs() == [1]


def test_a_trial_is_known_by_its_network_recipe_and_seed():
    told = {"trial": 1, "architecture": {"blocks": [1]}, "recipe": {"lr": 0.1}, "seed": 3}
    assert identity_of(told) == identity_of({**told, "trial": 2})
    others = ({"architecture": {"blocks": [2]}}, {"recipe": {"lr": 0.2}}, {"seed": 4})
    assert len({identity_of({**told, **other}) for other in ({}, *others)}) == 4


@pytest.mark.parametrize("point", ["ckpt_tmp_written", "ckpt_renamed"])
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch, point):
    checkpoint_dir = filled(Checkpoints(str(tmp_path)).of_trial(1))
    monkeypatch.setenv("ARCHSIEVE_ENABLE_FAULTS", "1")
    monkeypatch.setenv("ARCHSIEVE_FAULT", f"{point}:enospc")
    with pytest.raises(OSError, match="No space left") as caught:
        save(checkpoint_dir, "a", 4, state(4))
    assert caught.value.errno == errno.ENOSPC
    assert not [name for name in checkpoint_dir.names() if name.endswith(".tmp")]
    assert len(load(checkpoint_dir, "a").state["history"]) == (3 if point == "ckpt_tmp_written" else 4)
