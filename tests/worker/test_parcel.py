"""Batches and reports as bytes: they arrive as they were sent, and what is large is left to Ray."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.errors import ExecutionError
from pullback_graph.types import FLOAT64, ArrayType
from pullback_worker.batch import Batch, Call, Freed, InputOperand, Report, TaskReport, ValueKey
from pullback_worker.parcel import (
    MOST_BYTES,
    answered,
    is_small,
    packed,
    reports_in,
    unpacked,
)

CALL = Call(3, "a graph", (InputOperand(0, 1, 2, 5), ValueKey(2, 0)), keep=(0,), send=(1,))


def test_batches_arrive_as_they_were_sent():
    """With their graphs, and arrays that may be changed no more than before."""
    builder = Builder()
    graph = builder.build({"z": -builder.input("x", ArrayType(FLOAT64, (2,)))})
    fixed = np.frombuffer(np.arange(6.0).tobytes()).reshape(2, 3)
    other = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    first = Batch(7, 1, (CALL,), (graph,), inputs=(InputOperand(0),), freed=(Freed(4, None),))
    second = Batch(8, 2, (CALL,), fetched=(ValueKey(2, 0),))
    (one, arrays), (two, others) = unpacked(packed([(first, [fixed]), (second, [other])]))
    assert (one.calls, one.inputs, one.freed) == (first.calls, first.inputs, first.freed)
    assert [own.fingerprint for own in one.graphs] == [graph.fingerprint]
    assert two == second
    assert arrays[0].tolist() == fixed.tolist()
    assert not arrays[0].flags.writeable
    assert others[0].tolist() == other.tolist()
    assert others[0].flags.f_contiguous


def test_what_batches_share_is_written_once():
    """An input that several jobs read goes to their worker once a parcel."""
    array = np.arange(1000.0)
    batches = [Batch(number, number, (CALL,), inputs=(InputOperand(0),)) for number in range(5)]
    parcel = packed([(batch, [array]) for batch in batches])
    assert len(parcel) < 2 * array.nbytes
    assert len({id(arrays[0]) for _, arrays in unpacked(parcel)}) == 1


@pytest.mark.parametrize("size_bytes", [8, MOST_BYTES, MOST_BYTES + 8])
def test_reports_arrive_as_they_were_sent(size_bytes: int):
    """Errors among them; where their arrays are large, Ray hands them on without a copy."""
    done = TaskReport(3, 0.5, 0.0, True, 8, "numpy-2", 0.25)
    sent = {ValueKey(3, 1): np.zeros(size_bytes // 8)}
    fault = ExecutionError("it failed", field="x")
    reports = [
        Report(7, done=[done], sent=sent, busy_s=0.5),
        Report(8, failed=(1, fault), lost=[ValueKey(0, 0)]),
    ]
    answer = answered(reports)
    assert isinstance(answer, bytes) == (size_bytes <= MOST_BYTES) == is_small(sent.values())
    first, second = reports_in(pickle.loads(pickle.dumps(answer)))
    assert first.done == [done]
    assert first.sent[ValueKey(3, 1)].tolist() == sent[ValueKey(3, 1)].tolist()
    assert first.busy_s == 0.5
    assert second.failed is not None
    task, error = second.failed
    assert (task, str(error), error.field) == (1, str(fault), "x")
    assert second.lost == [ValueKey(0, 0)]
