"""Parsing: the decisions that lead to a given architecture of a space."""

from collections.abc import Iterator
from functools import lru_cache

from ..architectures.architecture import Architecture, lower
from ..blocks.base import Block, Shape, ShapeError
from ..blocks.layers import Layer
from ..parameters.domains import Choice, Repeat
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
    before, layers, shape = reading
    beginning, empty = _fills(template, path, shape)
    for decisions, chain, after in beginning.get(layers[0], empty) if layers else empty:
        if layers[: len(chain)] == chain:
            yield before | decisions, layers[len(chain) :], after


@lru_cache(maxsize=4096)
def _fills(template: Block | Repeat, path: str, shape: Shape) -> tuple[dict[Layer, list[Reading]], list[Reading]]:
    """All that ``template`` can stand for on an input of ``shape``: decisions, layers and the shape after them.

    In the order of the options; first by the layer that they begin with, then those without layers, which can be read
    off any layers and so stand in every list.
    """
    beginning: dict[Layer, list[Reading]] = {}
    empty: list[Reading] = []
    for decisions, blocks in fills(lambda pick: fill(template, path, pick)):
        lowered = _lowered(blocks, shape)
        if lowered is None:
            continue
        entry = (decisions, *lowered)
        if lowered[0]:
            beginning.setdefault(lowered[0][0], list(empty)).append(entry)
        else:
            for entries in (*beginning.values(), empty):
                entries.append(entry)
    return beginning, empty


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
    lowered = _lowered(blocks, shape)
    if lowered is not None and layers[: len(lowered[0])] == lowered[0]:
        yield before | decisions, layers[len(lowered[0]) :], lowered[1]


def _lowered(blocks: tuple[Block, ...], shape: Shape) -> tuple[Chain, Shape] | None:
    """The layers of ``blocks`` one after another and the shape after them; None where they do not fit together."""
    layers: list[Layer] = []
    for block in blocks:
        try:
            found, shape, _ = lower(block, shape)
        except ShapeError:
            return None
        layers += found
    return tuple(layers), shape
