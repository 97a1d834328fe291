"""Shipping: what a worker needs of the plug-ins that the driver has loaded.

Modules travel as their source files and are imported on the worker, as they were here. Blocks and metrics that were
registered in a notebook, a script, or a module that is not a plug-in travel as pickled classes and functions. All go
with the trials themselves and not in Ray's runtime environment, which belongs to a whole session of Ray and cannot
change where one is running.
"""

import importlib
import importlib.util
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...spaces.blocks.standard import BLOCKS, register_block
from ...spaces.metrics.registry import custom_metrics, register_metric
from ...spaces.parameters.user_code import PluginError, module_of
from ..config.train_section import BUILT_IN_TRAINING, TrainSection
from .installed import plugin_entry_points
from .loading import all_plugins, describe_module, import_plugin, load_entry_points
from .references import forget, functions_of_scripts, remember
from .sources import is_installed, top_modules
from .unpacking import remove_at_exit, unpack

_installed: "Shipment | None" = None  # what this process has installed last
_folder: Path | None = None  # with its source files


@dataclass(frozen=True)
class Shipment:
    """The names of plug-in modules, their source files, and pickled custom code; empty without any.

    ``blocks`` are by kind, ``metrics`` by name, and ``functions`` of ``[train]`` by reference.
    """

    modules: tuple[str, ...] = ()
    sources: Mapping[str, bytes] = field(default_factory=dict)
    blocks: bytes = b""
    metrics: bytes = b""
    functions: bytes = b""

    def install(self) -> None:
        """Import the plug-ins and register the blocks and metrics in this process, unless they are here.

        Raises :class:`PluginError` where a module cannot be imported here.
        """
        global _installed, _folder
        if _installed == self:
            return
        load_entry_points()
        if self.sources:
            if str(_folder) in sys.path:
                sys.path.remove(str(_folder))
            _folder = unpack(self.sources)
            sys.path.insert(0, str(_folder))  # before others: what the driver has is what counts
            _forget_others(self.sources)
        for module in self.modules:
            import_plugin(module)
        # again, too: a cell of a notebook may have defined another block or metric since
        for kind, block in _unpickled(self.blocks).items():
            register_block(kind)(block)
        for name, (function, higher_is_better) in _unpickled(self.metrics).items():
            register_metric(name, higher_is_better=higher_is_better)(function)
        remember(_unpickled(self.functions))
        _installed = self


def shipment(metrics: Collection[str] = (), train: TrainSection = BUILT_IN_TRAINING) -> Shipment:
    """Return what workers need: the plug-ins of this process, custom blocks and ``metrics``, functions of ``train``.

    Only what a search uses travels, so that a metric that cannot be pickled does not stop another search.
    """
    plugins = all_plugins()
    sources = {path: content for plugin in plugins for path, content in plugin.sources.items()}
    if sources:
        remove_at_exit(sources)
    modules = tuple(plugin.module for plugin in plugins)
    # a worker imports these modules itself
    tops = {name.partition(".")[0] for name in (*modules, *(entry.module for entry in plugin_entry_points()))}

    def travels(code: Any) -> bool:
        return (module := module_of(code)) is not None and module.partition(".")[0] not in tops

    blocks = {kind: block for kind, block in BLOCKS.items() if travels(block)}
    functions = {
        name: (metric.function, metric.higher_is_better)
        for name, metric in custom_metrics().items()
        if name in metrics and travels(metric.function)
    }
    of_blocks = _pickled("blocks", blocks, blocks.values())
    of_metrics = _pickled("metrics", functions, [one for one, _ in functions.values()])
    of_scripts = functions_of_scripts(train.references)
    of_train = _pickled("functions", of_scripts, of_scripts.values())
    return Shipment(modules, sources, of_blocks, of_metrics, of_train)


def installed_plugins() -> dict[str, str]:
    """Return the version of each plug-in of this process that a worker must have installed, by module."""
    modules = [plugin.module for plugin in all_plugins() if not plugin.sources]
    entries = [entry.module for entry in plugin_entry_points() if entry.module in sys.modules]
    return {module: version for module in (*modules, *entries) if (version := version_here(module)) is not None}


def version_here(module: str) -> str | None:
    """Return the version of an installed plug-in, with the start of the SHA-256 of its sources; None if it is missing.

    The module is imported. Raises :class:`PluginError` where that fails.
    """
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        return None
    plugin = describe_module(module, import_plugin(module))
    return f"{plugin.version or 'without a version'} (SHA-256 {plugin.sha256[:12]})"


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
    return file is None or is_installed(Path(file))


def _forget_others(sources: Mapping[str, bytes]) -> None:
    """Drop modules of these names with another content: a worker of a longer session of Ray may have old ones."""
    importlib.invalidate_caches()
    for top in top_modules(sources):
        loaded = [name for name in sys.modules if name == top or name.startswith(f"{top}.")]
        if not all(_is_shipped(name, sources) for name in loaded):
            for name in loaded:
                del sys.modules[name]
            forget({top})


def _is_shipped(name: str, sources: Mapping[str, bytes]) -> bool:
    """Return whether the loaded module ``name`` has the source that was shipped."""
    file = getattr(sys.modules[name], "__file__", None)
    path = name.replace(".", "/")
    content = sources.get(f"{path}.py", sources.get(f"{path}/__init__.py"))
    return file is not None and Path(file).is_file() and Path(file).read_bytes() == content
