"""Packed jobs as one tape: their scalars numbered anew, so that one run is all jobs'.

The merged tape's scalars are all jobs' input elements, then all their constants, then all their
nodes. Jobs share no scalar, so one reverse sweep, seeded at every output, gives all gradients.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pullback_graph.tape.rows import NDArray
from pullback_graph.types import DType
from pullback_worker import tape_wire_layout as col
from pullback_worker.tape_numba import jit
from pullback_worker.tape_wire import Whole
from pullback_worker.tape_wire_layout import Packed


class Merged(NamedTuple):
    """The tape of all jobs taken.

    Attributes:
        rows: `(N,)` uint8.
        operands, gathers: uint32 numbers of scalars of the merged tape.
        seeds: `(G,)` uint32, the outputs that gradients are of.
        given: the input elements and constants of all jobs.
        inputs: how many of them are inputs.
    """

    rows: NDArray
    operands: NDArray
    gathers: NDArray
    seeds: NDArray
    given: NDArray
    inputs: int


def merge(packed: Packed, dtype: DType) -> Merged:
    """Number the scalars of all jobs anew, in place."""
    used, itemsize = packed.used, dtype.itemsize
    inputs = int(used[col.ELEMENTS]) // itemsize
    start = inputs + int(used[col.CONSTANTS]) // itemsize
    seeds = np.empty(len(packed.jobs), np.uint32)
    count = renumber(packed, itemsize, inputs, start, seeds)
    given = np.empty(start, dtype)
    given[:inputs] = packed.elements.view(dtype)[:inputs]
    given[inputs:] = packed.constants.view(dtype)[: start - inputs]
    return Merged(
        packed.rows[: used[col.ROWS]],
        packed.operands[: used[col.OPERANDS]],
        packed.gathers[: used[col.GATHERS]],
        seeds[:count],
        given,
        inputs,
    )


@jit
def renumber(packed: Packed, itemsize: int, inputs: int, start: int, seeds: NDArray) -> Whole:
    """Number the scalars of the jobs taken anew; how many `seeds` there are."""
    count = 0
    for j in range(len(packed.jobs)):
        job = packed.jobs[j]
        if not job[col.TAKEN]:
            continue
        element = job[col.ELEMENT_AT] // itemsize
        constant = job[col.CONSTANT_AT] // itemsize
        own = job[col.ELEMENT_END] // itemsize - element
        first = own + job[col.CONSTANT_END] // itemsize - constant
        moved_constants = inputs + constant - own
        moved_nodes = start + job[col.NODE_AT] - first
        a, b = job[col.OPERAND_AT], job[col.OPERAND_END]
        _move(packed.operands, a, b, own, first, element, moved_constants, moved_nodes)
        a, b = job[col.GATHER_AT], job[col.GATHER_END]
        _move(packed.gathers, a, b, own, first, element, moved_constants, moved_nodes)
        if job[col.GRADIENT]:
            seeds[count] = packed.gathers[packed.outputs[job[col.OUTPUT], col.FIRST]]
            count += 1
    return count


@jit
def _move(
    numbers: NDArray,
    at: int,
    end: int,
    own: int,
    first: int,
    inputs: int,
    constants: int,
    nodes: int,
) -> None:
    """Add to each number what its kind moves by."""
    for k in range(at, end):
        scalar = np.int64(numbers[k])
        moved = inputs if scalar < own else constants if scalar < first else nodes
        numbers[k] = scalar + moved
