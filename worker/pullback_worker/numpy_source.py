"""Python source for a graph: a line a node on local variables, which no interpreter of steps beats.

Only names made here stand in the source, so nothing that came from outside is ever run. What a line
belongs to is kept, so that an error names its node.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from pullback_graph.errors import Cancelled, ExecutionError
from pullback_graph.graph import Graph
from pullback_worker.buffer_reuse import overwritten
from pullback_worker.executor import CancelFlag
from pullback_worker.registers import Registers

MAX_WRITTEN_NODES = 4000
"""A graph of more is compiled as a program and called: its source would take long to compile."""
_SEGMENT_NODES = 64
_SEGMENT_BYTES = 1 << 18
_DROPPED_BYTES = 1 << 12
_OVERWRITE_BYTES = 1 << 16

_INFIX: dict[Any, str] = {
    np.add: "+",
    np.subtract: "-",
    np.multiply: "*",
    np.true_divide: "/",
    np.less: "<",
    np.less_equal: "<=",
    np.greater: ">",
    np.greater_equal: ">=",
    np.equal: "==",
    np.not_equal: "!=",
}
"""Ufuncs that Python's operators stand for: the same on arrays, several times faster on scalars."""
_PREFIX: dict[Any, str] = {np.negative: "-"}
_FAULTS = (MemoryError, ValueError, TypeError, IndexError, ArithmeticError)
_serial = count()


def scalar_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a line on scalars does in place of a function."""
    operators = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
    if function in _PREFIX:
        return operator.neg
    return operators.get(_INFIX.get(function, ""), function)


class Line(NamedTuple):
    """What a line of source belongs to."""

    graph: Graph
    node: int


class Polled:
    """A function written for a graph. Called with a cancel flag, it looks at it as it goes."""

    def __init__(
        self, run: Callable[..., Any], file: str = "", lines: Mapping[int, Line] | None = None
    ) -> None:
        self._run = run
        self._file = file
        self._lines = lines or {}

    def __call__(self, *operands: Any) -> Any:
        """The results for operands, with nothing to stop it."""
        return self.polled(*operands, None)

    def polled(self, *operands_and_flag: Any) -> Any:
        """The results for operands and, last, a CancelFlag or None.

        Raises:
            Cancelled: the flag was set.
            ExecutionError: a node failed; the message names it.
        """
        try:
            return self._run(*operands_and_flag)
        except _FAULTS as error:
            raise self._located(error) from error

    def _located(self, error: Exception) -> ExecutionError:
        from pullback_worker.numpy_executor import failure  # noqa: PLC0415  (it compiles these)

        line, trace = None, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self._file:
                line = self._lines.get(trace.tb_lineno)
            trace = trace.tb_next
        if line is None:
            return ExecutionError(f"a loop failed: {error}")
        return failure(line.graph, line.node, error)


class Source:
    """A function being written.

    Attributes:
        held: what its source refers to by name besides its own variables.
    """

    def __init__(self) -> None:
        self.held: dict[str, Any] = {"stop": _stop}
        self._lines: list[str] = []
        self._belongs: dict[int, Line] = {}
        self._names = count()

    def hold(self, value: Any) -> str:
        """A name for a value."""
        name = f"k{next(self._names)}"
        self.held[name] = value
        return name

    def fresh(self, letter: str) -> str:
        """A name of a variable that nothing else has."""
        return f"{letter}{next(self._names)}"

    def line(self, text: str, depth: int) -> None:
        """Add a line."""
        self._lines.append(f"{'    ' * depth}{text}")

    def poll(self, depth: int, condition: str = "") -> None:
        """Add a look at the cancel flag."""
        self.line(f"if {condition}flag is not None and flag.is_set: stop()", depth)

    def finish(self, parameters: Sequence[str]) -> Polled:
        """The function of the parameters and the flag."""
        file = f"<pullback loop {next(_serial)}>"
        held = ", ".join(self.held)
        head = [f"def make({held}):", f"  def run({', '.join([*parameters, 'flag'])}):"]
        text = "\n".join([*head, *self._lines, "  return run", ""])
        scope: dict[str, Any] = {}
        exec(compile(text, file, "exec"), scope)
        lines = {number + len(head) + 1: line for number, line in self._belongs.items()}
        return Polled(scope["make"](**self.held), file, lines)

    def scalars(self, names: Sequence[str], body: Graph, depth: int) -> None:
        """Make NumPy scalars of the 0-d arrays among a body's first inputs."""
        for name, item in zip(names, body.inputs, strict=False):
            if not item.type.shape:
                self.line(f"{name} = {name}[()]", depth)

    # --- graphs -----------------------------------------------------------------------------------

    def graph(self, graph: Graph, inputs: Sequence[str], depth: int) -> list[str]:
        """Add the nodes of a graph on named inputs; the names of its outputs."""
        if len(graph.nodes) > MAX_WRITTEN_NODES:
            return self._called(graph, inputs, depth)
        return _Writing(self, graph, inputs, depth).run()

    def node(self, text: str, graph: Graph, position: int, depth: int) -> None:
        """Add the line of a node."""
        self._belongs[len(self._lines)] = Line(graph, position)
        self.line(text, depth)

    def _called(self, graph: Graph, inputs: Sequence[str], depth: int) -> list[str]:
        """One call of the graph's program."""
        from pullback_worker.numpy_executor import NumpyExecutor  # noqa: PLC0415  (as above)

        program = self.hold(NumpyExecutor().compile(graph))
        results = [self.fresh("v") for _ in graph.outputs]
        self.line(f"[{', '.join(results)}] = {program}([{', '.join(inputs)}], flag)", depth)
        return results


