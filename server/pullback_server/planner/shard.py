"""The shard split: one task a block and round, reduce trees between rounds, whole work apart.

The number of blocks and the shape of every reduce tree are functions of the graph alone, so the
bits of the result do not depend on how many workers there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pullback_graph.builder import Builder
from pullback_graph.graph import Graph
from pullback_graph.ref import apply
from pullback_graph.types import ArrayType
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.extract import (
    Piece,
    Range,
    block_type,
    cut,
    depends_on_position,
    needed,
    piece,
    results_of,
    whole,
)
from pullback_server.planner.labels import Kind, Labels
from pullback_server.planner.phases import phase_of
from pullback_server.planner.plan import Block, JobInput, Phase, Source, TaskOutput
from pullback_server.planner.task_list import TaskList

REPLICATED_SHARE = 0.05
"""Whole work that shards need is repeated in each when it is at most this share of theirs."""


def blocks(length: int, count: int) -> tuple[Range, ...]:
    """`count` contiguous ranges over `length`, sizes differing by at most one, larger first."""
    size, extra = divmod(length, count)
    stops = [size * (k + 1) + min(k + 1, extra) for k in range(count)]
    return tuple(Range(a, b) for a, b in zip([0, *stops], stops, strict=False))


class Stages(NamedTuple):
    """Parts of a graph in order: each node's part, and each part's home."""

    of: Sequence[int]
    homes: Sequence[int]


@dataclass
class ShardSplit:
    """Builds the tasks of a shard split.

    Attributes:
        forward: per node, whether it is forward work.
        stages: per node, its place in an order of parts of the graph, each of which only reads
            those before it; a shard is then a task a stage, and a stage's shards share a worker.
    """

    graph: Graph
    labels: Labels
    ranges: Sequence[Range]
    forward: Sequence[bool]
    stages: Stages | None = None
    made: TaskList = field(default_factory=TaskList)
    _blocks_of: dict[int, list[Source]] = field(default_factory=dict)
    _whole: dict[int, Source] = field(default_factory=dict)

    def build(self) -> tuple[Source, ...]:
        """Add all tasks; a source per output of the graph."""
        rounds = max(self.labels.node_rounds, default=0) + 1
        for round in range(rounds):
            self._add_whole_task(round)
            self._add_shard_tasks(round)
            self._add_joins(round)
        return tuple(self._output(item.value) for item in self.graph.outputs)

    # --- the pieces of a round --------------------------------------------------------------------

    def _nodes(self, round: int, sharded: bool) -> list[int]:
        labels = self.labels
        return [
            position
            for position, own in enumerate(labels.node_rounds)
            if own == round and labels.sharded_nodes[position] is sharded
        ]

    def _add_whole_task(self, round: int) -> None:
        """One task for the whole nodes of a round, less what only the shards repeat."""
        nodes = self._nodes(round, sharded=False)
        repeated = self._repeated(round)
        exports = self._read_outside(nodes, except_by=self._nodes(round, True) if repeated else ())
        kept = needed(self.graph, nodes, exports)
        if not kept:
            return
        part = piece(self.graph, kept, exports)
        operands = [self._whole_source(value) for value in part.boundary]
        task = self.made.add(whole(self.graph, part), operands, phase_of(kept, self.forward), 0)
        for output, value in enumerate(exports):
            self._whole[value] = TaskOutput(task, output)

    def _add_shard_tasks(self, round: int) -> None:
        """One task a block (and stage) for the sharded nodes of a round."""
        nodes, repeated = self._nodes(round, sharded=True), self._repeated(round)
        by_stage: dict[int, list[int]] = {}
        for position in nodes:
            by_stage.setdefault(self.stages.of[position] if self.stages else 0, []).append(position)
        parts = []
        for stage, own in sorted(by_stage.items()):
            read = {i for position in own for i in self.graph.nodes[position].operands}
            along = needed(self.graph, repeated, read)
            whole = self.labels.gathered_operands
            part = piece(self.graph, sorted([*along, *own]), self._read_outside(own, ()), whole)
            parts.append((stage, part, phase_of(own, self.forward), self._cutter(part)))
        for shard, block in enumerate(self.ranges):
            for stage, part, phase, make in parts:
                operands = [self._block_source(value, shard, block) for value in part.boundary]
                operands += [self._whole_source(value) for value in part.gathered]
                home = shard if self.stages is None else self.stages.homes[stage]
                task = self.made.add(make(block), operands, phase, home)
                for output, value in enumerate(part.exports):
                    self._blocks_of.setdefault(value, []).append(TaskOutput(task, output))

    def _add_joins(self, round: int) -> None:
        """The reduce trees and gathers of what the round's shards gave."""
        values = [v for v in self._blocks_of if self.labels.values[v].round == round]
        partial = [v for v in values if v in self.labels.joined]
        for stage, own in self._by_stage(partial).items():
            sources = [[self._blocks_of[v][s] for v in own] for s in range(len(self.ranges))]
            joined = self._reduce_tree(own, sources, stage)
            self._whole.update(zip(own, joined, strict=True))
        outputs = {item.value for item in self.graph.outputs}
        for value in values:
            wanted = value in self.labels.gathered or value in outputs
            if wanted and self.labels.values[value].kind is Kind.SHARDED:
                self._whole[value] = self._gather(value)

    def _by_stage(self, values: Sequence[int]) -> dict[int, list[int]]:
        """The values that each stage gives; one for all where there are no stages."""
        if self.stages is None:
            return {0: [*values]} if values else {}
        found: dict[int, list[int]] = {}
        for value in values:
            position = bisect_right(self.graph.first_results, value) - 1
            found.setdefault(self.stages.of[position], []).append(value)
        return found

    # --- which nodes and values -------------------------------------------------------------------

    def _repeated(self, round: int) -> list[int]:
        """Whole nodes of the round that its shards need, where repeating them is cheap."""
        graph, whole = self.graph, set(self._nodes(round, sharded=False))
        shard_nodes = self._nodes(round, sharded=True)
        read = {i for position in shard_nodes for i in graph.nodes[position].operands}
        nodes = needed(graph, sorted(whole), read)
        if any(self._reads_blocks(position) for position in nodes):
            return []  # a shard has its own block of what they need all of
        seconds = COST_TABLE.seconds
        cost = sum(seconds(graph.node_costs[p]) for p in nodes)
        work = sum(seconds(graph.node_costs[p]) for p in shard_nodes) / len(self.ranges)
        return nodes if cost <= max(REPLICATED_SHARE * work, 20e-6) else []

    def _reads_blocks(self, position: int) -> bool:
        """Whether a whole node reads a sharded value, which is gathered for it."""
        operands = self.graph.nodes[position].operands
        return any(self.labels.values[i].kind is Kind.SHARDED for i in operands)

    def _read_outside(self, nodes: Sequence[int], except_by: Sequence[int]) -> list[int]:
        """Values the nodes give that outputs or other nodes (but `except_by`) read."""
        graph, own = self.graph, set(nodes) | set(except_by)
        read = {item.value for item in graph.outputs}
        for position, node in enumerate(graph.nodes):
            if position not in own:
                read.update(node.operands)
        return [
            value for position in nodes for value in results_of(graph, position) if value in read
        ]

    # --- sources ----------------------------------------------------------------------------------

    def _whole_source(self, value: int) -> Source:
        return JobInput(value) if value < len(self.graph.inputs) else self._whole[value]

    def _block_source(self, value: int, shard: int, block: Range) -> Source:
        label = self.labels.values[value]
        if label.kind is Kind.PARTIAL and value not in self._whole:
            return self._blocks_of[value][shard]  # of a stage before this one, in the same round
        if label.kind is not Kind.SHARDED:
            return self._whole_source(value)
        if value >= len(self.graph.inputs):
            return self._blocks_of[value][shard]
        scale = self.graph.types[value].shape[label.axis] // self.labels.length
        return JobInput(value, Block(label.axis, block.start * scale, block.stop * scale))

    def _output(self, value: int) -> Source:
        held = len(self.graph.inputs) + len(self.graph.constants)
        if len(self.graph.inputs) <= value < held:
            return self.made.constant(self.graph, value)
        return self._whole_source(value)

    # --- tasks ------------------------------------------------------------------------------------

    def _cutter(self, part: Piece) -> Callable[[Range], Graph]:
        """Cuts the piece for a block, sharing one Graph among blocks that come out the same."""
        apart = depends_on_position(self.graph, self.labels, part)
        made: dict[Range, Graph] = {}

        def make(block: Range) -> Graph:
            key = block if apart else Range(0, block.stop - block.start)
            if key not in made:
                made[key] = cut(self.graph, self.labels, part, block)
            return made[key]

        return make

    def _reduce_tree(
        self, values: Sequence[int], sources: list[list[Source]], stage: int
    ) -> list[Source]:
        """Join the shards' partial values pair by neighbouring pair until one is left."""
        joins = [self.labels.values[v].join for v in values]
        graph = _join_graph([self.graph.types[v] for v in values], joins)
        level = [(shard, own) for shard, own in enumerate(sources)]
        while len(level) > 1:
            above = []
            for left, right in zip(level[::2], level[1::2], strict=False):
                home = left[0] if self.stages is None else self.stages.homes[stage]
                task = self.made.add(graph, [*left[1], *right[1]], Phase.REDUCE, home)
                outputs: list[Source] = [TaskOutput(task, k) for k in range(len(values))]
                above.append((left[0], outputs))
            level = above + level[len(level) - len(level) % 2 :]
        return level[0][1]

    def _gather(self, value: int) -> Source:
        """A task that joins the blocks of a value end to end."""
        axis = self.labels.values[value].axis
        builder = Builder()
        refs = [
            builder.input(f"b{k}", block_type(self.graph, self.labels, value, block))
            for k, block in enumerate(self.ranges)
        ]
        graph = builder.build({"joined": apply("concat", *refs, axis=axis)})
        return TaskOutput(self.made.add(graph, self._blocks_of[value], Phase.REDUCE, 0), 0)


def _join_graph(types: Sequence[ArrayType], joins: Sequence[str]) -> Graph:
    """Two sets of partial values -> one."""
    builder = Builder()
    lefts = [builder.input(f"left{k}", type) for k, type in enumerate(types)]
    rights = [builder.input(f"right{k}", type) for k, type in enumerate(types)]
    pairs = zip(joins, lefts, rights, strict=True)
    return builder.build(
        [(f"joined{k}", apply(join, x, y)) for k, (join, x, y) in enumerate(pairs)]
    )
