"""The reference pages are what the code says, and the tables of other pages have the rows of the code."""

import importlib.util
import inspect
import re
from dataclasses import fields

import pytest

from archsieve.search.api.searching import run_search
from archsieve.search.searchers.registry import SEARCHERS
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.search_space.named import NAMED_SPACES

from .pages import ROOT


def reference():
    spec = importlib.util.spec_from_file_location("reference_pages", ROOT / "docs" / "reference_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["commands.md", "search_file.md"])
def test_the_page_is_what_is_generated(name):
    pages = reference()
    assert (pages.FOLDER / name).read_text() == pages.PAGES[name](), "run make reference"


def test_every_generated_page_is_committed_and_no_other():
    assert {path.name for path in (ROOT / "docs" / "reference").iterdir()} == set(reference().PAGES)


def rows(page, title):
    """The names in the first column of the table under ``title``."""
    text = (ROOT / "docs" / page).read_text()
    table = text[text.index(f"| {title} |") :].partition("\n\n")[0]
    return [name for line in table.splitlines()[2:] for name in re.findall(r"`(\w[\w-]*)`", line.split("|")[1])]


def test_every_argument_of_a_search_is_explained():
    assert set(rows("python.md", "argument")) == set(inspect.signature(run_search).parameters)


def test_every_searcher_space_and_limit_is_explained():
    assert set(rows("searchers.md", "`[search] searcher`")) == set(SEARCHERS)
    assert rows("spaces.md", "name") == list(NAMED_SPACES)
    assert set(rows("budgets.md", "key of `[budget]`")) == {field.name for field in fields(Budget)}
