"""`pullback.nn` against jax.nn: values, derivatives of both orders, kinks, extremes and faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import pullback as pb
import pullback.numpy as pnp
from pullback import nn
from tests.client.jax_twins import Twins, check_first, check_second, check_values

RNG = np.random.default_rng(7)
X = RNG.normal(size=(3, 4)) * 2
MASK = np.array([[True, False, True, True], [False] * 4, [True] * 4])
LABELS = np.array([0, 3, 1])
SHARES = RNG.dirichlet(np.ones(4), 3)

ACTIVATIONS: dict[str, tuple[Any, ...]] = dict.fromkeys(
    [
        "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "swish", "softplus",
        "sigmoid", "log_sigmoid", "hard_tanh", "hard_sigmoid", "hard_silu", "hard_swish", "mish",
        "soft_sign", "softmax", "log_softmax", "glu",
    ],
    (),
)  # fmt: skip
ACTIVATIONS |= {"leaky_relu": (0.3,), "elu": (0.7,), "celu": (1.3,), "gelu": (False,)}
SMOOTH = sorted(set(ACTIVATIONS) - {"glu", "softmax", "log_softmax"})


Q, K, V = (RNG.normal(size=(2, n, 4, 3)) for n in (5, 6, 6))
SEEN = RNG.random((2, 1, 5, 6)) < 0.7
HEADS = RNG.normal(size=(4, 5, 6))
IMAGES = RNG.normal(size=(3, 4, 2, 3)) + 2.0
WEIGHT, BIAS, PLANE = RNG.normal(size=4), RNG.normal(size=4), RNG.normal(size=(2, 3))
NEAR = X + RNG.normal(size=X.shape) * 2
TABLE, PLACES = RNG.normal(size=(5, 3)), np.array([[0, 4], [4, 2]])


def _normalized(x: Any, axes: Any) -> Any:
    mean, var = jnp.mean(x, axes, keepdims=True), jnp.var(x, axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(var + 1e-5)


def _channels(item: Any) -> Any:
    return item[:, None, None]


def _grouped(x: Any, w: Any, b: Any) -> Any:
    scaled = _normalized(x.reshape(3, 2, 2, 2, 3), (2, 3, 4)).reshape(x.shape)
    return scaled * _channels(w) + _channels(b)


def _cross_entropy(x: Any, shares: Any) -> Any:
    return -jnp.mean(jnp.sum(shares * jax.nn.log_softmax(x), -1))


def _smoothed(x: Any) -> Any:
    return _cross_entropy(x, np.eye(4)[LABELS] * 0.9 + 0.1 / 4)


def _binary(x: Any, y: Any) -> Any:
    return -jnp.mean(y * jax.nn.log_sigmoid(x) + (1 - y) * jax.nn.log_sigmoid(-x))


def _huber(x: Any, y: Any) -> Any:
    r = jnp.abs(x - y)
    return jnp.mean(jnp.where(r <= 1.5, r * r / 2, 1.5 * (r - 0.75)))


def _cosine(x: Any, y: Any) -> Any:
    return jnp.sum(x * y, -1) / jnp.linalg.norm(x, axis=-1) / jnp.linalg.norm(y, axis=-1)


def _attention(q: Any, k: Any, v: Any, b: Any = 0.0, seen: Any = True) -> Any:
    scores = jnp.einsum("btnh,bsnh->bnts", q, k) / np.sqrt(q.shape[-1]) + b
    return jnp.einsum("bnts,bsnh->btnh", jax.nn.softmax(jnp.where(seen, scores, -1e300)), v)


def _activation(name: str, *more: Any) -> Twins:
    return Twins(
        lambda x: getattr(nn, name)(x, *more), lambda x: getattr(jax.nn, name)(x, *more), [X]
    )


TWINS: dict[str, Twins] = {
    **{name: _activation(name) for name in ACTIVATIONS},
    **{f"{name} {more[0]}": _activation(name, *more) for name, more in ACTIVATIONS.items() if more},
    "softmax where": Twins(
        lambda x: nn.softmax(x, 1, MASK), lambda x: jax.nn.softmax(x, 1, where=MASK), [X]
    ),
    "logsumexp": Twins(
        lambda x, b: nn.logsumexp(x * 300, 0, b), lambda x, b: jax.nn.logsumexp(x * 300, 0, b),
        [X, SHARES], 1e-9,
    ),
    "layer_norm": Twins(
        nn.layer_norm, lambda x, w, b: _normalized(x, -1) * w + b, [X, WEIGHT, BIAS], 1e-9
    ),
    "layer_norm of a plane": Twins(
        lambda x, w: nn.layer_norm(x, w, axis=(-2, -1)),
        lambda x, w: _normalized(x, (2, 3)) * w, [IMAGES, PLANE], 1e-9,
    ),
    "rms_norm": Twins(
        nn.rms_norm,
        lambda x, w: x / jnp.sqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * w, [X, WEIGHT],
    ),
    "batch_norm": Twins(
        nn.batch_norm,
        lambda x, w, b: _normalized(x, (0, 2, 3)) * _channels(w) + _channels(b),
        [IMAGES, WEIGHT, BIAS], 1e-9,
    ),
    "group_norm": Twins(
        lambda x, w, b: nn.group_norm(x, 2, w, b), _grouped, [IMAGES, WEIGHT, BIAS], 1e-9
    ),
    "cross_entropy": Twins(nn.cross_entropy, _cross_entropy, [X, SHARES]),
    "cross_entropy of integers": Twins(
        lambda x: nn.cross_entropy(x, LABELS), lambda x: _cross_entropy(x, np.eye(4)[LABELS]), [X]
    ),
    "cross_entropy of integers, smoothed": Twins(
        lambda x: nn.cross_entropy(x, LABELS, label_smoothing=0.1), _smoothed, [X]
    ),
    "cross_entropy smoothed": Twins(
        lambda x: nn.cross_entropy(x, np.eye(4)[LABELS], label_smoothing=0.1), _smoothed, [X]
    ),
    "binary_cross_entropy": Twins(nn.binary_cross_entropy_with_logits, _binary, [X, SHARES]),
    "mse_loss": Twins(nn.mse_loss, lambda x, y: jnp.mean((x - y) ** 2), [X, NEAR]),
    "l1_loss": Twins(nn.l1_loss, lambda x, y: jnp.mean(jnp.abs(x - y)), [X, NEAR]),
    "huber_loss": Twins(lambda x, y: nn.huber_loss(x, y, delta=1.5), _huber, [X, NEAR]),
    "cosine_similarity": Twins(nn.cosine_similarity, _cosine, [X, SHARES]),
    "attention": Twins(nn.dot_product_attention, _attention, [Q, K, V, HEADS], 1e-9),
    "attention, causal": Twins(
        lambda q, k, v: nn.dot_product_attention(q, k, v, is_causal=True),
        lambda q, k, v: _attention(q, k, v, seen=np.tri(5, 6) == 1), [Q, K, V], 1e-9,
    ),
    "attention, masked": Twins(
        lambda q, k, v, b: nn.dot_product_attention(q, k, v, b, SEEN),
        lambda q, k, v, b: _attention(q, k, v, b, SEEN), [Q, K, V, HEADS], 1e-9,
    ),
    "attention of shared heads": Twins(
        nn.dot_product_attention,
        lambda q, k, v: _attention(q, jnp.repeat(k, 2, 2), jnp.repeat(v, 2, 2)),
        [Q, K[:, :, :2], V[:, :, :2]], 1e-9,
    ),
    "embedding": Twins(
        lambda t: nn.embedding(PLACES, t), lambda t: jnp.take(t, PLACES, axis=0), [TABLE]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
def test_values_and_derivatives(name: str):
    """A function has its twin's values, and derivatives in every floating operand that fit them."""
    check_values(TWINS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", TWINS)
def test_derivatives_are_those_of_the_twin(name: str):
    """So JAX says too: the first derivative, and the Hessian along a direction."""
    check_first(TWINS[name])
    check_second(TWINS[name])


@pytest.mark.parametrize("name", SMOOTH)
def test_activations_at_kinks_and_extremes(name: str):
    """At kinks the derivative is jax.nn's; far out, in float32, nothing is NaN or infinite."""
    kinks = np.array([0.0, -1.0, 1.0, 6.0, -3.0, 3.0])
    function = getattr(nn, name)
    found = pb.grad(lambda x: pnp.sum(function(x)))(kinks)
    wanted = jax.grad(lambda x: jnp.sum(getattr(jax.nn, name)(x)))(kinks)
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)
    far = np.array([-3e38, -1e20, -200.0, 200.0, 1e20, 3e38], np.float32)
    value, gradient = pb.value_and_grad(lambda x: pnp.sum(function(x) * 1e-30))(far)
    assert gradient.dtype == np.float32
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", SMOOTH)
def test_dtypes(name: str):
    """float32 stays, whole numbers become float64, numbers are numbers."""
    function = getattr(nn, name)
    assert function(X.astype(np.float32)).dtype == np.float32
    assert function(np.arange(3)).dtype == np.float64
    assert np.ndim(function(0.5)) == 0


