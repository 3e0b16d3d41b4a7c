"""Linear algebra rows beyond what the tests over the whole table see."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.derivative import lower
from pullback_graph.errors import AttributeFault, DTypeError, ShapeError
from pullback_graph.graph import Graph
from pullback_graph.ref import do
from pullback_graph.rewrite.factor_sharing import LEAST_SIZE
from pullback_graph.types import FLOAT64, INT64, ArrayType
from pullback_graph.want import Gradient, Hvp
from tests.graph.interpreter import evaluate

N = LEAST_SIZE


def _solution(*, size: int = N, batch: int = 0) -> Graph:
    """The sum of the sines of x with a x = b."""
    builder = Builder()
    a = builder.input("a", ArrayType(FLOAT64, (batch, size, size) if batch else (size, size)))
    b = builder.input("b", ArrayType(FLOAT64, (size, 2)))
    z = do.sin(do.solve(a, b, transpose=False))
    return builder.build({"y": do.sum(z, axes=tuple(range(len(z.shape))), keepdims=False)})


def _counts(graph: Graph) -> Counter[str]:
    return Counter(node.op.name for node in graph.nodes)


def test_a_solution_and_its_adjoint_share_one_factorisation():
    """Value and gradient, and the product with the Hessian, hold one LU and no other cubic node."""
    for want in (Gradient(("a", "b")), Hvp(("a", "b"), (("a", "b"),))):
        counts = _counts(lower(_solution(), want).graph)
        assert counts["lu"] == 1
        assert counts["solve"] == 0
    small = _counts(lower(_solution(size=N - 1), Gradient(("a", "b"))).graph)
    assert (small["solve"], small["lu"]) == (2, 0)
    once = _counts(lower(_solution(), Gradient(("b",))).graph)
    assert once["lu"] == 1


@pytest.mark.parametrize("batch", [0, 3])
def test_shared_factors_change_nothing(batch: int):
    """Value, gradient and Hessian product are those of separate solutions."""
    rng = np.random.default_rng(0)
    shape = (batch, N, N) if batch else (N, N)
    arrays = [rng.normal(size=shape) + N * np.eye(N), rng.normal(size=(N, 2))]
    seeds = [rng.normal(size=array.shape) for array in arrays]
    graph = lower(_solution(batch=batch), Hvp(("a", "b"), (("a", "b"),))).graph
    found = evaluate(graph, [*arrays, *seeds])
    a, b = arrays
    da, db = seeds
    x = np.linalg.solve(a, b)
    dx = np.linalg.solve(a, db - da @ x)
    t = np.swapaxes(a, -1, -2)
    g = np.linalg.solve(t, np.cos(x))
    dg = np.linalg.solve(t, -np.sin(x) * dx - np.swapaxes(da, -1, -2) @ g)
    of_a = -(dg @ np.swapaxes(x, -1, -2) + g @ np.swapaxes(dx, -1, -2))
    of_b = dg.sum(0) if batch else dg
    np.testing.assert_allclose(found[-2], of_a, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found[-1], of_b, rtol=1e-9, atol=1e-15)


def _matrix(*shape: int, integer: bool = False) -> ArrayType:
    return ArrayType(INT64 if integer else FLOAT64, shape)


TRIANGLE: dict[str, object] = {"lower": True}
REFUSED: tuple[tuple[str, tuple[ArrayType, ...], dict[str, object], type[Exception], str], ...] = (
    ("cholesky", (_matrix(2, 3),), {}, ShapeError, "2 rows and 3 columns, and must be square"),
    ("inv", (_matrix(3),), {}, ShapeError, "is no matrix"),
    ("det", (_matrix(2, 2, integer=True),), {}, DTypeError, "floating"),
    ("qr", (_matrix(2, 3),), {}, ShapeError, "no fewer rows"),
    ("solve", (_matrix(2, 2), _matrix(2)), {}, ShapeError, "is no matrix"),
    ("solve", (_matrix(2, 2), _matrix(3, 1)), {}, ShapeError, "of 2 rows"),
    ("solve", (_matrix(4, 2, 2), _matrix(3, 2, 1)), {}, ShapeError, "do not broadcast"),
    ("triangular_solve", (_matrix(2, 3), _matrix(2, 1)), TRIANGLE, ShapeError, "square"),
    ("pinv", (_matrix(2, 3),), {"rtol": float("nan")}, AttributeFault, "rtol"),
    ("expm_frechet", (_matrix(2, 2), _matrix(3, 3)), {}, ShapeError, "differ"),
    ("gammainc_derivative", (_matrix(2), _matrix(2)), {"n": 0}, AttributeFault, "between 1"),
    ("betainc_derivative", (_matrix(2),) * 3, {"p": 0, "q": 0}, AttributeFault, "both 0"),
)


@pytest.mark.parametrize(("name", "types", "attributes", "error", "message"), REFUSED)
def test_what_does_not_fit_is_refused(name, types, attributes, error, message):
    """Ranks, sides, dtypes and orders that do not fit: the error names the node and the fault."""
    builder = Builder()
    refs = [builder.input(f"x{i}", type) for i, type in enumerate(types)]
    with pytest.raises(error, match=f"node 0 {name}.*{message}"):
        builder.add(name, *refs, **attributes)


def test_values_alone_cost_the_gradient_no_work_for_the_vectors():
    """The gradient of eigenvalues, singular values or R has no division by differences."""
    for name, result in (("eigh", 0), ("svd", 1)):
        builder = Builder()
        x = builder.input("x", _matrix(4, 4))
        z = builder.add(name, x)[result]
        graph = builder.build({"y": do.sum(do.square(z), axes=(0,), keepdims=False)})
        counts = _counts(lower(graph, Gradient(("x",))).graph)
        assert counts["divide_no_nan"] == 0
        assert counts["matmul"] == 1


def test_peak_memory_counts_workspaces():
    """A factorisation's copies and workspace are in the estimate of memory."""
    from pullback_graph.memory import peak_bytes

    builder = Builder()
    x = builder.input("x", _matrix(100, 100))
    graph = builder.build({"s": builder.add("svd", x)[1]})
    assert peak_bytes(graph) >= 7 * 100 * 100 * 8
