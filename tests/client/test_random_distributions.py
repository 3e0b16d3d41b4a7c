"""What `pullback.random` draws has its distribution: at fixed keys, so that it passes always."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats

import pullback as pb
import pullback.numpy as pnp
from pullback import random

KEY = random.key(42)
CHANCES = np.array([0.1, 0.2, 0.0, 0.3, 0.4])

MANY = 20_000
LAWS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "uniform": (lambda k: random.uniform(k, MANY), scipy.stats.uniform),
    "uniform 32": (lambda k: random.uniform(k, MANY, "float32"), scipy.stats.uniform),
    "uniform between": (
        lambda k: random.uniform(k, MANY, minval=-2.0, maxval=5.0), scipy.stats.uniform(-2, 7)),
    "normal": (lambda k: random.normal(k, MANY), scipy.stats.norm),
    "normal 32": (lambda k: random.normal(k, MANY, "float32"), scipy.stats.norm),
    "truncated": (
        lambda k: random.truncated_normal(k, -0.5, 2, MANY), scipy.stats.truncnorm(-0.5, 2)),
    "far to the right": (
        lambda k: random.truncated_normal(k, 9, np.inf, MANY), scipy.stats.truncnorm(9, np.inf)),
    "far to the left": (
        lambda k: random.truncated_normal(k, -20, -12, MANY), scipy.stats.truncnorm(-20, -12)),
    "exponential": (lambda k: random.exponential(k, MANY), scipy.stats.expon),
    "gumbel": (lambda k: random.gumbel(k, MANY), scipy.stats.gumbel_r),
    "laplace": (lambda k: random.laplace(k, MANY), scipy.stats.laplace),
    "logistic": (lambda k: random.logistic(k, MANY), scipy.stats.logistic),
    "cauchy": (lambda k: random.cauchy(k, MANY), scipy.stats.cauchy),
    "gamma": (lambda k: random.gamma(k, 3.3, MANY), scipy.stats.gamma(3.3)),
    "wide gamma": (lambda k: random.gamma(k, 1e5, MANY), scipy.stats.gamma(1e5)),
    "steep gamma": (lambda k: random.gamma(k, 0.07, MANY), scipy.stats.gamma(0.07)),
    "loggamma": (
        lambda k: -1e-3 * random.loggamma(k, 1e-3, MANY), scipy.stats.expon(0, 1)),
    "beta": (lambda k: random.beta(k, 0.3, 2.0, MANY), scipy.stats.beta(0.3, 2)),
    "chi-squared": (lambda k: random.chisquare(k, 5.0, MANY), scipy.stats.chi2(5)),
    "t": (lambda k: random.t(k, 3.0, MANY), scipy.stats.t(3)),
    "dirichlet": (
        lambda k: random.dirichlet(k, np.array([0.5, 1.0, 2.5]), MANY)[:, 0],
        scipy.stats.beta(0.5, 3.5)),
    "many keys": (
        lambda k: random.normal(random.split(k, MANY // 10), 10).reshape(-1), scipy.stats.norm),
}  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", LAWS)
def test_distributions(name: str, seed: int):
    """Twenty thousand numbers pass Kolmogorov and Smirnov's test: at these keys, so always."""
    draw, law = LAWS[name]
    assert scipy.stats.kstest(np.asarray(draw(random.key(seed)), np.float64), law.cdf).pvalue > 1e-3


