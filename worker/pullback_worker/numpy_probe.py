"""Measures what NumPy takes here: each row of the table on its own example, grown, for an instant.

Gives seconds per unit of `numpy_work`, of the processor, on one thread. A figure is the least of a
few runs, so that what else the machine does meanwhile matters little. The whole takes a tenth of a
second, besides loading the libraries that some rows need.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from math import inf, prod
from time import thread_time
from typing import Any, NamedTuple

import numpy as np

from pullback_graph.attributes import Kind, canonical
from pullback_graph.errors import PullbackError
from pullback_graph.graph import Node
from pullback_graph.op import Cost, Example, Interval, Op
from pullback_graph.ops.rules import broadcast_axes
from pullback_graph.table import OPS
from pullback_graph.types import (
    BOOL,
    FLOAT32,
    FLOAT64,
    INT64,
    ArrayType,
    DType,
    complex_dtype,
)
from pullback_worker.executor import NDArray
from pullback_worker.numpy_kernels import NUMPY
from pullback_worker.numpy_work import (
    FRESH,
    MEMORY,
    amount_of,
    bytes_unit,
    call_unit,
    has_bytes,
    row_unit,
)
from pullback_worker.quiet import quietly

LOG = logging.getLogger(__name__)

BUDGET_S = 0.1
"""Rows are measured until their runs took so long, in float64 first."""
_MOST_BYTES, _MOST_FLOPS, _MOST_ELEMENTWISE = 3 << 17, 3e7, 2e6
"""What a row's own cost of a sample may be: it stays in the cache, and is over soon."""
_LEAST_SHARE = 0.1
"""Of the time of a sample that is more than reading and writing, what its FLOPs take at least."""
_MOST_RUNS, _CALLS, _ENOUGH_S = 4, 4, 2e-4
_DEAR_S = 3e-4
"""Rows that take so long are much the same in every dtype, or are not worth the time."""
_EXAMPLES = 4
"""Examples of a row that are looked at."""
_TRAFFIC_BYTES = 48 << 20
"""Of an array that no cache holds."""


def measured(budget_s: float = BUDGET_S) -> dict[str, float]:
    """Seconds per unit of work, of one thread of this process. Rows beyond the budget have none."""
    probe = _Probe(budget_s)
    quietly(probe.run)
    return probe.rates


class _Sample(NamedTuple):
    """A node of a row on operands of its own, what it costs, and how much of its row's work it is.

    Attributes:
        times: how many times as long its axes are as the example's.
    """

    node: Node
    types: list[ArrayType]
    cost: Cost
    times: int

    @property
    def amount(self) -> float:
        """How much of its row's work it is."""
        return amount_of(self.node, self.cost)

    @property
    def intensity(self) -> float:
        """FLOPs per byte."""
        return self.cost.flops / max(self.cost.size_bytes, 1.0)


