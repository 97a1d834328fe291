"""Read, override and check search files (TOML); every error names the place of the mistake and a fix."""

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from datetime import date, time
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ...spaces.parameters.lookup import shorten, unknown
from ...spaces.parameters.user_code import PluginError
from ..config.schema import SearchFile
from .experiment import Experiment, experiment
from .file_paths import resolve_file_paths, resolve_given_paths

WRITTEN_BY_RUNS = ("recorded", "minimized")  # keys of the settings of a run that no search file needs
MAX_BYTES = 1_000_000  # a larger file is a wrong path, such as a data file


class SearchFileError(ValueError):
    """A search file is missing, cannot be read, or has a wrong key or value."""

    def __init__(self, message: str) -> None:
        super().__init__(shorten(message))


def load_experiment(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    plugins: Sequence[str] = (),
    change: Callable[[dict[str, Any]], None] = lambda tables: None,
) -> Experiment:
    """Return the checked experiment of the search file at ``path``.

    ``change`` may edit the tables of the file. Then ``overrides`` such as ``recipe.epochs=5`` replace keys; a later
    one replaces an earlier one. The modules ``plugins`` are loaded in addition to those that the file names;
    both are looked for in the file's folder too. Paths in the file are relative to its folder, and paths in
    ``overrides`` to the current folder. Raises :class:`SearchFileError` with the line of the file, or the
    override, that is wrong.
    """
    path = Path(path)
    text = _read(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error).replace("at end of document", f"at line {text.count(chr(10)) + 1}, the end")
        raise SearchFileError(f"{path} is not valid TOML: {reason}; {_cure_of_line(text, reason)}") from None
    except RecursionError:
        raise SearchFileError(f"{path} nests lists or tables too deeply; use at most three levels") from None
    folder = path.parent.resolve()
    path_notes = resolve_file_paths(data, folder)
    change(data)
    # overrides change the TOML data before validation, so they are checked like the file itself
    for override in overrides:
        _override(data, override)
    _add_plugins(data, plugins)
    resolve_given_paths(data, folder)
    try:
        return experiment(parse(data), folders=[folder], notes=path_notes)
    except PluginError:  # it names the module and the line
        raise
    except ValueError as error:
        raise SearchFileError(f"{_location(path, text, overrides, str(error))}: {error}") from None


def _cure_of_line(text: str, reason: str) -> str:
    """Return how to correct the line that ``reason`` of the TOML parser names."""
    number = re.search(r"at line (\d+)", reason)
    lines = text.splitlines()[: int(number[1])] if number else []
    if lines and (wrong := re.search(r'"([^"\\]*\\[^"]*)"', lines[-1])):
        return f"a text with backslashes needs single quotes: '{wrong[1]}'"
    return "correct that line"


def _add_plugins(data: dict[str, Any], modules: Sequence[str]) -> None:
    """Add ``modules`` to ``plugins.modules`` of ``data``."""
    table = data.setdefault("plugins", {}) if modules else {}
    named = table.get("modules", []) if isinstance(table, dict) else None
    if modules and isinstance(named, list):  # otherwise the check of the file says what is wrong
        table["modules"] = [*named, *(module for module in modules if module not in named)]


def overridden_twice(overrides: Sequence[str]) -> list[str]:
    """Return a text for each key that ``overrides`` set several times to different values; the last value is used."""
    values_of: dict[str, list[str]] = {}
    for override in overrides:
        key, _, value = override.partition("=")
        values_of.setdefault(key.strip(), []).append(value.strip())
    return [
        f"{key} is set {len(values)} times, to {', '.join(values)}; the last value is used"
        for key, values in values_of.items()
        if len(set(values)) > 1
    ]


def _location(path: Path, text: str, overrides: Sequence[str], message: str) -> str:
    """Return the source of the key that ``message`` begins with: an override, or the file with its line number."""
    # the last override of a key is the one whose value was used
    for override in reversed(overrides):
        key = override.partition("=")[0].strip()
        if re.match(rf"{re.escape(key)}(?![\w])", message):
            return f"-s {override}"
    return f"{path}{_line(text, message)}"


def parse(data: dict[str, Any]) -> SearchFile:
    """Return the search file with the content ``data``; raise ``SearchFileError`` that names a wrong key."""
    try:
        return SearchFile.model_validate(data)
    except ValidationError as error:
        raise SearchFileError(_explain(_most_specific(error.errors()))) from None


