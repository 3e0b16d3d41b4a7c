"""Samples of a row to be timed: its own examples, grown until they are long enough to tell.

One as it is, two that grew along every axis, and some that grew along their first axis alone, which
start many inner loops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from pullback_graph.attributes import Kind, canonical
from pullback_graph.errors import PullbackError
from pullback_graph.graph import Node
from pullback_graph.op import Cost, Example, Interval, Op
from pullback_graph.ops.rules import broadcast_axes
from pullback_graph.types import BOOL, INT64, ArrayType, DType, Shape, complex_dtype
from pullback_worker.elementwise_chains import is_elementwise
from pullback_worker.executor import NDArray
from pullback_worker.inner_loops import inner_loops
from pullback_worker.numpy_kernels import NUMPY
from pullback_worker.numpy_work import amount_of, is_thin, loops_unit, node_work

MOST_BYTES = 3 << 17
"""What a sample reads and writes at most: it stays in the cache."""
DENSE_BYTES = 3 << 19
"""The same of one that does `_DENSE` FLOPs a byte: large matrices are what BLAS is fast on."""
_DENSE = 4.0
_WIDE_BYTES = 3 << 15
_MOST_FLOPS, _MOST_ELEMENTWISE = 1.2e7, 3e5
"""What a row's own cost of a sample may be: it is over soon."""
_LEAST_TIMES = 6
"""How many times as long the largest sample's axes are, at least, for half of that to tell."""
_HEADER_BYTES = 16
"""Of an allocator, before an array."""
LEAST_LOOPS = 32
"""That a sample is to start: by one or a few, whatever disturbs it is taken to be their price."""
_EXAMPLES = 4
"""Examples of a row that grow along every axis, and those that grow along the first."""

