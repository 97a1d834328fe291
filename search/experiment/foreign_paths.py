"""Paths of imported runs: folders, files and URLs that another person wrote, used only with the user's consent."""

from collections.abc import Iterator, Mapping
from typing import Any

from ...results.database.errors import RefusedError
from ...results.database.reader import StoreReader
from ...results.database.records import RunRecord
from ...results.database.store import Store
from ...results.transfer.importer import IMPORTED_EVENT

_ALLOWED_EVENT = "paths_allowed"  # with the paths as detail
# Keys of the settings that name a folder, a file or a URL. Networks of search.start_from are stored as values.
_KEYS = (("data", "path"), ("data", "texts"), ("space", "weights"), ("resources", "checkpoints"))


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
    if not store.events(run.run_id, IMPORTED_EVENT):
        return {}
    allowed = [event["detail"] for event in store.events(run.run_id, _ALLOWED_EVENT)]
    paths = dict(_paths(run.config))
    return {} if paths in allowed else paths


def allow_paths(store: Store, run: RunRecord) -> None:
    """Record that the user allows the paths of an imported run."""
    if paths := foreign_paths(store, run):
        store.add_event(run.run_id, "warning", _ALLOWED_EVENT, paths)


def _paths(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for section, key in _KEYS:
        value = _table(config, section).get(key)
        if value is not None:
            yield f"{section}.{key}", str(value)
    for name, record in _table(_table(config, "plugins"), "recorded").items():
        file = record.get("file") if isinstance(record, Mapping) else record
        yield f"plugins.recorded.{name}.file", str(file)


def _table(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = config.get(name)
    return table if isinstance(table, Mapping) else {}
