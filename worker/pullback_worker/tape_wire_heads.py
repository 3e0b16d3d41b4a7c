"""The first pass over serialised jobs: where each has its graph, its arrays, its want; its options.

A job is left (TAKEN stays 0) where it holds anything that a packed run does not cover.
"""

from __future__ import annotations

import numpy as np

from pullback_graph.tape.rows import NDArray
from pullback_proto.v1 import job_pb2, tensor_pb2
from pullback_worker import tape_wire_layout as col
from pullback_worker.tape_numba import jit
from pullback_worker.tape_wire import field, fixed_tag, is_ascii, length_tag, varint_tag
from pullback_worker.tape_wire_layout import Packed

_JOB, _OPTIONS = job_pb2.Job, job_pb2.Options
_ID, _ARRAY = length_tag(_JOB.ID_FIELD_NUMBER), length_tag(_JOB.INPUTS_FIELD_NUMBER)
_GRAPH, _TAPE = length_tag(_JOB.GRAPH_FIELD_NUMBER), length_tag(_JOB.TAPE_FIELD_NUMBER)
_VALUE, _GRADIENT = length_tag(_JOB.VALUE_FIELD_NUMBER), length_tag(_JOB.GRADIENT_FIELD_NUMBER)
_HOW = length_tag(_JOB.OPTIONS_FIELD_NUMBER)
_LAST_FIELD = _JOB.HESSIAN_FIELD_NUMBER

_DEADLINE = fixed_tag(_OPTIONS.DEADLINE_S_FIELD_NUMBER)
_PRIORITY = varint_tag(_OPTIONS.PRIORITY_FIELD_NUMBER)
_CHECK = varint_tag(_OPTIONS.CHECK_FIELD_NUMBER)
_SPLIT = length_tag(_OPTIONS.SPLIT_FIELD_NUMBER)
_CHECK_FINITE = int(job_pb2.CHECK_FINITE)

_NAME = length_tag(tensor_pb2.NamedTensor.NAME_FIELD_NUMBER)
_TENSOR = length_tag(tensor_pb2.NamedTensor.TENSOR_FIELD_NUMBER)
_DTYPE = varint_tag(tensor_pb2.Tensor.DTYPE_FIELD_NUMBER)  # a TensorType begins as a Tensor does
_SHAPE = length_tag(tensor_pb2.Tensor.SHAPE_FIELD_NUMBER)
_DATA = length_tag(tensor_pb2.Tensor.DATA_FIELD_NUMBER)


@jit
def scan_heads(data: NDArray, bounds: NDArray, dtype: int, packed: Packed) -> None:
    """Fill the head of every job, and take those that can go on."""
    for j in range(len(bounds) - 1):
        before = packed.used[col.GIVEN]
        if _scan_head(data, bounds[j], bounds[j + 1], dtype, packed, j):
            packed.jobs[j, col.TAKEN] = 1
        else:
            packed.used[col.GIVEN] = before


@jit
def _scan_head(data: NDArray, at: int, end: int, dtype: int, packed: Packed, j: int) -> bool:
    job, used = packed.jobs[j], packed.used
    job[col.GIVEN_AT] = used[col.GIVEN]
    bodies, wants, seen = 0, 0, 0
    while at < end:
        tag, a, b = field(data, at, end)
        at = b
        if tag == _ARRAY:
            if not scan_named_tensor(data, a, b, dtype, packed.given[used[col.GIVEN]]):
                return False
            used[col.GIVEN] += 1
            continue
        number = tag >> 3
        if tag < 0 or number > _LAST_FIELD or seen >> number & 1:
            return False
        seen |= 1 << number
        if tag == _ID:
            job[col.ID_AT], job[col.ID_END] = a, b
        elif tag in (_TAPE, _GRAPH):
            job[col.BODY_AT], job[col.BODY_END], job[col.IS_TAPE] = a, b, tag == _TAPE
            bodies += 1
        elif tag in (_VALUE, _GRADIENT):
            job[col.WANT_AT], job[col.WANT_END], job[col.GRADIENT] = a, b, tag == _GRADIENT
            wants += 1
        elif tag != _HOW or not _scan_options(data, a, b, packed, j):
            return False
    job[col.GIVEN_END] = used[col.GIVEN]
    if bodies != 1 or wants != 1 or job[col.GIVEN_END] - job[col.GIVEN_AT] > col.MAX_NAMES:
        return False
    return bool(is_ascii(data, job[col.ID_AT], job[col.ID_END]))


@jit
def scan_named_tensor(data: NDArray, at: int, end: int, dtype: int, row: NDArray) -> bool:
    """A NamedTensor that is inline: its name, its shape, where its elements start and end."""
    row[:] = 0
    found = 0
    while at < end:
        tag, a, b = field(data, at, end)
        at = b
        if tag == _NAME and found & 1 == 0:
            found |= 1
            row[col.NAME_AT], row[col.NAME_END] = a, b
        elif tag == _TENSOR and found & 2 == 0:
            found |= 2
            if not scan_tensor(data, a, b, dtype, row):
                return False
        else:
            return False
    return found == 3


@jit
def scan_tensor(data: NDArray, at: int, end: int, dtype: int, row: NDArray) -> bool:
    """A Tensor of that dtype: its shape, and where its elements start and end."""
    found = 0
    while at < end:
        tag, a, b = field(data, at, end)
        at = b
        number = tag >> 3
        if tag < 0 or number > 3 or found >> number & 1:
            return False
        found |= 1 << number
        if tag == _DTYPE:
            if a != dtype:
                return False
        elif tag == _SHAPE:
            row[col.SHAPE_AT], row[col.SHAPE_END] = a, b
        elif tag == _DATA:
            row[col.FIRST], row[col.SIZE] = a, b
        else:
            return False
    return bool(found >> (_DTYPE >> 3) & 1 == 1)


@jit
def _scan_options(data: NDArray, at: int, end: int, packed: Packed, j: int) -> bool:
    """Options that change nothing about how a packed job runs, but for deadline and check."""
    while at < end:
        tag, a, b = field(data, at, end)
        at = b
        if tag == _DEADLINE:
            deadline_s = data[a : a + 8].copy().view(np.float64)[0]
            if not np.isfinite(deadline_s):
                return False
            packed.deadlines_s[j] = deadline_s
        elif tag == _CHECK:
            if a not in (0, _CHECK_FINITE):
                return False
            packed.jobs[j, col.FINITE] = a == _CHECK_FINITE
        elif tag == _SPLIT:
            if a != b:
                return False
        elif tag != _PRIORITY:
            return False
    return True
