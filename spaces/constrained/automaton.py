"""A space as a nondeterministic automaton, whose edges have blocks."""

from collections.abc import Mapping
from typing import Any

from ..blocks.base import Block
from ..parameters.domains import Choice, Repeat
from ..search_space.space import (
    Pick,
    Template,
    child_path,
    enumerate_decisions,
    fill,
    fill_value,
    with_first,
)

Blocks = tuple[Block, ...]
Choices = frozenset[tuple[str, int]]  # (path of a choice, index of the option)
Item = tuple[int, Blocks, Choices]  # a state of the automaton, blocks that must come before it, their choices
NO_CHOICES: Choices = frozenset()


class Automaton:
    """A space as a nondeterministic automaton; state 0 is its start.

    ``edges[state]`` lists (blocks, next state, choices, path). ``jumps[state]`` are the states that can be reached from
    a state without any block. ``options[path]`` are the options of each choice.
    """

    def __init__(self, blocks: tuple[Template, ...]) -> None:
        self.edges: list[list[tuple[Blocks, int, Choices, str]]] = []
        self.jumps: list[set[int]] = []
        self.options: dict[str, tuple[Any, ...]] = {}
        self.end = self._new_state()  # the start, until templates are added
        for number, template in enumerate(blocks, start=1):
            self.end = self._add(template, self.end, str(number), NO_CHOICES)

    def _new_state(self) -> int:
        self.edges.append([])
        self.jumps.append(set())
        return len(self.edges) - 1

    def _join(self, *states: int) -> int:
        joined = self._new_state()
        for state in states:
            self.jumps[state].add(joined)
        return joined

    def _add(self, template: Template, start: int, path: str, chosen: Choices) -> int:
        """Add ``template`` at the state ``start`` and return the state after it."""
        if isinstance(template, Choice):
            options = self.options[path] = template.options
            return self._join(
                *(
                    self._add(option, start, child_path(path, options, index), chosen | {(path, index)})
                    for index, option in enumerate(options)
                )
            )
        if isinstance(template, Repeat) and template.each:
            return self._add_each(template, start, path, chosen)
        if isinstance(template, Block | Repeat):
            end = self._new_state()
            self._add_edges(template, start, end, path, chosen)
            return end
        for number, part in enumerate(template, start=1):
            start = self._add(part, start, f"{path}.{number}", chosen)
        return start

    def _add_edges(
        self,
        template: Template,
        start: int,
        end: int,
        path: str,
        chosen: Choices,
        first: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an edge for every way to fill ``template``, with the fields ``first`` of its first block replaced."""
        for decisions, blocks in enumerate_decisions(lambda pick: fill(template, path, self._recording(pick))):
            if blocks:
                changed = with_first(blocks, first) if first else blocks
                self.edges[start].append((changed, end, chosen | decisions.items(), path))
            else:  # no blocks, such as a repeat of 0 times
                self.jumps[start].add(end)

    def _recording(self, pick: Pick) -> Pick:
        """Return ``pick`` extended to record the options of every choice."""

        def recorded(path: str, options: tuple[Any, ...]) -> int:
            self.options[path] = options
            return pick(path, options)

        return recorded

    def _add_each(self, template: Repeat, start: int, path: str, chosen: Choices) -> int:
        """Add a repeat whose repetitions make their own choices: one chain with an end after each allowed count."""
        times = {count for _, count in enumerate_decisions(lambda pick: fill_value(template.times, "", pick))}
        ends = [start] if 0 in times else []
        for i in range(1, max(times) + 1):
            if i == 1 and template.first:
                end = self._new_state()
                self._add_edges(template.block, start, end, f"{path}.1", chosen, template.first)
                start = end
            else:
                start = self._add(template.block, start, f"{path}.{i}", chosen)
            if i in times:
                ends.append(start)
        return self._join(*ends)

    def closure(self, items: "set[Item] | frozenset[Item]") -> frozenset[Item]:
        """Return ``items`` and all items that can be reached from them without any block."""
        reached = set(items)
        pending = list(reached)
        while pending:
            state, rest, _ = pending.pop()
            if not rest:
                new = {(jump, (), NO_CHOICES) for jump in self.jumps[state]} - reached
                reached |= new
                pending += new
        return frozenset(reached)
