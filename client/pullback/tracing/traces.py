"""One function being traced: where traced operations go, and what is taken in from around it.

Traces nest: a gradient taken inside a traced function is a trace inside a trace. A value of an
outer trace that the inner function uses is captured: it becomes a hidden input of the inner graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from pullback_graph.builder import Builder, copy_values
from pullback_graph.errors import TraceError
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref
from pullback_graph.types import INT64

if TYPE_CHECKING:
    from pullback.tracing.traced_array import TracedArray

NDArray: TypeAlias = "np.ndarray[Any, Any]"

_LARGE_BYTES = 4096
"""Size from which a constant is looked at for what it holds."""


class Capture(NamedTuple):
    """A value of an outer trace, and the name of the hidden input that stands for it."""

    name: str
    value: TracedArray


class Trace:
    """A graph under construction by running a Python function on traced arrays.

    Attributes:
        captures: what the function took from the traces around it, in order.
    """

    def __init__(self, parent: Trace | None) -> None:
        self.builder = Builder(reuse=True)
        self.parent = parent
        self.captures: list[Capture] = []
        self._lifted: dict[tuple[int, int], Ref] = {}
        self._large: dict[int, _Large] = {}

    def ref(self, value: TracedArray | NDArray | np.generic) -> Ref:
        """The value in this trace: its own, captured from an outer trace, or a constant.

        Raises:
            TraceError: the value belongs to a trace that has ended.
        """
        if isinstance(value, np.ndarray | np.generic):
            return self._constant(np.asarray(value))
        if value.owner is self:
            return value.ref
        if not self._is_inside(value.owner):
            raise TraceError(
                f"{value!r} belongs to a trace that has ended, or to one in another thread: return "
                "traced values from the traced function instead of storing them outside it"
            )
        key = (id(value.owner), value.ref.index)
        if key not in self._lifted:
            name = f"captured:{len(self.captures)}"
            self.captures.append(Capture(name, value))
            self._lifted[key] = self.builder.input(name, value.ref.type)
        return self._lifted[key]

    def inline(
        self, graph: Graph, inputs: Mapping[str, TracedArray | NDArray | np.generic]
    ) -> list[Ref]:
        """The outputs of `graph`, replayed into this trace on the named inputs."""
        refs = [self.ref(inputs[name]) for name in graph.input_names]
        values = copy_values(self.builder, graph, refs)
        return [values[output.value] for output in graph.outputs]

    def build(self, outputs: Sequence[tuple[str, TracedArray | NDArray | np.generic]]) -> Graph:
        """The graph that gives the named values."""
        return self.builder.build([(name, self.ref(value)) for name, value in outputs])

    def _is_inside(self, other: Trace) -> bool:
        trace: Trace | None = self
        while trace is not None and trace is not other:
            trace = trace.parent
        return trace is other

    def _constant(self, array: NDArray) -> Ref:
        """The array as a constant; a large one met again, and unchanged, is not copied again."""
        if _is_uniform(array):  # one value, broadcast: then `with_shapes` can resize it
            value = self.builder.constant(array.reshape(-1)[0])
            ref: Ref = self.builder.add("broadcast_to", value, shape=array.shape)
            return ref
        if array.nbytes < _LARGE_BYTES:
            return self.builder.constant(array)
        held = self._large.get(id(array))
        if held is None or not _same_bits(held.contents, array):
            held = self._large[id(array)] = self._large_constant(array)
        return held.ref

    def _large_constant(self, array: NDArray) -> _Large:
        """The array as a constant; where it counts up, as a row that does."""
        first = array.reshape(-1)[0]
        if array.dtype == INT64 and _same_bits(array.reshape(-1), first + np.arange(array.size)):
            count = self.builder.add("iota", shape=(array.size,), axis=0, dtype=INT64)
            moved = self.builder.add("add", count, self.builder.constant(first))
            ref = self.builder.add("reshape", moved, shape=array.shape)
            return _Large(array, array.copy(), ref)
        ref = self.builder.constant(array)
        contents = self.builder.constant_value(ref.index)
        assert contents is not None, "a constant has a value"
        return _Large(array, contents, ref)


class _Large(NamedTuple):
    """A large constant: the array it came from (kept, so that its id stays its own), and a copy."""

    array: NDArray
    contents: NDArray
    ref: Ref


_innermost: ContextVar[Trace | None] = ContextVar("pullback_trace", default=None)


def active_trace() -> Trace | None:
    """The innermost trace under way in this thread or task, if any."""
    return _innermost.get()


@contextmanager
def tracing() -> Iterator[Trace]:
    """Open a trace inside the active one; operations on traced arrays go to it."""
    trace = Trace(_innermost.get())
    token = _innermost.set(trace)
    try:
        yield trace
    finally:
        _innermost.reset(token)


def _is_uniform(array: NDArray) -> bool:
    """Whether several elements all hold the same bits."""
    flat = array.reshape(-1)
    if flat.size < 2 or flat[0] != flat[-1]:
        return False
    return _same_bits(np.broadcast_to(flat[:1], flat.shape), flat)


def _same_bits(x: NDArray, y: NDArray) -> bool:
    """Whether two arrays hold the same bits (so NaN equals itself, and -0 is not 0)."""
    if x.shape != y.shape or x.dtype != y.dtype:
        return False
    if x.dtype.kind == "c":
        return _same_bits(x.real, y.real) and _same_bits(x.imag, y.imag)
    bits = np.dtype(f"u{x.dtype.itemsize}")
    return bool((x.view(bits) == y.view(bits)).all())
