"""The graph: immutable, ordered, single assignment. Values are numbered inputs, constants, nodes.

A Graph comes out of a Builder (or the parser, or the codec, which both use one), so every Graph
that exists has been checked by the operator rows' type rules.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from pullback_graph.errors import InputError
from pullback_graph.op import Cost, Op
from pullback_graph.types import ArrayType


class Input(NamedTuple):
    """A named input and its type."""

    name: str
    type: ArrayType


class Output(NamedTuple):
    """A named output and the number of the value it gives."""

    name: str
    value: int


class Node(NamedTuple):
    """One operation: its row, the numbers of its operands, its attributes, its results' types."""

    op: Op
    operands: tuple[int, ...]
    attributes: Mapping[str, Any]
    types: tuple[ArrayType, ...]


@dataclass(frozen=True, eq=False)
class Graph:
    """A computation: inputs -> outputs.

    Value numbers run over `inputs`, then `constants`, then every node's results in node order.
    Two graphs are equal when their fingerprints are.
    """

    inputs: tuple[Input, ...]
    constants: tuple[np.ndarray[Any, Any], ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]

    @cached_property
    def types(self) -> tuple[ArrayType, ...]:
        """The type of every value, by number."""
        types = [item.type for item in self.inputs]
        types += [ArrayType(array.dtype, array.shape) for array in self.constants]
        for node in self.nodes:
            types += node.types
        return tuple(types)

    @cached_property
    def first_results(self) -> tuple[int, ...]:
        """The number of each node's first result."""
        numbers, number = [], len(self.inputs) + len(self.constants)
        for node in self.nodes:
            numbers.append(number)
            number += len(node.types)
        return tuple(numbers)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical bytes, 64 hexadecimal digits."""
        from pullback_graph.fingerprint import fingerprint  # noqa: PLC0415  (it reads graphs)

        return fingerprint(self)

    @cached_property
    def bodies(self) -> tuple[Graph, ...]:
        """The subgraphs that its own nodes hold, in their order, as often as they are held."""
        return tuple([body for node in self.nodes if node.op.graphs for body in bodies_of(node)])

    @cached_property
    def depth(self) -> int:
        """How deep subgraphs nest: 0 where there are none."""
        return max((body.depth + 1 for body in self.bodies), default=0)

    @cached_property
    def node_count(self) -> int:
        """Nodes, those of subgraphs included as often as they are held."""
        return len(self.nodes) + sum([body.node_count for body in self.bodies])

    @cached_property
    def cost(self) -> Cost:
        """FLOPs, bytes and calls of one evaluation: the sum over the nodes' rows."""
        flops = size_bytes = calls = 0.0
        for cost in self.node_costs:
            flops += cost.flops
            size_bytes += cost.size_bytes
            calls += cost.calls
        return Cost(flops, size_bytes, calls)

    @cached_property
    def node_costs(self) -> tuple[Cost, ...]:
        """The cost of each node, by its row."""
        types = self.types
        return tuple(
            node.op.cost([types[i] for i in node.operands], node.types, **node.attributes)
            for node in self.nodes
        )

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(item.name for item in self.inputs)

    @cached_property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return tuple(item.name for item in self.outputs)

    def input_index(self, name: str) -> int:
        """Position (and value number) of the input called `name`.

        Raises:
            InputError: there is none; the message lists those there are.
        """
        return _position(self._input_positions, name, "input")

    def output_index(self, name: str) -> int:
        """Position of the output called `name`.

        Raises:
            InputError: there is none; the message lists those there are.
        """
        return _position(self._output_positions, name, "output")

    @cached_property
    def _input_positions(self) -> dict[str, int]:
        return {item.name: position for position, item in enumerate(self.inputs)}

    @cached_property
    def _output_positions(self) -> dict[str, int]:
        return {item.name: position for position, item in enumerate(self.outputs)}

    def output_type(self, position: int) -> ArrayType:
        """Type of the output at `position`."""
        return self.types[self.outputs[position].value]

    def with_shapes(self, shapes: Mapping[str, Sequence[int]]) -> Graph:
        """The same graph for other sizes of some inputs' axes; see `pullback_graph.resize`."""
        from pullback_graph.resize import with_shapes  # noqa: PLC0415  (it builds graphs)

        return with_shapes(self, shapes)

    def vmap(
        self,
        in_axes: Mapping[str, int] | Collection[str],
        size: int,
        out_axes: Mapping[str, int | None] | int | None = 0,
    ) -> Graph:
        """The graph for `size` points at once; see `pullback_graph.vmap`.

        Args:
            in_axes: where the axis of the points stands in each input that has one: `{"x": 0}`.
            out_axes: the same for outputs; in front, if not said.
        """
        from pullback_graph.vmap import vmap  # noqa: PLC0415  (it builds graphs)

        return vmap(self, in_axes, size, out_axes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __str__(self) -> str:
        from pullback_graph.text import to_text  # noqa: PLC0415  (the printer reads graphs)

        return to_text(self)


def bodies_of(node: Node) -> list[Graph]:
    """The subgraphs that the attributes of a node hold, in order."""
    found: list[Graph] = []
    for name in node.op.graphs:
        value = node.attributes[name]
        found += value if isinstance(value, tuple) else () if value is None else (value,)
    return found


def _position(positions: Mapping[str, int], name: str, what: str) -> int:
    try:
        return positions[name]
    except KeyError:
        known = ", ".join(positions) or "none"
        raise InputError(f"no {what} {name!r}; the graph has: {known}", field=name) from None
