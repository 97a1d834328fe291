"""Parsing: the decisions that lead to a given architecture of a space."""

from collections.abc import Iterator
from functools import lru_cache

from .architecture import Architecture, lower
from .block import Block, Shape, ShapeError
from .choices import Choice, Repeat
from .layers import Layer
from .space import Space, Template, child_path, fill, fill_value, fills, with_first

Chain = tuple[Layer, ...]
Reading = tuple[dict[str, int], Chain, Shape]  # decisions so far, layers still to read, their input shape


def decisions_of(space: Space, architecture: Architecture) -> dict[str, int] | None:
    """Decisions with ``space.architecture(decisions)`` the same network, or None where it is no point of the space.

    Of several encodings, the one whose options come first.
    """
    if (architecture.input_shape, architecture.classes) != (space.input_shape, space.classes):
        return None
    start: Reading = ({}, architecture.body, space.input_shape)
    return next((decisions for decisions, rest, _ in _sequence(space.blocks, "", start) if not rest), None)


def _sequence(templates: tuple[Template, ...], path: str, reading: Reading, place: int = 1) -> Iterator[Reading]:
    if not templates:
        yield reading
        return
    for after in _read(templates[0], f"{path}.{place}" if path else str(place), reading):
        yield from _sequence(templates[1:], path, after, place + 1)


def _read(template: Template, path: str, reading: Reading) -> Iterator[Reading]:
    """Every way to read ``template`` off the front of the layers."""
    if isinstance(template, Choice):
        for index, option in enumerate(template.options):
            for decisions, rest, shape in _read(option, child_path(path, template.options, index), reading):
                yield _ask(path, template, index) | decisions, rest, shape
    elif isinstance(template, Repeat) and template.each:
        for decisions, times in fills(lambda pick: fill_value(template.times, f"{path}.times", pick)):
            yield from _read_each(template, path, times, (reading[0] | decisions, *reading[1:]))
    elif isinstance(template, Block | Repeat):
        yield from _read_fills(template, path, reading)
    else:
        yield from _sequence(tuple(template), path, reading)


def _ask(path: str, hole: Choice, index: int) -> dict[str, int]:
    return {path: index} if len(hole.options) > 1 else {}


def _read_fills(template: Block | Repeat, path: str, reading: Reading) -> Iterator[Reading]:
    for decisions, blocks in _fills(template, path):
        yield from _match(decisions, blocks, reading)


@lru_cache(maxsize=4096)
def _fills(template: Block | Repeat, path: str) -> list[tuple[dict[str, int], tuple[Block, ...]]]:
    return list(fills(lambda pick: fill(template, path, pick)))


def _read_each(template: Repeat, path: str, times: int, reading: Reading, i: int = 1) -> Iterator[Reading]:
    if i > times:
        yield reading
        return
    here = f"{path}.{i}"
    if i == 1 and template.first:
        firsts = fills(lambda pick: with_first(fill(template.block, here, pick), template.first))
        reads: Iterator[Reading] = (
            after for decisions, blocks in firsts for after in _match(decisions, blocks, reading)
        )
    else:
        reads = _read(template.block, here, reading)
    for after in reads:
        yield from _read_each(template, path, times, after, i + 1)


def _match(decisions: dict[str, int], blocks: tuple[Block, ...], reading: Reading) -> Iterator[Reading]:
    before, layers, shape = reading
    read = 0
    for block in blocks:  # most fills end at their first block: deep ones need not be lowered whole
        try:
            found, price = lower(block, shape)
        except ShapeError:
            return
        if layers[read : read + len(found)] != found:
            return
        read, shape = read + len(found), price.out_shape
    yield before | decisions, layers[read:], shape
