"""The replies of packed jobs, written as protobuf's bytes straight from the machine's arrays.

Names and shapes are copied from the jobs' own bytes; where each reply stands was measured before.
"""

from __future__ import annotations

import numpy as np

from pullback_graph.tape.rows import NDArray
from pullback_worker import tape_wire_layout as col
from pullback_worker import tape_wire_replies as reply
from pullback_worker.tape_numba import jit
from pullback_worker.tape_wire import Whole
from pullback_worker.tape_wire_figures import ADJOINTS, FLOPS, NODES, NON_FINITE, PEAK_BYTES
from pullback_worker.tape_wire_layout import Packed
from pullback_worker.tape_wire_replies import (
    BETWEEN,
    BODY,
    METRICS,
    Results,
    array_count,
    counted,
    derivative_size,
    first_element,
    is_independent,
    output_size,
    tensor_size,
)
from pullback_worker.tape_wire_writing import (
    framed_size,
    number_size,
    put_bytes,
    put_double,
    put_head,
    put_number,
    put_text,
)

_START, _AFTER_D, _BEFORE_END, _END = np.array([0, 2, 6, len(BETWEEN)])
"""Where the parts of BETWEEN end: `d(`, `)/d(` and `)`."""


@jit
def write_replies(
    data: NDArray,
    packed: Packed,
    results: Results,
    values: NDArray,
    gradients: NDArray,
    sizes: NDArray,
    bounds: NDArray,
    out: NDArray,
) -> None:
    """Write the replies where they were measured to stand.

    Args:
        values, gradients: the bytes of those of `results`.
    """
    for j in range(len(packed.jobs)):
        job = packed.jobs[j]
        if job[col.TAKEN]:
            at = put_text(out, bounds[j], reply.ID_TAG, data, job[col.ID_AT], job[col.ID_END])
            at = put_number(out, at, reply.POSITION_TAG, results.positions[j])
            at = put_head(out, at, reply.IN_REPLY_TAG, sizes[j, BODY])
            at = _put_outputs(out, at, data, packed, results, job, values)
            at = _put_derivatives(out, at, data, packed, results, job, gradients)
            at = put_head(out, at, reply.IN_RESULT_TAG, sizes[j, METRICS])
            _put_metrics(out, at, data, packed, results, job, j)


@jit
def _put_tensor(
    out: NDArray,
    at: int,
    data: NDArray,
    row: NDArray,
    dtype: int,
    source: NDArray,
    first: int,
    size: int,
) -> Whole:
    """A Tensor's content: its elements are `size` bytes of `source`."""
    at = put_number(out, at, reply.DTYPE_TAG, dtype)
    at = put_text(out, at, reply.SHAPE_TAG, data, row[col.SHAPE_AT], row[col.SHAPE_END])
    return put_text(out, at, reply.DATA_TAG, source, first, first + size)


@jit
def _put_outputs(
    out: NDArray,
    at: int,
    data: NDArray,
    packed: Packed,
    results: Results,
    job: NDArray,
    values: NDArray,
) -> Whole:
    dtype, itemsize = results.dtype, results.values.itemsize
    for k in range(job[col.OUTPUT_AT], job[col.OUTPUT_END]):
        row = packed.outputs[k]
        at = put_head(out, at, reply.OUTPUT_TAG, output_size(row, dtype, itemsize))
        at = put_text(out, at, reply.NAME_TAG, data, row[col.NAME_AT], row[col.NAME_END])
        at = put_head(out, at, reply.TENSOR_TAG, tensor_size(row, dtype, itemsize))
        first, size = row[col.FIRST] * itemsize, row[col.SIZE] * itemsize
        at = _put_tensor(out, at, data, row, dtype, values, first, size)
    return at


