"""Measures what NumPy takes here: each row of the table on its own example, grown, for an instant.

Gives seconds per unit of `numpy_work`, of the processor, on one thread. A figure is the least of a
few runs, so that what else the machine does meanwhile matters little. The whole takes about
half a second, besides loading the libraries that some rows need.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import inf
from operator import is_
from statistics import median
from threading import Barrier
from time import thread_time
from typing import Any

import numpy as np

from pullback_graph.builder import Builder
from pullback_graph.graph import Graph
from pullback_graph.op import Op
from pullback_graph.ops.rules import broadcast_axes
from pullback_graph.ref import apply, do
from pullback_graph.table import OPS
from pullback_graph.types import FLOAT32, FLOAT64, ArrayType, DType
from pullback_worker.executor import NDArray
from pullback_worker.numpy_executor import NumpyExecutor
from pullback_worker.numpy_source import scalar_function
from pullback_worker.numpy_work import (
    CROWDED,
    FRESH,
    HELD,
    LOOPS,
    MEMORY,
    STEPS,
    THIN_MEMORY,
    bytes_unit,
    call_unit,
    row_unit,
    scalar_call_unit,
    thin_unit,
)
from pullback_worker.quiet import quietly
from pullback_worker.row_samples import RowSamples, Sample, samples

LOG = logging.getLogger(__name__)

BUDGET_S = 0.3
"""Rows are measured until their runs took so long, in float64 first."""
_LEAST_SHARE, _DENSE_SHARE = 0.1, 0.25
"""Of the time of a row's largest sample, what its FLOPs take at least; where they are many."""
_COUNTING = 0.25
"""FLOPs per byte from which it is they that take the time, where samples do not tell."""
_LEAST_NET = 0.1
"""Of the time of a sample, what is left when calls and loops are taken off."""
_MOST_RUNS, _CALLS, _ENOUGH_S = 4, 16, 2e-4
_SHORT_S = 5e-6
"""A run that is too short for a clock, and is taken `_CALLS` times."""
_DEAR_S = 1e-3
"""Rows that take so long are much the same in every dtype, or are not worth the time."""
SHORT_BYTES, LONG_BYTES = 48 << 20, 144 << 20
"""What is taken to measure memory: where it is scarce, and else, as some caches hold the first."""
_ROOM = 16
"""How many times as much there must be for the second."""
_NEAR, _HELD = 1 << 14, 3 << 19
"""Elements of each of three arrays that a near cache holds, and of such that a last one may, where
that is a large one."""
_ROW = 144
"""Elements of a row of what is read by products with a vector."""
_THIN = 1 << 21
"""Elements that those read."""
_CROWDED_RUNS = 3
"""Of which the middle one counts: the last may be alone."""
_STEPS, _ADDITIONS = 400, 5
"""Of a loop over scalars, and in each."""
_LOOPS, _STAYING = (400, 4, 4), 2
"""Of an inner loop each, the last; and how many operands stay at an axis."""


def measured(budget_s: float = BUDGET_S, room_bytes: int = 0) -> dict[str, float]:
    """Seconds per unit of work, of one thread of this process. Rows beyond the budget have none.

    Args:
        room_bytes: what this process may have for arrays, tasks' beside it included; 0 for no cap.
    """
    probe = _Probe(budget_s, traffic_bytes(room_bytes))
    quietly(probe.run)
    return probe.rates


def traffic_bytes(room_bytes: int) -> int:
    """What measuring memory may take of so much room; 0 is room without an end."""
    return SHORT_BYTES if 0 < room_bytes < _ROOM * LONG_BYTES else LONG_BYTES


