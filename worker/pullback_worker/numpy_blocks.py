"""A chain of elementwise nodes on NumPy arrays, a block at a time, by one thread or several.

Every node does to a block what it would do to the whole arrays, in the same order: the results are
the same to the bit. Only what is read after the chain has an array of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from threading import local
from typing import Any, NamedTuple

import numpy as np

from pullback_graph.errors import Cancelled
from pullback_graph.graph import Graph
from pullback_worker.elementwise_chains import (
    Functions,
    Span,
    live_in,
    live_out,
    written_over,
)
from pullback_worker.executor import CancelFlag, NDArray
from pullback_worker.side_by_side import side_by_side

LEAST_SHARED_WORK = 1 << 22
"""Elements times nodes from which several threads are worth waking: milliseconds of work."""


class _Step(NamedTuple):
    """One node: `registers[z] = function(registers[operands])`.

    Attributes:
        writes: whether the function takes the array to write to as a last operand.
        is_copied: otherwise, whether its result goes into an array that is there.
    """

    function: Any
    operands: tuple[int, ...]
    z: int
    writes: bool
    is_copied: bool


class _Memory(local):
    """A thread's buffers, kept from call to call."""

    def __init__(self) -> None:
        self.blocks: list[NDArray] = []
        self.size_bytes = 0

    def take(self, count: int, size_bytes: int) -> list[NDArray]:
        """So many buffers, of that size or more."""
        if size_bytes > self.size_bytes:
            self.blocks, self.size_bytes = [], size_bytes
        missing = range(count - len(self.blocks))
        self.blocks += [np.empty(self.size_bytes, np.uint8) for _ in missing]
        return self.blocks


_memory = _Memory()


