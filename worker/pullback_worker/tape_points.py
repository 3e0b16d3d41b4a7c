"""The program of a graph that does the same at every point: one point's tape, LANES at a time.

The GIL is released; where there are points enough, threads of our own share them. Which thread runs
a point decides nothing, so that the bits are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import prod

import numpy as np

from pullback_graph.errors import Cancelled, OutOfMemory
from pullback_graph.graph import Graph
from pullback_graph.tape import Pointwise, Tape
from pullback_graph.tape.rows import NDArray
from pullback_graph.want import DerivativeKey, Names, Value
from pullback_worker.executor import CancelFlag
from pullback_worker.tape_code import link
from pullback_worker.tape_lanes import LANES, evaluate_points
from pullback_worker.tape_plain import wrong_count, wrong_size
from pullback_worker.tape_scratch import SCRATCH
from pullback_worker.tape_wants import Mode
from pullback_worker.tape_warm import warm

_VISIT = 4_000_000
"""Nodes times points between looks at the cancel flag: some milliseconds."""


class PointsProgram:
    """Values of a pointwise graph. Safe to call from several threads at once.

    Args:
        tape: of one point, as `pullback_graph.tape.tape_of_point` gives it.
        want: which outputs.
        threads: most that share the points of a run.

    Attributes:
        tape, inputs, value_count, derivatives, independent, adjoints, mode, mode_reason: as of
            `TapeProgram`.
    """

    derivatives: tuple[DerivativeKey, ...] = ()
    independent: Names = ()
    adjoints = 0
    mode = mode_reason = ""

    def __init__(
        self, graph: Graph, points: Pointwise, tape: Tape, want: Value, threads: int = 1
    ) -> None:
        self.tape = tape
        self.want = want
        self.inputs = graph.inputs
        names = want.outputs or graph.output_names
        self._positions = [tape.output_index(name) for name in names]
        self.value_count = len(names)
        self._points, self._threads = points, threads
        warm(tape.dtype, Mode.POINTS)
        outputs = [tape.outputs[position].values for position in self._positions]
        self._code = link(tape, outputs, [])
        self._places = self._code.places(np.concatenate(outputs)).astype(np.uint32)
        self._columns = self._stacked_scalars()
        self._shapes = [graph.types[graph.outputs[k].value].shape for k in self._positions]

    @property
    def result_names(self) -> list[str]:
        """Names of its results."""
        return [self.tape.outputs[position].name for position in self._positions]

    @property
    def point_count(self) -> int:
        """At how many points it runs."""
        return self._points.count

    @property
    def scalars(self) -> tuple[bool, ...]:
        """Which of its results are 0-d."""
        return tuple([shape == () for shape in self._shapes])

    @property
    def peak_bytes(self) -> int:
        """Estimated bytes it holds at its fullest moment: lanes, points and results."""
        lanes = self._code.size * LANES * self._threads
        columns = 2 * (len(self._columns) + len(self._places))
        return (lanes + columns * self._points.count) * self.tape.dtype.itemsize

    def __call__(
        self, arrays: Sequence[NDArray], cancel: CancelFlag | None = None
    ) -> list[NDArray]:
        """The outputs, for inputs in order.

        Raises:
            InputError: a wrong number of arrays, or one of another size.
            Cancelled: the flag was set while it ran.
            OutOfMemory: the machine's arrays could not be allocated.
        """
        try:
            fixed, points = self._given(arrays)
            out = np.empty((self._points.count, len(self._places)), self.tape.dtype)
            self._run(fixed, points, out, cancel)
            return self._cut(out)
        except MemoryError:
            raise OutOfMemory(
                f"not enough memory to run a tape of {len(self.tape)} nodes at "
                f"{self._points.count} points; send fewer at once"
            ) from None

    def _stacked_scalars(self) -> NDArray:
        """The scalars of one point's inputs that have the axis of points."""
        first, found = 0, []
        for item, is_stacked in zip(self.tape.inputs, self._points.inputs, strict=True):
            if is_stacked:
                found.append(np.arange(first, first + item.type.size, dtype=np.uint32))
            first += item.type.size
        return np.concatenate(found)

    def _given(self, arrays: Sequence[NDArray]) -> tuple[NDArray, NDArray]:
        """`(start,)` what is the same at all points, and `(K, columns)` what is not."""
        if len(arrays) != len(self.inputs):
            raise wrong_count(len(self.inputs), arrays)
        count, first = self._points.count, 0
        fixed = np.zeros(self._code.start, self.tape.dtype)
        columns = []
        sides = zip(self.inputs, self.tape.inputs, self._points.inputs, arrays, strict=True)
        for item, one, is_stacked, array in sides:
            if np.size(array) != item.type.size:
                raise wrong_size(item, np.size(array))
            size = one.type.size
            if is_stacked:
                columns.append(np.asarray(array).reshape(count, size))
            else:
                fixed[first : first + size] = np.asarray(array).reshape(-1)
            first += size
        fixed[first:] = self.tape.constants
        points = columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
        return fixed, np.require(points, requirements=["C", "W"])

    def _run(
        self, fixed: NDArray, points: NDArray, out: NDArray, cancel: CancelFlag | None
    ) -> None:
        """Run all points, in parts of whole lanes; between them the flag is looked at."""
        count, nodes = len(points), max(1, len(self._code.code))
        length = max(1, _VISIT // (nodes * LANES)) * LANES

        def run(first: int) -> None:
            if cancel is not None and cancel.is_set:
                raise Cancelled("the job was cancelled while its program ran")
            part = slice(first, first + length)
            self._run_part(fixed, points[part], out[part])

        starts = range(0, count, length)
        if self._threads > 1 and len(starts) > 1:
            list(_pool(self._threads).map(run, starts))
            return
        for first in starts:
            run(first)

    def _run_part(self, fixed: NDArray, points: NDArray, out: NDArray) -> None:
        code = self._code
        v = SCRATCH.take("points", code.size * LANES, self.tape.dtype).reshape(code.size, LANES)
        v[: code.start] = fixed[:, np.newaxis]
        columns, places = self._columns, self._places
        evaluate_points(code.code, code.operands, code.start, columns, points, places, v, out)

    def _cut(self, out: NDArray) -> list[NDArray]:
        """The outputs, each an array of its own."""
        results, first = [], 0
        for position, shape in zip(self._positions, self._shapes, strict=True):
            last = first + prod(self.tape.outputs[position].shape)
            rows = out if self._points.outputs[position] else out[:1]
            results.append(np.array(rows[:, first:last], order="C").reshape(shape))
            first = last
        return results


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """The threads of this process that share points; they live as long as it does."""
    return ThreadPoolExecutor(threads, "pullback-points")
