"""Installed packages: which distribution a module belongs to, and the plug-ins that packages offer as entry points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, packages_distributions, version
from pathlib import Path

from ...spaces.parameters.user_code import ERRORS, PluginError, described
from .sources import is_installed

GROUP = "archsieve.plugins"


@dataclass(frozen=True)
class Distribution:
    """An installed distribution: its name, as in ``pip install NAME``, and its version."""

    name: str
    version: str


@cache
def plugin_entry_points() -> Sequence[EntryPoint]:
    """Return the entry points of the group ``archsieve.plugins``.

    Raises :class:`PluginError` for one that names no module, and if the metadata of a package cannot be read.
    """
    try:
        entries = tuple(entry_points(group=GROUP))
    except ERRORS as error:
        raise PluginError(
            f"the entry points of the installed packages cannot be read: {described(error)}; "
            "remove or reinstall the damaged package"
        ) from error
    for entry in entries:
        if not _names_module(entry):
            package = "its package" if entry.dist is None else f"the package {entry.dist.name}"
            raise PluginError(
                f"the entry point {entry.name[:60]!r} of {GROUP} must name a module, as in 'my_blocks', but got "
                f"{entry.value[:60]!r}; correct or uninstall {package}"
            )
    return entries


def _names_module(entry: EntryPoint) -> bool:
    try:
        return all(part.isidentifier() for part in entry.module.split("."))
    except (AttributeError, ValueError):  # how importlib.metadata reports a value that it cannot parse
        return False


def distribution_of(module: str, file: Path) -> Distribution | None:
    """Return the distribution of the module in ``file``; None if it does not belong to one."""
    top = module.partition(".")[0]
    for entry in plugin_entry_points():
        # packages that are installed in editable mode have their files elsewhere: their entry points name them
        if entry.module.partition(".")[0] == top and entry.dist is not None:
            return Distribution(entry.dist.name, entry.dist.version)
    name = next(iter(_distributions().get(top, ())), None) if is_installed(file) else None
    return None if name is None else Distribution(name, version(name))


def installed_version(distribution: str) -> str | None:
    """Return the installed version of ``distribution``; None if it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


@cache
def _distributions() -> Mapping[str, Sequence[str]]:
    return packages_distributions()
