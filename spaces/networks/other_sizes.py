"""Networks at image sizes that the table lacks: which have to be measured, and a file that keeps what was measured.

The measuring itself needs torch and is passed in. What is in the file is read without it.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from ..architectures.architecture import Architecture
from ..architectures.budget import Budget
from .table import PublishedNetwork, SizeCosts

Pair = tuple[str, int]  # the name of a network, and an image size
Measured = SizeCosts | str  # the costs at an image size, or why the network cannot take it
CostsOf = Callable[[Sequence[Pair]], Mapping[Pair, Measured]]

# The parameters of a network with position embeddings depend on the image size: up to this share above a limit at the
# published size, a network is measured, too.
MARGIN = 0.05


def with_sizes(
    networks: Sequence[PublishedNetwork], sizes: Sequence[int], budget: Budget, classes: int, costs_of: CostsOf
) -> list[PublishedNetwork]:
    """Return ``networks`` with costs at all ``sizes`` that they can take, those outside ``budget`` left out.

    A network without costs at one of ``sizes`` is left out if its parameters, with a linear layer for ``classes``
    classes, exceed the limit already at its published size. The smallest one stays, so that there is a network which
    shows that nothing fits. Which networks are returned does not depend on what was measured before.

    Raises ``ValueError`` if no network can take any of ``sizes``.
    """
    limit = budget.limits().get("params", (0, None))[1]
    params = {network.name: _params(network, classes) for network in networks}
    smallest = min(networks, key=lambda network: params[network.name])

    def may_fit(network: PublishedNetwork) -> bool:
        return limit is None or network is smallest or params[network.name] <= limit * (1 + MARGIN)

    missing = {network.name: [size for size in sizes if size not in network.costs] for network in networks}
    kept = [network for network in networks if not missing[network.name] or may_fit(network)]
    pairs = [(network.name, size) for network in kept for size in missing[network.name]]
    found = costs_of(pairs) if pairs else {}
    extended = [_extended(network, found, missing[network.name]) for network in kept]
    if not any(size in network.costs for network in extended for size in sizes):
        raise ValueError(_refusal(kept, sizes, found))
    return extended


def _params(network: PublishedNetwork, classes: int) -> int:
    shape = (network.channels, network.size, network.size)
    return Architecture(shape, (network.block(network.size),), classes).cost.params


def _extended(network: PublishedNetwork, found: Mapping[Pair, Measured], sizes: Sequence[int]) -> PublishedNetwork:
    measured = ((size, found.get((network.name, size))) for size in sizes)
    entries = [f"{size}:{':'.join(map(str, costs))}" for size, costs in measured if isinstance(costs, SizeCosts)]
    return replace(network, costs_text=";".join([network.costs_text, *entries])) if entries else network


def _refusal(networks: Sequence[PublishedNetwork], sizes: Sequence[int], found: Mapping[Pair, Measured]) -> str:
    asked, first = ", ".join(map(str, sizes)), networks[0]
    if len(networks) == 1:
        subject = f"{first.name} must take images of {asked} pixels, but it does not"
    else:
        subject = f"a network must take images of {asked} pixels, but none of {len(networks):,} does; {first.name}"
    return f"{subject}: {found[first.name, sizes[0]]}; use its published size {first.size}"


@dataclass(frozen=True)
class CostFile:
    """A file of measured costs by network and image size, valid for the packages and versions in ``versions``.

    A file that is damaged, or of other versions, counts as empty.
    """

    path: Path
    versions: str

    @classmethod
    def of(cls, folder: Path, versions: Mapping[str, str]) -> "CostFile":
        """Return the file for ``versions`` by package in the cache folder ``folder``."""
        named = " ".join(f"{package}-{version}" for package, version in versions.items())
        return cls(folder / "network_costs" / f"{named.replace(' ', '_')}.json", named)

    def read(self) -> dict[Pair, Measured]:
        """Return everything that the file has; nothing if it is missing or damaged."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            digest, _, content = self.path.read_bytes().partition(b"\n")
            if digest.decode() == sha256(content).hexdigest():
                document = json.loads(content)
                if document["versions"] == self.versions:
                    return {(name, size): _measured(value) for name, size, value in document["measured"]}
        return {}

    def add(self, measured: Mapping[Pair, Measured]) -> None:
        """Add ``measured``; the file is replaced as a whole, so that no process reads a part of it."""
        rows = [[name, size, value] for (name, size), value in sorted({**self.read(), **measured}.items())]
        content = json.dumps({"versions": self.versions, "measured": rows}).encode()
        # the process id keeps concurrent processes from writing to the same draft
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with suppress(OSError):  # costs that cannot be kept are measured again, and nothing else is lost
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(sha256(content).hexdigest().encode() + b"\n" + content)
            draft.replace(self.path)


def _measured(value: str | list[int]) -> Measured:
    return value if isinstance(value, str) else SizeCosts(*map(int, value))
