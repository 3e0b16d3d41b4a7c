"""The shard split: one task a block and round, reduce trees between rounds, whole work apart.

The number of blocks and the shape of every reduce tree are functions of the graph alone, so the
bits of the result do not depend on how many workers there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pullback_graph.builder import Builder
from pullback_graph.graph import Graph
from pullback_graph.memory import peak_bytes
from pullback_graph.ref import apply
from pullback_graph.types import ArrayType
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.extract import (
    Piece,
    Range,
    block_type,
    cut,
    depends_on_position,
    piece,
)
from pullback_server.planner.labels import Kind, Labels
from pullback_server.planner.plan import Block, JobInput, Phase, Source, Task, TaskOutput

REPLICATED_SHARE = 0.05
"""Whole work that shards need is repeated in each when it is at most this share of theirs."""


def blocks(length: int, count: int) -> tuple[Range, ...]:
    """`count` contiguous ranges over `length`, sizes differing by at most one, larger first."""
    size, extra = divmod(length, count)
    stops = [size * (k + 1) + min(k + 1, extra) for k in range(count)]
    return tuple(Range(a, b) for a, b in zip([0, *stops], stops, strict=False))


@dataclass
class ShardSplit:
    """Builds the tasks of a shard split.

    Attributes:
        tasks: tasks so far, in topological order.
    """

    graph: Graph
    labels: Labels
    ranges: Sequence[Range]
    phase: Phase
    tasks: list[Task] = field(default_factory=list)
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
        kept = self._needed(nodes, exports)
        if not kept:
            return
        part = piece(self.graph, kept, exports)
        operands = [self._whole_source(value) for value in part.boundary]
        task = self._add(cut(self.graph, self.labels, part, None), operands, self.phase, 0)
        for output, value in enumerate(exports):
            self._whole[value] = TaskOutput(task, output)

    def _add_shard_tasks(self, round: int) -> None:
        """One task a block for the sharded nodes of a round."""
        nodes = self._nodes(round, sharded=True)
        if not nodes:
            return
        exports = self._read_outside(nodes, ())
        part = piece(self.graph, sorted([*self._repeated(round), *nodes]), exports)
        make = self._cutter(part)
        for shard, block in enumerate(self.ranges):
            operands = [self._block_source(value, shard, block) for value in part.boundary]
            task = self._add(make(block), operands, self.phase, shard)
            for output, value in enumerate(exports):
                self._blocks_of.setdefault(value, []).append(TaskOutput(task, output))

    def _add_joins(self, round: int) -> None:
        """The reduce trees and gathers of what the round's shards gave."""
        values = [v for v in self._blocks_of if self.labels.values[v].round == round]
        partial = [v for v in values if self.labels.values[v].kind is Kind.PARTIAL]
        if partial:
            sources = [[self._blocks_of[v][s] for v in partial] for s in range(len(self.ranges))]
            for value, source in zip(partial, self._reduce_tree(partial, sources), strict=True):
                self._whole[value] = source
        outputs = {item.value for item in self.graph.outputs}
        for value in values:
            joined = value in self.labels.gathered or value in outputs
            if joined and self.labels.values[value].kind is Kind.SHARDED:
                self._whole[value] = self._gather(value)

    # --- which nodes and values -------------------------------------------------------------------

    def _repeated(self, round: int) -> list[int]:
        """Whole nodes of the round that its shards need, where repeating them is cheap."""
        graph, whole = self.graph, set(self._nodes(round, sharded=False))
        shard_nodes = self._nodes(round, sharded=True)
        read = {i for position in shard_nodes for i in graph.nodes[position].operands}
        nodes = self._needed(sorted(whole), sorted(read))
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

    def _needed(self, nodes: Sequence[int], values: Sequence[int]) -> list[int]:
        """Those of `nodes` that `values` depend on, ascending."""
        graph, wanted, kept = self.graph, set(values), []
        for position in reversed(nodes):
            first = graph.first_results[position]
            if wanted.intersection(range(first, first + len(graph.nodes[position].types))):
                kept.append(position)
                wanted.update(graph.nodes[position].operands)
        return kept[::-1]

    def _read_outside(self, nodes: Sequence[int], except_by: Sequence[int]) -> list[int]:
        """Values the nodes give that outputs or other nodes (but `except_by`) read."""
        graph, own = self.graph, set(nodes) | set(except_by)
        read = {item.value for item in graph.outputs}
        for position, node in enumerate(graph.nodes):
            if position not in own:
                read.update(node.operands)
        return [value for position in nodes for value in _results(graph, position) if value in read]

    # --- sources ----------------------------------------------------------------------------------

    def _whole_source(self, value: int) -> Source:
        return JobInput(value) if value < len(self.graph.inputs) else self._whole[value]

    def _block_source(self, value: int, shard: int, block: Range) -> Source:
        label = self.labels.values[value]
        if label.kind is not Kind.SHARDED:
            return self._whole_source(value)
        if value >= len(self.graph.inputs):
            return self._blocks_of[value][shard]
        scale = self.graph.types[value].shape[label.axis] // self.labels.length
        return JobInput(value, Block(label.axis, block.start * scale, block.stop * scale))

    def _output(self, value: int) -> Source:
        held = len(self.graph.inputs) + len(self.graph.constants)
        if len(self.graph.inputs) <= value < held:
            constant = Builder()
            ref = constant.constant(self.graph.constants[value - len(self.graph.inputs)])
            return TaskOutput(self._add(constant.build({"v": ref}), [], self.phase, 0), 0)
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

    def _reduce_tree(self, values: Sequence[int], sources: list[list[Source]]) -> list[Source]:
        """Join the shards' partial values pair by neighbouring pair until one is left."""
        joins = [self.labels.values[v].join for v in values]
        graph = _join_graph([self.graph.types[v] for v in values], joins)
        level = [(shard, own) for shard, own in enumerate(sources)]
        while len(level) > 1:
            above = []
            for left, right in zip(level[::2], level[1::2], strict=False):
                task = self._add(graph, [*left[1], *right[1]], Phase.REDUCE, left[0])
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
        return TaskOutput(self._add(graph, self._blocks_of[value], Phase.REDUCE, 0), 0)

    def _add(self, graph: Graph, operands: Sequence[Source], phase: Phase, shard: int) -> int:
        cost = graph.cost
        self.tasks.append(
            Task(
                graph=graph,
                operands=tuple(operands),
                phase=phase,
                flops=cost.flops,
                size_bytes=cost.size_bytes,
                peak_bytes=peak_bytes(graph),
                shard=shard,
            )
        )
        return len(self.tasks) - 1


def _results(graph: Graph, position: int) -> range:
    first = graph.first_results[position]
    return range(first, first + len(graph.nodes[position].types))


def _join_graph(types: Sequence[ArrayType], joins: Sequence[str]) -> Graph:
    """Two sets of partial values -> one."""
    builder = Builder()
    lefts = [builder.input(f"left{k}", type) for k, type in enumerate(types)]
    rights = [builder.input(f"right{k}", type) for k, type in enumerate(types)]
    pairs = zip(joins, lefts, rights, strict=True)
    return builder.build(
        [(f"joined{k}", apply(join, x, y)) for k, (join, x, y) in enumerate(pairs)]
    )
