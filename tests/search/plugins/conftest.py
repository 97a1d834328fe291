"""Fixtures of the plug-in tests: modules in a temporary folder, and what is restored after a test."""

import sys
from pathlib import Path

import pytest

HEAD = "from dataclasses import dataclass\nimport torch\nfrom torch import nn\nimport archsieve as av\n"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


@pytest.fixture
def import_path(monkeypatch):
    """Restore the import path, and the modules that lie in temporary folders."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if "pytest-" in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


@pytest.fixture
def registries(import_path):
    """Restore what is registered afterwards."""
    from archsieve.models.data.registry import DATASETS
    from archsieve.models.data.shapes import SHAPES
    from archsieve.search.plugins import loading
    from archsieve.search.searchers.registry import SEARCHERS
    from archsieve.spaces.blocks.standard import BLOCKS
    from archsieve.spaces.metrics import registry

    tables = (BLOCKS, DATASETS, SHAPES, SEARCHERS, registry._CUSTOM, loading._LOADED)
    before = [dict(table) for table in tables]
    yield
    for table, rows in zip(tables, before, strict=True):
        table.clear()
        table.update(rows)