FREQUENCIES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "randint": (lambda k: random.randint(k, MANY, 0, 6), np.full(6, 1 / 6)),
    "bernoulli": (lambda k: random.bernoulli(k, 0.2, MANY).astype(int), [0.8, 0.2]),
    "rademacher": (lambda k: (random.rademacher(k, MANY) + 1) // 2, [0.5, 0.5]),
    "categorical": (
        lambda k: random.categorical(k, np.log([0.5, 0.3, 0.2]), shape=(MANY,)), [0.5, 0.3, 0.2]),
    "choice": (lambda k: random.choice(k, 5, MANY, p=CHANCES), CHANCES),
    "first of some": (
        lambda k: np.array([random.choice(one, 5, (2,), False, CHANCES)[0]
                            for one in random.split(k, 2000)]), CHANCES),
    "first of an order": (
        lambda k: np.array([random.permutation(one, 4)[0] for one in random.split(k, 2000)]),
        np.full(4, 1 / 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", FREQUENCIES)
def test_frequencies(name: str):
    """Counts of what is drawn pass the chi-squared test; what has no chance is never drawn."""
    draw, chances = FREQUENCIES[name]
    drawn = draw(random.key(5))
    counts = np.bincount(drawn, minlength=len(chances))
    possible = np.asarray(chances) > 0
    assert (counts[~possible] == 0).all()
    expected = np.asarray(chances)[possible] * len(drawn)
    assert scipy.stats.chisquare(counts[possible], expected).pvalue > 1e-3


@pytest.mark.parametrize("mean", [0.3, 4.0, 9.99, 10.0, 37.0, 1e6])
def test_counts(mean: float):
    """Poisson counts pass the chi-squared test, narrow and wide; another mean gives -1."""
    law, drawn = scipy.stats.poisson(mean), random.poisson(random.key(3), mean, MANY)
    edges = np.unique(np.linspace(law.ppf(1e-3) - 1, law.ppf(1 - 1e-3), 20).astype(int))
    expected = np.diff([0.0, *law.cdf(edges), 1.0]) * MANY
    counts = np.histogram(drawn, [-np.inf, *(edges + 0.5), np.inf])[0]
    assert drawn.dtype == np.int64
    assert scipy.stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 1e-3
    found = random.poisson(KEY, np.array([-1.0, np.nan, np.inf, 0.0]))
    np.testing.assert_array_equal(found, [-1, -1, -1, 0])


def test_bounds_are_kept():
    """Nothing is drawn outside of the bounds, which are met where the distribution is narrow."""
    drawn = random.truncated_normal(KEY, 30.0, 30.5, 1000)
    assert ((drawn >= 30.0) & (drawn <= 30.5)).all()
    np.testing.assert_array_equal(random.truncated_normal(KEY, 1.0, 1.0, 3), 1.0)
    between = random.uniform(KEY, 1000, minval=2.0, maxval=2.5)
    assert ((between >= 2.0) & (between < 2.5)).all()
    orders = random.permutation(KEY, np.tile(np.arange(50), (3, 1)), 1, independent=True)
    np.testing.assert_array_equal(np.sort(orders, 1), np.tile(np.arange(50), (3, 1)))


# --- derivatives of gamma's family ----------------------------------------------------------------

SHAPES = np.array([0.002, 0.05, 0.5, 1.0, 3.3, 200.0])
"""Parameters of gamma: the first one's draw is too small for floating numbers but by logarithm."""


def _quantile(a: Any, share: Any) -> Any:
    return np.log(scipy.special.gammaincinv(a, share))


def test_gamma_has_derivatives_in_its_shape():
    """A draw moves with its shape as the quantile does: first and second derivative."""
    drawn = random.loggamma(KEY, SHAPES)
    share, h = scipy.special.gammainc(SHAPES, np.exp(drawn)), 1e-5 * SHAPES
    first = pb.grad(lambda a: pnp.sum(random.loggamma(KEY, a)))(SHAPES)
    wanted = (_quantile(SHAPES + h, share) - _quantile(SHAPES - h, share)) / (2 * h)
    np.testing.assert_allclose(first, wanted, rtol=1e-6)
    ones, h = np.ones_like(SHAPES), 1e-3 * SHAPES
    second = pb.hvp(lambda a: pnp.sum(random.loggamma(KEY, a)))(SHAPES, tangent=ones)
    sides = _quantile(SHAPES + h, share) + _quantile(SHAPES - h, share)
    wanted = (sides - 2 * drawn) / h**2
    np.testing.assert_allclose(second, wanted, rtol=1e-3, atol=1e-6)


def _log_of_t(degrees: Any) -> Any:
    x = random.t(random.key(1), degrees, MANY)
    return pnp.mean(pnp.log1p(x * x / degrees))


SLOPES: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "beta": (lambda a: pnp.mean(random.beta(random.key(1), a, 0.6, MANY)), 1.7, 0.6 / 2.3**2),
    "other of beta": (
        lambda b: pnp.mean(random.beta(random.key(1), 1.7, b, MANY)), 0.6, -1.7 / 2.3**2),
    "chi-squared": (lambda df: pnp.mean(random.chisquare(random.key(1), df, MANY)), 3.0, 1.0),
    "t": (
        _log_of_t, 3.0,
        (scipy.special.polygamma(1, 2.0) - scipy.special.polygamma(1, 1.5)) / 2),
    "dirichlet": (
        lambda a: pnp.mean(random.dirichlet(random.key(1), pnp.stack([a, 1.5, 3.0]), MANY)[:, 0]),
        0.5, 4.5 / 25),
}  # fmt: skip


@pytest.mark.parametrize("name", SLOPES)
def test_means_of_what_is_made_of_gammas_have_their_derivatives(name: str):
    """The derivative of a mean of twenty thousand draws is that of the expectation, nearly."""
    mean, at, slope = SLOPES[name]
    np.testing.assert_allclose(pb.grad(mean)(np.asarray(at)), slope, rtol=0.05)


def test_impossible_shapes_give_nan_alone():
    """A shape that is not positive gives NaN, and leaves its neighbours alone."""
    found = random.gamma(KEY, np.array([-1.0, 0.0, np.nan, 2.0]))
    np.testing.assert_array_equal(np.isnan(found), [True, True, True, False])
