"""The arguments of the public functions: their types are checked in one place, before anything is read or started."""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...models.readers.dataset_items import is_dataset
from ...spaces.architectures.budget import Budget
from ...spaces.recipes.recipe import Recipe
from ...spaces.search_space.space import Space


class Rule(NamedTuple):
    """What an argument must be: a test, its description, and an example."""

    holds: Callable[[Any], bool]
    what: str
    example: str


def _is(*types: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, types)


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least  # not bool, which is an int for Python


def _texts(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, Iterable) and all(isinstance(one, str) for one in value))


def _callables(value: Any) -> bool:
    one_by_one = isinstance(value, Iterable) and not isinstance(value, str | Mapping)
    return one_by_one and (not isinstance(value, Collection) or all(map(callable, value)))


def _keys(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _data(value: Any) -> bool:
    return isinstance(value, str | Path | Mapping) or is_dataset(value)


def _function(value: Any) -> bool:
    return isinstance(value, str) or callable(value)


def _location(value: Any) -> bool:
    return isinstance(value, str | Path) or hasattr(value, "get_backend_name")  # a URL of SQLAlchemy


RULES: Mapping[str, Rule] = {
    "allow_paths": Rule(_is(bool), "True or False", "True"),
    "file": Rule(_is(str, Path), "the path of a search file", "'search.toml'"),
    "data": Rule(_data, "the name of a data set, a folder, a mapping, or a map-style Dataset", "'digits'"),
    "image_size": Rule(_whole(1), "a whole number of pixels of at least 1", "64"),
    "space": Rule(_is(Space, str, Mapping), "a Space, the name of one, or a mapping", "'mixed'"),
    "budget": Rule(_is(Budget, Mapping), "a Budget or a mapping", "{'params': '60k'}"),
    "recipe": Rule(_is(Recipe, Mapping), "a Recipe or a mapping", "{'epochs': 10}"),
    "trials": Rule(_whole(1), "a whole number of at least 1", "50"),
    "time_limit": Rule(_is(str, int, float), "a duration such as '2h', or a number of seconds", "'30m'"),
    "metric": Rule(_function, "the name of a metric, or a function", "'f1_macro'"),
    "direction": Rule(_is(str), "'maximize' or 'minimize'", "'minimize'"),
    "record_metrics": Rule(_texts, "a list of names of metrics", "['f1_macro']"),
    "train": Rule(_function, "a function, or its MODULE:NAME", "'my_module:train'"),
    "loss": Rule(_function, "a function, or its MODULE:NAME", "'my_module:loss'"),
    "optimizer": Rule(_function, "a function, or its MODULE:NAME", "'my_module:optimizer'"),
    "searcher": Rule(_is(str), "the name of a searcher", "'gp'"),
    "seed": Rule(_whole(0), "a whole number of at least 0", "0"),
    "settings": Rule(_keys, "a mapping of keys of a search file", "{'search.scheduler': 'asha'}"),
    "name": Rule(_is(str), "the name of the new run", "'photos'"),
    "run": Rule(_is(str), "the name of a run", "'photos'"),
    "plugins": Rule(_texts, "a list of names of modules", "['my_blocks']"),
    "runs": Rule(_is(str, Path), "the path of a folder", "'runs'"),
    "path": Rule(_is(str, Path), "a path", "'model.safetensors'"),
    "database": Rule(_location, "a path or a URL", "'runs/archsieve.db'"),
    "address": Rule(_is(str), "'auto' or HOST:PORT", "'auto'"),
    "soup": Rule(_is(str), "'uniform' or 'greedy'", "'greedy'"),
    "output": Rule(_is(str, Path), "the path of the file to write", "'soup.safetensors'"),
    "top": Rule(_whole(1), "a whole number of at least 1", "5"),
    "callbacks": Rule(_callables, "a list of functions that take the recorder", "[show]"),
    "seeds": Rule(_whole(1), "a whole number of at least 1", "3"),
    "epochs": Rule(_whole(1), "a whole number of at least 1", "10"),
    "device": Rule(_is(str), "the name of a device", "'cpu'"),
}


def brief(value: Any) -> str:
    """Return a value as at most 80 characters on one line, and its type."""
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 80 else f'{text[:77]}...'}, which is of type {type(value).__name__}"


def check_arguments(function: str, arguments: Mapping[str, Any]) -> None:
    """Raise for the first argument of ``function`` that is not what it must be; None means that it is left out.

    It is a ``ValueError`` for a number of the right type and a ``TypeError`` for others; both name the argument, what
    it must be, what it is, and an example.
    """
    for name, value in arguments.items():
        rule = RULES[name]
        if value is None or rule.holds(value):
            continue
        is_number = type(value) is int and rule.example.isdigit()
        got = repr(value) if is_number else brief(value)
        error = ValueError if is_number else TypeError
        raise error(f"{name} of {function}() must be {rule.what}, but got {got}; write {name}={rule.example}")
