"""Paths and commands of imported runs, which another person wrote: used only with the consent of the user."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ...results.database.errors import RefusedError
from ...results.database.reader import StoreReader
from ...results.database.records import RunRecord
from ...results.database.store import Store
from ...results.query.run_summary import recipe_values
from ...results.transfer.importer import IMPORTED_EVENT, PATHS_ALLOWED_EVENT
from ...spaces.networks.patterns import PRETRAINED
from ...spaces.recipes.parameter_table import written_options
from ...spaces.recipes.recipe import is_model_file
from ...spaces.recipes.zero_shot_recipe import SENTENCE
from ..config.train_section import TrainSection
from .file_paths import PATH_KEYS


def check_paths(store: StoreReader, run: RunRecord) -> None:
    """Raise ``RefusedError`` if ``run`` was imported and names paths that the user has not allowed.

    A run removes checkpoints below its checkpoint directory, imports its plug-ins from their files, and reads its data:
    an imported run must not choose where.
    """
    paths = foreign_paths(store, run)
    if paths:
        raise RefusedError(
            f"run {run.name!r} was imported, and paths in it were chosen by another person: "
            f"{', '.join(f'{key} = {path[:200]!r}' for key, path in paths.items())}; nothing was read or removed; if "
            f"they are right on this machine, use: archsieve resume {run.name} --allow-paths"
        )


def foreign_paths(store: StoreReader, run: RunRecord) -> dict[str, str]:
    """Return the paths of an imported run that the user has not allowed, by their key; empty for a run made here."""
    imports = store.events(run.run_id, IMPORTED_EVENT)
    if not imports:
        return {}
    # An earlier consent came with the import: another person gave it.
    imported_id = imports[-1]["event_id"]
    consents = store.events(run.run_id, PATHS_ALLOWED_EVENT)
    allowed = [event["detail"] for event in consents if event["event_id"] > imported_id]
    paths = _paths(run.config, recipe_values(store, run.run_id, _RECIPE_KEYS))
    return {} if paths in allowed else paths


def allow_paths(store: Store, run: RunRecord) -> None:
    """Record that the user allows the paths of an imported run."""
    if paths := foreign_paths(store, run):
        store.add_event(run.run_id, "warning", PATHS_ALLOWED_EVENT, paths)


def _paths(config: Mapping[str, Any], recipes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    paths: dict[str, str] = {}
    for (section, key), found in REFERENCES.items():
        if (value := _table(config, section).get(key)) is not None:
            for part, text in found(value):
                _add(paths, f"{section}.{key}{part}", text)
    # Of the trials too: their recipes are trained again, and a file can have other ones than its settings allow.
    for recipe in recipes:
        for key, value in recipe.items():
            for _, text in REFERENCES["recipe", key](value):
                if text not in paths.values():
                    _add(paths, f"trial.recipe.{key}", text)
    return paths


def _add(paths: dict[str, str], key: str, text: str) -> None:
    """Add a path; a key that has several, as an option of a recipe can, gets a number from the second one on."""
    number = 1
    while (name := key if number == 1 else f"{key}.{number}") in paths:
        number += 1
    paths[name] = text


_Found = Iterator[tuple[str, str]]  # the end of a key, such as ".0" for the first entry of a list, and its text


def _value(value: Any) -> _Found:
    yield "", str(value)


def _weights(value: Any) -> _Found:
    if value != PRETRAINED:  # the published weights are no path
        yield "", str(value)


def _options(is_reference: Callable[[Any], bool]) -> Callable[[Any], _Found]:
    """Return a function that yields the options of a recipe key, as it is written, for which ``is_reference`` holds."""
    return lambda value: (("", str(option)) for option in written_options(value) if is_reference(option))


def _designs(value: Any) -> _Found:
    # A run of this version stores the networks of search.start_from as values; another file may have paths there.
    for number, entry in enumerate(value if isinstance(value, list) else ()):
        if isinstance(entry, str) and entry.endswith(".json"):
            yield f".{number}", entry


def _registry(value: Any) -> _Found:
    if isinstance(value, Mapping) and value.get("registry") is not None:  # the code of a sampler is in this folder
        yield ".registry", str(value["registry"])


def _modules(value: Any) -> _Found:
    yield from ((f".{name}", str(name)) for name in (value if isinstance(value, list) else ()))


def _recorded(value: Any) -> _Found:
    for name, record in value.items() if isinstance(value, Mapping) else ():
        yield f".{name}.file", str(record.get("file") if isinstance(record, Mapping) else record)


# Every setting that can name a path, a URL, a module or a command, and a function that returns those of its value.
# A test compares the table with all settings that accept text, so that a new one cannot be forgotten.
REFERENCES: Mapping[tuple[str, str], Callable[[Any], _Found]] = {
    **dict.fromkeys(PATH_KEYS, _value),
    ("space", "weights"): _weights,
    ("recipe", "teacher"): _options(is_model_file),
    # a folder, or a name that is downloaded
    ("recipe", "text"): _options(lambda value: isinstance(value, str) and value.startswith(SENTENCE)),
    ("search", "start_from"): _designs,
    ("search", "sampler"): _registry,
    ("device", "run"): _value,  # a command
    # MODULE:NAME: the module is imported even if plugins.modules does not have it
    **{("train", key): _value for key in TrainSection.model_fields},
    ("plugins", "modules"): _modules,
    ("plugins", "recorded"): _recorded,
}
_RECIPE_KEYS = [key for section, key in REFERENCES if section == "recipe"]


def _table(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = config.get(name)
    return table if isinstance(table, Mapping) else {}
