"""The reference executor: a graph as a flat list of steps on numbered registers, over NumPy.

`compile` decides what can be decided once; a call pays about one NumPy call a node. Results are
fresh contiguous arrays; inputs and constants are never written to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from pullback_graph import memory
from pullback_graph.errors import Cancelled, ExecutionError, InputError, OutOfMemory
from pullback_graph.graph import Graph
from pullback_graph.op import Op
from pullback_worker.buffer_reuse import overwritten
from pullback_worker.elementwise_chains import Span, chained, within
from pullback_worker.executor import CancelFlag, NDArray
from pullback_worker.numpy_blocks import Blocks
from pullback_worker.numpy_kernels import NUMPY
from pullback_worker.numpy_source import Polled, written
from pullback_worker.quiet import quietly
from pullback_worker.registers import Places, Registers

UNARY, GENERAL, OVER, SEVERAL = -1, -2, -3, -4
"""What may stand for a second operand: there is one; `a` is a tuple; it ends with the register to
write over; `z` is a tuple as well."""
_WRITTEN_NODES = 256
"""A graph of more nodes is never written as source: one call would wait too long for that."""
_SPENDING_NODES = 64
_SEGMENT_STEPS = 64
_SEGMENT_BYTES = 1 << 18


Step: TypeAlias = tuple[Callable[..., Any], Any, int, Any, tuple[int, ...], int]
"""Function, a, b, z, dead, node: `registers[z] = function(registers[a], registers[b])` of a node,
then drop the `dead`. A plain tuple, as those unpack fastest."""
Segment: TypeAlias = list[Step]
"""Steps between two looks at the cancel flag."""


class NumpyExecutor:
    """Compiles graphs to NumPy programs.

    Args:
        overwrite_bytes: arrays of at least so many bytes that nothing needs any more are written
            over by the next result of their type; below that, allocating is as fast.
        written_calls: calls after which a graph is written as source; by then that has paid.
        chained_bytes: elementwise nodes with results of at least so many bytes are run together, a
            block at a time; below that, whole results stay in the cache as well.
        block_elements: of such a block; a dozen of them fit into a second-level cache.
        threads: that share the blocks of such nodes; the bits are the same with any number.
    """

    name = "numpy"
    version = f"1/numpy-{np.__version__}"

    def __init__(
        self,
        overwrite_bytes: int = 1 << 16,
        written_calls: int = 64,
        chained_bytes: int = 1 << 19,
        block_elements: int = 1 << 14,
        threads: int = 1,
    ) -> None:
        self.overwrite_bytes = overwrite_bytes
        self.written_calls = written_calls
        self.chained_bytes = chained_bytes
        self.block_elements = block_elements
        self.threads = threads

    def compile(self, graph: Graph) -> NumpyProgram:
        """The program of `graph`; time and memory linear in its nodes."""
        return NumpyProgram(graph, self)


class NumpyProgram:
    """A graph ready to run. Safe to call from several threads at once.

    A small graph that is called again and again is written as source after a while, which runs it
    faster than the steps do.

    Args:
        spare: inputs that may be written over.
    """

    def __init__(
        self, graph: Graph, settings: NumpyExecutor, spare: frozenset[int] = frozenset()
    ) -> None:
        self.graph = graph
        self._settings = settings
        self._spending: dict[frozenset[int], NumpyProgram] = {}
        functions = [node.op.run(NUMPY, **node.attributes) for node in graph.nodes]
        spans: Sequence[Span] = ()
        order: Sequence[int] | None = None
        if not spare:
            graph, functions, spans, order = _in_chains(graph, functions, settings)
        registers = Registers(graph)
        targets = overwritten(graph, functions, registers, settings.overwrite_bytes, spare)
        chains = {
            span.start: Blocks(
                graph,
                functions,
                span,
                registers.last,
                targets,
                block_elements=settings.block_elements,
                threads=settings.threads,
            )
            for span in spans
        }
        self._segments = _segments(graph, functions, registers, targets, chains, order)
        self._inputs = len(graph.inputs)
        self._flag_register = registers.count
        held = len(graph.inputs) + len(graph.constants)
        self._rest = [*graph.constants, *([None] * (registers.count + 1 - held))]
        self._outputs = [registers.of[output.value] for output in graph.outputs]
        self._owns_outputs = _owns_outputs(graph, functions)
        types = [graph.types[output.value] for output in graph.outputs]
        self._scalars = self._owns_outputs and all([type.shape == () for type in types])
        is_written = len(graph.nodes) <= _WRITTEN_NODES and not spans
        self._calls_to_write = settings.written_calls if is_written else 0
        self._written: Polled | None = None

    @cached_property
    def peak_bytes(self) -> int:
        """Estimated bytes alive at the fullest moment, inputs and constants included."""
        return memory.peak_bytes(self.graph)

    def spending(self, spare: frozenset[int]) -> NumpyProgram:
        """The program that may write over some of its inputs, for graphs of few nodes, as sums are.

        A large new array takes longer to get from the system than to be filled.
        """
        if not spare or len(self.graph.nodes) > _SPENDING_NODES:
            return self
        found = self._spending.get(spare)
        if found is None:
            found = self._spending[spare] = NumpyProgram(self.graph, self._settings, spare)
        return found

    def __call__(
        self, arrays: Sequence[NDArray], cancel: CancelFlag | None = None
    ) -> list[NDArray]:
        """The outputs, in order, for inputs in order.

        Raises:
            InputError: a wrong number of inputs.
            Cancelled: the flag was set while it ran.
            OutOfMemory: an array could not be allocated; the message names the node.
            ExecutionError: a node failed in another way.
        """
        return [
            value if type(value) is np.ndarray else np.asarray(value)
            for value in self.values(arrays, cancel)
        ]

    def values(self, arrays: Sequence[NDArray], cancel: CancelFlag | None = None) -> list[Any]:
        """The same, where a 0-d output may be a NumPy scalar.

        Raises:
            PullbackError: as a call.
        """
        if len(arrays) != self._inputs:
            raise InputError(f"the program takes {self._inputs} input(s), got {len(arrays)}")
        values: list[Any]
        if self._written is not None:
            values = quietly(self._written.polled, *arrays, cancel)
        else:
            values = quietly(self._stepwise, arrays, cancel)
        if self._scalars:
            return values
        if self._owns_outputs:
            return [_contiguous(value) for value in values]
        return _fresh(values, [*arrays, *self.graph.constants])

    def _stepwise(self, arrays: Sequence[NDArray], cancel: CancelFlag | None) -> list[Any]:
        """The values of the outputs, step by step."""
        registers: list[Any] = [*arrays, *self._rest]
        registers[self._flag_register] = cancel
        for segment in self._segments:
            if cancel is not None and cancel.is_set:
                raise Cancelled("the job was cancelled while its program ran")
            self._run(segment, registers)
        self._calls_to_write -= 1
        if self._calls_to_write == 0:
            self._written = written(self.graph)
        return [registers[i] for i in self._outputs]

    def _run(self, segment: Segment, registers: list[Any]) -> None:
        """Run the steps of one segment; the loop every small program spends its time in."""
        node = 0
        try:
            for function, a, b, z, dead, node in segment:  # noqa: B007  (the handlers read it)
                if b >= 0:
                    registers[z] = function(registers[a], registers[b])
                elif b == UNARY:
                    registers[z] = function(registers[a])
                elif b == GENERAL:
                    registers[z] = function(*[registers[i] for i in a])
                elif b == OVER:
                    *operands, out = [registers[i] for i in a]
                    registers[z] = function(*operands, out=out)
                else:
                    results = function(*[registers[i] for i in a])
                    for register, result in zip(z, results, strict=True):
                        registers[register] = result
                if dead:
                    for register in dead:
                        registers[register] = None
        except (MemoryError, ValueError, TypeError, IndexError, ArithmeticError) as error:
            raise failure(self.graph, node, error) from error


def failure(graph: Graph, position: int, error: Exception) -> ExecutionError:
    """What went wrong at a node, naming it and its operands."""
    node = graph.nodes[position]
    listed = ", ".join(str(graph.types[i]) for i in node.operands[:6])
    where = f"node {position} {node.op.name}({listed})"
    field = f"graph.nodes[{position}]"
    if isinstance(error, MemoryError):
        what = f"not enough memory for {node.types[0]}; split the job, or use smaller arrays"
        return OutOfMemory(f"{where}: {what}", field=field)
    return ExecutionError(f"{where}: {error}", field=field)


def fold(op: Op, arrays: Sequence[NDArray], attributes: Mapping[str, Any]) -> list[NDArray]:
    """The results of one node on known operands, as fresh arrays: what constant folding calls."""
    results = quietly(op.run(NUMPY, **attributes), *arrays)
    return _fresh(list(results) if isinstance(results, tuple) else [results], arrays)


def _in_chains(
    graph: Graph, functions: list[Callable[..., Any]], settings: NumpyExecutor
) -> tuple[Graph, list[Callable[..., Any]], Sequence[Span], Sequence[int] | None]:
    """The graph and functions in an order of chains, these, and where each node stood.

    As they are, without chains, where that order would need more memory.
    """
    made = chained(graph, functions, settings.chained_bytes)
    limit_bytes = memory.peak_bytes(graph) if made is not None else 0
    if made is None or memory.peak_bytes(made.graph) > limit_bytes:
        return graph, functions, (), None
    moved = [functions[position] for position in made.positions]
    registers = Registers(made.graph)
    targets = overwritten(made.graph, moved, registers, settings.overwrite_bytes)
    spans = within(made, targets, limit_bytes)
    if not spans:
        return graph, functions, (), None
    return made.graph, moved, spans, made.positions


def _segments(
    graph: Graph,
    functions: Sequence[Callable[..., Any]],
    registers: Registers,
    targets: Sequence[int],
    chains: Mapping[int, Blocks],
    order: Sequence[int] | None,
) -> list[Segment]:
    """The steps of all nodes, cut where the time since the last cut may matter to a caller.

    Args:
        chains: nodes that are one step, by the position of the first.
        order: per node, its number in an error; None where that is its position.
    """
    segments: list[Segment] = []
    current: Segment = []
    touched, sizes = 0, registers.size_bytes
    inside = {i for blocks in chains.values() for i in blocks.nodes[1:]}
    for position, node in enumerate(graph.nodes):
        if position in inside:
            continue
        number = position if order is None else order[position]
        if position in chains:
            current.append(_blocks_step(number, chains[position], registers))
            touched = _SEGMENT_BYTES
        else:
            target = registers.of[targets[position]] if targets[position] >= 0 else None
            places = registers.places[position]
            current.append(_step(number, functions[position], places, target, registers.count))
        for index in node.operands:
            touched += sizes[index]
        touched += sizes[graph.first_results[position]]
        if touched >= _SEGMENT_BYTES or len(current) == _SEGMENT_STEPS:
            segments.append(current)
            current, touched = [], 0
    return [*segments, current] if current else segments


def _blocks_step(number: int, blocks: Blocks, registers: Registers) -> Step:
    """The step of a chain. Its registers are read before any is written."""
    of = registers.of
    results = tuple([of[value] for value in blocks.results])
    dead = [r for i in blocks.nodes for r in registers.places[i].dead]
    gone = tuple([r for r in dict.fromkeys(dead) if r not in results])
    operands = (*[of[value] for value in blocks.operands], registers.count)
    if len(results) == 1:
        return blocks.polled, operands, GENERAL, results[0], gone, number
    return blocks.polled, operands, SEVERAL, results, gone, number


def _step(
    position: int, function: Callable[..., Any], places: Places, target: int | None, flag: int
) -> Step:
    """The step of one node; one with a target is a ufunc, which writes over it.

    What looks at the cancel flag itself gets it as its last operand.
    """
    operands, results, dead = places
    if isinstance(function, Polled):
        function, operands = function.polled, (*operands, flag)
        if len(results) == 1:
            return function, operands, GENERAL, results[0], dead, position
    if len(results) > 1:
        return function, operands, SEVERAL, results, dead, position
    if target is not None:
        return function, (*operands, target), OVER, results[0], dead, position
    if len(operands) == 2:
        return function, operands[0], operands[1], results[0], dead, position
    if len(operands) == 1:
        return function, operands[0], UNARY, results[0], dead, position
    return function, operands, GENERAL, results[0], dead, position


def _owns_outputs(graph: Graph, functions: Sequence[Callable[..., Any]]) -> bool:
    """Whether every output is sure to be an array of its own: made by a ufunc, given once."""
    held = len(graph.inputs) + len(graph.constants)
    made_by = [
        function for node, function in zip(graph.nodes, functions, strict=True) for _ in node.types
    ]
    values = [output.value for output in graph.outputs]
    if len(set(values)) < len(values) or any([value < held for value in values]):
        return False
    return all([isinstance(made_by[value - held], np.ufunc) for value in values])


def _contiguous(value: Any) -> Any:
    """An array of its own, contiguous; a scalar as it is."""
    if type(value) is not np.ndarray or value.flags.c_contiguous:
        return value
    return np.array(value, order="C")


def _fresh(values: list[Any], foreign: Sequence[NDArray]) -> list[NDArray]:
    """The values as contiguous arrays that share memory with nothing, copied only where they do."""
    taken = {id(array) for array in foreign}
    arrays = []
    for value in values:
        array = np.asarray(value)
        if array.base is not None or id(array) in taken or not array.flags.c_contiguous:
            array = np.array(array, order="C")
        taken.add(id(array))
        arrays.append(array)
    return arrays
