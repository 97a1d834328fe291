"""Paths in a search file: relative to the file, with ``~`` for the home folder."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...spaces.networks.patterns import PRETRAINED
from ...spaces.recipes.parameter_table import with_options
from ...spaces.recipes.recipe import is_model_file

# the keys that are paths; search.start_from has paths among names, and search.sampler.registry is a path, too
PATH_KEYS = (
    ("data", "path"),
    ("data", "texts"),
    ("data", "class_split"),
    ("data", "cache"),
    ("space", "weights"),
    ("resources", "checkpoints"),
)


def resolve_file_paths(tables: dict[str, Any], folder: Path) -> list[str]:
    """Make the paths of ``tables`` absolute, relative to ``folder``, in place; return notes for the user.

    Version 0.1.0 took them relative to the current folder: a path that exists only there is used, with a note. URLs
    are unchanged.
    """
    notes: list[str] = []

    def resolved(key: str, path: str) -> str:
        in_file, in_cwd = folder / path, Path.cwd() / path
        if in_file != in_cwd and not _exists(in_file) and _exists(in_cwd):
            notes.append(
                f"{key} {path!r} is not in {folder}, the folder of the search file, so {in_cwd} is used; "
                "write the path relative to the file"
            )
            return str(in_cwd)
        return str(in_file)

    _each_path(tables, resolved)
    return notes


def resolve_given_paths(tables: dict[str, Any], folder: Path) -> None:
    """Make the paths that are still relative absolute: those of the command line or Python.

    They are relative to the current folder, or else to ``folder``, that of the search file.
    """

    def resolved(key: str, path: str) -> str:
        return str(folder / path if not _exists(Path.cwd() / path) and _exists(folder / path) else Path.cwd() / path)

    _each_path(tables, resolved)


def _each_path(tables: dict[str, Any], resolved: Callable[[str, str], str]) -> None:
    """Replace each path of ``tables``; values of a wrong type are left to the check of the file."""

    def replace(key: str, value: Any) -> Any:
        if not isinstance(value, str) or not value or "://" in value or (key, value) == ("space.weights", PRETRAINED):
            return value
        path = _expanded(value)
        return path if Path(path).is_absolute() else resolved(key, path)

    for table, key in PATH_KEYS:
        section = tables.get(table)
        if isinstance(section, dict) and key in section:
            section[key] = replace(f"{table}.{key}", section[key])
    recipe = tables.get("recipe")
    if isinstance(recipe, dict) and "teacher" in recipe:
        recipe["teacher"] = with_options(recipe["teacher"], lambda value: _teacher(value, replace))
    search = tables.get("search")
    if isinstance(search, dict) and isinstance(sampler := search.get("sampler"), dict) and "registry" in sampler:
        search["sampler"] = {**sampler, "registry": replace("search.sampler.registry", sampler["registry"])}
    if isinstance(search, dict) and isinstance(entries := search.get("start_from"), list):
        search["start_from"] = [
            _design(entry, replace) if isinstance(entry, str) and entry.endswith(".json") else entry
            for entry in entries
        ]


def _teacher(value: Any, replace: Callable[[str, Any], Any]) -> Any:
    """Return a teacher with its path replaced; a name such as timm:resnet18 is none."""
    return replace("recipe.teacher", value) if is_model_file(value) else value


def _design(entry: str, replace: Callable[[str, Any], Any]) -> Any:
    """Return the path of a design as it is written where there is no such file, for the error."""
    path = replace("search.start_from", entry)
    return path if Path(path).exists() else entry


def _expanded(path: str) -> str:
    try:
        return str(Path(path).expanduser())
    except RuntimeError:  # no such user: the error of the missing path names it
        return path


def _exists(path: Path) -> bool:
    """Return whether a path exists; of a pattern, whether the folder before it does."""
    while re.search(r"[*?\[{]", path.name) or any(re.search(r"[*?\[{]", part) for part in path.parts[:-1]):
        if path.exists():
            return True
        path = path.parent
    return path.exists()
