"""Checkpoints: intact, or recognised as damaged; in a local folder or at a URL."""

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
    """A run's checkpoints in a folder, at a ``file://`` URL and in fsspec's memory."""
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
    loaded = load(checkpoint_dir, "a")
    assert loaded.problems == []
    assert torch.equal(loaded.state["weights"], state(3)["weights"])
    assert checkpoint_dir.read(2)[0] == Header("a", 2)
    assert list(checkpoints.trials()) == [7]
    checkpoint_dir.clear("a")
    assert (checkpoint_dir.names(), list(checkpoints.trials())) == ([], [])
    checkpoint_dir.clear("a")


def damaged_versions(content):
    middle = len(content) // 2
    flipped = bytes([content[middle] ^ 1])
    return [b"", content[:middle], content[:-1], content[:middle] + flipped + content[middle + 1 :], b"no newline"]


@pytest.mark.parametrize("damage", range(5))
def test_a_damaged_checkpoint_gives_way_to_the_previous_one(tmp_path, damage):
    checkpoint_dir = filled(Checkpoints(str(tmp_path)).of_trial(1))
    last = Path(checkpoint_dir.path(3))
    last.write_bytes(damaged_versions(last.read_bytes())[damage])
    loaded = load(checkpoint_dir, "a")
    assert len(loaded.state["history"]) == 2
    (problem,) = loaded.problems
    assert str(last) in problem
    with pytest.raises(BrokenCheckpointError, match="SHA-256"):
        checkpoint_dir.read(3)
    save(checkpoint_dir, "a", 3, state(3))
    assert load(checkpoint_dir, "a").problems == []


def test_an_interrupted_write_is_reported_and_changes_nothing(tmp_path):
    checkpoint_dir = filled(Checkpoints(str(tmp_path)).of_trial(1))
    (tmp_path / "1" / "4.tmp").write_bytes(b"half")
    loaded = load(checkpoint_dir, "a")
    assert len(loaded.state["history"]) == 3
    (problem,) = loaded.problems
    assert checkpoint_dir.url in problem


def test_a_checkpoint_of_another_trial_is_not_used_and_is_replaced(tmp_path):
    checkpoint_dir = filled(Checkpoints(str(tmp_path)).of_trial(1), epochs=9)
    loaded = load(checkpoint_dir, "b")
    assert loaded.state is None
    for epoch, problem in zip((9, 8), loaded.problems, strict=True):
        assert checkpoint_dir.path(epoch) in problem
        assert "another trial" in problem
    save(checkpoint_dir, "b", 1, state(1))
    assert checkpoint_dir.epochs() == [1]


def test_a_trial_is_identified_by_network_recipe_and_seed():
    trial = {"trial": 1, "architecture": {"blocks": [1]}, "recipe": {"lr": 0.1}, "seed": 3}
    assert identity_of(trial) == identity_of({**trial, "trial": 2})
    others = ({"architecture": {"blocks": [2]}}, {"recipe": {"lr": 0.2}}, {"seed": 4})
    assert len({identity_of({**trial, **other}) for other in ({}, *others)}) == 4


@pytest.mark.parametrize("point", ["ckpt_tmp_written", "ckpt_renamed"])
def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path, monkeypatch, point):
    checkpoint_dir = filled(Checkpoints(str(tmp_path)).of_trial(1))
    monkeypatch.setenv("ARCHSIEVE_ENABLE_FAULTS", "1")
    monkeypatch.setenv("ARCHSIEVE_FAULT", f"{point}:enospc")
    with pytest.raises(OSError, match="No space left") as caught:
        save(checkpoint_dir, "a", 4, state(4))
    assert caught.value.errno == errno.ENOSPC
    assert not [name for name in checkpoint_dir.names() if name.endswith(".tmp")]
    assert len(load(checkpoint_dir, "a").state["history"]) == (3 if point == "ckpt_tmp_written" else 4)


def test_files_of_others_are_neither_removed_nor_overwritten(checkpoints):
    """The URL of a run may come from another person: files there that are no checkpoints of its trials stay."""
    checkpoint_dir = checkpoints.of_trial(7)
    files, root = checkpoint_dir._filesystem
    files.makedirs(root, exist_ok=True)
    foreign = {"thesis.txt": b"text", "9.pt": b"PK weights", "8.tmp": b"notes", "x.pt": b"", "9.jpg": b"archsieve"}
    for name, content in foreign.items():
        files.pipe_file(f"{root}/{name}", content)
    filled(checkpoint_dir, epochs=2)
    save(checkpoint_dir, "b", 3, state(3))
    files.pipe_file(f"{root}/4.tmp", b"archsieve checkpoint 1 half")
    checkpoint_dir.clear("b")
    # the checkpoint of another trial stays; what an interrupted write left does not
    assert sorted(checkpoint_dir.names()) == sorted([*foreign, "2.pt"])
    assert {name: files.cat_file(f"{root}/{name}") for name in foreign} == foreign
    if checkpoint_dir.local:
        save(checkpoint_dir, "b", 9, state(9))
        assert (files.cat_file(f"{root}/9.pt-unknown"), checkpoint_dir.epochs()) == (foreign["9.pt"], [9, 2])
