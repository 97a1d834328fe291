"""The page on zero-shot models: its names are those of the code."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import archsieve
from archsieve.models.zero_shot.metrics import ZeroShotScores
from archsieve.results.database.records import ZERO_SHOT_METRICS
from archsieve.search.cli.data_command import init
from archsieve.search.experiment.search_file import load_experiment
from archsieve.spaces.recipes.zero_shot_recipe import LOSSES, SIMILARITIES, TEXTS

ROOT = Path(archsieve.__file__).parent
PAGE = (ROOT / "docs" / "zero_shot.md").read_text(encoding="utf-8")


def test_every_number_of_the_table_is_explained():
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert {field.name for field in fields(ZeroShotScores)} <= named
    assert {*ZERO_SHOT_METRICS, *LOSSES, *SIMILARITIES, "val_accuracy"} <= named
    assert all(f"`{text}`" in PAGE for text in TEXTS)


def test_init_writes_a_search_file_that_can_be_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    init("glyphs", output=Path("mine.toml"), path=None, image_size=None, texts=None)
    found = load_experiment("mine.toml")
    assert found.task.name == "zero-shot"
    with pytest.raises(ValueError, match="needs path"):
        init("cub-200", output=Path("birds.toml"), path=None, image_size=64, texts="texts")
    assert not Path("birds.toml").exists()


def test_the_example_is_a_zero_shot_search_under_a_budget():
    found = load_experiment(ROOT / "examples" / "glyphs.toml")
    assert found.task.name == "zero-shot"
    assert found.budget.params == 100_000
    assert found.constrained.budget.params < found.budget.params


LIGHT = """
import sys
from archsieve.search.experiment.search_file import load_experiment
load_experiment(sys.argv[1])
print([name for name in ("torch", "ray", "sklearn", "optuna") if name in sys.modules])
"""


def test_a_zero_shot_space_is_looked_at_without_anything_heavy():
    command = [sys.executable, "-c", LIGHT, str(ROOT / "examples" / "glyphs.toml")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
