"""Patterns of networks: names with wildcards, families, or lists of both."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from ..blocks.backbone import NETWORK_SOURCES
from ..parameters.lookup import MAX_NAME
from .table import PublishedNetwork, network_table

PRETRAINED = "pretrained"  # as weights: those that are published, in place of a file
WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")  # of files of weights, NAME.SUFFIX in a folder


def is_pattern(text: str) -> bool:
    """Return whether ``text`` names networks of timm or torchvision, as in "timm:*"."""
    return text.startswith(NETWORK_SOURCES)


def select(patterns: str | Sequence[str], *, pretrained: bool = False) -> list[PublishedNetwork]:
    """Return the networks of ``patterns`` in the order of the table, each once.

    A pattern is a name ("timm:resnet18"), a name with wildcards ("timm:resnet*", "torchvision:*"), or a family
    ("timm:efficientnet", the module in which the package defines it). With ``pretrained`` only networks with published
    weights are returned. Networks that cannot be used are left out of a pattern.

    Raises ``ValueError`` for a pattern that matches nothing, with the nearest names, and for the name of a network that
    cannot be used.
    """
    chosen: dict[str, PublishedNetwork] = {}
    for pattern in patterns if isinstance(patterns, list | tuple) else (patterns,):
        matches = _matches(pattern)
        usable = [network for network in matches if not network.refused and (network.tag or not pretrained)]
        if not usable:
            raise ValueError(_nothing_usable(pattern, matches))
        chosen |= {network.name: network for network in usable}
    if not chosen:
        raise ValueError('a space of networks needs at least one name or pattern, but got none; write "timm:*"')
    return [network for name, network in network_table().items() if name in chosen]


def _matches(pattern: object) -> list[PublishedNetwork]:
    table = network_table()
    if not isinstance(pattern, str) or not is_pattern(pattern):
        raise ValueError(
            f'a pattern of networks must begin with "timm:" or "torchvision:", but got {_short(pattern)}; write '
            '"timm:*", "timm:resnet*" or "torchvision:resnet18"'
        )
    if pattern in table:
        return [table[pattern]]
    source, _, rest = pattern.partition(":")
    family = [network for network in table.values() if (network.source, network.family) == (source, rest)]
    matches = family or [network for name, network in table.items() if fnmatchcase(name, pattern)]
    if not matches:
        raise ValueError(_nothing(pattern, source, rest))
    return matches


def _nothing(pattern: str, source: str, rest: str) -> str:
    names = [network for network in network_table().values() if network.source == source]
    known = {network.name for network in names} | {f"{source}:{network.family}" for network in names}
    near = _nearest(pattern, known)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return (
        f"a pattern must match a name or a family of networks, but {_short(pattern)} matches none of the "
        f"{len(names):,} of {source} in the table; {hint}see archsieve space '{source}:*', or set space.backbone, "
        "which measures any network"
    )


def _nearest(pattern: str, known: Iterable[str]) -> list[str]:
    from difflib import get_close_matches  # the import takes 30 ms, which a correct name should not cost

    return (
        get_close_matches(pattern.replace("*", ""), sorted(known), n=3, cutoff=0.5) if len(pattern) <= MAX_NAME else []
    )


def _nothing_usable(pattern: str, matches: list[PublishedNetwork]) -> str:
    refused = next((network for network in matches if network.refused), None)
    if refused is not None and len(matches) == 1:
        return f"a network must have known costs, but of {refused.name} {refused.refused}; choose another network"
    return (
        f"published weights are asked for, but none of the {len(matches):,} networks of {_short(pattern)} has any; "
        "choose others, or leave pretrained out"
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}..."