def test_shares_with_a_mask():
    """What is left out has no share and no derivative; a whole of none is zeros."""
    np.testing.assert_array_equal(nn.softmax(X, -1, MASK)[1], 0.0)
    kept = np.where(MASK, nn.log_softmax(X, 1, MASK), 0.0)
    theirs = jax.nn.log_softmax(X, 1, where=MASK)
    np.testing.assert_allclose(kept[::2], np.where(MASK, theirs, 0.0)[::2], rtol=1e-12)
    poisoned = np.where(MASK, X, np.nan)
    gradient = pb.grad(lambda x: pnp.sum(nn.softmax(x, 1, MASK) ** 2))(poisoned)
    assert np.isfinite(gradient).all()


def test_logsumexp():
    """Axes, weights and masks, without overflow."""
    for axis in (None, 0, (0, 1)):
        found = nn.logsumexp(X * 1e300, axis, SHARES, keepdims=True)
        wanted = scipy.special.logsumexp(X * 1e300, axis, SHARES, keepdims=True)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    found = nn.logsumexp(X, 1, where=MASK)
    wanted = scipy.special.logsumexp(np.where(MASK, X, -np.inf), 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert found[1] == -np.inf


def test_one_hot():
    """Classes along any axis; out of range, none."""
    labels = np.array([1, 5, -1])
    for axis in (-1, 0):
        expected = jax.nn.one_hot(labels, 4, axis=axis)
        np.testing.assert_array_equal(nn.one_hot(labels, 4, axis=axis), expected)
    assert nn.one_hot(labels, 4, dtype="float32").dtype == np.float32


# --- normalisation and losses ---------------------------------------------------------------------


def test_batch_norm():
    """Given statistics, those of `batch_statistics`, do what the batch's own do; on any axis."""
    mean, var = nn.batch_statistics(IMAGES)
    known = nn.batch_norm(IMAGES, WEIGHT, BIAS, mean=mean, var=var)
    np.testing.assert_allclose(known, nn.batch_norm(IMAGES, WEIGHT, BIAS), rtol=1e-12)
    last = nn.batch_norm(pnp.moveaxis(IMAGES, 1, -1), WEIGHT, axis=-1)
    np.testing.assert_allclose(pnp.moveaxis(last, -1, 1), nn.batch_norm(IMAGES, WEIGHT), rtol=1e-12)


def test_reductions():
    """Along any axis, with every reduction."""
    each = nn.cross_entropy(X.T, LABELS, axis=0, reduction="none")
    np.testing.assert_allclose(np.mean(each), nn.cross_entropy(X, LABELS), rtol=1e-12)
    np.testing.assert_allclose(
        np.sum(each), nn.cross_entropy(X, LABELS, reduction="sum"), rtol=1e-12
    )


def test_cross_entropy_of_sure_and_impossible_classes():
    """Logits of any size give finite losses, an impossible class none, a wrong label NaN."""
    sure = np.array([[1e30, -1e30, 0.0], [-np.inf, 3.0, 1.0]])
    losses = nn.cross_entropy(sure, np.array([0, 1]), reduction="none")
    assert np.isfinite(losses).all()
    shares = np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    value, gradient = pb.value_and_grad(lambda x: nn.cross_entropy(x, shares))(sure)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    for label in (-1, 3):
        assert np.isnan(nn.cross_entropy(np.ones((1, 3)), np.array([label])))


def test_binary_cross_entropy():
    """A sure logit has the small loss that it has, not zero."""
    sure = nn.binary_cross_entropy_with_logits(np.array([60.0]), np.array([1.0]))
    np.testing.assert_allclose(sure, np.exp(-60.0), rtol=1e-12)


def test_huber_at_its_kinks():
    """The derivative is continuous where the loss becomes straight, and 0 at 0."""
    first = pb.grad(lambda r: pnp.sum(nn.huber_loss(r, 0.0, reduction="none")))
    np.testing.assert_allclose(first(np.array([0.0, 1.0, -1.0, 9.0])), [0.0, 1.0, -1.0, 1.0])


def test_cosine_similarity():
    """A vector of zeros has derivatives that are finite."""
    gradient = pb.grad(lambda x: pnp.sum(nn.cosine_similarity(x, SHARES)))(np.zeros((3, 4)))
    assert np.isfinite(gradient).all()


# --- attention, dropout ---------------------------------------------------------------------------


def test_attention_to_nothing():
    """A query that sees nothing gets zeros, and no derivative."""
    blind = np.zeros((5, 6), bool)
    lone = [np.swapaxes(item, 1, 2) for item in (Q, K, V)]
    first, second, third = lone

    def total(q: Any) -> Any:
        return pnp.sum(nn.scaled_dot_product_attention(q, second, third, blind))

    value, gradient = pb.value_and_grad(total)(first)
    assert value == 0.0
    np.testing.assert_array_equal(gradient, 0.0)


def test_dropout():
    """A share is left out, the mean stays, and the derivative is the mask; the ends are exact."""
    key, x = pb.random.key(3), np.ones((100, 100))
    value, gradient = pb.value_and_grad(lambda x: pnp.sum(nn.dropout(x, 0.25, key)))(x)
    np.testing.assert_allclose(value / x.size, 1.0, atol=0.03)
    np.testing.assert_allclose(np.unique(gradient), [0.0, 1 / 0.75])
    np.testing.assert_array_equal(nn.dropout(x, 0.25, key), gradient)
    np.testing.assert_array_equal(nn.dropout(x, 0.0, key), x)
    np.testing.assert_array_equal(nn.dropout(x, 1.0, key), 0.0)
    each = nn.dropout(x, 0.5, pb.random.split(key, 100))
    alone = nn.dropout(x[7], 0.5, pb.random.split(key, 100)[7])
    np.testing.assert_array_equal(each[7], alone)


# --- faults ---------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "labels": (lambda: nn.cross_entropy(X, LABELS[:2]), pb.ShapeError, "labels of shape"),
    "shares": (lambda: nn.cross_entropy(X, SHARES[:2]), pb.ShapeError, "shares of shape"),
    "smoothing": (
        lambda: nn.cross_entropy(X, LABELS, label_smoothing=2.0), pb.AttributeFault, "from 0 to 1"),
    "reduction": (lambda: nn.mse_loss(X, X, reduction="all"), pb.AttributeFault, "'mean', 'sum'"),
    "rate": (lambda: nn.dropout(X, 1.5, pb.random.key(0)), pb.AttributeFault, "share to leave out"),
    "weight": (lambda: nn.layer_norm(X, np.ones(3)), pb.ShapeError, "give shape"),
    "one statistic": (lambda: nn.batch_norm(X, mean=WEIGHT), pb.ShapeError, "give both"),
    "groups": (lambda: nn.group_norm(X, 3), pb.ShapeError, "3 groups"),
    "mask": (lambda: nn.scaled_dot_product_attention(Q, Q, Q, X), pb.DTypeError, "bool"),
    "vectors": (lambda: nn.scaled_dot_product_attention(X[0], X, X), pb.ShapeError, "queries"),
    "heads": (lambda: nn.dot_product_attention(Q, K[:, :, :3], V), pb.ShapeError, "multiple"),
    "complex": (lambda: nn.layer_norm(X * 1j), pb.DTypeError, "take real, imag or abs"),
    "complex loss": (lambda: nn.mse_loss(X, X * 1j), pb.DTypeError, "needs real numbers"),
    "complex relu": (lambda: nn.relu(X * 1j), pb.DTypeError, "needs real numbers"),
    "dropout key": (lambda: nn.dropout(X, 0.5, 3), pb.ShapeError, "make one with key"),
    "dropout keys": (
        lambda: nn.dropout(X, 0.5, pb.random.split(pb.random.key(0), 7)), pb.ShapeError, "keys"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_faults(name: str):
    """A wrong argument is a typed error that names it and the way out."""
    call, error, words = FAULTS[name]
    with pytest.raises(error, match=words):
        call()


def test_exports():
    """`__all__` is there, sorted, without repeats, and every function says what it does."""
    assert sorted(set(nn.__all__)) == nn.__all__
    assert [name for name in nn.__all__ if not getattr(nn, name).__doc__] == []