_STRETCHES, _APART = 8, 1009
"""Stretches, and the numbers between the starts of two: rows are quicker on equal operands."""
_drawn: NDArray = np.random.default_rng(0).random(DENSE_BYTES // 8 + _STRETCHES * _APART)
"""Operands are stretches of the same numbers, as drawing would take longest."""


class Sample:
    """A node of a row on operands of its own.

    Attributes:
        times: how many times as long its axes are as the example's.
    """

    def __init__(self, node: Node, types: Sequence[ArrayType], cost: Cost, times: int) -> None:
        self.node, self.types, self.cost, self.times = node, types, cost, times

    @cached_property
    def work(self) -> dict[str, float]:
        """Its amounts by unit."""
        return node_work(self.node, self.types, self.cost)

    @property
    def amount(self) -> float:
        """How much of its row's work it is."""
        return amount_of(self.node, self.cost)

    @cached_property
    def loops(self) -> tuple[str, float]:
        """The unit of its inner loops, and how many it starts."""
        kind, count = inner_loops(self.node, self.types)
        return loops_unit(self.node, kind), float(count)

    @property
    def is_dense(self) -> bool:
        """Whether it does many FLOPs with each byte."""
        return self.node.op.axes is not broadcast_axes and self.intensity >= _DENSE

    @property
    def intensity(self) -> float:
        """FLOPs per byte."""
        return self.cost.flops / max(self.cost.size_bytes, 1.0)

    def function(self) -> tuple[Callable[..., Any], list[NDArray]]:
        """What runs it, and its operands."""
        intervals = _intervals(self.node.op, len(self.types))
        pairs = zip(intervals, self.types, strict=True)
        arrays = [_array(*pair, operand) for operand, pair in enumerate(pairs)]
        function = self.node.op.run(NUMPY, **self.node.attributes)
        if isinstance(function, np.ufunc) and is_elementwise(function) and self.times > 1:
            return partial(function, out=_laid(self.node.types[0])), arrays
        return function, arrays


class RowSamples(NamedTuple):
    """The samples of a row.

    Attributes:
        small: an example as it is.
        half: of fewer FLOPs a byte than the largest; None where all have as many.
        thin: of a product that is nothing but read; None where the row has none.
        wide: that start many inner loops.
        large: as large as may be.
    """

    small: Sample
    half: Sample | None
    thin: Sample | None
    wide: list[Sample]
    large: Sample


def samples(op: Op, dtype: DType) -> RowSamples | None:
    """The samples of a row; None of one without examples that grow."""
    examples = _examples(op)
    found = [(e, s) for e in examples if (s := _grown(op, e, dtype, DENSE_BYTES)) is not None]
    if not found:
        return None
    example, large = max(found, key=lambda pair: _telling(pair[1]))
    small = _sample(op, example, dtype, 1, first=False)
    assert small is not None, "an example that grew is one as it is"
    if op.axes is broadcast_axes:
        return RowSamples(small, None, None, [], large)
    half = _half(op, example, large, dtype) if large.times > _LEAST_TIMES else None
    thin = _thin(found)
    return RowSamples(small, half, thin, _wide(op, op.domain.examples, dtype), large)


def _telling(sample: Sample) -> float:
    """How much a sample says of large ones: by its work, and more so by FLOPs a byte."""
    return sample.cost.work * (1.0 + sample.intensity) ** 2


def _half(op: Op, example: Example, large: Sample, dtype: DType) -> Sample | None:
    half = _grown(op, example, dtype, large.times // 2)
    return half if half is not None and half.intensity < 0.75 * large.intensity else None


def _thin(found: Sequence[tuple[Example, Sample]]) -> Sample | None:
    """The largest product with a vector."""
    thin = [sample for _, sample in found if is_thin(sample.node, sample.types, sample.cost)]
    return max(thin, key=lambda sample: sample.cost.work, default=None)


def _wide(op: Op, examples: Sequence[Example], dtype: DType) -> list[Sample]:
    """Those that start many inner loops."""
    grown = [_grown(op, example, dtype, _WIDE_BYTES, first=True) for example in examples]
    return [sample for sample in grown if sample is not None and sample.loops[1] >= LEAST_LOOPS][
        :_EXAMPLES
    ]


def _examples(op: Op) -> Sequence[Example]:
    if op.domain.examples:
        return op.domain.examples[:_EXAMPLES]
    return [Example(((1,),) * len(op.domain.operands))] if op.axes is broadcast_axes else ()


def _grown(
    op: Op, example: Example, dtype: DType, times: int, first: bool = False
) -> Sample | None:
    """An example with longer axes, as long as it is cheap; None where that is no example.

    Args:
        first: whether only the first axis of operands of the highest rank grows.
    """
    if not all(map(prod, example.shapes)):
        return None
    times = _round(min(times, _times(example, first)))
    while True:
        sample = _sample(op, example, dtype, times, first)
        if sample is None or times == 1 or _is_cheap(sample, first):
            return sample
        times = _round(times - 1)


def _sample(op: Op, example: Example, dtype: DType, times: int, first: bool) -> Sample | None:
    try:
        attributes = canonical(op.attributes, _longer(op, example.attributes, times, first))
        types = _types(op, example, dtype, times, first)
        typed = op.type(*types, **attributes)
    except PullbackError:
        return None
    node = Node(op, (), attributes, (typed,) if isinstance(typed, ArrayType) else typed)
    return Sample(node, types, op.cost(types, node.types, **attributes), times)


def _is_cheap(sample: Sample, first: bool) -> bool:
    flops, size_bytes = sample.cost.flops, sample.cost.size_bytes
    if first:
        return size_bytes <= _WIDE_BYTES
    if sample.node.op.axes is broadcast_axes:
        return flops <= _MOST_ELEMENTWISE and size_bytes <= MOST_BYTES
    return flops <= _MOST_FLOPS and size_bytes <= (DENSE_BYTES if sample.is_dense else MOST_BYTES)


def _round(times: int) -> int:
    """The most that is no larger, of 1 and 3 times a power of two.

    Rows a power of two bytes apart share few places of a cache, and are slower than others.
    """
    return 3 << ((times // 3).bit_length() - 1) if times >= 3 else 1


def _times(example: Example, first: bool) -> int:
    """How many times as long axes may be for operands of the most bytes."""
    most = (_WIDE_BYTES if first else DENSE_BYTES) / 8
    sizes = [(prod(shape), 1 if first else max(len(shape), 1)) for shape in example.shapes]
    return int(min([(most / size) ** (1 / rank) for size, rank in sizes], default=1))


def _types(op: Op, example: Example, dtype: DType, times: int, first: bool) -> list[ArrayType]:
    """The types of an example's operands, axes so many times as long."""
    rank = max(map(len, example.shapes), default=0)
    return [
        ArrayType(
            _dtype(interval, dtype),
            _longer_shape(shape, times, first) if len(shape) == rank or not first else shape,
        )
        for interval, shape in zip(_intervals(op, len(example.shapes)), example.shapes, strict=True)
    ]


def _longer_shape(shape: Shape, times: int, first: bool) -> Shape:
    return tuple([n if first and axis else times * n for axis, n in enumerate(shape)])


def _longer(op: Op, attributes: Mapping[str, Any], times: int, first: bool) -> dict[str, Any]:
    """Attributes for axes that are so many times as long."""
    kinds = {item.name: item.kind for item in op.attributes}
    return {
        name: _longer_shape(value, times, first)
        if kinds[name] in (Kind.SHAPE, Kind.STOPS)
        else value
        for name, value in attributes.items()
    }


def _array(interval: Interval, type: ArrayType, operand: int) -> NDArray:
    first = operand % _STRETCHES * _APART
    base = _drawn[first : first + type.size].reshape(type.shape)
    array = interval.low + (interval.high - interval.low) * base
    if interval.diagonal and len(type.shape) > 1:
        n = min(type.shape[-2:])
        array[..., range(n), range(n)] += interval.diagonal * np.arange(1, n + 1)
    return base < 0.5 if interval.boolean else array.astype(type.dtype)


def _laid(type: ArrayType) -> NDArray:
    """An array laid as large ones are: behind a header, so that wide stores cross cache lines."""
    room = np.empty(type.size_bytes + 64, np.uint8)
    start = (_HEADER_BYTES - room.ctypes.data) % 64
    laid: NDArray = room[start : start + type.size_bytes].view(type.dtype).reshape(type.shape)
    return laid


def _intervals(op: Op, count: int) -> list[Interval]:
    """The interval of each operand, taken in turn."""
    return [op.domain.operands[i % len(op.domain.operands)] for i in range(count)]


def _dtype(interval: Interval, dtype: DType) -> DType:
    if interval.boolean:
        return BOOL
    if interval.integer:
        return INT64
    return complex_dtype(dtype) if interval.complex else dtype
