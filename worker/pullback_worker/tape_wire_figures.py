"""What a job of a packed run cost, and which of its arrays hold NaN or infinities."""

from __future__ import annotations

import numpy as np

from pullback_graph.tape.flops import EDGE_FLOPS
from pullback_graph.tape.rows import ROW_NUMBERS, ROW_OPERANDS, TAPE_ROWS, NDArray
from pullback_worker import tape_wire_layout as col
from pullback_worker.tape_forward import EDGES
from pullback_worker.tape_numba import jit
from pullback_worker.tape_wire import Whole
from pullback_worker.tape_wire_layout import Packed

NODES, ADJOINTS, FLOPS, PEAK_BYTES, NON_FINITE, FIGURES = range(6)
"""Columns of a job's figures; NON_FINITE is 1 where an array of its holds a NaN or infinity."""


def _row_edges() -> NDArray:
    """`(rows, 3)`: operands of a row; the first one that an adjoint flows to, and how many do."""
    count = len(TAPE_ROWS)
    edges = np.stack([ROW_OPERANDS[:count], np.zeros(count, np.uint8), EDGES[:count]], axis=1)
    edges[ROW_NUMBERS["where"]] = 3, 1, 2
    edges[ROW_NUMBERS["clip"]] = 3, 0, 3
    return edges.astype(np.int64)


ROW_EDGES = _row_edges()


@jit
def figure(
    packed: Packed,
    row_flops: NDArray,
    row_edges: NDArray,
    seeds: NDArray,
    start: int,
    itemsize: int,
    values: NDArray,
    gradients: NDArray,
    elements: NDArray,
    reached: NDArray,
    figures: NDArray,
) -> None:
    """Fill a row of `figures` per job taken.

    Args:
        row_flops, row_edges: by row.
        seeds: the scalars that gradients are of, in the jobs' order.
        start: the number of the first node's result.
        values, gradients, elements: of gathered outputs, and by and of all input elements.
        reached: `(scalars,)` zeros, scratch: into which scalars an adjoint flows.
    """
    gradient = 0
    for j in range(len(packed.jobs)):
        job = packed.jobs[j]
        if not job[col.TAKEN]:
            continue
        nodes, flops, adjoints = job[col.NODE_END] - job[col.NODE_AT], 0.0, 0
        for k in range(job[col.NODE_AT], job[col.NODE_END]):
            flops += row_flops[packed.rows[k]]
        first, last = job[col.ELEMENT_AT] // itemsize, job[col.ELEMENT_END] // itemsize
        finite = _all_finite(elements, first, last)
        finite &= _all_finite(values, job[col.GATHER_AT], job[col.GATHER_END])
        held = last - first + nodes + (job[col.CONSTANT_END] - job[col.CONSTANT_AT]) // itemsize
        if job[col.GRADIENT]:
            finite &= _wrt_finite(job, packed, first, gradients)
            adjoints = _adjoints(job, packed, row_edges, seeds[gradient], start, reached)
            gradient += 1
            flops = 2.0 * flops + EDGE_FLOPS * adjoints
            held *= 4  # value, adjoint, two partials
        figures[j, NODES], figures[j, ADJOINTS] = nodes, adjoints
        figures[j, FLOPS], figures[j, PEAK_BYTES] = flops, held * itemsize
        figures[j, NON_FINITE] = not finite


@jit
def _adjoints(
    job: NDArray, packed: Packed, row_edges: NDArray, seed: int, start: int, reached: NDArray
) -> Whole:
    """How many of a job's nodes the adjoint of `seed` flows through."""
    count, operand = 0, job[col.OPERAND_END]
    reached[seed] = 1
    for k in range(job[col.NODE_END] - 1, job[col.NODE_AT] - 1, -1):
        row = packed.rows[k]
        operand -= row_edges[row, 0]
        if reached[start + k]:
            count += 1
            at = operand + row_edges[row, 1]
            for n in range(at, at + row_edges[row, 2]):
                reached[packed.operands[n]] = 1
    return count


@jit
def _all_finite(array: NDArray, first: int, last: int) -> bool:
    finite = True
    for k in range(first, last):
        finite &= bool(np.isfinite(array[k]))
    return finite


@jit
def _wrt_finite(job: NDArray, packed: Packed, first: int, gradients: NDArray) -> bool:
    """Whether the gradient that is wanted is finite."""
    finite = True
    for k in range(job[col.WRT_AT], job[col.WRT_END]):
        row = packed.inputs[packed.wrt[k]]
        at = first + row[col.FIRST]
        finite &= _all_finite(gradients, at, at + row[col.SIZE])
    return finite


@jit
def non_finite(array: NDArray, first: int, last: int) -> Whole:
    """How many elements of a run are NaN or infinite."""
    count = 0
    for k in range(first, last):
        count += not np.isfinite(array[k])
    return count
