"""`pullback.random` against jax.random, bit for bit, and against the distributions themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import random
from pullback.tracing.apply import as_value
from pullback_worker.xla_executor import XlaExecutor

jax.config.update("jax_enable_x64", True)
KEY, THEIRS = random.key(42), jax.random.key(42)
SHAPE = (40, 7)
LOGITS = np.random.default_rng(0).normal(size=(4, 6))
ARRAY = np.arange(20.0).reshape(5, 4)
CHANCES = np.array([0.1, 0.2, 0.0, 0.3, 0.4])
COVARIANCE = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, -0.2], [0.1, -0.2, 0.7]])

EXACT: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {}


def _row(name: str, *args: Any, **keywords: Any) -> None:
    label = "-".join([name, *[str(np.shape(a) or a) for a in args], *map(str, keywords.values())])
    EXACT[label.replace(" ", "")] = (name, args, keywords)


for dtype in ("uint8", "uint16", "uint32", "uint64"):
    _row("bits", SHAPE, dtype)
for dtype in ("float32", "float64"):
    _row("uniform", SHAPE, dtype)
for dtype in ("int8", "uint8", "int32", "int64", "uint64"):
    low = 0 if dtype[0] == "u" else -3
    for ends in ((low, 1000), (0, 256), (9, 5), (0, 2**31 - 1)):
        _row("randint", SHAPE, *ends, dtype)
_row("randint", (3, 4), np.arange(4), np.arange(4) * 10)
_row("bernoulli", 0.3, SHAPE)
_row("bernoulli", np.linspace(0, 1, 7))
_row("rademacher", SHAPE)
_row("categorical", LOGITS)
_row("categorical", LOGITS, 0, (5, 6))
for given in (3000, 1, 0, ARRAY):
    _row("permutation", given)
_row("permutation", ARRAY, 1, independent=True)
for given in (5, ARRAY):
    for p in (None, CHANCES):
        _row("choice", given, (2, 2), False, p)
        _row("choice", given, (3, 50), True, p)


QUICK = (
    "bits-(2,)-uint32",
    "uniform",
    "randint-(2,)--3-1000-int8",
    "bernoulli-0.3",
    "categorical-(4,6)-0",
    "permutation-3000",
    "permutation-(5,4)-1",
    "choice-5-(2,)-False-(5,)",
    "choice-5-(2,)-True",
)
"""How the names of those begin that every run compares: JAX compiles each for a second or two."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n.startswith(QUICK) else pytest.mark.slow) for n in EXACT],
)
def test_the_same_as_jax(name: str):
    """What is made of bits exactly is what jax.random draws for the key, to the bit."""
    function, args, keywords = EXACT[name]
    found = getattr(random, function)(KEY, *args, **keywords)
    wanted = getattr(jax.random, function)(THEIRS, *args, **keywords)
    assert np.asarray(found).dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("seed", [0, 42, -5, 2**40 + 3, 2**63 - 1])
def test_keys_are_jax_s(seed: int):
    """Seeds, splits and folded integers give JAX's keys; a traced seed gives the same."""
    own, theirs = random.key(seed), jax.random.key(seed)
    np.testing.assert_array_equal(own, jax.random.key_data(theirs))
    np.testing.assert_array_equal(pb.local().value(random.key)(np.asarray(seed)), own)
    for num in (2, 5, (3, 2)):
        wanted = jax.random.key_data(jax.random.split(theirs, num))
        np.testing.assert_array_equal(random.split(own, num), wanted)
    wanted = jax.random.key_data(jax.random.fold_in(theirs, 7))
    np.testing.assert_array_equal(random.fold_in(own, 7), wanted)


NEAR: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(["normal", "exponential", "gumbel", "laplace", "logistic", "cauchy"], ()),
    "uniform": (-3, 2.5),
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("normal", "float64"),
        ("normal", "float32"),
        ("gumbel", "float64"),
        *[
            pytest.param(name, dtype, marks=pytest.mark.slow)
            for name in NEAR
            for dtype in ("float32", "float64")
            if name not in ("normal", "gumbel")
        ],
    ],
)
def test_nearly_the_same_as_jax(name: str, dtype: str):
    """What goes through a formula is JAX's to the rounding of its logarithms: 256 ulps."""
    found = getattr(random, name)(KEY, SHAPE, dtype, *NEAR[name])
    wanted = getattr(jax.random, name)(THEIRS, SHAPE, dtype, *NEAR[name])
    assert found.dtype == dtype
    ulp = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(found, wanted, rtol=256 * ulp, atol=16 * ulp)


