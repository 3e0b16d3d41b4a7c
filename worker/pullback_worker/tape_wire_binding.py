"""The last pass: each job's arrays bound to its inputs, and its want to its outputs and inputs."""

from __future__ import annotations

from pullback_graph.tape.rows import NDArray
from pullback_proto.v1 import job_pb2
from pullback_worker import tape_wire_layout as col
from pullback_worker.tape_numba import jit
from pullback_worker.tape_wire import field, length_tag, same
from pullback_worker.tape_wire_layout import Packed
from pullback_worker.tape_wire_sides import find

_WRT = length_tag(job_pb2.Gradient.WRT_FIELD_NUMBER)
_OUTPUT = length_tag(job_pb2.Gradient.OUTPUT_FIELD_NUMBER)


@jit
def bind(data: NDArray, itemsize: int, packed: Packed) -> None:
    """Bind the jobs taken; those whose arrays or names do not fit are left."""
    for j in range(len(packed.jobs)):
        job = packed.jobs[j]
        if job[col.TAKEN]:
            job[col.ELEMENT_AT], job[col.WRT_AT] = packed.used[col.ELEMENTS], packed.used[col.WRTS]
            if not (_bind_arrays(data, itemsize, job, packed) and _bind_want(data, job, packed)):
                job[col.TAKEN] = 0
                packed.used[col.ELEMENTS], packed.used[col.WRTS] = (
                    job[col.ELEMENT_AT],
                    job[col.WRT_AT],
                )
            job[col.ELEMENT_END] = packed.used[col.ELEMENTS]
            job[col.WRT_END] = packed.used[col.WRTS]


@jit
def _bind_arrays(data: NDArray, itemsize: int, job: NDArray, packed: Packed) -> bool:
    """Copy each input's elements from the tensor of its name and shape; none may be left over."""
    first, count = job[col.INPUT_AT], job[col.INPUT_END] - job[col.INPUT_AT]
    given = job[col.GIVEN_AT]
    if job[col.GIVEN_END] - given != count:
        return False
    for i in range(count):
        item = packed.inputs[first + i]
        a, b = item[col.NAME_AT], item[col.NAME_END]
        k = find(data, a, b, packed.given, given + i, given + i + 1)  # most come in their order
        if k < 0:
            k = find(data, a, b, packed.given, given, given + count)
        if k < 0:
            return False
        row = packed.given[k]
        a, b = row[col.SHAPE_AT], row[col.SHAPE_END]
        if not same(data, item[col.SHAPE_AT], item[col.SHAPE_END], a, b):
            return False
        a, b = row[col.FIRST], row[col.SIZE]
        if b - a != item[col.SIZE] * itemsize:
            return False
        to = packed.used[col.ELEMENTS]
        for n in range(b - a):
            packed.elements[to + n] = data[a + n]
        packed.used[col.ELEMENTS] = to + b - a
    return True


@jit
def _bind_want(data: NDArray, job: NDArray, packed: Packed) -> bool:
    """All outputs, or the gradient of a scalar one by distinct inputs."""
    at, end = job[col.WANT_AT], job[col.WANT_END]
    if not job[col.GRADIENT]:
        return bool(at == end)
    first, outputs = job[col.OUTPUT_AT], packed.outputs
    output = first if job[col.OUTPUT_END] == first + 1 else -1
    while at < end:
        tag, a, b = field(data, at, end)
        at = b
        if tag == _WRT:
            if not _take_wrt(data, a, b, job, packed):
                return False
        elif tag != _OUTPUT:
            return False
        elif a != b:
            output = find(data, a, b, outputs, first, job[col.OUTPUT_END])
    if output < 0 or outputs[output, col.SHAPE_AT] != outputs[output, col.SHAPE_END]:
        return False
    job[col.OUTPUT] = output
    return bool(packed.used[col.WRTS] > job[col.WRT_AT])


@jit
def _take_wrt(data: NDArray, at: int, end: int, job: NDArray, packed: Packed) -> bool:
    """One more input to differentiate by, not named before."""
    found = find(data, at, end, packed.inputs, job[col.INPUT_AT], job[col.INPUT_END])
    if found < 0:
        return False
    to = packed.used[col.WRTS]
    for k in range(job[col.WRT_AT], to):
        if packed.wrt[k] == found:
            return False
    packed.wrt[to] = found
    packed.used[col.WRTS] = to + 1
    return True
