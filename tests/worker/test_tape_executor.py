"""The tape executor on graphs: any graph of scalars and small arrays, differentiated or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from pullback_graph import ArrayType, Builder
from pullback_graph.derivative import lower
from pullback_graph.errors import UnsupportedError
from pullback_graph.ref import do
from pullback_graph.tape import to_graph
from pullback_graph.types import FLOAT64
from pullback_graph.want import Gradient, Hessian
from pullback_worker.numpy_executor import NumpyExecutor
from pullback_worker.tape_executor import TapeExecutor
from tests.worker.tape_samples import SMOOTH, tapes

X, Y = np.array([0.7, -0.4, 1.3]), np.array(0.6)


@given(tape=tapes(rows=SMOOTH + " where maximum less"))
def test_a_differentiated_graph_runs_as_any_other(tape):
    """A lowered graph is a graph: the tape executor gives what NumPy's gives."""
    lowered = lower(to_graph(tape), Gradient(("x", "y")))
    expected = NumpyExecutor().compile(lowered.graph)([X, Y])
    for mine, theirs in zip(TapeExecutor().compile(lowered.graph)([X, Y]), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, 1e-9, 1e-9)


def test_arrays_expand_and_need_no_differentiation():
    """A small least squares is swept: value, gradient and Hessian without a derivative graph."""
    builder = Builder()
    w = builder.input("w", ArrayType(FLOAT64, (3,)))
    data = builder.constant(np.arange(12.0).reshape(4, 3))
    residual = do.matmul(data, w) - builder.constant(np.ones(4))
    loss = do.sum(do.square(residual), axes=(0,), keepdims=False)
    graph = builder.build({"loss": loss})
    for want in (Gradient(("w",)), Hessian(("w",))):
        program = TapeExecutor().compile_wanting(graph, want)
        lowered = lower(graph, want)
        assert program.derivatives == lowered.derivatives
        expected = NumpyExecutor().compile(lowered.graph)([X])
        for mine, theirs in zip(program([X]), expected, strict=True):
            np.testing.assert_allclose(mine, theirs, 1e-13)


def test_what_has_no_scalar_form_is_refused():
    """The error is the tape's, and names the node."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (3,)))
    graph = builder.build({"z": do.sort(x, axis=0)})
    with pytest.raises(UnsupportedError, match="node 0 sort"):
        TapeExecutor().compile(graph)