def written(graph: Graph) -> Polled:
    """The function of a graph's inputs that gives the list of its outputs."""
    source = Source()
    inputs = [source.fresh("x") for _ in graph.inputs]
    source.poll(1)
    for name, item in zip(inputs, graph.inputs, strict=True):
        if item.type.shape == ():
            source.line(f"{name} = {name}[()]", 1)
    results = source.graph(graph, inputs, 1)
    source.line(f"return [{', '.join(results)}]", 1)
    return source.finish(inputs)


class _Writing:
    """The nodes of one graph on their way into a source."""

    def __init__(self, source: Source, graph: Graph, inputs: Sequence[str], depth: int) -> None:
        from pullback_worker.numpy_kernels import NUMPY  # noqa: PLC0415  (it refers to loops)

        self.source, self.graph, self.depth = source, graph, depth
        self.functions = [node.op.run(NUMPY, **node.attributes) for node in graph.nodes]
        self.registers = Registers(graph)
        self.targets = overwritten(graph, self.functions, self.registers, _OVERWRITE_BYTES)
        self.names = [*inputs, *[source.hold(_scalar(array)) for array in graph.constants]]

    def run(self) -> list[str]:
        nodes = touched = 0
        sizes = self.registers.size_bytes
        for position, node in enumerate(self.graph.nodes):
            first = len(self.names)
            self.names += [self.source.fresh("v") for _ in node.types]
            self.source.node(self.text(position, first), self.graph, position, self.depth)
            self.drop(position, first)
            nodes += 1
            touched += sizes[first] + sum([sizes[i] for i in node.operands])
            if nodes == _SEGMENT_NODES or touched >= _SEGMENT_BYTES:
                self.source.poll(self.depth)
                nodes = touched = 0
        return [self.names[item.value] for item in self.graph.outputs]

    def text(self, position: int, first: int) -> str:
        node, function = self.graph.nodes[position], self.functions[position]
        operands = [self.names[i] for i in node.operands]
        results = ", ".join(self.names[first : first + len(node.types)])
        target = self.targets[position]
        if target >= 0:
            operands.append(f"out={self.names[target]}")
        elif function in _INFIX:
            return f"{results} = {operands[0]} {_INFIX[function]} {operands[1]}"
        elif function in _PREFIX:
            return f"{results} = {_PREFIX[function]}{operands[0]}"
        elif function is operator.pos:
            return f"{results} = {operands[0]}"
        if isinstance(function, Polled):
            function = function.polled
            operands.append("flag")
        return f"{results} = {self.source.hold(function)}({', '.join(operands)})"

    def drop(self, position: int, first: int) -> None:
        """Let go of what nothing reads any more, where it is large."""
        held, sizes, last = first, self.registers.size_bytes, self.registers.last
        held = len(self.graph.inputs) + len(self.graph.constants)
        operands = self.graph.nodes[position].operands
        dead = [
            self.names[i]
            for i in dict.fromkeys(operands)
            if i >= held and last[i] == position and sizes[i] >= _DROPPED_BYTES
        ]
        if dead:
            self.source.line(f"{' = '.join(dead)} = None", self.depth)


def _scalar(array: Any) -> Any:
    """A 0-d array as a NumPy scalar, on which arithmetic is fastest."""
    return array[()] if array.ndim == 0 else array


def _stop() -> None:
    raise Cancelled("the job was cancelled while its program ran")


__all__ = ["CancelFlag", "Polled", "Source", "written"]
