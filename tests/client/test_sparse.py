"""Sparse derivatives as users get them: matrices of SciPy, from functions and graphs alike."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import pullback as pb
import pullback.numpy as pnp
from pullback_graph.errors import InputError, RequestError

X = np.linspace(0.5, 1.5, 12)


def neighbours(x: Any) -> Any:
    """Products of neighbours."""
    return x[1:] * x[:-1]


def energy(x: Any, y: Any) -> Any:
    """A chain of x and y, beside a linear term."""
    return pnp.sum(neighbours(x) ** 2 * y) + pnp.sum(x)


def test_a_sparse_jacobian_is_a_csr_array() -> None:
    """Rows are the result's elements, columns the argument's, and nothing but places is stored."""
    matrix = pb.jacobian(neighbours, sparse=True)(X)
    assert type(matrix) is scipy.sparse.csr_array
    assert (matrix.shape, matrix.nnz, matrix.has_canonical_format) == ((11, 12), 22, True)
    np.testing.assert_array_equal(matrix.toarray(), pb.jacobian(neighbours)(X))


def test_each_call_gives_matrices_of_its_own() -> None:
    """The pattern is found once; what a caller does to a matrix, even to its places, is his own."""
    jacobian = pb.jacobian(neighbours, sparse=True)
    first = jacobian(X)
    first.data[:] = 0
    first.eliminate_zeros()
    for x in (X, X + 1, X + 2):
        np.testing.assert_array_equal(jacobian(x).toarray(), pb.jacobian(neighbours)(x))


def test_results_keep_their_structure() -> None:
    """Several arguments and results come as they would dense, with a matrix in each place."""

    def both(x: Any, y: Any) -> Any:
        return {"a": x * 2.0, "b": x[:3] + y}

    made = pb.jacobian(both, wrt=("x", "y"), sparse=True)(X, X[:3])
    dense = pb.jacobian(both, wrt=("x", "y"))(X, X[:3])
    for name in ("a", "b"):
        for matrix, block in zip(made[name], dense[name], strict=True):
            np.testing.assert_array_equal(matrix.toarray(), block)
    assert made["a"][1].nnz == 0


def test_blocks_of_a_sparse_hessian() -> None:
    """A matrix per pair of arguments; second derivatives of what is linear take no place."""
    blocks = pb.hessian(energy, wrt=("x", "y"), sparse=True)(X, X[1:])
    dense = pb.hessian(energy, wrt=("x", "y"))(X, X[1:])
    for i in range(2):
        for j in range(2):
            np.testing.assert_allclose(blocks[i][j].toarray(), dense[i][j], rtol=1e-13)
    assert (blocks[0][0].nnz, blocks[1][1].nnz) == (3 * 12 - 2, 0)


def test_arrays_of_any_rank_are_flattened() -> None:
    """Matrices in, matrices out: elements are numbered in row-major order."""

    def rows(x: Any) -> Any:
        return pnp.cumulative_sum(x, axis=1)

    x = np.arange(12.0).reshape(3, 4)
    matrix = pb.jacobian(rows, sparse=True)(x)
    np.testing.assert_array_equal(matrix.toarray(), pb.jacobian(rows)(x).reshape(12, 12))
    assert matrix.nnz == 3 * 16


def test_scalars_are_matrices_of_one() -> None:
    """A number by a number has one row and one column."""
    matrix = pb.jacobian(lambda x: x * x, sparse=True)(3.0)
    assert (matrix.shape, matrix.toarray().item()) == ((1, 1), 6.0)


def test_the_verbs_on_graphs_and_the_metrics() -> None:
    """`result.jacobians` and `result.hessians` hold matrices; the metrics say how many colours."""
    service = pb.local()
    graph = pb.trace(neighbours, X)
    result = service.jacobian(graph, {"x": X}, "x", sparse=True, certificate=True)
    assert result.jacobians["result", "x"].nnz == 22
    assert result.metrics.mode.startswith("sparse ")
    assert result.metrics.mode_reason.startswith("2 colour(s) of ")
    assert result.metrics.certificate_error is not None
    assert result.metrics.certificate_error < 1e-12
    scalar = pb.trace(energy, X, X[1:])
    result = service.hessian(scalar, {"x": X, "y": X[1:]}, ["x", "y"], sparse=True)
    assert result.hessians["x", "y"].shape == (12, 11)
    assert result.gradients == result.jacobians == {}
    assert result.metrics.mode == "sparse forward over reverse"


def test_dense_derivatives_say_their_mode() -> None:
    """Every derivative's metrics say how it was computed."""
    service, graph = pb.local(), pb.trace(neighbours, X)
    assert service.jacobian(graph, {"x": X}, "x").metrics.mode in ("forward", "reverse")
    assert service.value(graph, {"x": X}).metrics.mode == ""


def test_results_show_a_derivative_only_as_what_it_is() -> None:
    """A gradient is no Hessian, and a Hessian no gradient."""
    service, graph = pb.local(), pb.trace(energy, X, X[1:])
    point = {"x": X, "y": X[1:]}
    gradient = service.gradient(graph, point, "x")
    assert (list(gradient.gradients), gradient.hessians) == (["x"], {})
    hessian = service.hessian(graph, point, "x")
    assert (list(hessian.hessians), hessian.gradients) == ([("x", "x")], {})


def test_a_sparse_derivative_inside_a_trace_is_refused() -> None:
    """What no array can hold cannot go into a graph; the error says what to do."""
    with pytest.raises(InputError, match="without sparse=True"):
        pb.trace(pb.jacobian(neighbours, sparse=True), X)


def test_many_points_have_no_sparse_derivatives() -> None:
    """A matrix for each point fits no array: an error that says where to have them."""
    graph = pb.trace(neighbours, X)
    with pytest.raises(RequestError, match="ask for it with map"):
        pb.local().evaluate_many(
            graph, {"x": np.stack([X, X])}, want=pb.Jacobian(("x",), sparse=True)
        )
    jobs = [(graph, {"x": x}, pb.Jacobian(("x",), sparse=True)) for x in (X, 2 * X)]
    found = [
        outcome.jacobians["result", "x"].toarray()
        for outcome in pb.local().map(jobs)
        if isinstance(outcome, pb.Result)
    ]
    np.testing.assert_array_equal(2 * found[0], found[1])


def test_tapes_answer_too() -> None:
    """A tape's sparse derivative is that of its graph, whatever usually runs tapes."""
    t = pb.Tape()
    v = t.input("v", 4)
    t.output("y", [v[i] * v[i + 1] for i in range(3)])
    point = {"v": [1.0, 2.0, 3.0, 4.0]}
    service = pb.local()
    matrix = service.jacobian(t, point, "v", sparse=True).jacobians["y", "v"]
    np.testing.assert_array_equal(
        matrix.toarray(), service.jacobian(t, point, "v").jacobians["y", "v"]
    )
    assert matrix.nnz == 6
    assert service.jacobian(t, point, "v").metrics.mode in ("forward", "reverse")
    assert service.value(t, point).metrics.mode == ""


def test_scipy_is_imported_with_the_first_matrix_alone() -> None:
    """`import pullback` and dense derivatives leave scipy.sparse where it is."""
    program = (
        "import sys, numpy as np, pullback as pb\n"
        "pb.jacobian(lambda x: x * x)(np.ones(3))\n"
        "assert 'scipy.sparse' not in sys.modules\n"
        "pb.jacobian(lambda x: x * x, sparse=True)(np.ones(3))\n"
        "assert 'scipy.sparse' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
