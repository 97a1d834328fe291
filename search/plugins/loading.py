"""Plug-ins: modules with custom blocks, data sets, metrics and searchers, imported once, and what a run records.

A module registers what it has when it is imported (``register_block``, ``register_metric`` and so on).
Modules come from ``[plugins] modules`` of a search file, from ``--import``, from the argument ``plugins``, and from the
entry points of the group ``archsieve.plugins`` of installed packages.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ...spaces.parameters.lookup import unknown
from ...spaces.parameters.user_code import ERRORS, PluginError, described, imported_at, prints_to_stderr
from ..config.schema import PluginRecord
from .installed import GROUP, distribution_of, plugin_entry_points
from .sources import digest_of, is_installed, root_of, sources_of

KEY = "plugins.modules"  # of a search file
MAIN = "__main__"  # the module of a script or a notebook
_LOADED: dict[str, "Plugin"] = {}


@dataclass(frozen=True)
class Plugin:
    """A loaded plug-in: its file, its version if it has one, and its own source files by relative path.

    The version is that of the installed ``distribution``, or ``__version__`` of the module. A package that is
    installed has no ``sources``: a worker must have it installed too.
    """

    module: str
    file: Path
    version: str | None
    sha256: str
    sources: Mapping[str, bytes]
    distribution: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What a run records."""
        record = {"file": str(self.file), "version": self.version, "sha256": self.sha256}
        return {**record, **({"distribution": self.distribution} if self.distribution else {})}


def load_plugins(
    modules: Sequence[str],
    *,
    folders: Iterable[Path] = (),
    recorded: Mapping[str, PluginRecord] | None = None,
    keys: Mapping[str, str] | None = None,
) -> None:
    """Import ``modules``, looked for on the import path, in ``folders``, and in the working folder.

    With ``recorded`` they are looked for where they were, too, and must be what they were; that is checked before
    their code runs. Entry points of installed packages are loaded first. The folders stay on the import path. ``keys``
    are the keys of a search file that name a module, if not ``plugins.modules``. Raises :class:`PluginError` for a
    module that is missing, fails, or has changed since it was recorded or imported.
    """
    load_entry_points()
    recorded, keys = recorded or {}, keys or {}
    for name in modules:
        try:
            _load_once(name, folders, recorded.get(name))
        except PluginError as error:
            raise PluginError(f"{keys.get(name, KEY)}: {error}") from error.__cause__


def loaded_plugins(modules: Iterable[str]) -> tuple[Plugin, ...]:
    """Return the plug-ins of these modules, which :func:`load_plugins` has loaded."""
    return tuple(_LOADED[name] for name in modules)


def all_plugins() -> tuple[Plugin, ...]:
    """Return every plug-in that this process has loaded by name."""
    return tuple(_LOADED.values())


def load_entry_points() -> None:
    """Import the modules that installed packages offer in the group ``archsieve.plugins``, unless it is done."""
    for entry in plugin_entry_points():
        if entry.module not in sys.modules:
            with _explained(entry.module, f"entry point {entry.name} of {GROUP}: "):
                entry.load()


def _load_once(name: str, folders: Iterable[Path], record: PluginRecord | None) -> None:
    if name not in _LOADED:
        where = [] if record is None or record.file is None else [root_of(name, Path(record.file))]
        _LOADED[name] = _load(name, [*folders, Path.cwd(), *where], record)
        return
    plugin = _LOADED[name]
    if record is not None:
        _check_recorded(name, plugin.file, plugin.sha256, plugin.version, record)
    if not plugin.file.is_file() or digest_of(sources_of(name, plugin.file)) != plugin.sha256:
        raise PluginError(f"{plugin.file} has changed since its import; restart Python")


