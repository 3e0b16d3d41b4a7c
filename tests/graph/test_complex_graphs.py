"""Random graphs of complex numbers: encodings, simplification, executors, derivatives."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
import pytest
from hypothesis import given, settings

from pullback_graph.codec import decode_graph, encode_graph
from pullback_graph.derivative import lower
from pullback_graph.derivative.certificate import draw, relative_error
from pullback_graph.graph import Graph
from pullback_graph.rewrite import simplify
from pullback_graph.text import parse, to_text
from pullback_graph.want import Gradient, Hvp, Jvp, Vjp, Want
from pullback_worker.numpy_executor import NumpyExecutor, fold
from tests.graph.interpreter import evaluate
from tests.graph.random_complex_graphs import complex_graph, complex_graphs
from tests.graph.random_graphs import operands
from tests.graph.row_derivatives import JAX

TOLERANCE = {np.dtype("float64"): 1e-9, np.dtype("float32"): 2e-3}


def assert_near(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> None:
    """Equal dtypes and shapes, and values equal relative to the largest."""
    for one, other in zip(ours, theirs, strict=True):
        found, expected = np.asarray(one), np.asarray(other)
        tolerance = TOLERANCE[np.dtype(found.real.dtype)]
        scale = np.abs(expected).max(initial=1.0)
        np.testing.assert_allclose(
            found, expected, rtol=tolerance, atol=tolerance * scale, strict=True
        )


@given(complex_graphs())
def test_encodings_are_exact(graph: Graph):
    """Text and wire give the graph back, by fingerprint."""
    assert parse(to_text(graph)).fingerprint == graph.fingerprint
    assert decode_graph(encode_graph(graph)).fingerprint == graph.fingerprint


@settings(max_examples=50)
@given(complex_graphs())
def test_simplifying_and_compiling_keep_values(graph: Graph):
    """The NumPy program of the simplified graph gives what the rows give one by one."""
    arrays = operands(graph)
    program = NumpyExecutor(overwrite_bytes=0, written_calls=1).compile(simplify(graph, fold))
    expected = evaluate(graph, arrays)
    for _ in range(2):  # step by step, then written as source
        assert_near(program(arrays), expected)


@pytest.mark.parametrize("seed", range(6))
def test_gradients_are_jax_s(seed: int):
    """The gradient of a random graph by its complex inputs is jax.grad's."""
    graph = complex_graph(seed)
    arrays = operands(graph, seed)
    lowered = lower(graph, Gradient(graph.input_names, "size"), fold=fold).graph
    found = NumpyExecutor().compile(lowered)(arrays)[len(graph.outputs) :]
    last = len(graph.outputs) - 1

    def size(*xs: jax.Array) -> jax.Array:
        result: jax.Array = evaluate(graph, xs, JAX)[last]
        return result

    assert_near(found, jax.jit(jax.grad(size, argnums=tuple(range(len(arrays)))))(*arrays))


@settings(max_examples=25)
@given(complex_graphs())
def test_forward_and_reverse_mode_agree(graph: Graph):
    """First and second order, under the pairing without a conjugate, to rounding."""
    arrays = operands(graph)
    names, outputs, last = graph.input_names, graph.output_names, len(graph.outputs) - 1
    wants: list[Want] = [Vjp(names, (outputs,)), Jvp((names,)), Hvp(names, (names,), "size")]
    for want in wants:
        lowered = lower(graph, want, fold=fold, certificate=True).graph
        given = [*arrays, *[draw(i.type, k) for k, i in enumerate(lowered.inputs[len(arrays) :])]]
        pushed, pulled, scale = map(float, NumpyExecutor().compile(lowered)(given)[-3:])
        assert relative_error(pushed, pulled, scale) < TOLERANCE[graph.output_type(last).dtype]
