"""Registered parts whose module no search file names: where they come from, and where a later process finds them.

Such a part comes from a script, a notebook, a module that a script imports, or an entry point of a package.
"""

import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ...spaces.parameters.user_code import PluginError, module_of
from ..config.schema import RegisteredRecord
from .installed import installed_version
from .loading import MAIN, describe_module, load_plugins
from .sources import digest_of, sources_of

KINDS = {
    "blocks": "block",
    "datasets": "data set",
    "metrics": "metric",
    "searchers": "searcher",
    "functions": "function",
}  # in JSON -> in messages
Parts = Mapping[str, Mapping[str, Any]]  # kind -> name -> class or function
log = logging.getLogger("archsieve")


def records_of(parts: Parts, named: set[str]) -> dict[str, dict[str, Any]]:
    """Return what a run records of the modules of ``parts``, by module, without the top-level modules ``named``."""
    records: dict[str, dict[str, Any]] = {}
    for kind, members in parts.items():
        for name, part in sorted(members.items()):
            module = module_of(part)
            if module is not None and module.partition(".")[0] not in named:
                record = records.setdefault(module, {**_record(module), "parts": {}})
                record["parts"].setdefault(kind, []).append(name)
    return records


def check_registered(records: Mapping[str, RegisteredRecord], registries: Callable[[], Parts]) -> None:
    """Load the modules that a run has recorded, where this process has not registered their parts.

    ``registries`` returns what is registered at the moment of the call. A script is not imported, because that would
    run it. Raises :class:`PluginError` for a part that is missing, or whose module has changed. A script that has
    changed is only reported, because it holds more than the parts.
    """
    for module, record in records.items():
        if not _missing(record, registries()):
            _compare(module, record, registries())
        elif module != MAIN and record.file is not None and Path(record.file).is_file():
            load_plugins([module], recorded={module: record})
        if missing := _missing(record, registries()):
            raise PluginError(_not_registered(module, record, missing))


def _record(module: str) -> dict[str, Any]:
    loaded = sys.modules.get(module)
    if loaded is None or getattr(loaded, "__file__", None) is None:
        return {"file": None, "version": None, "sha256": None}
    if module != MAIN:
        return describe_module(module, loaded).to_json()
    return {"file": str(_script(loaded)), "version": None, "sha256": _digest_of_script(loaded)}


def _script(main: ModuleType) -> Path:
    return Path(str(main.__file__)).absolute()


def _digest_of_script(main: ModuleType) -> str | None:
    """Return the SHA-256 of a script and of the modules of its folder that it imports; None without such a file."""
    file = _script(main)
    return digest_of(sources_of(file.stem, file)) if file.suffix == ".py" and file.is_file() else None


def _missing(record: RegisteredRecord, registries: Parts) -> list[str]:
    return [
        f"the {KINDS.get(kind, kind)} {name!r}"
        for kind, names in record.parts.items()
        for name in names
        if name not in registries.get(kind, {})
    ]


def _compare(module: str, record: RegisteredRecord, registries: Parts) -> None:
    """Compare the module of parts that are registered here with its record; another module may have the parts now."""
    here = {module_of(registries[kind][name]) for kind, names in record.parts.items() for name in names}
    now = _record(module) if here == {module} else None
    if now is None or None in (now["sha256"], record.sha256) or now["sha256"] == record.sha256:
        return
    if module == MAIN:
        log.warning("the script %s has changed since the run recorded it; its parts may be others", record.file)
        return
    then, version = (f"version {known}, " if known else "" for known in (record.version, now["version"]))
    raise PluginError(
        f"{module} must be the module that the run used, {record.file} ({then}SHA-256 {str(record.sha256)[:12]}), but "
        f"is {now['file']} ({version}SHA-256 {now['sha256'][:12]}); restore it, or start a new run"
    )


def _not_registered(module: str, record: RegisteredRecord, missing: list[str]) -> str:
    needs, load = f"the run needs {' and '.join(missing)}", "--import MODULE (plugins=['MODULE'] in Python)"
    if record.distribution is not None:
        installed = installed_version(record.distribution)
        has = f"{record.distribution} {installed} is installed" if installed else f"{record.distribution} is missing"
        return (
            f"{needs} of the module {module} of {record.distribution} {record.version}, but {has}; install "
            f"'{record.distribution}=={record.version}'"
        )
    if module != MAIN:
        return (
            f"{needs} of the module {module}, which was {record.file}, but it is not loaded; restore that file, or "
            f"load it with {load.replace('MODULE', module)}"
        )
    source = "an interactive session" if record.file is None else f"the script {record.file}"
    return (
        f"{needs}, which {source} registered, but nothing has registered it here; put its code into a module and load "
        f"it with {load}, or register it again before av.resume_search or av.train"
    )
