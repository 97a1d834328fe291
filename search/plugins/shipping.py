"""Shipping: what a worker needs of the plug-ins that the driver has loaded.

Modules travel as their source files and are imported on the worker, as they were here. Blocks and metrics that were
registered in a notebook, a script, or a module that is not a plug-in travel as pickled classes and functions. All go
with the trials themselves and not in Ray's runtime environment, which belongs to a whole session of Ray and cannot
change where one is running.
"""

import importlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...spaces.blocks.standard import BLOCKS, register_block
from ...spaces.metrics.registry import own_metrics, register_metric
from .errors import PluginError
from .loading import INSTALLED, all_plugins, digest_of, import_plugin, load_entry_points

PACKAGE = __name__.partition(".")[0]
_installed: "Shipment | None" = None  # what this process has installed last


@dataclass(frozen=True)
class Shipment:
    """The names of plug-in modules, their source files, and pickled custom blocks and metrics; empty without any."""

    modules: tuple[str, ...] = ()
    sources: Mapping[str, bytes] = field(default_factory=dict)
    blocks: bytes = b""
    metrics: bytes = b""

    def install(self) -> None:
        """Import the plug-ins and register the blocks and metrics in this process; again, it does nothing.

        Raises :class:`PluginError` where a module cannot be imported here.
        """
        global _installed
        if _installed == self:
            return
        load_entry_points()
        if self.sources:
            folder = _unpacked(self.sources)
            if str(folder) not in sys.path:
                sys.path.insert(0, str(folder))  # before others: what the driver has is what counts
            _forget_others(self.modules, self.sources)
        for module in self.modules:
            import_plugin(module)
        # again, too: a cell of a notebook may have defined another block or metric since
        for kind, block in _unpickled(self.blocks).items():
            register_block(kind)(block)
        for name, (function, higher_is_better) in _unpickled(self.metrics).items():
            register_metric(name, higher_is_better=higher_is_better)(function)
        _installed = self


def shipment() -> Shipment:
    """Return what workers need of this process's plug-ins and custom blocks."""
    plugins = all_plugins()
    sources = {path: content for plugin in plugins for path, content in plugin.sources.items()}
    modules = tuple(plugin.module for plugin in plugins)
    tops = {module.partition(".")[0] for module in modules}

    def travels(code: Any) -> bool:
        return (top := code.__module__.partition(".")[0]) != PACKAGE and top not in tops

    blocks = {kind: block for kind, block in BLOCKS.items() if travels(block)}
    metrics = {
        name: (metric.function, metric.higher_is_better)
        for name, metric in own_metrics().items()
        if travels(metric.function)
    }
    of_blocks = _pickled("blocks", blocks, blocks.values())
    return Shipment(modules, sources, of_blocks, _pickled("metrics", metrics, [one for one, _ in metrics.values()]))


def _pickled(what: str, by_name: Mapping[str, Any], code: Iterable[Any]) -> bytes:
    """Return classes or functions by name as bytes that need no import of the modules of ``code``."""
    if not by_name:
        return b""
    from ray import cloudpickle

    with _by_value({sys.modules[one.__module__] for one in code if one.__module__ in sys.modules}):
        try:
            return bytes(cloudpickle.dumps(dict(by_name)))  # type: ignore[no-untyped-call]
        except Exception as error:
            raise PluginError(
                f"the {what} {', '.join(by_name)} cannot be sent to workers: {type(error).__name__}: {error}; put them "
                "into a module and name it in plugins"
            ) from error


def _unpickled(content: bytes) -> dict[str, Any]:
    import pickle

    return dict(pickle.loads(content)) if content else {}


@contextmanager
def _by_value(modules: set[Any]) -> Iterator[None]:
    from ray import cloudpickle

    # an installed package is imported on the workers, too
    own = [module for module in modules if module.__name__ != "__main__" and not _is_installed(module)]
    for module in own:
        cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)  # type: ignore[no-untyped-call]


def _is_installed(module: Any) -> bool:
    file = getattr(module, "__file__", None)
    return file is None or any(Path(file).resolve().is_relative_to(root) for root in INSTALLED)


def _unpacked(sources: Mapping[str, bytes]) -> Path:
    """Return a folder of this machine with the source files; workers of one driver share it."""
    folder = Path(tempfile.gettempdir()) / f"{PACKAGE}-plugins-{os.getuid()}-{digest_of(sources)[:16]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PluginError(f"{folder} must belong to the user {os.getuid()}, but does not; remove it")
    for path, content in sources.items():
        target = folder / path
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{target.name}.{os.getpid()}")
            part.write_bytes(content)
            part.replace(target)
    return folder


def _forget_others(modules: tuple[str, ...], sources: Mapping[str, bytes]) -> None:
    """Drop modules of these names with another content: a worker of a longer session of Ray may have old ones."""
    importlib.invalidate_caches()
    shipped = {path.partition("/")[0].removesuffix(".py") for path in sources}
    for top in {module.partition(".")[0] for module in modules} & shipped:
        loaded = [name for name in sys.modules if name == top or name.startswith(f"{top}.")]
        if not all(_is_shipped(name, sources) for name in loaded):
            for name in loaded:
                del sys.modules[name]


def _is_shipped(name: str, sources: Mapping[str, bytes]) -> bool:
    """Return whether the loaded module ``name`` has the source that was shipped."""
    file = getattr(sys.modules[name], "__file__", None)
    path = name.replace(".", "/")
    content = sources.get(f"{path}.py", sources.get(f"{path}/__init__.py"))
    return file is not None and Path(file).is_file() and Path(file).read_bytes() == content