class _Probe:
    """One measurement.

    Attributes:
        rates: seconds per unit, so far.
    """

    def __init__(self, budget_s: float) -> None:
        self.rates: dict[str, float] = {}
        self._left_s = budget_s
        self._drawn = np.random.default_rng(0).random(_MOST_BYTES // 8)
        """Operands are stretches of the same numbers, as drawing would take longest."""

    def run(self) -> None:
        """Measure what the budget allows."""
        self._measure_memory()
        rows = [op for op in OPS.values() if not op.graphs]
        quick = [op for op in rows if self._measure_row(op, FLOAT64) < _DEAR_S]
        for op in quick:
            self._measure_row(op, FLOAT32)

    def _measure_row(self, op: Op, dtype: DType) -> float:
        """Measure a row's calls and its work; the seconds of a run on the larger sample."""
        small, large = _sample(op, dtype, 1), _sample(op, dtype, _MOST_BYTES)
        if small is None or large is None or self._left_s <= 0:
            return inf
        try:
            return self._measure(op, dtype, small, large)
        except Exception:
            LOG.exception("%s could not be measured", op.name)
            return inf

    def _measure(self, op: Op, dtype: DType, small: _Sample, large: _Sample) -> float:
        """Measure a row on an example as it is, and on one that grew."""
        call_s = self._call_s(small)
        if dtype is FLOAT64:
            self.rates[call_unit(small.node)] = call_s
        if large.amount <= small.amount:
            return call_s
        spent_s = self._run_s(large)
        self._fit(op, dtype, call_s, large, spent_s)
        return spent_s

    def _fit(self, op: Op, dtype: DType, call_s: float, large: _Sample, spent_s: float) -> None:
        """The rates by which a sample, and a smaller one where that says more, take their time."""
        net_s = max(spent_s - call_s, 0.1 * spent_s)
        unit, flop_s = row_unit(large.node, large.types), net_s / large.amount
        if has_bytes(large.node, large.cost):
            flop_s = self._flop_s(op, dtype, call_s, large, net_s)
            left_s = max(net_s - flop_s * large.amount, 0.0)
            self.rates[bytes_unit(large.node, large.types)] = left_s / large.cost.size_bytes
        self.rates[unit] = flop_s

    def _flop_s(self, op: Op, dtype: DType, call_s: float, large: _Sample, net_s: float) -> float:
        """Seconds of a FLOP, what bytes take left out: by a smaller sample, of fewer FLOPs a byte.

        Where that has as many, all the time is the FLOPs'.
        """
        alone_s = net_s / large.amount
        small = _sample(op, dtype, large.times // 2)
        if small is None or small.intensity > 0.75 * large.intensity:
            return alone_s
        small_s = max(self._run_s(small) - call_s, 0.0)
        grown = large.cost.size_bytes / small.cost.size_bytes
        flop_s = (net_s - grown * small_s) / (large.amount - grown * small.amount)
        return min(max(flop_s, _LEAST_SHARE * alone_s), alone_s)

    def _measure_memory(self) -> None:
        """Measure memory: handed out for the first time, and far away rather than near."""
        self.rates[FRESH] = self._least_s(lambda: _touched(_TRAFFIC_BYTES)) / _TRAFFIC_BYTES
        x = _touched(_TRAFFIC_BYTES)
        near = x[: _MOST_BYTES // 8]
        far_s = self._least_s(lambda: np.add.reduce(x)) / x.nbytes
        near_s = self._least_s(lambda: np.add.reduce(near)) / near.nbytes
        self.rates[MEMORY] = max(far_s - near_s, 0.1 * far_s)

    # --- clocks -----------------------------------------------------------------------------------

    def _call_s(self, sample: _Sample) -> float:
        """Seconds of a run that is too short for a clock."""
        run, arrays = self._function(sample)

        def often() -> None:
            for _ in range(_CALLS):
                run(*arrays)

        return self._least_s(often) / _CALLS

    def _run_s(self, sample: _Sample) -> float:
        run, arrays = self._function(sample)
        return self._least_s(lambda: run(*arrays))

    def _least_s(self, run: Callable[[], Any]) -> float:
        """Seconds of the fastest of a few runs, of two where they are long."""
        least_s, spent_s = inf, 0.0
        for number in range(_MOST_RUNS):
            start_s = thread_time()
            run()
            took_s = thread_time() - start_s
            least_s, spent_s = min(least_s, took_s), spent_s + took_s
            if number and spent_s > _ENOUGH_S:
                break
        self._left_s -= number * least_s
        return least_s

    # --- operands ---------------------------------------------------------------------------------

    def _function(self, sample: _Sample) -> tuple[Callable[..., Any], list[NDArray]]:
        """What runs a sample, and its operands."""
        op, types = sample.node.op, sample.types
        arrays = [
            self._array(*pair) for pair in zip(_intervals(op, len(types)), types, strict=True)
        ]
        return op.run(NUMPY, **sample.node.attributes), arrays

    def _array(self, interval: Interval, type: ArrayType) -> NDArray:
        base = self._drawn[: type.size].reshape(type.shape)
        array = interval.low + (interval.high - interval.low) * base
        if interval.diagonal and len(type.shape) > 1:
            n = min(type.shape[-2:])
            array[..., range(n), range(n)] += interval.diagonal * np.arange(1, n + 1)
        return base < 0.5 if interval.boolean else array.astype(type.dtype)


def _touched(size_bytes: int) -> NDArray:
    """An array in memory that the system just handed out."""
    array = np.empty(size_bytes // 8)
    array[:: 4096 // 8] = 0.0
    return array


# --- samples --------------------------------------------------------------------------------------


def _sample(op: Op, dtype: DType, times: int) -> _Sample | None:
    """The row's example that grows to the most work, every axis up to so many times as long."""
    samples = [_grown(op, example, dtype, times) for example in _examples(op)]
    return max([s for s in samples if s is not None], key=lambda s: s.amount, default=None)


def _examples(op: Op) -> Sequence[Example]:
    if op.domain.examples:
        return op.domain.examples[:_EXAMPLES]
    return [Example(((1,),) * len(op.domain.operands))] if op.axes is broadcast_axes else ()


def _grown(op: Op, example: Example, dtype: DType, times: int) -> _Sample | None:
    """An example with longer axes, as long as it is cheap; None where that is no example."""
    if not all(map(prod, example.shapes)):
        return None
    times = _round(min(times, _times(example)))
    most_flops = _MOST_ELEMENTWISE if op.axes is broadcast_axes else _MOST_FLOPS
    while True:
        try:
            attributes = canonical(op.attributes, _longer(op, example.attributes, times))
            types = _types(op, example, dtype, times)
            typed = op.type(*types, **attributes)
        except PullbackError:
            return None
        node = Node(op, (), attributes, (typed,) if isinstance(typed, ArrayType) else typed)
        cost = op.cost(types, node.types, **attributes)
        if times == 1 or (cost.flops <= most_flops and cost.size_bytes <= _MOST_BYTES):
            return _Sample(node, types, cost, times)
        times = _round(times - 1)


def _round(times: int) -> int:
    """The most that is no larger, of 1 and 3 times a power of two.

    Rows a power of two bytes apart share few places of a cache, and are slower than others.
    """
    return 3 << ((times // 3).bit_length() - 1) if times >= 3 else 1


def _times(example: Example) -> int:
    """How many times as long axes may be for operands of the most bytes."""
    sizes = [(prod(shape), max(len(shape), 1)) for shape in example.shapes]
    return int(min([(_MOST_BYTES / 8 / size) ** (1 / rank) for size, rank in sizes], default=1))


def _types(op: Op, example: Example, dtype: DType, times: int) -> list[ArrayType]:
    """The types of an example's operands, every axis so many times as long."""
    return [
        ArrayType(_dtype(interval, dtype), tuple([times * n for n in shape]))
        for interval, shape in zip(_intervals(op, len(example.shapes)), example.shapes, strict=True)
    ]


def _intervals(op: Op, count: int) -> list[Interval]:
    """The interval of each operand, taken in turn."""
    return [op.domain.operands[i % len(op.domain.operands)] for i in range(count)]


def _dtype(interval: Interval, dtype: DType) -> DType:
    if interval.boolean:
        return BOOL
    if interval.integer:
        return INT64
    return complex_dtype(dtype) if interval.complex else dtype


def _longer(op: Op, attributes: Mapping[str, Any], times: int) -> dict[str, Any]:
    """Attributes for axes that are so many times as long."""
    kinds = {item.name: item.kind for item in op.attributes}
    return {
        name: tuple([times * n for n in value])
        if kinds[name] in (Kind.SHAPE, Kind.STOPS)
        else value
        for name, value in attributes.items()
    }
