"""The replies of packed jobs, measured: protobuf writes a message's length before the message.

What all replies of a batch share of their metrics comes encoded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pullback_graph.tape.rows import NDArray
from pullback_proto.v1 import job_pb2, metrics_pb2, tensor_pb2
from pullback_worker import tape_wire_layout as col
from pullback_worker.tape_numba import jit
from pullback_worker.tape_wire import Whole, fixed_tag, length_tag, varint_tag
from pullback_worker.tape_wire_figures import (
    ADJOINTS,
    NODES,
    NON_FINITE,
    PEAK_BYTES,
    non_finite,
)
from pullback_worker.tape_wire_layout import Packed
from pullback_worker.tape_wire_writing import framed_size, number_size, text_size, varint_size

_REPLY, _RESULT, _METRICS = job_pb2.JobReply, job_pb2.JobResult, metrics_pb2.JobMetrics
ID_TAG, IN_REPLY_TAG = length_tag(_REPLY.ID_FIELD_NUMBER), length_tag(_REPLY.RESULT_FIELD_NUMBER)
POSITION_TAG = varint_tag(_REPLY.POSITION_FIELD_NUMBER)
OUTPUT_TAG = length_tag(_RESULT.OUTPUTS_FIELD_NUMBER)
DERIVATIVE_TAG = length_tag(_RESULT.DERIVATIVES_FIELD_NUMBER)
IN_RESULT_TAG = length_tag(_RESULT.METRICS_FIELD_NUMBER)
NAME_TAG = length_tag(tensor_pb2.NamedTensor.NAME_FIELD_NUMBER)
TENSOR_TAG = length_tag(tensor_pb2.NamedTensor.TENSOR_FIELD_NUMBER)
DTYPE_TAG = varint_tag(tensor_pb2.Tensor.DTYPE_FIELD_NUMBER)
SHAPE_TAG = length_tag(tensor_pb2.Tensor.SHAPE_FIELD_NUMBER)
DATA_TAG = length_tag(tensor_pb2.Tensor.DATA_FIELD_NUMBER)
OF_TAG = length_tag(job_pb2.Derivative.OUTPUT_FIELD_NUMBER)
BY_TAG = length_tag(job_pb2.Derivative.INPUT_FIELD_NUMBER)
VALUE_TAG = length_tag(job_pb2.Derivative.VALUE_FIELD_NUMBER)
NODES_TAG = varint_tag(_METRICS.NODES_FIELD_NUMBER)
ADJOINTS_TAG = varint_tag(_METRICS.ADJOINT_EVALUATIONS_FIELD_NUMBER)
FLOPS_TAG = fixed_tag(_METRICS.FLOPS_FIELD_NUMBER)
PEAK_BYTES_TAG = varint_tag(_METRICS.PEAK_BYTES_FIELD_NUMBER)
DIGEST_TAG = length_tag(_METRICS.DIGEST_FIELD_NUMBER)
INDEPENDENT_TAG = length_tag(_METRICS.INDEPENDENT_INPUTS_FIELD_NUMBER)
NON_FINITE_TAG = length_tag(_METRICS.NON_FINITE_FIELD_NUMBER)
COUNT_TAG = varint_tag(metrics_pb2.NonFinite.COUNT_FIELD_NUMBER)
BETWEEN = np.frombuffer(b"d()/d()", np.uint8)  # a derivative is named d(output)/d(input)

BODY, METRICS, SIZES = range(3)


class Results(NamedTuple):
    """What replies are made of, beside the jobs.

    Attributes:
        dtype: its number on the wire.
        values, gradients: of the gathered outputs, and of all input elements.
        elements: of all inputs.
        flows: per input element, whether the gradient's output depends on it.
        figures: `(J, FIGURES)` float64.
        shared: metrics encoded, those of values before those of gradients.
        shared_bounds: where each starts, and where the last ends.
        digests: `(J, D)` ASCII.
        positions: `(J,)`, of each job on its stream.
    """

    dtype: int
    values: NDArray
    gradients: NDArray
    elements: NDArray
    flows: NDArray
    figures: NDArray
    shared: NDArray
    shared_bounds: NDArray
    digests: NDArray
    positions: NDArray


@jit
def measure_replies(packed: Packed, results: Results, sizes: NDArray, bounds: NDArray) -> None:
    """Fill `sizes` `(J, SIZES)`, and where each reply is to stand; a job left takes no bytes."""
    bounds[0] = 0
    for j in range(len(packed.jobs)):
        job = packed.jobs[j]
        bounds[j + 1] = bounds[j]
        if job[col.TAKEN]:
            sizes[j, METRICS] = _metrics_size(packed, results, job, j)
            body = _results_size(packed, results, job) + framed_size(
                IN_RESULT_TAG, sizes[j, METRICS]
            )
            sizes[j, BODY] = body
            head = text_size(ID_TAG, job[col.ID_END] - job[col.ID_AT])
            head += number_size(POSITION_TAG, results.positions[j])
            bounds[j + 1] += head + framed_size(IN_REPLY_TAG, body)


@jit
def tensor_size(row: NDArray, dtype: int, itemsize: int) -> Whole:
    """Bytes of the Tensor of an input or output, or of its adjoint."""
    shape = text_size(SHAPE_TAG, row[col.SHAPE_END] - row[col.SHAPE_AT])
    return number_size(DTYPE_TAG, dtype) + shape + text_size(DATA_TAG, row[col.SIZE] * itemsize)


@jit
def name_size(row: NDArray) -> Whole:
    """Bytes of the name of an input or output."""
    return int(row[col.NAME_END] - row[col.NAME_AT])


@jit
def output_size(row: NDArray, dtype: int, itemsize: int) -> Whole:
    """Bytes of an output's NamedTensor."""
    return text_size(NAME_TAG, name_size(row)) + framed_size(
        TENSOR_TAG, tensor_size(row, dtype, itemsize)
    )


