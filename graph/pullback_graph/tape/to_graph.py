"""From a Tape to a Graph of 0-d nodes: inputs' elements sliced, outputs stacked.

So everything that reads graphs (plan, print, the other executors) reads tapes as well.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pullback_graph.builder import Builder
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.table import OPS
from pullback_graph.tape.check import check
from pullback_graph.tape.rows import LOGIC, ROW_OPERANDS, row_numbers
from pullback_graph.tape.tape import Tape, TapeOutput
from pullback_graph.types import BOOL


def to_graph(tape: Tape) -> Graph:
    """The graph that computes what a tape does; about a microsecond or two a node.

    Raises:
        GraphError, UnknownOp, ...: the tape is malformed, as `check` says.
    """
    check(tape)
    return _Scalars(tape).graph()


class _Scalars:
    """The scalars of a tape as values of a builder; those of inputs are sliced when first used."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._builder = Builder()
        self._inputs = [self._builder.input(name, type) for name, type in tape.inputs]
        sizes = [type.size for _, type in tape.inputs]
        self._firsts = np.cumsum([0, *sizes])
        self._refs: list[Ref | None] = [None] * int(self._firsts[-1])
        self._refs += [self._builder.constant(item) for item in tape.constants]
        self._zero: Ref | None = None

    def graph(self) -> Graph:
        for name, operands in self._nodes():
            self._refs.append(self._node(name, operands))
        outputs = {item.name: self._output(item) for item in self._tape.outputs}
        return self._builder.build(outputs)

    def _nodes(self) -> Iterator[tuple[str, list[int]]]:
        counts = ROW_OPERANDS.take(row_numbers(self._tape.ops)).tolist()
        flat, place = self._tape.operands.tolist(), 0
        for opcode in self._tape.opcodes.tolist():
            count = counts[opcode]
            yield self._tape.ops[opcode], flat[place : place + count]
            place += count

    def _node(self, name: str, operands: list[int]) -> Ref:
        truths = len(operands) if name in LOGIC else 1 if name == "where" else 0
        refs = [
            self._truth(number) if place < truths else self._number(number)
            for place, number in enumerate(operands)
        ]
        (result,) = self._builder.append(OPS[name], tuple([ref.index for ref in refs]), {})
        return Ref(self._builder, result)

    def _value(self, number: int) -> Ref:
        ref = self._refs[number]
        if ref is None:
            ref = self._refs[number] = self._element(number)
        return ref

    def _number(self, number: int) -> Ref:
        """The scalar in the tape's dtype."""
        ref = self._value(number)
        if ref.dtype == BOOL:
            ref = do.astype(ref, dtype=self._tape.dtype)
        return ref

    def _truth(self, number: int) -> Ref:
        """The scalar as bool."""
        ref = self._value(number)
        return ref if ref.dtype == BOOL else do.not_equal(ref, 0.0)

    def _element(self, number: int) -> Ref:
        """The element of an input."""
        position = int(np.searchsorted(self._firsts, number, side="right")) - 1
        item, first = self._inputs[position], number - int(self._firsts[position])
        if item.shape == ():
            return item
        place = np.unravel_index(first, item.shape)
        starts = tuple([int(index) for index in place])
        stops = tuple([index + 1 for index in starts])
        one = do.slice(item, starts=starts, stops=stops, steps=(1,) * len(starts))
        return do.reshape(one, shape=())

    def _output(self, item: TapeOutput) -> Ref:
        scalars = [self._number(number) for number in item.values.tolist()]
        if item.shape == ():
            return scalars[0]
        if not scalars:
            return self._builder.constant(np.zeros(item.shape, self._tape.dtype))
        stacked = do.stack(*scalars, axis=0)
        return stacked if item.shape == (len(scalars),) else do.reshape(stacked, shape=item.shape)
