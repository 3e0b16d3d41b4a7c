"""The branch split: independent parts packed into lanes, a task a lane between two joins.

Heaviest part first, each to the lane with the least work so far. A node waits a round for every
value that crosses lanes on the way to it, so that forward work, a reduction and the backward work
that depends on it are three rounds; cheap trunk work is repeated wherever it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace

from pullback_graph.graph import Graph
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.extract import results_of
from pullback_server.planner.groups import Group
from pullback_server.planner.parts import Parts, pull
from pullback_server.planner.phases import forward_nodes, phase_of
from pullback_server.planner.plan import Phase
from pullback_server.planner.sums import TRUNK, Regrouped, Sum, regrouped

MOST_ROUNDS = 24
"""Joins on the longest way through a split; parts that wait for one another more often are none."""
REPEATED_S = 20e-6
REPEATED_SHARE = 0.05
"""Trunk work is repeated where it takes at most this long, or this share of a lane's own work."""


@dataclass(frozen=True, slots=True)
class BranchSplit:
    """A graph in lanes.

    Attributes:
        graph: with sums over lanes regrouped.
        groups: of its nodes, in order.
        rounds: joins on the longest way, and one.
        lane_s: the work of the heaviest lane.
    """

    graph: Graph
    groups: list[Group]
    rounds: int
    lane_s: float


def pack(seconds: Sequence[float], parts: Sequence[int], count: int) -> dict[int, int]:
    """The lane of each part, heaviest first to the least loaded lane, the first of equals."""
    loads = [(0.0, lane) for lane in range(count)]
    heapify(loads)
    lanes = {}
    for part in parts:
        load, lane = loads[0]
        lanes[part] = lane
        heapreplace(loads, (load + seconds[part], lane))
    return lanes


def branch_split(
    graph: Graph, parts: Parts, sums: dict[int, Sum], count: int, values: int
) -> BranchSplit | None:
    """The graph in `count` lanes; None where its parts wait for one another too often."""
    lane_of_part = pack(parts.seconds, parts.working, count)
    lanes = [lane_of_part.get(part, TRUNK) for part in parts.of]
    lane_of = {
        value: lane
        for position, lane in enumerate(lanes)
        if lane != TRUNK
        for value in results_of(graph, position)
    }
    made = regrouped(graph, sums, lanes, lane_of)
    producer = _producers(made.graph)
    pull(made.graph, made.lanes, producer, count)
    seconds = [COST_TABLE.seconds(cost) for cost in made.graph.node_costs]
    loads = [0.0] * len(made.homes)
    for lane, spent_s in zip(made.lanes, seconds, strict=True):
        loads[lane] += spent_s if lane != TRUNK else 0.0
    bound_s = max(REPEATED_S, REPEATED_SHARE * sum(loads[:count]) / count)
    free = _repeatable(made, producer, seconds, bound_s)
    rounds = _rounds(made, producer, free)
    if max(rounds) >= MOST_ROUNDS:
        return None
    forward = forward_nodes(made.graph, values)
    _put_off(made, producer, rounds, [own or f for own, f in zip(forward, free, strict=True)])
    groups = _groups(made, rounds, free, forward, count)
    return BranchSplit(made.graph, groups, max(rounds) + 1, max(loads[:count]))


def _producers(graph: Graph) -> list[int]:
    """The node behind each value, or -1."""
    producer = [-1] * len(graph.types)
    for position in range(len(graph.nodes)):
        for value in results_of(graph, position):
            producer[value] = position
    return producer


def _repeatable(
    made: Regrouped, producer: Sequence[int], seconds: Sequence[float], bound_s: float
) -> list[bool]:
    """Per node, whether it is trunk and cheap with all the repeatable trunk behind it."""
    behind = [0.0] * len(made.graph.nodes)
    free = [False] * len(made.graph.nodes)
    for position, node in enumerate(made.graph.nodes):
        if made.lanes[position] != TRUNK:
            continue
        before = {producer[value] for value in node.operands} - {-1}
        behind[position] = seconds[position] + sum(behind[p] for p in before if free[p])
        free[position] = behind[position] <= bound_s
    return free


def _rounds(made: Regrouped, producer: Sequence[int], free: Sequence[bool]) -> list[int]:
    """Per node, how often a value has crossed lanes on the longest way to it."""
    rounds = [0] * len(made.graph.nodes)
    for position, node in enumerate(made.graph.nodes):
        latest = 0
        for value in node.operands:
            before = producer[value]
            if before >= 0:
                stays = not free[position] and made.lanes[before] == made.lanes[position]
                latest = max(latest, rounds[before] + (0 if free[before] or stays else 1))
        rounds[position] = latest
    return rounds


def _put_off(
    made: Regrouped, producer: Sequence[int], rounds: list[int], fixed: Sequence[bool]
) -> None:
    """Move what is not fixed to the round that reads it: derivatives wait for their cotangents."""
    latest: dict[int, int] = {}
    for item in made.graph.outputs:
        before = producer[item.value]
        if before >= 0:
            latest[before] = rounds[before]
    for position in range(len(rounds) - 1, -1, -1):
        if not fixed[position]:
            rounds[position] = latest.get(position, rounds[position])
        for value in made.graph.nodes[position].operands:
            before = producer[value]
            if before >= 0:
                stays = made.lanes[before] == made.lanes[position]
                bound = rounds[position] - (0 if stays and not fixed[position] else 1)
                latest[before] = min(latest.get(before, bound), bound)


def _groups(
    made: Regrouped,
    rounds: Sequence[int],
    free: Sequence[bool],
    forward: Sequence[bool],
    count: int,
) -> list[Group]:
    """A group a round and lane, what joins lanes apart, each with the trunk it may repeat."""
    owned: dict[tuple[int, int], list[int]] = {}
    repeated: dict[int, list[int]] = {}
    last = max(rounds)
    for position, lane in enumerate(made.lanes):
        owned.setdefault((rounds[position], lane), []).append(position)
        if free[position]:
            for round in range(rounds[position], last + 1):
                repeated.setdefault(round, []).append(position)
    groups = []
    for (round, lane), nodes in sorted(owned.items()):
        home = made.homes[lane] if lane != TRUNK else 0
        phase = Phase.REDUCE if lane >= count else phase_of(nodes, forward)
        own = set(nodes)
        again = [p for p in repeated.get(round, ()) if p not in own]
        groups.append(Group(nodes, phase, home, again))
    return groups
