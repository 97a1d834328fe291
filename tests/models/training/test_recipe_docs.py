"""docs/recipe.md lists every key of a recipe with its default."""

import re
from pathlib import Path

import archsieve
from archsieve.spaces.recipes.recipe import Recipe

PAGE = Path(archsieve.__file__).parent / "docs" / "recipe.md"


def test_every_key_is_listed_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    listed = {key: cells.split("|")[2].strip().strip("`") for key, cells in rows}
    defaults = Recipe().to_json()
    assert set(listed) == set(defaults)
    for key, default in defaults.items():
        if isinstance(default, bool | str):
            assert listed[key] == str(default).lower(), key
        else:
            assert float(listed[key]) == default, key