def test_with_parameters_nearly_the_same_as_jax():
    """Truncated and multivariate normal numbers are JAX's where JAX is accurate."""
    found = random.truncated_normal(KEY, -1, np.linspace(0.5, 2, 7), SHAPE)
    wanted = jax.random.truncated_normal(THEIRS, -1, np.linspace(0.5, 2, 7), SHAPE)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)
    mean = np.arange(3.0)
    found = random.multivariate_normal(KEY, mean, COVARIANCE, (9,))
    wanted = jax.random.multivariate_normal(THEIRS, mean, COVARIANCE, (9,))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    one = random.multivariate_normal(KEY, mean, COVARIANCE)
    np.testing.assert_array_equal(one, random.multivariate_normal(KEY, mean, COVARIANCE, ()))


# --- derivatives ----------------------------------------------------------------------------------


def test_derivatives_flow_through_parameters():
    """Location, scale, bounds, mean and covariance have derivatives: central differences'."""

    def draws(loc: Any, scale: Any, low: Any) -> Any:
        z = loc + scale * random.normal(KEY, 5)
        u = random.uniform(KEY, 5, minval=low, maxval=loc + 3.0)
        t = random.truncated_normal(KEY, low, scale * 2, 5)
        return pnp.sum(pnp.sin(z) + u * u + pnp.cos(t))

    pb.check_gradient(draws, np.asarray(0.3), np.asarray(1.2), np.asarray(-0.4))
    pb.check_gradient(
        lambda m, c: pnp.sum(pnp.sin(random.multivariate_normal(KEY, m, c, 4))),
        np.arange(3.0),
        COVARIANCE,
    )


def test_keys_have_no_derivatives():
    """A gradient in a key is refused; in what is drawn of it there is none."""
    with pytest.raises(pb.RequestError, match="key"):
        pb.grad(lambda key: pnp.sum(random.normal(key, 3)))(KEY)
    gradient = pb.grad(lambda x, key: pnp.sum(x * random.normal(key, 3)))(np.ones(3), KEY)
    np.testing.assert_array_equal(gradient, random.normal(KEY, 3))


# --- executors and many keys ----------------------------------------------------------------------

EXECUTED: dict[str, Callable[[Any], Any]] = {
    "bits": lambda k: random.bits(k, SHAPE, "uint64"),
    "uniform": lambda k: random.uniform(k, SHAPE),
    "uniform 32": lambda k: random.uniform(k, SHAPE, "float32"),
    "randint": lambda k: random.randint(k, SHAPE, -3, 1000, "int16"),
    "bernoulli": lambda k: random.bernoulli(k, 0.3, SHAPE),
    "permutation": lambda k: random.permutation(k, 100),
    "choice": lambda k: random.choice(k, 50, (7,), False),
    "poisson": lambda k: random.poisson(k, np.array([0.5, 5.0, 50.0]), (20, 3)),
    "keys": lambda k: random.fold_in(random.split(k, 3), 5),
}
"""What every executor draws alike, to the bit (of counts: but where a logarithm decides)."""
ROUNDED: dict[str, Callable[[Any], Any]] = {
    "normal": lambda k: random.normal(k, SHAPE),
    "truncated": lambda k: random.truncated_normal(k, -1, 3, SHAPE),
    "gumbel": lambda k: random.gumbel(k, SHAPE),
    "gamma": lambda k: random.gamma(k, np.linspace(0.1, 9.0, 7), SHAPE),
}


@pytest.mark.parametrize("name", [*EXECUTED, *ROUNDED])
def test_executors_agree(name: str):
    """XLA draws what NumPy draws: bits, uniforms and integers exactly, others to 32 ulps."""
    function = {**EXECUTED, **ROUNDED}[name]
    graph = pb.trace(function, KEY)
    (found,) = XlaExecutor().compile(graph)([KEY])
    if name in EXECUTED:
        np.testing.assert_array_equal(np.asarray(found), function(KEY), strict=True)
    else:
        tolerance = 32 * np.finfo(np.float64).eps
        np.testing.assert_allclose(found, function(KEY), rtol=4 * tolerance, atol=tolerance)


OF_KEYS: dict[str, Callable[[Any], Any]] = {
    **{name: partial(getattr(random, name), shape=(4,)) for name in ("normal", "uniform", "bits")},
    "randint": lambda k: random.randint(k, (4,), 0, 99),
    "gamma": lambda k: random.gamma(k, 0.7, 4),
    "beta": lambda k: random.beta(k, 2.0, 3.0, 4),
    "t": lambda k: random.t(k, 3.0, 4),
    "dirichlet": lambda k: random.dirichlet(k, np.ones(3), 4),
    "poisson": lambda k: random.poisson(k, np.array([3.0, 30.0]), (4, 2)),
    "multivariate": lambda k: random.multivariate_normal(k, np.ones(3), COVARIANCE, 4),
    "truncated": lambda k: random.truncated_normal(k, -1, 2, 4),
}


