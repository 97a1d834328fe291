"""Costs of published networks at image sizes that the table lacks: measured once per machine, with progress."""

import gc
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby

from ... import __version__
from ...spaces.networks.other_sizes import CostFile, Measured, Pair
from ...spaces.networks.table import network_table

EVERY = 20  # measurements between two writes of the file: an interrupted command keeps them
LINE_EVERY_S = 10.0
MAX_NAMED = 5


def costs_of(pairs: Sequence[Pair]) -> dict[Pair, Measured]:
    """Return the costs of networks at image sizes, or why a network cannot take a size, by name and size.

    They are kept in the cache folder of this machine, by the versions of the packages that decide about them. Only what
    is missing there is measured, with torch on the meta device. Networks that cannot take a size are named on stderr.

    Raises ``ValueError`` if the package of a network is not installed.
    """
    found: dict[Pair, Measured] = {}
    for source, group in groupby(sorted(pairs), key=lambda pair: pair[0].partition(":")[0]):
        wanted, file = list(group), _file(source)
        known = file.read() if file is not None else {}
        found |= {pair: known[pair] for pair in wanted if pair in known}
        if missing := [pair for pair in wanted if pair not in known]:
            found |= _measure(source, missing, file)
    _name_refused(found)
    return found


def _file(source: str) -> CostFile | None:
    from ...models.image_files.digests import cache_folder

    try:
        versions = {source: version(source), "torch": version("torch"), "archsieve": __version__}
    except PackageNotFoundError as error:
        raise ValueError(
            f"image sizes that are not in the table of networks are measured, which needs the package {source}, but "
            f"{error.name} is not installed; pip install 'archsieve[{source}]', or leave image_size out"
        ) from None
    folder = cache_folder()
    return None if folder is None else CostFile.of(folder, versions)


def _measure(source: str, pairs: Sequence[Pair], file: CostFile | None) -> Mapping[Pair, Measured]:
    from ...models.profiling.size_costs import size_costs

    sizes = ", ".join(map(str, sorted({size for _, size in pairs})))
    networks = f"{len(pairs):,} network{'s' if len(pairs) > 1 else ''} of {source}"
    _say(f"measuring the costs of {networks} at {sizes} pixels, once for this machine")
    table, measured, kept = network_table(), dict[Pair, Measured](), 0
    try:
        for name, size in _with_progress(pairs):
            measured[name, size] = size_costs(table[name], size)
            if len(measured) - kept == EVERY:
                kept = _keep(file, measured)
                gc.collect()  # modules have reference cycles; a collection takes as long as a small network
    finally:
        _keep(file, measured)
    return measured


def _keep(file: CostFile | None, measured: Mapping[Pair, Measured]) -> int:
    if file is not None:
        file.add(measured)
    return len(measured)


def _with_progress(pairs: Sequence[Pair]) -> Iterator[Pair]:
    started = time.monotonic()
    printed = started
    for done, pair in enumerate(pairs):
        now = time.monotonic()
        if done and now - printed > LINE_EVERY_S:
            left = (now - started) / done * (len(pairs) - done)
            _say(f"measured {done:,} of {len(pairs):,} networks, about {left:,.0f} s left")
            printed = now
        yield pair


def _name_refused(found: Mapping[Pair, Measured]) -> None:
    for size in sorted({size for _, size in found}):
        names = [name for (name, at), value in found.items() if at == size and isinstance(value, str)]
        if names and len(names) < len(found):
            more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
            listed = ", ".join(names[:MAX_NAMED])
            _say(f"left out, because they cannot take images of {size} pixels: {listed}{more}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
