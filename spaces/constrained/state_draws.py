"""Exactly uniform draws from merged states: no draw is rejected, and each path has the probability 1 / count.

A draw starts where the states of both sides meet: it chooses a state before that node, and a state after it, in
proportion to their numbers of paths. Then it walks outwards on both sides. Each step chooses one of the links that lead
to the state, in proportion to the number of partial paths behind it. All numbers are integers, so that the product of
the fractions of all choices is exactly 1 / count.
"""

import bisect
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .cost_tables import CostArrays
from .graph import Edge
from .merged_states import Join, Meeting, States, fitting_counts
from .packed_network import Counts, Network, Pair, packed_network

MAX_KEPT_STATES = 1_000_000  # of all nodes together: 100 MB with all temporary arrays

Choose = Callable[["Sequence[int] | Counts"], int]  # cumulative weights -> index of the chosen one
Step = tuple[int, int]  # node where an edge starts, number of the edge


def choose_by(rng: random.Random) -> Choose:
    """Return a function that chooses an index with exactly the probability of its weight."""
    return lambda cumulative: bisect.bisect_right(cumulative, rng.randrange(int(cumulative[-1])))


@dataclass(frozen=True)
class _Meet:
    """A node where both sides meet, with cumulative numbers of the paths through it, by the state before the node.

    ``certain_before`` are the paths whose part before the node fits with everything after it. ``certain_after`` are the
    others whose part after the node fits with everything before it, ``pairs`` the remaining ones.
    """

    join: Join
    certain_before: int
    certain_after: Counts
    pairs: Counts

    @property
    def weights(self) -> list[int]:
        """The numbers of paths of the three kinds."""
        return [self.certain_before, _last(self.certain_after), _last(self.pairs)]