def _read(path: Path) -> str:
    if not path.exists():
        raise SearchFileError(
            f"there is no search file {path} in {Path.cwd()}; check the path, or write a file with `archsieve init`"
        )
    if path.is_dir():
        raise SearchFileError(f"{path} is a folder; give the path of the search file in it")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise SearchFileError(f"a search file has at most {MAX_BYTES:,} bytes, but {path} has {size:,}; check the path")
    raw = path.read_bytes()
    if not raw.strip():
        raise SearchFileError(f"{path} is empty; write a search file with `archsieve init`")
    try:
        return raw.decode("utf-8-sig")  # accepts the byte order mark that editors on Windows write
    except UnicodeDecodeError as error:
        raise SearchFileError(
            f"{path} is not UTF-8 text: byte {error.start} cannot be decoded; save it as UTF-8"
        ) from None


def _override(data: dict[str, Any], override: str) -> None:
    """Set the dotted key of ``key=value`` in ``data``; the value is TOML, or text without quotes."""
    key, equals, value = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise SearchFileError(f"an override must be key=value, but got {override!r}; write it like recipe.epochs=5")
    set_key(data, key, _value(value.strip()), override)


def set_key(data: dict[str, Any], key: str, value: Any, source: str) -> None:
    """Set the dotted ``key`` in ``data``; an error quotes ``source``, the text that the key was given in."""
    # a missing table is created; validation reports it if the table does not exist
    *tables, last = key.split(".")
    for name in tables:
        data = data.setdefault(name, {})
        if not isinstance(data, dict):
            raise SearchFileError(f"{source!r}: {name} is a value, not a table; remove the part after {name}")
    data[last] = value


def _value(text: str) -> Any:
    """Return the value of TOML text; other text is returned unchanged, so that the shell needs no extra quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if re.fullmatch(r'"[^"]*\\[^"]*"', text):
            raise SearchFileError(
                f"a text with backslashes needs single quotes, but got {text}; write '{text[1:-1]}'"
            ) from None
        return text


def _most_specific(errors: Sequence[Any]) -> Any:
    """Return the first error of pydantic, or a more specific one for a list.

    A key with the type ``int | list[int]`` has one error for each type. For a list the error that has the index of the
    wrong item is more useful than "should be a valid integer".
    """
    first = errors[0]
    if not isinstance(first["input"], list):  # for other values the first type is the usual one
        return first
    parent = first["loc"][:-1]
    deeper = [error for error in errors if error["loc"][: len(parent)] == parent and type(error["loc"][-1]) is int]
    return deeper[0] if deeper else first


def _explain(error: Any) -> str:
    """Return one sentence for an error of pydantic: the key, the rule, the value and, where possible, a fix."""
    # pydantic adds the member of a union, such as "list[int]", to the path; the user did not write it
    loc = [part for part in error["loc"] if not (isinstance(part, str) and part in _UNION_PARTS)]
    key = ".".join(str(part) for part in loc)
    if error["type"] == "extra_forbidden":
        known = [name for name in _model_at(loc[:-1]).model_fields if name not in WRITTEN_BY_RUNS]
        return f"{key}: {unknown('key', str(loc[-1]), known)}"
    if error["type"] == "missing":
        return f"{key} is missing; add it to the file: {loc[-1]} = ..."
    message, value = error["msg"].removeprefix("Value error, ").removeprefix("Input "), error["input"]
    if error["type"] == "string_type" and isinstance(value, bool | int | float | date | time):
        shown = str(value).lower() if isinstance(value, bool) else value
        return f'{key} must be text, but got {shown}; write it in quotes: {loc[-1]} = "{shown}"'
    return f"{key} {message[0].lower()}{message[1:]}, but got {value!r}"


_UNION_PARTS = ("int", "str", "list[int]", "list[str]", "float")


def _model_at(loc: Sequence[Any]) -> type[BaseModel]:
    """Return the section at the key path ``loc``."""
    model: type[BaseModel] = SearchFile
    for part in loc:
        if isinstance(part, str):
            model = next(_models(model.model_fields[part].annotation))
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the sections inside a type such as ``list[StageSection] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _line(text: str, message: str) -> str:
    """Return the line of the key that ``message`` begins with, as ``:12``; an empty text where it is missing."""
    match = re.match(r"([a-z_]+)\.([\w.]+)", message)
    table, key = (match[1], match[2].split(".")[-1]) if match else (None, None)
    current_table = None
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([\w.]+)", line)
        current_table = header[1].split(".")[0] if header else current_table
        if key and current_table == table and re.match(rf"\s*{re.escape(key)}\s*=", line):
            return f":{number}"
    return ""