def _load(name: str, folders: Sequence[Path], record: PluginRecord | None) -> Plugin:
    if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        stem = Path(name).stem
        raise PluginError(
            f"a plug-in must be the name of a module, as in 'my_blocks', but got {name!r}; "
            f"{f'write {stem!r}' if stem.isidentifier() else 'rename its file'}"
        )
    for folder in map(str, folders):
        if folder not in sys.path:
            sys.path.append(folder)  # it stays: a function of the plug-in may import its neighbours later
    importlib.invalidate_caches()
    top = name.partition(".")[0]
    origin = _find(name, folders)
    found, file = (name, _in_namespace(name)) if origin is None else (top, origin)
    if record is not None and file is not None:  # before its code runs
        _check_recorded(name, file, digest_of(sources_of(found, file)), None, record)
    return _plugin(name, import_plugin(name))


def import_plugin(name: str) -> ModuleType:
    """Import the module ``name``; a :class:`PluginError` names the line where that fails."""
    with _explained(name):
        return importlib.import_module(name)


def _find(name: str, folders: Sequence[Path]) -> Path | None:
    """Return the file of the top-level module of ``name``; None for a built-in one.

    Raises where there is no such module, or another one of its name comes before it on the import path.
    """
    top = name.partition(".")[0]
    spec = sys.modules[top].__spec__ if top in sys.modules else importlib.util.find_spec(top)
    if spec is None:
        neighbours = {path.stem for folder in folders if folder.is_dir() for path in folder.glob("[!_]*.py")}
        near = unknown("module", name, neighbours) if neighbours else f"unknown module {name!r}"
        raise PluginError(
            f"{near}; searched the import path and {', '.join(sorted(set(map(str, folders))))}; correct the name"
        )
    origin = None if spec.origin is None else Path(spec.origin)
    for own in (path for folder in folders for path in (folder / f"{top}.py", folder / top / "__init__.py")):
        if own.is_file() and origin is not None and origin.resolve() != own.resolve():
            raise PluginError(f"{own} must be the module {top!r}, but Python imports {spec.origin}; rename the file")
    return origin if origin is not None and origin.is_file() else None


def _in_namespace(name: str) -> Path | None:
    """Return the file of the module ``name`` in a folder without __init__.py; None if there is none."""
    top, *parts = name.split(".")
    spec = sys.modules[top].__spec__ if top in sys.modules else importlib.util.find_spec(top)
    folders = [] if spec is None else spec.submodule_search_locations or []
    bases = [Path(folder, *parts) for folder in folders] if parts else []
    files = (file for base in bases for file in (base / "__init__.py", base.with_name(f"{base.name}.py")))
    return next((file for file in files if file.is_file()), None)


def _plugin(name: str, module: ModuleType) -> Plugin:
    if getattr(module, "__file__", None) is None:
        raise PluginError(f"{name} must be a module or a package with an __init__.py; add one")
    return describe_module(name, module)


def describe_module(name: str, module: ModuleType) -> Plugin:
    """Return the imported ``module``, which has a file, as a plug-in."""
    file = Path(str(module.__file__)).absolute()  # not resolved: the name of a link is the name of the module
    sources = sources_of(name, file)
    installed = distribution_of(name, file)
    version = getattr(module, "__version__", None) if installed is None else installed.version
    return Plugin(
        name,
        file,
        version and str(version),
        digest_of(sources),
        {} if is_installed(file) else sources,
        None if installed is None else installed.name,
    )


def _check_recorded(name: str, file: Path, sha256: str, version: str | None, record: PluginRecord) -> None:
    if sha256 != record.sha256:
        then, now = (f"version {known}, " if known else "" for known in (record.version, version))
        raise PluginError(
            f"{name} must be the module that the run used, {record.file} ({then}SHA-256 "
            f"{str(record.sha256)[:12]}), but is {file} ({now}SHA-256 {sha256[:12]}); restore that file, or start a "
            "new run"
        )


@contextmanager
def _explained(module: str, source: str = "") -> Iterator[None]:
    """Turn an exception of an import into a :class:`PluginError` that names the module and the line."""
    try:
        with prints_to_stderr():
            yield
    except PluginError:
        raise
    except ERRORS as error:
        sys.modules.pop(module, None)
        line = imported_at(error)
        raise PluginError(
            f"{source}importing {module} raised {described(error)}{line and f' at {line}'}; correct it and try again"
        ) from error
