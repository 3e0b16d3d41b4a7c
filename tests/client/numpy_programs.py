"""Ordinary NumPy and SciPy code that knows nothing of Pullback, with arguments for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

RNG = np.random.default_rng(1)
X = RNG.normal(size=(6, 3))
Y = (RNG.uniform(size=6) > 0.5).astype(float)
W = RNG.normal(size=3)


def logistic_loss(w: Any, x: Any, y: Any) -> Any:
    """The loss of a logistic regression."""
    z = x @ w
    return np.mean(np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - y * z)


def two_layers(params: Any, x: Any) -> Any:
    """The loss of a classifier of two layers, its labels static."""
    hidden = np.tanh(np.dot(x, params["w1"]) + params["b1"])
    scores = hidden @ params["w2"]
    scores -= scores.max(axis=1, keepdims=True)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return -np.log(shares[np.arange(len(x)), np.arange(len(x)) % 2]).mean()


def rosenbrock(x: Any) -> Any:
    """A curved valley."""
    return np.sum(100.0 * np.square(x[1:] - x[:-1] ** 2) + (1 - x[:-1]) ** 2)


def pairwise(x: Any) -> Any:
    """The potential of points that repel each other."""
    difference = x[:, np.newaxis, :] - x[np.newaxis, :, :]
    distance = np.sqrt(np.sum(difference**2, axis=-1) + 1e-3)
    return np.triu(1.0 / distance, k=1).sum()


def stacked(x: Any) -> Any:
    """Joining, choosing, norms and running sums."""
    a, b, c = x.T
    both = np.stack([np.sin(a), np.cos(b)], axis=0)
    joined = np.concatenate([both.ravel(), np.where(c > 0, c, -0.1 * c)])
    return np.linalg.norm(joined) + np.cumsum(joined)[-1] + np.prod(joined[:4])


def statistics(x: Any) -> Any:
    """Moments by several functions."""
    centred = x - np.mean(x, axis=0)
    covariance = np.einsum("ni,nj->ij", centred, centred) / (x.shape[0] - 1)
    return np.trace(covariance) + np.std(x) + np.var(x, axis=1, ddof=1).sum() + np.median(x)


def own_operators(x: Any) -> Any:
    """Operators with numbers, NumPy's scalars and arrays, and a loop over rows."""
    total = 0.0
    for row in x:
        total = total + 2.0 / (1.0 + row[0] ** 2) - np.float64(3.0) * row[1] + W @ row
    return total + sum(np.ones(3) * x[0]) + np.add.reduce(x[1]) + np.multiply.outer(W, x[2]).sum()


def special(x: Any) -> Any:
    """SciPy's special functions."""
    return np.sum(
        scipy.special.expit(x)
        + scipy.special.erf(x)
        - scipy.special.erfc(x)
        + scipy.special.gammaln(np.abs(x) + 1)
        + scipy.special.digamma(np.abs(x) + 1)
        + scipy.special.xlogy(x, 2.0)
        + scipy.special.log_expit(x)
    )


def methods(x: Any) -> Any:
    """The methods of an array."""
    y = x.reshape(2, 9).transpose(1, 0).copy().astype(float)
    z = y.flatten().clip(-1, 1) + y.ravel().cumsum() + y.swapaxes(0, 1).reshape(-1)
    return z.dot(z) + y.std() + y.var(0).sum() + y.prod(1).max() + y.min() + y.take([0, 1]).sum()


def padded(x: Any) -> Any:
    """Padding, tiling, differences and rolls."""
    wide = np.pad(x, ((1, 1), (0, 0)), mode="edge")
    smooth = (wide[2:] + wide[:-2]) / 2
    tiles = np.tile(smooth, (1, 2)) * np.repeat(x, 2, axis=1)
    return np.sum(np.diff(tiles, axis=0) ** 2) + np.sum(np.roll(x, 1, axis=0) * np.flip(x, 0))


FUNCTIONS = [
    (logistic_loss, (W, X, Y)),
    (
        two_layers,
        ({"w1": RNG.normal(size=(3, 4)), "b1": np.zeros(4), "w2": RNG.normal(size=(4, 2))}, X),
    ),
    (rosenbrock, (W,)),
    (pairwise, (X,)),
    (stacked, (X,)),
    (statistics, (X,)),
    (own_operators, (X,)),
    (special, (X,)),
    (methods, (X,)),
    (padded, (X,)),
]