class Blocks:
    """The nodes of a span as one function: what they read from elsewhere -> what is read after.

    Attributes:
        nodes: positions of its nodes.
        operands: the values it takes, in order.
        results: the values it gives, in order.
    """

    def __init__(
        self,
        graph: Graph,
        functions: Functions,
        span: Span,
        last: Sequence[int],
        targets: Sequence[int],
        *,
        block_elements: int,
        threads: int = 1,
    ) -> None:
        self.nodes = range(span.start, span.stop)
        self.operands = live_in(graph, span)
        self.results = live_out(graph, last, span)
        self._span = span
        self._types = [graph.types[v] for v in self.results]
        places = {v: i for i, v in enumerate([*self.operands, *self.results])}
        self._count = len(places)
        self._length = prod(span.shape) if span.flat else span.shape[0]
        self._rest = () if span.flat else span.shape[1:]
        work = len(self.nodes) * prod(span.shape)
        self._threads = threads if work >= LEAST_SHARED_WORK else 1
        self._step = max(1, block_elements // max(1, prod(self._rest)))
        shapes = [graph.types[v].shape for v in self.operands]
        self._sliced = [i for i, shape in enumerate(shapes) if self._is_sliced(shape)]
        over = written_over(graph, last, span, targets)
        self._over = [self.operands.index(v) if v >= 0 else -1 for v in over]
        self._steps: list[_Step] = []
        self._temporaries: list[tuple[int, int, Any]] = []
        self._buffers = 0
        self._lay_out(graph, functions, last, places)

    def polled(self, *operands_and_flag: Any) -> Any:
        """The results for operands and, last, a CancelFlag or None.

        Raises:
            Cancelled: the flag was set.
        """
        *operands, flag = operands_and_flag
        results = self._made(operands)
        sliced = [(i, self._seen(operands[i])) for i in self._sliced]
        sliced += [(len(operands) + k, self._seen(array)) for k, array in enumerate(results)]
        registers: list[Any] = [*operands, *results, *([None] * len(self._temporaries))]
        if self._span.flat:
            for i, array in enumerate(operands):
                if array.size == 1:
                    registers[i] = array.reshape(())

        def run(start: int, stop: int) -> None:
            self._run_range(start, stop, list(registers), sliced, flag)

        side_by_side(run, self._length, self._step, self._threads)
        return results[0] if len(results) == 1 else tuple(results)

    def _run_range(
        self,
        start: int,
        stop: int,
        registers: list[Any],
        sliced: Sequence[tuple[int, NDArray]],
        flag: CancelFlag | None,
    ) -> None:
        """Run all blocks of a range, one after the other."""
        step = self._step
        views = self._views(step)
        for first in range(start, stop, step):
            if flag is not None and flag.is_set:
                raise Cancelled("the job was cancelled while its program ran")
            last = min(first + step, stop)
            if last - first < step:
                views = [(i, view[: last - first]) for i, view in views]
            for i, view in views:
                registers[i] = view
            for i, array in sliced:
                registers[i] = array[first:last]
            self._run(registers)

    def _run(self, registers: list[Any]) -> None:
        """Run the nodes on a block."""
        for function, operands, z, writes, is_copied in self._steps:
            given = [registers[i] for i in operands]
            if writes:
                function(*given, out=registers[z])
            elif is_copied:
                np.copyto(registers[z], function(*given))
            else:
                registers[z] = function(*given)

    # --- arrays -----------------------------------------------------------------------------------

    def _is_sliced(self, shape: tuple[int, ...]) -> bool:
        """Whether an operand of a shape is taken block by block, not whole."""
        own = self._span.shape
        return shape == own if self._span.flat else len(shape) == len(own) and shape[0] == own[0]

    def _seen(self, array: NDArray) -> NDArray:
        """An array along the axis of blocks."""
        return array.reshape(-1) if self._span.flat else array

    def _made(self, operands: Sequence[NDArray]) -> list[NDArray]:
        """Arrays for the results: dead operands, or new ones."""
        made = []
        for type, over in zip(self._types, self._over, strict=True):
            array = operands[over] if over >= 0 else None
            if array is None or not array.flags.c_contiguous or not array.flags.writeable:
                array = np.empty(type.shape, type.dtype)
            made.append(array)
        return made

    def _views(self, step: int) -> list[tuple[int, NDArray]]:
        """The registers of temporary blocks, and their memory."""
        elements = step * prod(self._rest)
        widest = max([dtype.itemsize for _, _, dtype in self._temporaries], default=1)
        buffers = _memory.take(self._buffers, elements * widest)
        return [
            (
                register,
                buffers[k][: elements * dtype.itemsize].view(dtype).reshape(step, *self._rest),
            )
            for register, k, dtype in self._temporaries
        ]

    # --- layout -----------------------------------------------------------------------------------

    def _lay_out(
        self, graph: Graph, functions: Functions, last: Sequence[int], places: dict[int, int]
    ) -> None:
        """Give each temporary value a register, and a buffer until its last use."""
        buffer_of: dict[int, int] = {}
        free: list[int] = []
        for i in self.nodes:
            node, z = graph.nodes[i], graph.first_results[i]
            dying = [v for v in set(node.operands) if v in buffer_of and last[v] == i]
            if z not in places:
                places[z] = self._count + len(self._temporaries)
                dtype = node.types[0].dtype
                over = [v for v in dying if graph.types[v].dtype == dtype]
                if over and isinstance(functions[i], np.ufunc):
                    dying.remove(over[0])
                    buffer_of[z] = buffer_of[over[0]]
                else:
                    buffer_of[z] = free.pop() if free else self._new_buffer()
                self._temporaries.append((places[z], buffer_of[z], dtype))
            free += [buffer_of[v] for v in dying]
            operands = tuple([places[v] for v in node.operands])
            is_result = places[z] < self._count
            writes = isinstance(functions[i], np.ufunc)
            self._steps.append(_Step(functions[i], operands, places[z], writes, is_result))

    def _new_buffer(self) -> int:
        self._buffers += 1
        return self._buffers - 1