class StateDraws:
    """Uniform draws from the paths of ``arrays`` with costs of at most ``highs``; there are one or two costs.

    Raises :class:`TooManyStates` if there are more than ``max_states``, or if two sums do not fit into 64 bits.
    """

    def __init__(self, arrays: CostArrays, highs: Sequence[float], max_states: int = MAX_KEPT_STATES) -> None:
        self._network = packed_network(arrays, highs)
        self._meets: list[_Meet] = []
        if self._network is not None:
            self._meeting = Meeting(self._network, [self._network.limit[0]], max_states, keep_states=True)
            self._meets = [_meet(join, self._network) for join in self._meeting.joins()]
        self._starts = _cumulative([weight for meet in self._meets for weight in meet.weights])

    @property
    def count(self) -> int:
        """The number of paths."""
        return _last(self._starts)

    def draw(self, choose: Choose) -> list[Edge]:
        """Draw a path; there must be one. ``choose`` makes each choice, such as :func:`choose_by`."""
        number, kind = divmod(choose(self._starts), 3)
        meet = self._meets[number]
        join, links = meet.join, self._links_before(meet.join.node)
        if kind == 0:
            before = self._certain(0, join.node, join.before, links, choose)
            after = self._any(join.node, choose)
        elif kind == 1:
            before = self._walk(0, join.node, int(join.before.sums[choose(meet.certain_after)]), links, choose)
            after = self._certain(1, join.node, join.after, self._all_links(1, join.node), choose)
        else:
            total = int(join.before.sums[choose(meet.pairs)])
            before = self._walk(0, join.node, total, links, choose)
            after = self._fitting(join, total, choose)
        steps = sorted(before + after)  # the numbers of the nodes ascend along a path
        nodes = self._one_network.order
        return [nodes[node].edges[edge] for node, edge in steps if edge < len(nodes[node].edges)]

    @property
    def _one_network(self) -> Network:
        assert self._network is not None, "a draw needs a path that fits"
        return self._network

    def _all_links(self, side: int, node: int) -> list[int]:
        return list(range(len(self._one_network.links[side][node])))

    def _links_before(self, node: int) -> list[int]:
        """Return the numbers of the links over which paths reach a node where both sides meet."""
        links = self._one_network.links[0][node]
        return [number for number, (source, _) in enumerate(links) if source < self._meeting.front]

    def _step(self, side: int, node: int, link: int) -> tuple[int, Step]:
        """Return the neighbour over a link, and the step that the path takes over it."""
        neighbour = self._one_network.links[side][node][link][0]
        return neighbour, (neighbour if side == 0 else node, self._one_network.edges[side][node][link])

    def _walk(self, side: int, node: int, total: int, links: list[int], choose: Choose) -> list[Step]:
        """Draw a partial path with the sum ``total`` between ``node`` and the first node of its side."""
        steps: list[Step] = []
        while links:
            all_links, states = self._one_network.links[side][node], self._meeting.states[side]
            weights = [_paths_of(states[all_links[i][0]], total - all_links[i][1]) for i in links]
            link = links[choose(_cumulative(weights))]
            total -= all_links[link][1]
            node, step = self._step(side, node, link)
            steps.append(step)
            links = self._all_links(side, node)
        return steps

    def _certain(self, side: int, node: int, states: States, links: list[int], choose: Choose) -> list[Step]:
        """Draw a partial path that fits with everything on the other side of ``node``."""
        steps: list[Step] = []
        while True:
            assert states.sure is not None, "the states of all nodes are kept"
            sure = _cumulative(states.sure[1].tolist())
            all_links = self._one_network.links[side][node]
            weights = [int(self._meeting.states[side][all_links[i][0]].certain) for i in links]
            index = choose(_cumulative([*weights, _last(sure)]))
            if index == len(links):  # the path became certain at this node
                return steps + self._walk(side, node, int(states.sure[0][choose(sure)]), links, choose)
            node, step = self._step(side, node, links[index])
            steps.append(step)
            states, links = self._meeting.states[side][node], self._all_links(side, node)

    def _any(self, node: int, choose: Choose) -> list[Step]:
        """Draw a partial path from ``node`` to the end, at any cost."""
        steps: list[Step] = []
        while links := self._all_links(1, node):
            n_paths = self._one_network.n_paths[1]
            weights = [n_paths[self._one_network.links[1][node][link][0]] for link in links]
            link = links[choose(_cumulative(weights))]
            after, step = self._step(1, node, link)
            steps.append(step)
            node = after
        return steps

    def _fitting(self, join: Join, total: int, choose: Choose) -> list[Step]:
        """Draw a partial path after the node that fits with a path before it of the sum ``total``."""
        network = self._one_network
        spent: Pair = (total >> network.bits, total & ((1 << network.bits) - 1))
        room = (network.limit[0] - spent[0], network.limit[1] - spent[1])
        # sorted by the first cost: those that fit are in a prefix
        end = int(np.searchsorted(join.after.sums, (room[0] + 1) << network.bits))
        _, seconds = network.unpacked(join.after.sums[:end])
        fitting = np.flatnonzero(seconds <= room[1])
        chosen = fitting[choose(join.after.counts[fitting].cumsum())]
        links = self._all_links(1, join.node)
        return self._walk(1, join.node, int(join.after.sums[chosen]), links, choose)


def _meet(join: Join, network: Network) -> _Meet:
    before, after = join.before, join.after
    counts = before.counts.astype(object)
    fitting = fitting_counts(before, after, [network.limit], network)[0].astype(object)
    return _Meet(
        join,
        int(before.certain) * network.n_paths[1][join.node],
        (counts * int(after.certain)).cumsum(),
        (counts * fitting).cumsum(),
    )


def _paths_of(states: States, total: int) -> int:
    """Return the number of partial paths with the sum ``total``."""
    index = bisect.bisect_left(states.sums, total)
    return int(states.counts[index]) if index < len(states.sums) and states.sums[index] == total else 0


def _cumulative(weights: Sequence[int]) -> list[int]:
    return list(itertools.accumulate(weights))


def _last(cumulative: "Sequence[int] | Counts") -> int:
    return int(cumulative[-1]) if len(cumulative) else 0
