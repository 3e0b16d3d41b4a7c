"""Functions of `pullback.numpy` that NumPy has not, and the derivatives of composed functions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import pullback as pb
import pullback.numpy as pnp
from tests.client.namespace_calls import TABLE

RNG = np.random.default_rng(4)
X = RNG.normal(size=(3, 4))
PLACES = np.array([2, 0, 2])
operands_first: Any = pnp.einsum
"""NumPy's other way of calling it, which is not offered."""

CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], Any]] = [
    ("sigmoid", (X,), {}, scipy.special.expit(X)),
    ("log_sigmoid", (X,), {}, scipy.special.log_expit(X)),
    ("softplus", (X,), {}, np.logaddexp(X, 0)),
    ("relu", (X,), {}, np.maximum(X, 0)),
    ("erf", (X,), {}, scipy.special.erf(X)),
    ("erfc", (X,), {}, scipy.special.erfc(X)),
    ("lgamma", (X,), {}, scipy.special.gammaln(X)),
    ("digamma", (X,), {}, scipy.special.digamma(X)),
    ("logit", (scipy.special.expit(X),), {}, X),
    ("xlogy", (np.array([0.0, 2.0]), np.array([0.0, 3.0])), {}, [0.0, 2 * np.log(3.0)]),
    (
        "logsumexp",
        (X,),
        {"axis": 0, "keepdims": True},
        scipy.special.logsumexp(X, 0, keepdims=True),
    ),
    ("logsumexp", (X,), {}, scipy.special.logsumexp(X)),
    ("softmax", (X,), {}, scipy.special.softmax(X, -1)),
    ("softmax", (X,), {"axis": 0}, scipy.special.softmax(X, 0)),
    ("log_softmax", (1000 * X,), {}, scipy.special.log_softmax(1000 * X, -1)),
    ("one_hot", (PLACES, 3), {}, np.eye(3)[PLACES]),
    ("one_hot", (PLACES, 3), {"axis": 0, "dtype": np.float32}, np.eye(3, dtype="f4")[PLACES].T),
    ("dynamic_slice", (X, np.array([1, 2]), (2, 2)), {}, X[1:3, 2:4]),
    ("dynamic_slice", (X, np.array([9, 2]), (2, 1)), {}, X[1:3, 2:3]),
    ("sort", (X,), {"descending": True}, -np.sort(-X)),
    ("argsort", (X,), {"descending": True, "axis": 0}, np.argsort(-X, axis=0)),
    ("argsort", (np.array([1, 1, 0]),), {"descending": True}, [0, 1, 2]),
]


@pytest.mark.parametrize("row", CALLS, ids=lambda row: row[0])
def test_values(row: tuple[str, tuple[Any, ...], dict[str, Any], Any]):
    """Plain and traced, a function gives what SciPy or a formula gives."""
    name, args, keywords, expected = row
    function = getattr(pnp, name)
    for found in (function(*args, **keywords), pb.local().value(function)(*args, **keywords)):
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
        assert np.asarray(found).dtype == np.asarray(expected).dtype


def test_scatter_add():
    """Repeated places add up; values broadcast."""
    expected = X.copy()
    np.add.at(expected.T, PLACES, 2.0)
    np.testing.assert_allclose(pnp.scatter_add(X, PLACES, 2.0, axis=1), expected)


def test_dynamic_update_slice():
    """A block is written at traced places."""
    f = pb.local().value(
        lambda x, i: pnp.dynamic_update_slice(x, np.ones((1, 2)), pnp.stack([i, i]))
    )
    expected = X.copy()
    expected[1, 1:3] = 1.0
    np.testing.assert_array_equal(f(X, np.asarray(1)), expected)


def test_traced_creation():
    """Values that are traced may fill arrays and bound ranges; sizes may not be traced."""
    value = pb.local().value
    np.testing.assert_array_equal(value(lambda a: pnp.full((2, 2), a))(3.0), np.full((2, 2), 3.0))
    np.testing.assert_allclose(value(lambda a: pnp.linspace(0, a, 5))(2.0), np.linspace(0, 2, 5))
    np.testing.assert_array_equal(
        value(lambda x: pnp.asarray([x[0], 2.0, 3]))(X[0]), [X[0, 0], 2, 3]
    )
    np.testing.assert_array_equal(value(lambda x: pnp.asarray([[x[0]], [1.0]]))(X[0]).shape, (2, 1))
    with pytest.raises(pb.TraceError, match="arange needs numbers"):
        pb.trace(pnp.arange, 3.0)
    with pytest.raises(pb.TraceError, match="the counts of repeat"):
        pb.trace(pnp.repeat, X, np.array([1, 2, 3]))


