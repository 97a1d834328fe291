"""Recorded architectures: what a results database holds can be shown without the code of its custom blocks."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from ..blocks.standard import all_kinds
from ..parameters.user_code import module_of
from .architecture import Architecture


def architecture_or_none(recorded: Mapping[str, Any]) -> Architecture | None:
    """Return the architecture of recorded JSON; None where its blocks are unknown here or it cannot be read."""
    try:
        return Architecture.from_json(recorded)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def unknown_kinds(recorded: Any) -> set[str]:
    """Return the kinds of blocks in recorded JSON that are not registered in this process."""
    return set(kinds_of(recorded)) - set(all_kinds())


def custom_kinds(recorded: Any) -> set[str]:
    """Return the kinds of custom blocks in recorded JSON, registered in this process or not."""
    known = all_kinds()
    return {kind for kind in kinds_of(recorded) if kind not in known or module_of(known[kind]) is not None}


def kinds_of(recorded: Any) -> Iterator[str]:
    """Yield the kinds of all blocks in a space or an architecture as JSON."""
    if isinstance(recorded, Mapping):
        if isinstance(recorded.get("kind"), str):
            yield recorded["kind"]
        for value in recorded.values():
            yield from kinds_of(value)
    elif isinstance(recorded, list | tuple):
        for value in recorded:
            yield from kinds_of(value)


def describe_recorded(recorded: Mapping[str, Any]) -> str:
    """Return recorded JSON as one line, as ``str`` of the architecture does; unknown blocks with all their fields."""
    architecture = architecture_or_none(recorded)
    if architecture is not None:
        return str(architecture)
    blocks = recorded.get("blocks") if isinstance(recorded, Mapping) else None
    if not isinstance(blocks, list):
        return "unreadable"
    runs = [(text, len(list(run))) for text, run in groupby(map(_describe_block, blocks))]
    return " > ".join(text if times == 1 else f"{times} x {text}" for text, times in runs) or "linear"


def _describe_block(block: Any) -> str:
    if not isinstance(block, Mapping):
        return "unreadable"
    fields = [f"{name}={value}" for name, value in block.items() if name not in ("kind", "width")]
    width = [str(block["width"])] if "width" in block else []
    return " ".join([str(block.get("kind", "unreadable")), *width, *fields])