@jit
def derivative_size(of: NDArray, by: NDArray, dtype: int, itemsize: int) -> Whole:
    """Bytes of a Derivative."""
    names = text_size(OF_TAG, name_size(of)) + text_size(BY_TAG, name_size(by))
    return names + framed_size(VALUE_TAG, tensor_size(by, dtype, itemsize))


@jit
def _results_size(packed: Packed, results: Results, job: NDArray) -> Whole:
    """Outputs and derivatives of a job."""
    dtype, itemsize, size = results.dtype, results.values.itemsize, 0
    for k in range(job[col.OUTPUT_AT], job[col.OUTPUT_END]):
        size += framed_size(OUTPUT_TAG, output_size(packed.outputs[k], dtype, itemsize))
    for k in range(job[col.WRT_AT], job[col.WRT_END]):
        of, by = packed.outputs[job[col.OUTPUT]], packed.inputs[packed.wrt[k]]
        size += framed_size(DERIVATIVE_TAG, derivative_size(of, by, dtype, itemsize))
    return size


@jit
def _metrics_size(packed: Packed, results: Results, job: NDArray, j: int) -> Whole:
    figures, kind = results.figures[j], job[col.GRADIENT]
    size = results.shared_bounds[kind + 1] - results.shared_bounds[kind]
    size += number_size(NODES_TAG, np.int64(figures[NODES]))
    size += number_size(ADJOINTS_TAG, np.int64(figures[ADJOINTS]))
    size += varint_size(FLOPS_TAG) + 8
    size += number_size(PEAK_BYTES_TAG, np.int64(figures[PEAK_BYTES]))
    size += text_size(DIGEST_TAG, results.digests.shape[1])
    for k in range(job[col.WRT_AT], job[col.WRT_END]):
        row = packed.inputs[packed.wrt[k]]
        if is_independent(results, job, row):
            size += text_size(INDEPENDENT_TAG, name_size(row))
    if figures[NON_FINITE]:
        for number in range(array_count(job)):
            name, count = counted(packed, results, job, number)
            if count:
                size += framed_size(
                    NON_FINITE_TAG, framed_size(NAME_TAG, name) + number_size(COUNT_TAG, count)
                )
    return int(size)


@jit
def first_element(results: Results, job: NDArray, row: NDArray) -> Whole:
    """The number of an input's first element among all jobs'."""
    return int(job[col.ELEMENT_AT] // results.values.itemsize + row[col.FIRST])


@jit
def is_independent(results: Results, job: NDArray, row: NDArray) -> bool:
    """Whether nothing flows into an input."""
    first, reached = first_element(results, job, row), 0
    for k in range(first, first + row[col.SIZE]):
        reached |= results.flows[k]
    return bool(reached == 0)


@jit
def array_count(job: NDArray) -> Whole:
    """How many arrays a job has to look through for NaN: inputs, outputs and derivatives."""
    sides = job[col.INPUT_END] - job[col.INPUT_AT] + job[col.OUTPUT_END] - job[col.OUTPUT_AT]
    return int(sides + job[col.WRT_END] - job[col.WRT_AT])


@jit
def counted(packed: Packed, results: Results, job: NDArray, number: int) -> tuple[Whole, Whole]:
    """Bytes of the name of an array, and how many NaN and infinities it holds."""
    inputs = job[col.INPUT_END] - job[col.INPUT_AT]
    if number < inputs:
        row = packed.inputs[job[col.INPUT_AT] + number]
        first = first_element(results, job, row)
        return name_size(row), non_finite(results.elements, first, first + row[col.SIZE])
    number -= inputs
    outputs = job[col.OUTPUT_END] - job[col.OUTPUT_AT]
    if number < outputs:
        row = packed.outputs[job[col.OUTPUT_AT] + number]
        first = row[col.FIRST]
        return name_size(row), non_finite(results.values, first, first + row[col.SIZE])
    row = packed.inputs[packed.wrt[job[col.WRT_AT] + number - outputs]]
    first = first_element(results, job, row)
    name = name_size(packed.outputs[job[col.OUTPUT]]) + name_size(row) + len(BETWEEN)
    return name, non_finite(results.gradients, first, first + row[col.SIZE])
