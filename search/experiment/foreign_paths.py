"""Paths and commands of imported runs, which another person wrote: used only with the consent of the user."""

from collections.abc import Iterator, Mapping
from typing import Any

from ...results.database.errors import RefusedError
from ...results.database.reader import StoreReader
from ...results.database.records import RunRecord
from ...results.database.store import Store
from ...results.transfer.importer import IMPORTED_EVENT, PATHS_ALLOWED_EVENT
from ...spaces.networks.patterns import PRETRAINED
from ...spaces.recipes.parameter_table import written_options
from ...spaces.recipes.recipe import is_model_file
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
    paths = dict(_paths(run.config))
    return {} if paths in allowed else paths


def allow_paths(store: Store, run: RunRecord) -> None:
    """Record that the user allows the paths of an imported run."""
    if paths := foreign_paths(store, run):
        store.add_event(run.run_id, "warning", PATHS_ALLOWED_EVENT, paths)


def _paths(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for section, key in PATH_KEYS:
        value = _table(config, section).get(key)
        if value is not None and (key, value) != ("weights", PRETRAINED):  # the published weights are no path
            yield f"{section}.{key}", str(value)
    teachers = _table(config, "recipe").get("teacher")
    for teacher in written_options(teachers):
        if is_model_file(teacher):
            yield "recipe.teacher", teacher
    # A run of this version stores the networks of search.start_from as values; another file may have paths there.
    search = _table(config, "search")
    start_from = search.get("start_from")
    for number, entry in enumerate(start_from if isinstance(start_from, list) else ()):
        if isinstance(entry, str) and entry.endswith(".json"):
            yield f"search.start_from.{number}", entry
    if (registry := _table(search, "sampler").get("registry")) is not None:  # the code of a sampler is in this folder
        yield "search.sampler.registry", str(registry)
    if (command := _table(config, "device").get("run")) is not None:  # an imported run must not choose what is run
        yield "device.run", str(command)
    train = _table(config, "train")  # MODULE:NAME: the module is imported even if plugins.modules does not have it
    yield from ((f"train.{key}", str(train[key])) for key in TrainSection.model_fields if train.get(key) is not None)
    yield from _plugins(_table(config, "plugins"))


def _plugins(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    modules = table.get("modules")
    for name in modules if isinstance(modules, list) else ():
        yield f"plugins.modules.{name}", str(name)
    for name, record in _table(table, "recorded").items():
        file = record.get("file") if isinstance(record, Mapping) else record
        yield f"plugins.recorded.{name}.file", str(file)


def _table(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = config.get(name)
    return table if isinstance(table, Mapping) else {}