class _Probe:
    """One measurement.

    Attributes:
        rates: seconds per unit, so far.
    """

    def __init__(self, budget_s: float, traffic_bytes: int) -> None:
        self.rates: dict[str, float] = {}
        self._traffic_bytes = traffic_bytes
        self._first: list[tuple[RowSamples, float, float]] = []  # with seconds of large, of half
        self._left_s = budget_s

    def run(self) -> None:
        """Measure what the budget allows."""
        self._measure_memory()
        self._measure_steps()
        rows = [op for op in OPS.values() if not op.graphs]
        quick = [op for op in rows if self._measure_row(op, FLOAT64) < _DEAR_S]
        self._measure_again()
        for op in quick:
            self._measure_row(op, FLOAT32)

    def _measure_row(self, op: Op, dtype: DType) -> float:
        """Measure a row's calls, loops and work; the seconds of a run on its largest sample."""
        if self._left_s <= 0:
            return inf
        try:
            found = samples(op, dtype)
            return self._measure(found, dtype) if found is not None else inf
        except Exception:
            LOG.exception("%s could not be measured", op.name)
            return inf

    def _measure(self, found: RowSamples, dtype: DType) -> float:
        """Measure a row on its samples: what calls and loops take is the same in every dtype."""
        large = found.large
        if dtype is FLOAT64:
            self.rates[call_unit(large.node)] = self._run_s(found.small)
        if large.cost.work <= found.small.cost.work:
            return 0.0
        large_s = self._run_s(large)
        half_s = self._run_s(found.half) if found.half is not None else 0.0
        self._fit(found, large_s, half_s)
        if found.thin is not None:
            thin = found.thin
            thin_s = self._net_s(thin, self._run_s(thin))
            self.rates[thin_unit(thin.node, thin.types)] = thin_s / thin.cost.size_bytes
        if dtype is FLOAT64:
            self._first.append((found, large_s, half_s))
            self._measure_loops(found.wide)
            if large.loops[0] in self.rates:
                self._fit(found, large_s, half_s)
            if large.node.op.axes is broadcast_axes:
                self._measure_scalars(found.small)
        return large_s

    def _measure_again(self) -> None:
        """Measure rows a second time: what disturbed one for some milliseconds is over by now."""
        for found, large_s, half_s in self._first:
            if self._left_s <= 0 or large_s >= _DEAR_S:
                continue
            unit = call_unit(found.small.node)
            self.rates[unit] = min(self.rates[unit], self._run_s(found.small))
            half_again_s = self._run_s(found.half) if found.half is not None else 0.0
            large_again_s = self._run_s(found.large)
            self._fit(found, min(large_s, large_again_s), min(half_s, half_again_s))

    def _fit(self, found: RowSamples, large_s: float, half_s: float) -> None:
        """The rates of FLOPs and bytes by which the large sample takes its time."""
        large = found.large
        net_s, amount = self._net_s(large, large_s), large.amount
        share = 1.0
        if large.node.op.axes is not broadcast_axes:
            share = float(large.intensity >= _COUNTING)
            if found.half is not None:
                share = _share(found.half, large, self._net_s(found.half, half_s), net_s)
            bytes_s = (1.0 - share) * net_s / large.cost.size_bytes
            self.rates[bytes_unit(large.node, large.types)] = bytes_s
        if amount:
            self.rates[row_unit(large.node, large.types)] = share * net_s / amount

    def _net_s(self, sample: Sample, spent_s: float) -> float:
        """Seconds without what the call and its loops take, as far as that is known."""
        unit, loops = sample.loops
        known_s = self.rates.get(call_unit(sample.node), 0.0) + loops * self.rates.get(unit, 0.0)
        return max(spent_s - known_s, _LEAST_NET * spent_s)

    def _measure_loops(self, wide: list[Sample]) -> None:
        """Measure what inner loops take beyond the work that is in them."""
        for sample in wide:
            unit, loops = sample.loops
            work = {other: amount for other, amount in sample.work.items() if other != unit}
            known_s = sum([amount * self.rates.get(u, 0.0) for u, amount in work.items()])
            loop_s = max(self._run_s(sample) - known_s, 0.0) / loops
            self.rates[unit] = min(loop_s, self.rates.get(unit, inf))

    def _measure_scalars(self, sample: Sample) -> None:
        """Measure a row's calls on scalars, as loops make them."""
        function, arrays = sample.function()
        scalars = [array.reshape(-1)[0] for array in arrays]
        run = scalar_function(function)
        spent_s = self._timed(run, scalars)
        if run is not function:  # a loop's source has the operator's sign, and calls nothing
            spent_s = max(spent_s - self._timed(is_, scalars[:1] * 2), _LEAST_NET * spent_s)
        self.rates[scalar_call_unit(sample.node)] = spent_s

    def _measure_steps(self) -> None:
        """Measure what a step of a loop takes besides its body: of one addition, and of several."""
        arrays = [np.zeros(_STEPS), np.zeros(())]
        one_s, several_s = (
            self._least_s(partial(NumpyExecutor().compile(_counting(additions)), arrays)) / _STEPS
            for additions in (1, _ADDITIONS)
        )
        body_s = (several_s - one_s) / (_ADDITIONS - 1)
        self.rates[STEPS] = max(one_s - body_s, _LEAST_NET * one_s)

    def _measure_memory(self) -> None:
        """Measure memory, handed out for the first time, and far away rather than near; loops."""
        self.rates[FRESH] = self._least_s(lambda: _touched(SHORT_BYTES)) / SHORT_BYTES
        x = _touched(self._traffic_bytes).reshape(3, -1)
        near_s, held_s, half_s, far_s = (
            min([_stream_s(x[:, :n]) for _ in range(runs)]) / n
            for n, runs in ((_NEAR, 8), (_HELD, 6), (x.shape[1] // 2, 2), (x.shape[1], 2))
        )
        bytes_each = 3 * x.itemsize
        self.rates[HELD] = max(held_s - near_s, 0.01 * held_s) / bytes_each
        self.rates[MEMORY] = max(far_s - near_s, 0.1 * far_s, held_s - near_s) / bytes_each
        product_s = max(_product_s(x) - near_s / 3, x.itemsize * self.rates[MEMORY])
        self.rates[THIN_MEMORY] = product_s / x.itemsize
        self.rates[CROWDED] = self.rates[MEMORY] * max(_crowded_s(x) / half_s, 1.0)
        rows, columns, inner = _LOOPS
        x = np.zeros((rows, 1, inner))
        z = np.zeros(_LOOPS)
        loops_s = self._least_s(lambda: np.add(x, z[0], out=z))
        flat_s = self._least_s(lambda: np.add(z, z, out=z))
        self.rates[LOOPS] = max(loops_s - flat_s, 0.1 * loops_s) / (rows * columns * _STAYING)

    # --- clocks -----------------------------------------------------------------------------------

    def _run_s(self, sample: Sample) -> float:
        return self._timed(*sample.function())

    def _timed(self, run: Callable[..., Any], arrays: list[NDArray]) -> float:
        """Seconds of a run, be it too short for a clock."""
        spent_s = self._least_s(lambda: run(*arrays))
        if spent_s > _SHORT_S:
            return spent_s

        def often() -> None:
            for _ in range(_CALLS):
                run(*arrays)

        return self._least_s(often) / _CALLS

    def _least_s(self, run: Callable[[], Any]) -> float:
        """Seconds of the fastest of a few runs, of three where they are long."""
        least_s, spent_s = inf, 0.0
        for number in range(_MOST_RUNS):
            start_s = thread_time()
            run()
            took_s = thread_time() - start_s
            least_s, spent_s = min(least_s, took_s), spent_s + took_s
            if number > 1 and spent_s > _ENOUGH_S:
                break
        self._left_s -= number * least_s
        return max(least_s, 1e-9)


def _share(half: Sample, large: Sample, half_s: float, large_s: float) -> float:
    """The part of a sample's time that its FLOPs take, by another with fewer FLOPs a byte."""
    grown = large.cost.size_bytes / half.cost.size_bytes
    flop_s = (large_s - grown * half_s) / (large.amount - grown * half.amount)
    least = _DENSE_SHARE if large.is_dense else _LEAST_SHARE
    return min(max(flop_s * large.amount / large_s, least), 1.0)


def _crowded_s(x: NDArray) -> float:
    """Seconds for a column of an array when two threads go over a quarter of it each."""
    quarters = np.split(x, 4, axis=1)[:2]
    start = Barrier(len(quarters))

    def stream(own: NDArray) -> float:
        start.wait()
        return median([_stream_s(own) for _ in range(_CROWDED_RUNS)])

    with ThreadPoolExecutor(len(quarters)) as threads:
        return float(min(threads.map(stream, quarters)) / quarters[0].shape[1])


def _stream_s(x: NDArray) -> float:
    """Seconds until two rows of an array are added into the third."""
    start_s = thread_time()
    np.add(x[0], x[1], out=x[2])
    return thread_time() - start_s


def _counting(additions: int) -> Graph:
    """A loop that adds each element of an array so many times, and gives each sum."""
    builder = Builder()
    inner = builder.inner()
    c, x = (inner.input(name, ArrayType(FLOAT64, ())) for name in "cx")
    z = c
    for _ in range(additions):
        z = do.add(z, x)
    body = inner.build({"c": z, "z": z})
    xs = builder.input("xs", ArrayType(FLOAT64, (_STEPS,)))
    start = builder.input("start", ArrayType(FLOAT64, ()))
    _, sums = apply("scan", start, xs, body=body, consts=0, carries=1, length=_STEPS)
    return builder.build({"sums": sums})


def _product_s(x: NDArray) -> float:
    """Seconds for an element of rows from memory that are multiplied with a vector."""
    rows = [own[:_THIN][: _THIN // _ROW * _ROW].reshape(-1, _ROW) for own in x[:2]]
    vector = x[2, :_ROW].copy()
    least_s = inf
    for own in rows:
        start_s = thread_time()
        own @ vector
        least_s = min(least_s, thread_time() - start_s)
    return float(least_s / rows[0].size)


def _touched(size_bytes: int) -> NDArray:
    """An array in memory that the system just handed out."""
    array = np.empty(size_bytes // 8)
    array[:: 4096 // 8] = 0.0
    return array