@jit
def _put_derivatives(
    out: NDArray,
    at: int,
    data: NDArray,
    packed: Packed,
    results: Results,
    job: NDArray,
    gradients: NDArray,
) -> Whole:
    dtype, itemsize = results.dtype, results.values.itemsize
    for k in range(job[col.WRT_AT], job[col.WRT_END]):
        of, by = packed.outputs[job[col.OUTPUT]], packed.inputs[packed.wrt[k]]
        at = put_head(out, at, reply.DERIVATIVE_TAG, derivative_size(of, by, dtype, itemsize))
        at = put_text(out, at, reply.OF_TAG, data, of[col.NAME_AT], of[col.NAME_END])
        at = put_text(out, at, reply.BY_TAG, data, by[col.NAME_AT], by[col.NAME_END])
        at = put_head(out, at, reply.VALUE_TAG, tensor_size(by, dtype, itemsize))
        first, size = first_element(results, job, by) * itemsize, by[col.SIZE] * itemsize
        at = _put_tensor(out, at, data, by, dtype, gradients, first, size)
    return at


@jit
def _put_metrics(
    out: NDArray,
    at: int,
    data: NDArray,
    packed: Packed,
    results: Results,
    job: NDArray,
    j: int,
) -> None:
    figures, kind, bounds = results.figures[j], job[col.GRADIENT], results.shared_bounds
    at = put_bytes(out, at, results.shared, bounds[kind], bounds[kind + 1])
    at = put_number(out, at, reply.NODES_TAG, np.int64(figures[NODES]))
    at = put_number(out, at, reply.ADJOINTS_TAG, np.int64(figures[ADJOINTS]))
    at = put_double(out, at, reply.FLOPS_TAG, figures[FLOPS])
    at = put_number(out, at, reply.PEAK_BYTES_TAG, np.int64(figures[PEAK_BYTES]))
    at = put_text(out, at, reply.DIGEST_TAG, results.digests[j], _START, results.digests.shape[1])
    for k in range(job[col.WRT_AT], job[col.WRT_END]):
        row = packed.inputs[packed.wrt[k]]
        if is_independent(results, job, row):
            first, last = row[col.NAME_AT], row[col.NAME_END]
            at = put_text(out, at, reply.INDEPENDENT_TAG, data, first, last)
    if figures[NON_FINITE]:
        for number in range(array_count(job)):
            at = _put_non_finite(out, at, data, packed, results, job, number)


@jit
def _put_non_finite(
    out: NDArray,
    at: int,
    data: NDArray,
    packed: Packed,
    results: Results,
    job: NDArray,
    number: int,
) -> Whole:
    """How many NaN and infinities an array holds, if any."""
    name, count = counted(packed, results, job, number)
    if not count:
        return at
    size = framed_size(reply.NAME_TAG, name) + number_size(reply.COUNT_TAG, count)
    at = put_head(out, at, reply.NON_FINITE_TAG, size)
    at = put_head(out, at, reply.NAME_TAG, name)
    inputs = job[col.INPUT_END] - job[col.INPUT_AT]
    outputs = job[col.OUTPUT_END] - job[col.OUTPUT_AT]
    if number < inputs:
        at = _put_name(out, at, data, packed.inputs[job[col.INPUT_AT] + number])
    elif number < inputs + outputs:
        at = _put_name(out, at, data, packed.outputs[job[col.OUTPUT_AT] + number - inputs])
    else:
        by = packed.wrt[job[col.WRT_AT] + number - inputs - outputs]
        at = put_bytes(out, at, BETWEEN, _START, _AFTER_D)
        at = _put_name(out, at, data, packed.outputs[job[col.OUTPUT]])
        at = put_bytes(out, at, BETWEEN, _AFTER_D, _BEFORE_END)
        at = _put_name(out, at, data, packed.inputs[by])
        at = put_bytes(out, at, BETWEEN, _BEFORE_END, _END)
    return put_number(out, at, reply.COUNT_TAG, count)


@jit
def _put_name(out: NDArray, at: int, data: NDArray, row: NDArray) -> Whole:
    return put_bytes(out, at, data, row[col.NAME_AT], row[col.NAME_END])