@pytest.mark.parametrize("name", OF_KEYS)
def test_each_of_many_keys_draws_its_own(name: str):
    """An array of keys draws what each of them draws alone."""
    function, keys = OF_KEYS[name], random.split(KEY, 6)
    np.testing.assert_array_equal(function(keys), np.stack([function(key) for key in keys]))


def test_mapped_draws_are_those_of_each_key():
    """A function mapped over keys draws what it draws for each of them."""
    keys = random.split(KEY, 5)

    def drawn(key: Any) -> Any:
        order = random.permutation(key, 6)
        return order + random.randint(key, 6, 0, 9) * random.choice(key, 4, (6,), p=CHANCES[:4])

    np.testing.assert_array_equal(pb.vmap(drawn)(keys), np.stack([drawn(key) for key in keys]))


def test_traced_and_plain_are_the_same():
    """A traced draw is the plain one, for a key that is an input or a constant."""
    x = np.ones(4)
    for function in (lambda x, k: x * random.normal(k, 4), lambda x, k: x * random.normal(KEY, 4)):
        np.testing.assert_array_equal(pb.local().value(function)(x, KEY), x * random.normal(KEY, 4))


# --- faults ---------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "seed": (lambda: random.key(0.5), pb.DTypeError, "a seed is an integer"),
    "wide seed": (lambda: random.key(1 << 70), pb.DTypeError, "64 bits"),
    "no key": (lambda: random.normal(3), pb.ShapeError, "make one with key"),
    "floating key": (lambda: random.split(np.ones(2)), pb.DTypeError, "make one with key"),
    "words": (lambda: random.bits(np.arange(3)), pb.ShapeError, "shape \\(2,\\)"),
    "bits": (lambda: random.bits(KEY, 3, "int32"), pb.DTypeError, "unsigned"),
    "dtype": (lambda: random.normal(KEY, 3, "int32"), pb.DTypeError, "float32 or float64"),
    "integer dtype": (lambda: random.randint(KEY, 3, 0, 5, "float64"), pb.DTypeError, "integers"),
    "bound": (lambda: random.randint(KEY, 3, 0.5, 5), pb.DTypeError, "bounds are integers"),
    "complex": (lambda: random.uniform(KEY, 3, minval=1j), pb.DTypeError, "needs real numbers"),
    "parameters": (lambda: random.bernoulli(KEY, np.ones(3), 4), pb.ShapeError, "broadcast"),
    "too small": (lambda: random.bernoulli(KEY, np.ones((2, 3)), 3), pb.ShapeError, "larger"),
    "no shape": (
        lambda: random.bernoulli(random.split(KEY), 0.5), pb.ShapeError, "give the shape="),
    "one key": (lambda: random.permutation(random.split(KEY), 5), pb.ShapeError, "one key"),
    "categories": (lambda: random.categorical(KEY, LOGITS, shape=(5,)), pb.ShapeError, "end with"),
    "too many": (lambda: random.choice(KEY, 3, 4, False), pb.ShapeError, "4 choices among 3"),
    "of nothing": (lambda: random.choice(KEY, 0, 1), pb.ShapeError, "among 0"),
    "chances": (lambda: random.choice(KEY, 3, 2, p=CHANCES), pb.ShapeError, "for 3 entries"),
    "covariance": (
        lambda: random.multivariate_normal(KEY, np.ones(2), COVARIANCE), pb.ShapeError, "n, n"),
    "counts": (lambda: random.poisson(KEY, 3.0, 2, "float64"), pb.DTypeError, "counts are"),
    "no shares": (lambda: random.dirichlet(KEY, 1.0), pb.ShapeError, "one for each share"),
    "negative": (lambda: random.normal(KEY, (-1,)), pb.ShapeError, "-1"),
    "negative keys": (lambda: random.split(KEY, -1), pb.ShapeError, "-1 keys"),
    "memory": (lambda: random.bits(KEY, (1 << 58,)), pb.OutOfMemory, "use smaller arrays"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_faults(name: str):
    """A wrong argument is a typed error that names it and the way out."""
    call, error, words = FAULTS[name]
    with pytest.raises(error, match=words):
        call()


def test_exports():
    """`__all__` is there, sorted, without repeats, and every function says what it does."""
    assert sorted(set(random.__all__)) == random.__all__
    assert [name for name in random.__all__ if not getattr(random, name).__doc__] == []
    assert as_value(KEY).dtype == np.uint32
