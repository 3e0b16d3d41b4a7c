"""Finds the independent parts of a graph: what one term of a sum, stack or set of outputs needs.

A frontier of values between the inputs and the job's values is moved towards the inputs, always
through its heaviest member; what exactly one member depends on is that member's part. Derivative
work that reads one part's values joins it; all else is the trunk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pullback_graph.graph import Graph
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.extract import results_of
from pullback_server.planner.sums import TRUNK, Sum

MOST_MOVES = 48
MOST_VISITED_NODES = 3_000_000
"""How often the frontier is moved, and nodes looked at in all."""
VAIN_MOVES = 8
"""Moves in a row that find nothing better, after which the search ends."""
CLEARLY = 0.8
"""A dearer way is taken when it is predicted to take at most this part of the time."""
LANES = 16
"""Workers imagined in comparing frontiers."""
_UNSEEN = -2


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a graph, by number.

    Attributes:
        of: per node, its part or TRUNK.
        seconds: per part, the work of its nodes.
        trunk_s: the rest, additions of parts' terms apart.
    """

    of: Sequence[int]
    seconds: Sequence[float]
    trunk_s: float

    @property
    def critical_s(self) -> float:
        """About how long it takes on LANES workers."""
        return self.trunk_s + max(*self.seconds, sum(self.seconds) / LANES)

    @property
    def share(self) -> float:
        """What of the work is some part's."""
        return sum(self.seconds) / max(sum(self.seconds) + self.trunk_s, 1e-12)

    @property
    def working(self) -> list[int]:
        """Parts that have any work, heaviest first, the first of equals first."""
        own = [part for part, spent_s in enumerate(self.seconds) if spent_s > 0.0]
        return sorted(own, key=lambda part: -self.seconds[part])


def find_parts(
    graph: Graph, forward: Sequence[bool], values: int, sums: Mapping[int, Sum]
) -> Parts:
    """The parts behind the best frontier found; one part where nothing is independent.

    The search begins at the values; where there are derivatives, another begins at those, for
    what is independent in them alone: blocks of a Jacobian's rows, say.
    """
    search = _Search(graph, forward, sums)
    ends = [item.value for item in graph.outputs]
    best = _best(search, list(dict.fromkeys(ends[:values])))
    if len(ends) > values and best.critical_s > 2 * search.total_s / LANES:
        other = _best(search, list(dict.fromkeys(ends[values:])))
        best = other if other.critical_s < CLEARLY * best.critical_s else best
    return best


def _best(search: _Search, frontier: list[int]) -> Parts:
    graph = search.graph
    best = parts = search.parts(frontier)
    moves = max(4, min(MOST_MOVES, MOST_VISITED_NODES // max(len(graph.nodes), 1)))
    vain = 0
    for _ in range(moves):
        moved = search.moved(frontier, parts)
        if moved is None or vain == VAIN_MOVES:
            break
        frontier, parts = moved, search.parts(moved)
        vain += 1
        if parts.critical_s < best.critical_s:
            best, vain = parts, 0
    return best


class _Search:
    def __init__(self, graph: Graph, forward: Sequence[bool], sums: Mapping[int, Sum]) -> None:
        self.graph = graph
        self.forward = forward
        self.sums = sums
        self.seconds = [COST_TABLE.seconds(cost) for cost in graph.node_costs]
        self.total_s = sum(self.seconds)
        self.producer = [-1] * len(graph.types)
        for position in range(len(graph.nodes)):
            for value in results_of(graph, position):
                self.producer[value] = position
        self.root_of = {p: root for root, own in sums.items() for p in own.nodes}

    def moved(self, frontier: Sequence[int], parts: Parts) -> list[int] | None:
        """The frontier with its heaviest member exchanged for what that is computed from."""
        heaviest = max(range(len(frontier)), key=lambda k: parts.seconds[k], default=-1)
        if heaviest < 0 or parts.seconds[heaviest] <= 0.0:
            return None
        position = self.producer[frontier[heaviest]]
        own = self.sums.get(position)
        behind = own.values if own is not None else self.graph.nodes[position].operands
        new = [value for value in behind if self.producer[value] >= 0]
        kept = [*frontier[:heaviest], *new, *frontier[heaviest + 1 :]]
        return list(dict.fromkeys(kept)) if new else None

    def parts(self, frontier: Sequence[int]) -> Parts:
        """What each member of a frontier has to itself."""
        of = self._before(frontier)
        self._after(of)
        pull(self.graph, of, self.producer)
        seconds, trunk_s = [0.0] * len(frontier), 0.0
        for position, part in enumerate(of):
            if part >= 0:
                seconds[part] += self.seconds[position]
            elif position not in self.root_of:
                trunk_s += self.seconds[position]
        return Parts(of, seconds or [0.0], trunk_s)

    def _before(self, frontier: Sequence[int]) -> list[int]:
        """Per node, the one member that needs it; TRUNK for several, _UNSEEN for none."""
        of = [_UNSEEN] * len(self.graph.nodes)
        for number, value in enumerate(frontier):
            position = self.producer[value]
            if position >= 0:
                of[position] = number if of[position] == _UNSEEN else TRUNK
        for position in range(len(of) - 1, -1, -1):
            if of[position] == _UNSEEN:
                continue
            for value in self.graph.nodes[position].operands:
                before = self.producer[value]
                if before >= 0:
                    same = of[before] in (_UNSEEN, of[position])
                    of[before] = of[position] if same else TRUNK
        return of

    def _after(self, of: list[int]) -> None:
        """Give the nodes that no member needs to the one part whose values they read."""
        mixed: set[int] = set()
        for position, node in enumerate(self.graph.nodes):
            if of[position] != _UNSEEN:
                continue
            root = self.root_of.get(position, position)
            if root in self.sums:
                of[position] = TRUNK  # till its root is reached
                if root == position and self._add_up(of, self.sums[root]):
                    mixed.add(position)
                continue
            read = {self.producer[value] for value in node.operands} - {-1}
            owners = {of[p] for p in read} - {TRUNK}
            joins = len(owners) > 1 or (self.forward[position] and not read.isdisjoint(mixed))
            of[position] = TRUNK if joins or not owners else owners.pop()
            if joins:
                mixed.add(position)

    def _add_up(self, of: list[int], own: Sum) -> bool:
        """Give a sum to the one part that all its terms are of; whether they are of several."""
        owners = {of[self.producer[value]] for value in own.values if self.producer[value] >= 0}
        owners -= {TRUNK}
        part = next(iter(owners)) if len(owners) == 1 else TRUNK
        for position in own.nodes:
            of[position] = part
        return len(owners) > 1


def pull(graph: Graph, of: list[int], producer: Sequence[int], most: int | None = None) -> None:
    """Move trunk nodes that only one part reads into that part, in place.

    Args:
        most: parts from this number on are left as they are.
    """
    readers: list[int] = [_UNSEEN] * len(graph.nodes)
    for item in graph.outputs:
        if producer[item.value] >= 0:
            readers[producer[item.value]] = TRUNK
    for position in range(len(graph.nodes) - 1, -1, -1):
        reader = readers[position]
        if of[position] == TRUNK and reader >= 0 and (most is None or reader < most):
            of[position] = reader
        for value in graph.nodes[position].operands:
            before = producer[value]
            if before >= 0:
                same = readers[before] in (_UNSEEN, of[position])
                readers[before] = of[position] if same else TRUNK
