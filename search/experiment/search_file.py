"""Search files: TOML read, overridden and checked; every mistake names its place and its cure."""

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ...spaces.parameters.lookup import unknown
from ..config.schema import SearchFile
from ..plugins.loading import load_plugins
from .experiment import Experiment, experiment

LARGEST_BYTES = 1_000_000


class SearchFileError(ValueError):
    """A search file that cannot be used."""


def load_experiment(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    plugins: Sequence[str] = (),
    change: Callable[[dict[str, Any]], None] = lambda tables: None,
) -> Experiment:
    """Return the checked experiment of the search file at ``path``.

    ``change`` may edit the tables of the file; then each ``key=value`` of ``overrides`` replaces a key. The modules
    ``plugins`` are loaded besides those that the file names; both are looked for in the file's folder too.
    """
    path = Path(path)
    text = _read(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = str(error).replace("at end of document", f"at line {text.count(chr(10)) + 1}, the end")
        raise SearchFileError(f"{path} is no TOML: {place}") from None
    except RecursionError:
        raise SearchFileError(f"{path} nests lists or tables too deeply; a search file needs three levels") from None
    change(data)
    for override in overrides:
        _override(data, override)
    _add_plugins(data, plugins)
    try:
        file = parse(data)
        load_plugins(file.plugins.modules, folders=[path.parent.resolve()])
        return experiment(file)
    except ValueError as error:
        raise SearchFileError(f"{_place(path, text, overrides, str(error))}: {error}") from None


def _add_plugins(data: dict[str, Any], modules: Sequence[str]) -> None:
    """Add ``modules`` to ``plugins.modules`` of ``data``."""
    if modules:
        named = data.setdefault("plugins", {}).get("modules", [])
        data["plugins"]["modules"] = [*named, *(module for module in modules if module not in named)]


def overridden_twice(overrides: Sequence[str]) -> list[str]:
    """A sentence for each key that ``overrides`` set more than once, with different values: the last one holds."""
    given: dict[str, list[str]] = {}
    for override in overrides:
        key, _, value = override.partition("=")
        given.setdefault(key.strip(), []).append(value.strip())
    return [
        f"{key} is set {len(values)} times, to {', '.join(values)}; the last holds"
        for key, values in given.items()
        if len(set(values)) > 1
    ]


def _place(path: Path, text: str, overrides: Sequence[str], message: str) -> str:
    """Where what ``message`` is about was said: an override, or the file with its line."""
    for override in reversed(overrides):
        key = override.partition("=")[0].strip()
        if re.match(rf"{re.escape(key)}(?![\w])", message):
            return f"-s {override}"
    return f"{path}{_line(text, message)}"


def parse(data: dict[str, Any]) -> SearchFile:
    """The search file that ``data`` holds; a ``ValueError`` names the key that is wrong."""
    try:
        return SearchFile.model_validate(data)
    except ValidationError as error:
        raise SearchFileError(_explain(_nearest(error.errors()))) from None


def _read(path: Path) -> str:
    if not path.exists():
        raise SearchFileError(f"there is no search file {path} in {Path.cwd()}; `archsieve init` writes one")
    if path.is_dir():
        raise SearchFileError(f"{path} is a folder; name the search file in it")
    if (size := path.stat().st_size) > LARGEST_BYTES:
        raise SearchFileError(
            f"a search file has at most {LARGEST_BYTES:,} bytes, but {path} has {size:,}; name the search file"
        )
    raw = path.read_bytes()
    if not raw.strip():
        raise SearchFileError(f"{path} is empty; `archsieve init` writes a search file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SearchFileError(
            f"{path} is not UTF-8 text: byte {error.start} cannot be read; save it as UTF-8"
        ) from None


def _override(data: dict[str, Any], override: str) -> None:
    """Set the dotted key of ``key=value`` in ``data``; the value is TOML, or a bare word."""
    key, equals, value = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise SearchFileError(f"an override is written key=value, as in recipe.epochs=5, but got {override!r}")
    *tables, last = key.split(".")
    for name in tables:
        data = data.setdefault(name, {})
        if not isinstance(data, dict):
            raise SearchFileError(f"{override!r}: {name} is a value, not a table; leave out what follows it")
    data[last] = _value(value.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _nearest(errors: Sequence[Any]) -> Any:
    """The first error; where a key may be of several types and a list was given, the one that names the item."""
    first = errors[0]
    if not isinstance(first["input"], list):
        return first
    parent = first["loc"][:-1]
    deeper = [error for error in errors if error["loc"][: len(parent)] == parent and type(error["loc"][-1]) is int]
    return deeper[0] if deeper else first


def _explain(error: Any) -> str:
    """One sentence for one of pydantic's errors: the key, the law, the facts, the cure."""
    loc = [part for part in error["loc"] if not (isinstance(part, str) and part in _UNION_PARTS)]
    key = ".".join(str(part) for part in loc)
    if error["type"] == "extra_forbidden":
        known = list(_model_at(loc[:-1]).model_fields)
        return f"{key}: {unknown('key', str(loc[-1]), known)}"
    if error["type"] == "missing":
        return f"{key} is missing; add it, as in {loc[-1]} = ..."
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{key} {message[0].lower()}{message[1:]}, but got {error['input']!r}"


_UNION_PARTS = ("int", "str", "list[int]", "list[str]", "float")


def _model_at(loc: Sequence[Any]) -> type[BaseModel]:
    """The section that a key path leads to."""
    model: type[BaseModel] = SearchFile
    for part in loc:
        if isinstance(part, str):
            model = next(_models(model.model_fields[part].annotation))
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _line(text: str, message: str) -> str:
    """``:12`` where the key that ``message`` begins with stands in ``text``."""
    match = re.match(r"([a-z_]+)\.([\w.]+)", message)
    table, key = (match[1], match[2].split(".")[-1]) if match else (None, None)
    here = None
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([\w.]+)", line)
        here = header[1].split(".")[0] if header else here
        if key and here == table and re.match(rf"\s*{re.escape(key)}\s*=", line):
            return f":{number}"
    return ""
