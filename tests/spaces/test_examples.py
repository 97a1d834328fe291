"""The examples in the docstrings of spaces/ print what they show."""

import doctest
import importlib
from pathlib import Path

import pytest

import archsieve

ROOT = Path(archsieve.__file__).parent
MODULES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ROOT.glob("spaces/*/[!_]*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples(module):
    results = doctest.testmod(importlib.import_module(f"archsieve.{module}"))
    assert results.failed == 0
