"""The storage is chosen by size, free memory and disk; what the user sets is used, or refused with the numbers."""

from dataclasses import replace
from pathlib import Path

import pytest

from archsieve.models.image_files.errors import DataError
from archsieve.models.storage.choice import (
    Capacity,
    StorageOptions,
    cache_folder,
    choose_storage,
    free_memory,
    measure_capacity,
)

GIB = 2**30
MACHINE = Capacity(memory_bytes=16 * GIB, disk_bytes=100 * GIB, folder=Path("/cache"))


@pytest.mark.parametrize(
    ("n_bytes", "capacity", "kind", "facts"),
    [
        (2**20, MACHINE, "memory", ["1.0 MiB"]),
        (2 * GIB, MACHINE, "cache", ["2.0 GiB", "/cache"]),
        (50 * GIB, MACHINE, "cache", ["50.0 GiB"]),  # larger than the memory
        (2**20, replace(MACHINE, cached=True), "cache", ["/cache"]),
        (2 * GIB, replace(MACHINE, disk_bytes=GIB), "memory", ["1.0 GiB", "2.0 GiB"]),
        (2 * GIB, replace(MACHINE, disk_bytes=None), "memory", ["/cache"]),
        (200 * GIB, MACHINE, "stream", ["100.0 GiB", "200.0 GiB", "16.0 GiB"]),
        (2 * GIB, replace(MACHINE, memory_bytes=4 * GIB, disk_bytes=None), "stream", ["4.0 GiB"]),
        (2**20, replace(MACHINE, memory_bytes=2**20), "cache", ["1.0 MiB"]),
    ],
)
def test_auto_takes_the_first_storage_that_fits(n_bytes: int, capacity: Capacity, kind: str, facts: list[str]) -> None:
    choice = choose_storage("auto", n_bytes, capacity)
    assert (choice.kind, choice.bytes) == (kind, n_bytes)
    assert all(fact in choice.reason for fact in facts), choice.reason


@pytest.mark.parametrize("kind", ["memory", "cache", "stream"])
def test_what_is_set_is_used(kind: str) -> None:
    choice = choose_storage(kind, 2 * GIB, MACHINE)
    assert choice.kind == kind
    assert "data.storage" in choice.reason


@pytest.mark.parametrize(
    ("kind", "n_bytes", "capacity", "facts"),
    [
        ("memory", 20 * GIB, MACHINE, ["20.0 GiB", "16.0 GiB"]),
        ("memory", 9 * GIB, MACHINE, ["9.0 GiB", "16.0 GiB"]),
        ("cache", 200 * GIB, MACHINE, ["200.0 GiB", "100.0 GiB", "/cache"]),
        ("cache", 1, replace(MACHINE, disk_bytes=None), ["/cache", "ARCHSIEVE_CACHE"]),
        ("disk", 1, MACHINE, ["'disk'", "cache"]),
    ],
)
def test_what_does_not_fit_is_refused_with_the_numbers(
    kind: str, n_bytes: int, capacity: Capacity, facts: list[str]
) -> None:
    with pytest.raises(DataError) as refused:
        choose_storage(kind, n_bytes, capacity)
    assert all(fact in str(refused.value) for fact in facts), refused.value


def test_the_folder_is_that_of_the_setting_then_of_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHSIEVE_CACHE", str(tmp_path / "variable"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("~/setting") == tmp_path / "setting"
    assert cache_folder() == tmp_path / "variable"
    monkeypatch.delenv("ARCHSIEVE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "archsieve"
    assert StorageOptions() == StorageOptions("auto", None, True, None)


def test_the_capacity_is_that_of_the_machine(tmp_path: Path) -> None:
    capacity = measure_capacity(tmp_path / "not" / "there" / "yet")
    assert 0 < capacity.memory_bytes <= free_memory() * 2
    assert capacity.disk_bytes is not None
    assert capacity.disk_bytes > 0
    (tmp_path / "file").write_text("")
    assert measure_capacity(tmp_path / "file" / "folder").disk_bytes is None
