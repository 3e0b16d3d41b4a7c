"""Linear algebra on NumPy and on JAX: the same answers, and the same NaN where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.kernels import Kernels
from pullback_graph.table import OPS
from pullback_graph.types import type_of
from pullback_worker.jax_kernels import JaxKernels
from pullback_worker.numpy_executor import NumpyExecutor
from pullback_worker.numpy_kernels import NUMPY
from pullback_worker.numpy_linalg import NumpyLinearAlgebra

NDArray = np.ndarray[Any, Any]
JAX: Any = JaxKernels()
BOTH = pytest.mark.parametrize("kernels", [NUMPY, JAX], ids=["numpy", "jax"])
RNG = np.random.default_rng(11)
NAN, INF = np.nan, np.inf


def run(kernels: Kernels, name: str, *operands: NDArray, **attributes: Any) -> list[NDArray]:
    """The results of a row on plain arrays."""
    given = [kernels.xp.asarray(x) for x in operands]
    with np.errstate(all="ignore"):
        results = OPS[name].run(kernels, **attributes)(*given)
    listed = results if isinstance(results, tuple) else (results,)
    return [np.asarray(z) for z in listed]


def good(size: int, *batch: int) -> NDArray:
    """Well conditioned matrices."""
    return np.asarray(RNG.normal(size=(*batch, size, size)) + 3 * size * np.eye(size))


# --- no answer ------------------------------------------------------------------------------------

SINGULAR = np.array([[1.0, 2.0], [2.0, 4.0]])
INDEFINITE = np.array([[1.0, 2.0], [2.0, 1.0]])
HALF_NAN = np.array([[1.0, NAN], [NAN, 1.0]])
RIGHT = np.ones((2, 3))
LOWER_NAN = np.array([[NAN, 0.0], [NAN, NAN]])
WITHOUT_ANSWER: tuple[tuple[str, NDArray, dict[str, Any], int], ...] = (
    ("inv", SINGULAR, {}, 1),
    ("solve", SINGULAR, {"transpose": False}, 2),
    ("solve", SINGULAR, {"transpose": True}, 2),
    ("triangular_solve", np.diag([1.0, 0.0]),
     {"lower": True, "transpose": False, "unit_diagonal": False}, 2),
    ("svd", HALF_NAN, {}, 1),
    ("eigh", HALF_NAN, {}, 1),
    ("expm", HALF_NAN, {}, 1),
    ("expm", np.array([[1.0, INF], [0.0, 1.0]]), {}, 1),
    ("inv", HALF_NAN, {}, 1),
    ("pinv", HALF_NAN, {"rtol": 1e-12}, 1),
)  # fmt: skip


@BOTH
@pytest.mark.parametrize(
    ("name", "bad", "attributes", "count"),
    WITHOUT_ANSWER,
    ids=[f"{row[0]}-{i}" for i, row in enumerate(WITHOUT_ANSWER)],
)
def test_a_matrix_without_an_answer_is_nan_alone(
    kernels: Kernels, name: str, bad: NDArray, attributes: dict[str, Any], count: int
):
    """All of its results are NaN; its neighbours in the batch are what they are alone."""
    fine = good(2)
    right = [RIGHT] if count == 2 else []
    results = run(kernels, name, np.stack([fine, bad, fine.T]), *right, **attributes)
    first = run(NUMPY, name, fine, *right, **attributes)
    last = run(NUMPY, name, fine.T, *right, **attributes)
    for z, one, other in zip(results, first, last, strict=True):
        np.testing.assert_allclose(z[0], one, rtol=1e-12)
        np.testing.assert_allclose(z[2], other, rtol=1e-12)
        assert np.isnan(z[1]).all()


@BOTH
@pytest.mark.parametrize("bad", [INDEFINITE, HALF_NAN, np.zeros((2, 2)), -np.eye(2)])
def test_cholesky_of_what_is_not_positive_definite(kernels: Kernels, bad: NDArray):
    """The lower triangle is NaN throughout, the rest zero, and the neighbours stand."""
    (z,) = run(kernels, "cholesky", np.stack([np.eye(2), bad]))
    np.testing.assert_array_equal(z, [np.eye(2), LOWER_NAN])


@BOTH
def test_determinants_of_singular_matrices(kernels: Kernels):
    """0; sign 0 and logarithm -inf; and cofactors at rank n - 1."""
    assert run(kernels, "det", SINGULAR)[0] == 0.0
    sign, logarithm = run(kernels, "slogdet", SINGULAR)
    assert float(sign) == 0.0
    assert np.isneginf(logarithm)
    (adjugate,) = run(kernels, "adjugate", SINGULAR)
    np.testing.assert_allclose(adjugate, [[4.0, -2.0], [-2.0, 1.0]], rtol=1e-14)


# --- the two agree --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", ["qr", "eigh", "svd", "cholesky", "lu"])
def test_factors_are_equal_on_both(name: str, dtype: Any):
    """Signs included: those of eigenvectors whose components tie in size too."""
    tied = np.array([[2.0, 1, 0, 0], [1, 2, 0, 0], [0, 0, 7, 2], [0, 0, 2, 8]])
    x = np.stack([good(4), tied, good(4) @ good(4)]).astype(dtype)
    if name == "cholesky":
        x = x @ np.swapaxes(x, -1, -2)
    tolerance = 1e-11 if dtype == np.float64 else 2e-4
    for one, other in zip(run(NUMPY, name, x), run(JAX, name, x), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@BOTH
@pytest.mark.parametrize("size", [1, 20])
def test_factors_multiply_to_the_matrix(kernels: Kernels, size: int):
    """The invariants of each factorisation, at several sizes."""
    x = good(size, 2)
    eye = np.broadcast_to(np.eye(size), x.shape)
    q, r = run(kernels, "qr", x)
    np.testing.assert_allclose(q @ r, x, atol=1e-11)
    np.testing.assert_allclose(np.swapaxes(q, -1, -2) @ q, eye, atol=1e-12)
    assert (np.diagonal(r, 0, -2, -1) >= 0).all()
    u, s, vh = run(kernels, "svd", x)
    np.testing.assert_allclose((u * s[:, None]) @ vh, x, atol=1e-11)
    packed, order = run(kernels, "lu", x)
    lower = np.tril(packed, -1) + np.eye(size)
    np.testing.assert_allclose(
        lower @ np.triu(packed), np.take_along_axis(x, order[..., None], -2), atol=1e-12
    )
    assert np.abs(np.tril(packed, -1)).max(initial=0.0) <= 1.0
    assert order.dtype == np.int64
    values, vectors = run(kernels, "eigh", x)
    symmetric = (x + np.swapaxes(x, -1, -2)) / 2
    np.testing.assert_allclose(symmetric @ vectors, vectors * values[:, None], atol=1e-11)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("unit_diagonal", [False, True])
@pytest.mark.parametrize("batch", [(), (3,), (2, 40)], ids=str)
def test_triangular_solutions(
    transpose: bool, lower: bool, unit_diagonal: bool, batch: tuple[int, ...]
):
    """T x = b, for one triangle to many right-hand sides, some each, and many small matrices."""
    a = good(3, *batch[-1:])
    b = RNG.normal(size=(*batch, 3, 2))
    attributes = {"lower": lower, "transpose": transpose, "unit_diagonal": unit_diagonal}
    triangle = np.tril(a) if lower else np.triu(a)
    if unit_diagonal:
        triangle = triangle * (1 - np.eye(3)) + np.eye(3)
    matrix = np.swapaxes(triangle, -1, -2) if transpose else triangle
    kept = a.copy(), b.copy()
    (z,) = run(NUMPY, "triangular_solve", a, b, **attributes)
    np.testing.assert_allclose(matrix @ z, np.broadcast_to(b, z.shape), atol=1e-12)
    (one,) = run(NUMPY, "triangular_solve", triangle_of(a), b, **attributes)
    assert one.shape == b.shape
    np.testing.assert_array_equal(a, kept[0])
    np.testing.assert_array_equal(b, kept[1])


def triangle_of(a: NDArray) -> NDArray:
    """The first matrix of a batch, to be solved for all right-hand sides."""
    return np.asarray(a.reshape(-1, 3, 3)[0])


def test_operands_of_any_layout_are_left_as_they_are():
    """Transposed, strided and read-only operands are solved for, and not written to."""
    algebra = NumpyLinearAlgebra()
    base = good(6)
    layouts: tuple[Callable[[NDArray], NDArray], ...] = (
        lambda x: x.T,
        lambda x: x[::2, ::2],
        np.asfortranarray,
    )
    for layout in layouts:
        a = layout(base)
        a.flags.writeable = False
        b = RNG.normal(size=(2, a.shape[0])).T
        before = a.copy(), b.copy()
        z = algebra.triangular_solve(a, b, lower=True, transpose=False, unit_diagonal=False)
        np.testing.assert_allclose(np.tril(a) @ z, b, atol=1e-12)
        np.testing.assert_allclose(algebra.inv(a) @ a, np.eye(len(a)), atol=1e-12)
        packed, order = algebra.lu(a)
        lower = np.tril(packed, -1) + np.eye(len(a))
        np.testing.assert_allclose(lower @ np.triu(packed), a[order], atol=1e-12)
        np.testing.assert_array_equal(a, before[0])
        np.testing.assert_array_equal(b, before[1])


# --- nodes of several results ---------------------------------------------------------------------


def test_programs_with_several_results_a_node():
    """Results that nobody reads, that are outputs, and that feed later nodes all come out right."""
    builder = Builder()
    x = good(3, 2)
    given = builder.input("x", type_of(x))
    u, s, vh = builder.add("svd", given)
    sign, _ = builder.add("slogdet", given)
    again = builder.add("matmul", u, vh)
    graph = builder.build({"s": s, "orthogonal": again, "sign": sign, "u": u})
    found = NumpyExecutor(overwrite_bytes=1).compile(graph)([x])
    wanted = np.linalg.svd(x)
    np.testing.assert_allclose(found[0], wanted[1])
    np.testing.assert_allclose(found[1], wanted[0] @ wanted[2], atol=1e-12)
    np.testing.assert_array_equal(found[2], [1.0, 1.0])
    np.testing.assert_allclose(np.abs(found[3]), np.abs(wanted[0]), atol=1e-12)
    assert all(array.base is None and array.flags.c_contiguous for array in found)


# --- many small matrices --------------------------------------------------------------------------

TIED = np.array([[1.0, 2.0, 3.0], [-1.0, 2.0, 0.0], [1.0, 0.0, 1.0]])
LEFT_EMPTY = np.array([[0.0, 1.0, 2.0], [0.0, 3.0, 4.0], [0.0, 5.0, 6.0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_many_matrices_are_factored_as_one_by_one(size: int, dtype: Any):
    """A batch that is taken together has the factors and the order that LAPACK gives each."""
    algebra, rtol = NumpyLinearAlgebra(), 200 * np.finfo(dtype).eps
    x = np.random.default_rng(5).normal(size=(4, 30, size, size)).astype(dtype)
    if size == 3:
        x[0, :3] = [TIED, LEFT_EMPTY, np.zeros((3, 3))]
    factors, order = algebra.lu(x)
    assert factors.dtype == dtype
    assert order.shape == x.shape[:-1]
    for place in np.ndindex(x.shape[:-2]):
        alone, own = algebra.lu(x[place])
        np.testing.assert_array_equal(order[place], own)
        np.testing.assert_allclose(factors[place], alone, rtol=rtol, atol=rtol)


@BOTH
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_minors_and_factors_agree(kernels: Kernels, size: int):
    """The determinant is NumPy's whatever the size, and times the inverse it is the adjugate."""
    x = np.random.default_rng(5).normal(size=(50, size, size))
    (det,) = run(kernels, "det", x)
    np.testing.assert_allclose(det, np.linalg.det(x), rtol=1e-11)
    (adjugate,) = run(kernels, "adjugate", x)
    np.testing.assert_allclose(
        adjugate, det[:, None, None] * np.linalg.inv(x), rtol=1e-9, atol=1e-11
    )