def test_dtype_questions():
    """Dtypes of traced arrays, plain arrays and numbers are answered together."""

    def f(x: Any, a: Any) -> Any:
        assert pnp.result_type(x, 1.0, a) == np.float32
        assert pnp.result_type(x, np.float64(1.0)) == np.float64
        assert pnp.shape(x) == (2, 3)
        assert (pnp.ndim(x), pnp.size(x), pnp.size(x, 1)) == (2, 6, 3)
        assert not pnp.iscomplexobj(x)
        assert pnp.isrealobj(x)
        return x

    pb.trace(f, np.ones((2, 3), np.float32), 0.5)
    assert pnp.isdtype(np.float32, "real floating")
    assert pnp.isdtype(np.float32, ("integral", np.float32))
    assert not pnp.isdtype(np.int8, ("unsigned integer", "bool"))
    assert pnp.can_cast(np.int32, "float64")
    assert not pnp.can_cast(np.ones(2), "float32")


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: pnp.sum(X, axis=2), pb.ShapeError, "axis 2 is out of range for 2 axes"),
        (lambda: pnp.sum(X, axis=(0, 0)), pb.ShapeError, "names one axis twice"),
        (lambda: pnp.reshape(X, (5, -1)), pb.ShapeError, "cannot reshape 12 elements"),
        (lambda: pnp.reshape(X, (-1, -1)), pb.ShapeError, "only one size may be -1"),
        (lambda: pnp.reshape(X, 12, order="Z"), pb.TraceError, "order 'Z'"),
        (lambda: pnp.matrix_transpose(X[0]), pb.ShapeError, "a matrix has two axes"),
        (lambda: pnp.concat([]), pb.ShapeError, "no array to join"),
        (lambda: pnp.split(X, 5), pb.ShapeError, "does not divide into 5 equal parts"),
        (lambda: pnp.pad(X, 1, "mean"), pb.TraceError, "pad mode 'mean'"),
        (lambda: pnp.einsum("ij,jk->ik", X), pb.ShapeError, "2 terms for 1 operand"),
        (lambda: pnp.einsum("ijk->i", X), pb.ShapeError, "does not fit operands"),
        (lambda: pnp.einsum("...j->j", X), pb.ShapeError, "add ... there"),
        (lambda: operands_first(X, [0, 1]), pb.TraceError, "as a string"),
        (lambda: pnp.quantile(X, 1.5), pb.ShapeError, r"q in \[0, 1\]"),
        (lambda: pnp.cumulative_sum(X), pb.ShapeError, "say which with axis="),
        (lambda: pnp.take(X, 0.5), pb.DTypeError, "must be integers"),
        (lambda: pnp.bitwise_and(1, 2), pb.DTypeError, "works on bool here"),
        (lambda: pnp.exp("text"), pb.DTypeError, "no array of numbers"),
        (lambda: pnp.matmul(X, X), pb.ShapeError, r"matmul\(float64\[3,4\], float64\[3,4\]\)"),
        (lambda: pnp.add(X, X[:, :3]), pb.ShapeError, "do not broadcast"),
        (lambda: pnp.linalg.norm(X, 3), pb.ShapeError, "matrix norm 3 is not offered"),
        (lambda: pnp.average(X, weights=X[0]), pb.ShapeError, "give their axis"),
    ],
)
def test_what_does_not_fit(call: Any, kind: type[Exception], message: str):
    """Arguments that do not fit are typed errors that say what would."""
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("order", [None, 1, 2, 3, 0, np.inf, -np.inf, 0.5])
def test_vector_norms(order: Any):
    """Norms of vectors are NumPy's, over an axis and of all elements."""
    found = pnp.linalg.norm(X, order, axis=1, keepdims=True)
    np.testing.assert_allclose(found, np.linalg.norm(X, order, axis=1, keepdims=True))
    np.testing.assert_allclose(pnp.linalg.norm(X[0], order), np.linalg.norm(X[0], order))


