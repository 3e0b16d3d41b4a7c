"""What the Ray actor adds to a TaskRunner, called without Ray."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from pullback_graph.builder import Builder
from pullback_graph.types import FLOAT64, ArrayType
from pullback_worker.actor import WorkerActor, WorkerSettings
from pullback_worker.batch import Batch, Call, InputOperand


def test_a_worker_that_a_jobs_inputs_do_not_reach_says_so():
    """It runs nothing, rather than run on fewer inputs, and takes the batch when they do come."""
    builder = Builder()
    refs = [builder.input(name, ArrayType(FLOAT64, ())) for name in "xy"]
    graph = builder.build({"z": refs[0] + refs[1]})
    inputs = InputOperand(0), InputOperand(1)
    call = Call(0, graph.fingerprint, inputs, send=(0,))
    with threadpool_limits(1):
        actor = WorkerActor(WorkerSettings(promotion=False))
        batch = Batch(0, 1, (call,), graphs=(graph,), inputs=inputs)
        cut_off = actor.run(batch, [np.asarray(1.0), None])
        assert cut_off.cut_off
        assert not cut_off.done
        report = actor.run(batch, [np.asarray(1.0), np.asarray(2.0)])
    assert not report.cut_off
    assert list(report.sent.values()) == [3.0]
