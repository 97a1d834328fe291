"""Find the decisions that lead to a given architecture of a space, by parsing its layers.

A backtracking parser: it matches the templates of a space, in order, with the start of the list of layers. Each match
yields the decisions so far and the layers that are left.
"""

from collections.abc import Iterator
from functools import lru_cache

from ..architectures.architecture import Architecture, lower
from ..blocks.base import Block, Shape, ShapeError
from ..blocks.layers import Layer
from ..parameters.domains import Choice, Repeat
from .space import Space, Template, child_path, enumerate_decisions, fill, fill_value, with_first

Chain = tuple[Layer, ...]
State = tuple[dict[str, int], Chain, Shape]  # decisions so far, layers still to match, their input shape


def decisions_of(space: Space, architecture: Architecture) -> dict[str, int] | None:
    """Return decisions for which ``space.architecture(decisions)`` is the same network as ``architecture``.

    Returns None if the space does not contain it. If several decisions lead to it, those with the first options.
    """
    if (architecture.input_shape, architecture.classes) != (space.input_shape, space.classes):
        return None
    start: State = ({}, architecture.body, space.input_shape)
    matches = _match_sequence(space.blocks, "", start)
    return next((decisions for decisions, rest, _ in matches if not rest), None)


def _match_sequence(templates: tuple[Template, ...], path: str, state: State, number: int = 1) -> Iterator[State]:
    """Yield the state after ``templates`` for every way to match them in sequence; the first one has ``number``."""
    if not templates:
        yield state
        return
    for after in _match(templates[0], f"{path}.{number}" if path else str(number), state):
        yield from _match_sequence(templates[1:], path, after, number + 1)


def _match(template: Template, path: str, state: State) -> Iterator[State]:
    """Yield the state after ``template`` for every way to match it with the first layers of ``state``."""
    if isinstance(template, Choice):
        for index, option in enumerate(template.options):
            for decisions, rest, shape in _match(option, child_path(path, template.options, index), state):
                yield _decision(path, template, index) | decisions, rest, shape
    elif isinstance(template, Repeat) and template.each:
        for decisions, times in enumerate_decisions(lambda pick: fill_value(template.times, f"{path}.times", pick)):
            yield from _match_each(template, path, times, (state[0] | decisions, *state[1:]))
    elif isinstance(template, Block | Repeat):
        yield from _match_block(template, path, state)
    else:
        yield from _match_sequence(tuple(template), path, state)


def _decision(path: str, choice: Choice, index: int) -> dict[str, int]:
    # a choice with one option is not a decision
    return {path: index} if len(choice.options) > 1 else {}


def _match_block(template: Block | Repeat, path: str, state: State) -> Iterator[State]:
    before, layers, shape = state
    by_first_layer, empty = _candidates(template, path, shape)
    for decisions, chain, after in by_first_layer.get(layers[0], empty) if layers else empty:
        if layers[: len(chain)] == chain:
            yield before | decisions, layers[len(chain) :], after


# cached: a parser that backtracks asks for the same template at the same path and shape many times
@lru_cache(maxsize=4096)
def _candidates(template: Block | Repeat, path: str, shape: Shape) -> tuple[dict[Layer, list[State]], list[State]]:
    """Return all ways to fill ``template`` on an input of ``shape``, each with its decisions, layers and output shape.

    The first result maps the first layer to its candidates, in the order of the options. The second lists the
    candidates without layers. These match before any layer, therefore every list of the first result has them too.
    """
    by_first_layer: dict[Layer, list[State]] = {}
    empty: list[State] = []
    for decisions, blocks in enumerate_decisions(lambda pick: fill(template, path, pick)):
        lowered = _lowered(blocks, shape)
        if lowered is None:
            continue
        candidate = (decisions, *lowered)
        if lowered[0]:
            by_first_layer.setdefault(lowered[0][0], list(empty)).append(candidate)
        else:
            for candidates in (*by_first_layer.values(), empty):
                candidates.append(candidate)
    return by_first_layer, empty


def _match_each(template: Repeat, path: str, times: int, state: State, i: int = 1) -> Iterator[State]:
    """Match the repetitions ``i`` to ``times`` of a repeat whose repetitions make their own choices."""
    if i > times:
        yield state
        return
    repetition = f"{path}.{i}"
    if i == 1 and template.first:
        firsts = enumerate_decisions(lambda pick: with_first(fill(template.block, repetition, pick), template.first))
        states: Iterator[State] = (
            after for decisions, blocks in firsts for after in _match_filled(decisions, blocks, state)
        )
    else:
        states = _match(template.block, repetition, state)
    for after in states:
        yield from _match_each(template, path, times, after, i + 1)


def _match_filled(decisions: dict[str, int], blocks: tuple[Block, ...], state: State) -> Iterator[State]:
    before, layers, shape = state
    lowered = _lowered(blocks, shape)
    if lowered is not None and layers[: len(lowered[0])] == lowered[0]:
        yield before | decisions, layers[len(lowered[0]) :], lowered[1]


def _lowered(blocks: tuple[Block, ...], shape: Shape) -> tuple[Chain, Shape] | None:
    """Return the layers of ``blocks`` in sequence and the shape after them; None if a block cannot take its input."""
    layers: list[Layer] = []
    for block in blocks:
        try:
            block_layers, shape, _ = lower(block, shape)
        except ShapeError:
            return None
        layers += block_layers
    return tuple(layers), shape
