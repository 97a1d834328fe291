"""Examples in the docstrings of spaces are true."""

import doctest
import importlib
from pathlib import Path

import pytest

import archsieve

MODULES = sorted(path.stem for path in Path(archsieve.__file__).parent.joinpath("spaces").glob("[!_]*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_of(module):
    results = doctest.testmod(importlib.import_module(f"archsieve.spaces.{module}"))
    assert results.failed == 0