@pytest.mark.parametrize("order", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_matrix_norms(order: Any):
    """Norms of matrices are NumPy's."""
    stack = RNG.normal(size=(2, 3, 4))
    found = pnp.linalg.norm(stack, order, axis=(0, 2))
    np.testing.assert_allclose(found, np.linalg.norm(stack, order, axis=(0, 2)))
    np.testing.assert_allclose(pnp.linalg.matrix_norm(X), np.linalg.norm(X))


def test_cross():
    """The vector product, over any axis."""
    a, b = RNG.normal(size=(2, 3, 4))
    np.testing.assert_allclose(pnp.linalg.cross(a, b, axis=0), np.cross(a, b, axis=0))


# --- derivatives ----------------------------------------------------------------------------------

KINKS = np.array([[0.0, 1.0, -1.0], [0.0, 0.0, 2.0]])
AT_KINKS: dict[str, tuple[Any, Any]] = {
    "abs": (pnp.abs, jnp.abs),
    "relu": (pnp.relu, jax.nn.relu),
    "maximum": (lambda x: pnp.maximum(x, x[::-1]), lambda x: jnp.maximum(x, x[::-1])),
    "minimum": (lambda x: pnp.minimum(x, 0.0), lambda x: jnp.minimum(x, 0.0)),
    "max": (lambda x: pnp.max(x, axis=0), lambda x: jnp.max(x, axis=0)),
    "min": (pnp.min, jnp.min),
    "clip": (lambda x: pnp.clip(x, 0.0, 1.0), lambda x: jnp.clip(x, 0.0, 1.0)),
    "prod": (lambda x: pnp.prod(x, axis=1), lambda x: jnp.prod(x, axis=1)),
    "pow": (lambda x: x**3, lambda x: x**3),
    "sort": (lambda x: pnp.sort(x) @ np.arange(3.0), lambda x: jnp.sort(x) @ jnp.arange(3.0)),
    "sinc": (pnp.sinc, jnp.sinc),
    "softplus": (pnp.softplus, jax.nn.softplus),
    "logsumexp": (lambda x: pnp.logsumexp(x, 1), lambda x: jax.nn.logsumexp(x, 1)),
    "softmax": (lambda x: pnp.softmax(x) ** 2, lambda x: jax.nn.softmax(x) ** 2),
    "sign": (pnp.sign, jnp.sign),
    "median": (lambda x: pnp.median(x, axis=1), lambda x: jnp.median(x, axis=1)),
}


@pytest.mark.parametrize("name", AT_KINKS)
def test_at_kinks(name: str):
    """At ties, bounds and zeros the derivative is JAX's."""
    ours, theirs = AT_KINKS[name]
    found = pb.grad(lambda x: pnp.sum(ours(x)))(KINKS)
    expected = jax.grad(lambda x: jnp.sum(theirs(x)))(KINKS)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_the_norm_of_nothing():
    """The derivative of a norm is zero where the norm is."""
    gradient = pb.grad(lambda x: pnp.sum(pnp.linalg.norm(x, axis=1)))(np.array([[0.0, 0], [3, 4]]))
    np.testing.assert_allclose(gradient, np.array([[0, 0], [0.6, 0.8]]))


STEPS = [
    "round",
    "around",
    "rint",
    "floor",
    "ceil",
    "trunc",
    "fix",
    "floor_divide",
    "remainder",
    "mod",
    "divmod",
    "sign",
    "heaviside",
]
"""Functions that jump, so that differences say nothing."""
SMOOTH = [
    row
    for row in TABLE
    if isinstance(row[1][0], np.ndarray)
    and row[1][0].dtype == np.float64
    and row[1][0].size
    and np.isfinite(row[1][0]).all()
    and not {"where", "dtype"} & set(row[2])
    and row[0] not in STEPS
]


@pytest.mark.parametrize("number", range(0, len(SMOOTH), 3))
def test_derivatives_of_the_namespace(number: int):
    """A function on floats has the derivatives its values say, away from kinks (a third of all)."""
    name, args, keywords = SMOOTH[number]
    function = getattr(pnp, name)
    graph = pb.trace(lambda x: function(x, *args[1:], **keywords), args[0])
    if any(graph.output_type(i).is_floating for i in range(len(graph.outputs))):
        pb.check_gradient(
            lambda x: function(x, *args[1:], **keywords), args[0] + 0.01, order=1, tolerance=1e-5
        )


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("random", "use pullback.random"),
        ("unique", "numpy.unique takes plain arrays"),
        ("maxximum", "did you mean maximum"),
        ("__nothing__", "has no"),
    ],
)
def test_a_name_that_is_missing_says_where_to_look(name: str, advice: str) -> None:
    """Another room of Pullback, NumPy itself, or a name that is nearly the same."""
    with pytest.raises(AttributeError, match=advice):
        getattr(pnp, name)
    assert not hasattr(pnp, name)
