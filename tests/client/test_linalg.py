"""`pullback.linalg`: NumPy's and SciPy's values, derivatives of both orders, and clear refusals."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.linalg

import pullback as pb
import pullback.linalg as pl
import pullback.numpy as pnp

RNG = np.random.default_rng(7)
A = RNG.normal(size=(4, 4))
B = RNG.normal(size=(4, 4))
S = A @ A.T + 4 * np.eye(4)
TALL, WIDE = RNG.normal(size=(5, 3)), RNG.normal(size=(3, 5))
STACK = RNG.normal(size=(2, 3, 3)) + 4 * np.eye(3)
V, COLUMNS = RNG.normal(size=4), RNG.normal(size=(4, 2))
LOWER = np.tril(S)
FOUR = RNG.normal(size=(2, 3, 2, 3))

VALUES: dict[str, tuple[Callable[[], Any], Any]] = {
    "cholesky": (lambda: pl.cholesky(S), np.linalg.cholesky(S)),
    "cholesky upper": (lambda: pl.cholesky(S, upper=True), scipy.linalg.cholesky(S)),
    "solve a vector": (lambda: pl.solve(A, V), np.linalg.solve(A, V)),
    "solve columns": (lambda: pl.solve(A, COLUMNS), np.linalg.solve(A, COLUMNS)),
    "solve a batch": (lambda: pl.solve(STACK, V[:3]), np.linalg.solve(STACK, V[:3])),
    "solve integers": (lambda: pl.solve([[2, 1], [1, 3]], [1, 2]), np.array([0.2, 0.6])),
    "inv": (lambda: pl.inv(STACK), np.linalg.inv(STACK)),
    "pinv": (lambda: pl.pinv(WIDE), np.linalg.pinv(WIDE)),
    "det": (lambda: pl.det(STACK), np.linalg.det(STACK)),
    "slogdet": (lambda: pl.slogdet(A), tuple(np.linalg.slogdet(A))),
    "eigvalsh": (lambda: pl.eigvalsh(S), np.linalg.eigvalsh(S)),
    "svdvals": (lambda: pl.svdvals(WIDE), np.linalg.svdvals(WIDE)),
    "matrix_power": (lambda: pl.matrix_power(STACK, 5), np.linalg.matrix_power(STACK, 5)),
    "negative power": (lambda: pl.matrix_power(STACK, -3), np.linalg.matrix_power(STACK, -3)),
    "power 0": (lambda: pl.matrix_power(STACK, 0), np.linalg.matrix_power(STACK, 0)),
    "matrix_rank": (lambda: pl.matrix_rank(TALL @ WIDE), np.array(3)),
    "lstsq": (lambda: pl.lstsq(TALL, TALL[:, 0] ** 2)[:2],
              (np.linalg.lstsq(TALL, TALL[:, 0] ** 2)[0],
               np.linalg.lstsq(TALL, TALL[:, 0] ** 2)[1][0])),
    "multi_dot": (lambda: pl.multi_dot([V, A, B, COLUMNS]), V @ A @ B @ COLUMNS),
    "tensorinv": (lambda: pl.tensorinv(FOUR), np.linalg.tensorinv(FOUR)),
    "tensorsolve": (lambda: pl.tensorsolve(FOUR, A[:2, :3]),
                    np.linalg.tensorsolve(FOUR, A[:2, :3])),
    "tensorsolve over axes": (lambda: pl.tensorsolve(FOUR.swapaxes(0, 3), A[:2, :3], (0,)),
                              np.linalg.tensorsolve(FOUR.swapaxes(0, 3), A[:2, :3], (0,))),
    "eigvalsh of a triangle": (lambda: pl.eigvalsh(A, UPLO="U"), np.linalg.eigvalsh(A, UPLO="U")),
    "trace": (lambda: pl.trace(STACK, offset=1), np.linalg.trace(STACK, offset=1)),
    "diagonal": (lambda: pl.diagonal(STACK), np.linalg.diagonal(STACK)),
    "solve_triangular": (lambda: pl.solve_triangular(S, V),
                         scipy.linalg.solve_triangular(S, V)),
    "solve_triangular T": (lambda: pl.solve_triangular(S, V, trans="T", lower=True),
                           scipy.linalg.solve_triangular(S, V, trans="T", lower=True)),
    "cho_solve": (lambda: pl.cho_solve(pl.cho_factor(S), COLUMNS), np.linalg.solve(S, COLUMNS)),
    "cho_solve lower": (lambda: pl.cho_solve(pl.cho_factor(S, lower=True), V),
                        np.linalg.solve(S, V)),
    "lu_solve": (lambda: pl.lu_solve(pl.lu_factor(A), V), np.linalg.solve(A, V)),
    "lu_solve T": (lambda: pl.lu_solve(pl.lu_factor(A), V, 1), np.linalg.solve(A.T, V)),
    "lu": (lambda: pl.lu(A), scipy.linalg.lu(A)),
    "lu rows": (lambda: pl.lu(A, p_indices=True), scipy.linalg.lu(A, p_indices=True)),
    "lu permuted": (lambda: pl.lu(A, permute_l=True), scipy.linalg.lu(A, permute_l=True)),
    "expm": (lambda: pl.expm(STACK), scipy.linalg.expm(STACK)),
    "expm_frechet": (lambda: pl.expm_frechet(A, B), scipy.linalg.expm_frechet(A, B)),
    "block_diag": (lambda: pl.block_diag(A, V, 2.0), scipy.linalg.block_diag(A, V, 2.0)),
    "adjugate": (lambda: pl.adjugate(A), np.linalg.det(A) * np.linalg.inv(A)),
    **{f"cond {p}": (partial(pl.cond, A, p), np.linalg.cond(A, p))
       for p in (None, 2, -2, 1, np.inf, "fro")},
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str):
    """A function gives what NumPy's or SciPy's of its name gives."""
    ours, theirs = VALUES[name]
    found = ours()
    for one, other in zip(_listed(found), _listed(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


def _listed(x: Any) -> list[Any]:
    return list(x) if isinstance(x, tuple) else [x]


def test_factors_multiply_to_the_matrix():
    """QR, eigenvalues and singular values put together again are the matrix, tall, wide, square."""
    for x in (TALL, WIDE, A, STACK):
        q, r = pl.qr(x)
        np.testing.assert_allclose(q @ r, x, atol=1e-12)
        np.testing.assert_allclose(np.swapaxes(q, -1, -2) @ q, _eye(q), atol=1e-12)
        assert (np.diagonal(r, 0, -2, -1) >= 0).all()
        assert np.array_equal(np.triu(r), r)
        u, s, vh = pl.svd(x, full_matrices=False)
        np.testing.assert_allclose((u * s[..., None, :]) @ vh, x, atol=1e-12)
        assert (np.diff(s) <= 0).all()
    w, v = pl.eigh(S)
    np.testing.assert_allclose((v * w) @ v.T, S, atol=1e-12)


def test_complete_factors():
    """Square Q, U and Vh: orthonormal, the reduced ones first, and the matrix from them."""
    for x in (TALL, WIDE, A, STACK, np.stack([TALL, 0.0 * TALL])):
        q, r = pl.qr(x, mode="complete")
        u, s, vh = pl.svd(x)
        for factor, size in ((q, x.shape[-2]), (u, x.shape[-2]), (vh, x.shape[-1])):
            assert factor.shape[-2:] == (size, size)
            np.testing.assert_allclose(
                np.swapaxes(factor, -1, -2) @ factor, _eye(factor), atol=1e-12
            )
        assert r.shape == x.shape
        np.testing.assert_allclose(q @ r, x, atol=1e-12)
        short = s.shape[-1]
        found = (u[..., :short] * s[..., None, :]) @ vh[..., :short, :]
        np.testing.assert_allclose(found, x, atol=1e-12)


BATCHED: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "cholesky": (lambda x: pl.cholesky(x @ pnp.matrix_transpose(x)), STACK),
    "triangular": (lambda x: pl.solve_triangular(x, x[..., :1], lower=True), STACK),
    "solve": (lambda x: pl.solve(x, pnp.sin(x)), STACK),
    "inv": (pl.inv, STACK),
    "det": (pl.det, STACK),
    "slogdet": (lambda x: pl.slogdet(x).logabsdet, STACK),
    "qr": (lambda x: pl.qr(x).Q + pl.qr(x).R, STACK),
    "complete qr": (lambda x: pl.qr(x, "complete").Q[..., 3:] @ pnp.matrix_transpose(
        pl.qr(x, "complete").Q[..., 3:]), np.stack([TALL, TALL[::-1]])),
    "eigh": (lambda x: pl.eigh(x).eigenvalues, STACK),
    "svd": (lambda x: pl.svd(x, False).S, np.stack([WIDE, WIDE[:, ::-1] * 2.0])),
    "norm": (lambda x: pl.matrix_norm(x, ord=2), STACK),
    "power": (lambda x: pl.matrix_power(x, 3), STACK),
    "expm": (lambda x: pl.expm(x * 0.1), STACK),
    "pinv": (pl.pinv, np.stack([TALL, TALL[::-1] + 1.0])),
    "lstsq": (lambda x: pl.lstsq(x, x[..., :2] ** 2).x, np.stack([TALL, TALL[::-1] + 1.0])),
    "cond": (pl.cond, STACK),
    "lu": (lambda x: pl.lu(x).U, STACK),
    "cross": (lambda x: pl.cross(x, pnp.sin(x)), STACK),
    "vecdot": (lambda x: pl.vecdot(x, pnp.sin(x)), STACK),
}  # fmt: skip


@pytest.mark.parametrize("name", BATCHED)
def test_a_batch_is_its_matrices(name: str):
    """Values, gradient and second derivative of a batch are those of a map over it."""
    function, x = BATCHED[name]

    def total(x: Any) -> Any:
        return pnp.sum(pnp.sin(function(x)))

    np.testing.assert_allclose(function(x), pb.vmap(function)(x), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(
        pb.grad(total)(x), np.stack([pb.grad(total)(one) for one in x]), rtol=1e-9, atol=1e-11
    )
    curved = pb.hvp(total)(x, tangent=np.ones_like(x))
    alone = [pb.hvp(total)(one, tangent=np.ones_like(one)) for one in x]
    np.testing.assert_allclose(curved, np.stack(alone), rtol=1e-8, atol=1e-9)


def _eye(q: Any) -> Any:
    return np.broadcast_to(np.eye(q.shape[-1]), (*q.shape[:-2], q.shape[-1], q.shape[-1]))


def _total(x: Any) -> Any:
    return pnp.sum(x**2)


SMOOTH: dict[str, tuple[Callable[..., Any], Any]] = {
    "wide R": (lambda x: pnp.sum(pl.qr(x, mode="r") ** 3), WIDE),
    "Q alone": (lambda x: pnp.sum(pl.qr(x).Q ** 3), TALL),
    "singular values": (lambda x: pnp.sum(pl.svdvals(x) ** 3), WIDE),
    "left vectors": (lambda x: pnp.sum(pl.svd(x, False).U ** 4), TALL),
    "right vectors": (lambda x: pnp.sum(pl.svd(x, False).Vh ** 4), TALL),
    "further columns": (
        lambda x: pnp.sum((pl.qr(x, "complete").Q[:, 3:] @ pl.qr(x, "complete").Q[:, 3:].T) ** 3),
        TALL,
    ),
    "further vectors": (lambda x: pnp.sum((pl.svd(x).Vh[3:].T @ pl.svd(x).Vh[3:]) ** 3), WIDE),
    "a triangle": (lambda x: pnp.sum(pl.eigvalsh(x, "L") ** 3), A),
    "inverse tensor": (lambda x: _total(pl.tensorinv(x)), FOUR),
    "eigenvalues": (lambda x: pnp.sum(pl.eigvalsh(x) ** 3), S),
    "nuclear norm": (lambda x: pl.norm(x, "nuc"), TALL),
    "spectral norm": (lambda x: pl.norm(x, 2), TALL),
    "condition": (pl.cond, A),
    "condition, by norms": (lambda x: pl.cond(x, "fro"), A),
    "least squares": (lambda x: _total(pl.lstsq(x, V[:3, None] * WIDE[:, :2]).x), WIDE),
    "residual": (lambda x: _total(pl.lstsq(x, np.arange(5.0)).residuals), TALL),
    "lu": (lambda x: _total(pl.lu(x).L) + pnp.sum(pl.lu(x).U ** 3), A),
    "lu_solve": (lambda x: _total(pl.lu_solve(pl.lu_factor(x), V, 1)), A),
    "cho_solve": (lambda x: _total(pl.cho_solve(pl.cho_factor(x), V)), S),
    "power": (lambda x: _total(pl.matrix_power(x, -3)), STACK),
    "exponential": (lambda x: _total(pl.expm(x)), A),
    "chain": (lambda x: pnp.sum(pl.multi_dot([V, x, B, x])), A),
    "blocks": (lambda x: _total(pl.block_diag(x, x[0], x[:2])), A),
    "rank is constant": (lambda x: pnp.sum(x) * pl.matrix_rank(x), A),
    "norm of order 3": (lambda x: pl.norm(x, 3), V),
    "log determinant": (lambda x: pl.slogdet(x).logabsdet, A),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives(name: str):
    """First and second derivatives are central differences, also where one factor alone is used."""
    function, x = SMOOTH[name]
    pb.check_gradient(function, x)


def test_log_likelihood_of_a_gaussian():
    """A batch through Cholesky and a triangular solution has the gradient that theory gives."""

    def loss(covariance: Any, y: Any) -> Any:
        factor = pl.cholesky(covariance)
        white = pl.solve_triangular(factor, y[..., None], lower=True)
        return pnp.sum(white**2) / 2 + pnp.sum(pnp.log(pl.diagonal(factor)))

    covariance = STACK @ np.swapaxes(STACK, -1, -2)
    y = RNG.normal(size=(2, 3))
    inverse = np.linalg.inv(covariance)
    solved = (inverse @ y[..., None])[..., 0]
    of_covariance, of_y = pb.grad(loss, wrt=(0, 1))(covariance, y)
    expected = (inverse - solved[..., :, None] * solved[..., None, :]) / 2
    np.testing.assert_allclose(of_covariance, expected, atol=1e-12)
    np.testing.assert_allclose(of_y, solved, atol=1e-12)


def test_equal_eigenvalues_leave_invariant_functions_their_derivative():
    """At the identity, sums of powers of eigenvalues and matrix functions have finite gradients."""
    eye = np.eye(3)
    of_values = pb.grad(lambda x: pnp.sum(pl.eigvalsh(x) ** 3))(eye)
    np.testing.assert_allclose(of_values, 3 * eye, atol=1e-12)

    def power(x: Any) -> Any:
        w, v = pl.eigh(x)
        return pnp.sum(B[:3, :3] * ((v * w**3) @ pnp.matrix_transpose(v)))

    assert np.isfinite(pb.grad(power)(eye)).all()
    assert np.isfinite(pb.grad(lambda x: pl.norm(x, "nuc"))(eye)).all()


def test_the_determinant_of_a_singular_matrix_has_its_cofactors_for_a_gradient():
    """Rank n - 1: the rank one matrix of cofactors. Rank n - 2 and the zero matrix: zeros."""
    x = np.array([[1.0, 2, 3], [4, 5, 6], [5, 7, 9]])
    cofactors = [[45 - 42, 30 - 36, 28 - 25], [21 - 18, 9 - 15, 10 - 7], [12 - 15, 12 - 6, 5 - 8]]
    np.testing.assert_allclose(pb.grad(pl.det)(x), cofactors, atol=1e-12)
    repeated = np.array([[1.0, 1, 2], [2, 2, 4], [0, 0, 3]])
    np.testing.assert_allclose(pb.grad(pl.det)(repeated), [[6, -6, 0], [-3, 3, 0], [0] * 3],
                               atol=1e-12)  # fmt: skip
    for singular in (np.ones((3, 3)), np.zeros((3, 3))):
        np.testing.assert_allclose(pb.grad(pl.det)(singular), np.zeros((3, 3)), atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_small_determinant_has_second_derivatives_where_it_is_singular(size: int):
    """Its gradient is a polynomial of degree two, whose central differences are exact."""
    change, gradient = np.random.default_rng(1).normal(size=(size, size)), pb.grad(pl.det)
    for x in (np.zeros((size, size)), np.ones((size, size)), np.diag([2.0, 1.0, 0.0][-size:])):
        hessian = pb.hessian(pl.det)(x)
        expected = 0.5 * (gradient(x + change) - gradient(x - change))
        np.testing.assert_allclose(np.tensordot(hessian, change, 2), expected, atol=1e-12)


@pytest.mark.parametrize("size", [4, 6])
def test_a_larger_determinant_has_second_derivatives_where_it_is_singular(size: int):
    """Of any rank, equal singular values included: what differences of the gradient are."""
    rng, gradient = np.random.default_rng(1), pb.grad(pl.det)
    change, x = rng.normal(size=(2, size, size))
    step = 1e-4 * change
    once = np.concatenate([x[:1], x[:-1]])
    twice = np.concatenate([x[:1], x[:1], x[1:-1] @ np.diag(np.arange(size) > 1)])
    for singular in (once, twice, np.zeros((size, size)), np.diag([1.0] * (size - 2) + [0.0] * 2)):
        hessian = pb.hessian(pl.det)(singular)
        expected = (gradient(singular + step) - gradient(singular - step)) / 2e-4
        np.testing.assert_allclose(np.tensordot(hessian, change, 2), expected, atol=1e-5)
        flat = hessian.reshape(size**2, size**2)
        np.testing.assert_allclose(flat, flat.T, atol=1e-12)


def test_norms_of_zeros_have_a_finite_derivative():
    """Zero, but for norms by singular values: those have one of their subgradients."""
    x = np.zeros((2, 3))
    order: Any
    for order in (None, "fro"):
        assert not pb.grad(lambda x, order=order: pl.norm(x, order))(x).any()
    for order in (1.5, 2, 3):
        assert not pb.grad(lambda x, order=order: pl.vector_norm(x, ord=order))(x).any()
    for order in (2, "nuc"):
        assert np.isfinite(pb.grad(lambda x, order=order: pl.norm(x, order))(x)).all()


def test_numpy_code_traces():
    """Functions of numpy.linalg called on traced arrays are these."""

    def loss(x: Any) -> Any:
        _, v = np.linalg.eigh(x)
        solved = np.linalg.solve(x, v[:, 0])
        return np.sum(solved**2) + np.linalg.slogdet(x)[1] + np.linalg.norm(np.linalg.inv(x), 2)

    value, gradient = pb.value_and_grad(loss)(S)
    np.testing.assert_allclose(value, loss(S), rtol=1e-12)
    np.testing.assert_allclose(gradient, pb.grad(loss)(S))


SINGULAR = np.stack([np.eye(2), np.ones((2, 2)), np.diag([1.0, -1.0])])
WITHOUT_ANSWER: dict[str, tuple[Callable[[Any], Any], list[bool]]] = {
    "inv": (pl.inv, [True, False, True]),
    "solve": (lambda x: pl.solve(x, np.ones((2, 1))), [True, False, True]),
    "cholesky": (lambda x: pl.cholesky(x)[..., -1, -1], [True, False, False]),
    "solve_triangular": (lambda x: pl.solve_triangular(x - np.diag([0, 1.0]), np.ones((2, 1))),
                         [False, False, True]),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_ANSWER)
def test_what_has_no_answer_is_nan_in_its_own_matrix(name: str):
    """A singular or indefinite matrix gives NaN throughout, and leaves the rest of the batch be."""
    function, answered = WITHOUT_ANSWER[name]
    found = np.asarray(function(SINGULAR)).reshape(3, -1)
    assert np.isfinite(found).all(-1).tolist() == answered
    assert np.isnan(found).all(-1).tolist() == [not good for good in answered]


REFUSED: tuple[tuple[Callable[[], Any], type[Exception], str], ...] = (
    (lambda: pl.inv(TALL), pb.ShapeError, "5 rows and 3 columns, and must be square"),
    (lambda: pl.inv(V), pb.ShapeError, "a matrix has two axes"),
    (lambda: pl.solve(A, V[:3]), pb.ShapeError, "right-hand sides of 4 rows"),
    (lambda: pl.lstsq(TALL, V), pb.ShapeError, "right-hand sides of 5 rows"),
    (lambda: pl.qr(A, mode="raw"), pb.AttributeFault, "use 'reduced'"),
    (lambda: pl.eigh(A, UPLO="X"), pb.AttributeFault, "use 'L' or 'U'"),
    (lambda: pl.tensorinv(TALL, 1), pb.ShapeError, "must be square"),
    (lambda: pl.tensorinv(A, 0), pb.ShapeError, "ind=0"),
    (lambda: pl.tensorsolve(TALL, V), pb.ShapeError, "square"),
    (lambda: pl.matrix_power(TALL, 2), pb.ShapeError, "square"),
    (lambda: pl.norm(A, 3), pb.ShapeError, "'nuc'"),
    (lambda: pl.pinv(A, rtol=-1.0), pb.AttributeFault, "rtol"),
    (lambda: pl.expm_frechet(A, B[:3, :3]), pb.ShapeError, "differ"),
    (lambda: pl.solve_triangular(A, V, trans=3), pb.AttributeFault, "trans"),
)


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_does_not_fit_is_refused(call: Callable[[], Any], kind: type[Exception], message: str):
    """The error is typed, names the fault, and says what would fit."""
    with pytest.raises(kind, match=message):
        call()


def test_no_matrices_and_matrices_of_nothing():
    """A batch of none, and matrices without elements, go through with the shapes they have."""
    none, empty = np.zeros((0, 3, 3)), np.zeros((2, 0, 0))
    for function in (pl.inv, pl.cholesky, pl.expm, lambda x: pl.eigh(x)[1], lambda x: pl.qr(x)[0]):
        assert function(none).shape == none.shape
        assert function(empty).shape == empty.shape
    np.testing.assert_array_equal(pl.det(empty), [1, 1])
    assert pb.grad(lambda x: pnp.sum(pl.inv(x)) + pnp.sum(pl.det(x)))(none).shape == none.shape


def test_float32_stays():
    """float32 in, float32 out, derivatives too."""
    x = S.astype(np.float32)
    for function in (pl.inv, pl.cholesky, pl.det, pl.expm, pl.svdvals, pl.pinv, pl.cond):
        assert function(x).dtype == np.float32
        assert pb.grad(lambda x, f=function: pnp.sum(f(x)))(x).dtype == np.float32


def test_names():
    """`pullback.linalg` has the Array API's names, and lists what it has."""
    vectors = ["cross", "outer", "vecdot", "vector_norm", "tensordot", "matmul"]
    parts = ["diagonal", "trace", "matrix_transpose", "matrix_norm", "matrix_power", "matrix_rank"]
    factors = ["cholesky", "eigh", "eigvalsh", "qr", "svd", "svdvals"]
    names = [*vectors, *parts, *factors, "det", "inv", "pinv", "slogdet", "solve"]
    assert set(names) <= set(pl.__all__) & set(pnp.linalg.__all__)
    assert set(pnp.linalg.__all__) <= set(pl.__all__)
    assert all(hasattr(pl, name) for name in pl.__all__)
