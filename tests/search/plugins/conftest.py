"""Fixtures of the plug-in tests: modules in a temporary folder, and the import path restored after a test."""

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
