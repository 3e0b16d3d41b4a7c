"""Jobs of other shapes, other dtypes and other operators than `CASES`, written after them.

They show whether what is predicted holds beyond the jobs that the predictions were tried on. Prices
were chosen with the first of them in view too; `UNSEEN` came after most of them.
"""

from __future__ import annotations

from typing import Any

import pullback as pb
import pullback.linalg as la
import pullback.numpy as np
from benchmarks.prediction_cases import Job, attention, bilinear, normalised, spectrum, walks
from pullback import lax, nn


def short_rows(x: Any, y: Any) -> Any:
    """Forces between points in space: arrays whose last axis is short."""
    apart = x[:, None, :] - y
    return np.sum(np.tanh(apart) * np.exp(-np.sum(apart * apart, axis=2, keepdims=True)))


def columns(x: Any) -> Any:
    """Softmax down the columns of a tall array."""
    return np.sum(np.logsumexp(x, axis=0) ** 2) + np.mean(np.max(x, axis=0))


def images(k: Any, x: Any) -> Any:
    """One layer of wide kernels."""
    return np.mean(nn.conv(x, k, padding=2) ** 2)


def population(r: Any, t: Any) -> Any:
    """A logistic map of one number: a loop over scalars."""

    def step(p: Any, own: Any) -> Any:
        p = r * p * (1.0 - p) + 0.01 * own * own
        return p, p

    return np.sum(lax.scan(step, np.tanh(r) * 0.5, t)[1])


def filtered(gain: Any, y: Any) -> Any:
    """A Kalman filter of four states."""

    def step(state: Any, seen: Any) -> Any:
        mean, cov = state
        cov = cov + 0.1 * np.eye(4)
        mean = mean + (cov @ gain) * (seen - gain @ mean) / (1.0 + gain @ cov @ gain)
        return (mean, cov - 0.01 * np.outer(cov @ gain, gain)), np.sum(mean)

    return np.sum(lax.scan(step, (np.zeros(4), np.eye(4)), y)[1])


def spread(a: Any) -> Any:
    """Singular values of many matrices."""
    return np.sum(np.log1p(la.svd(a)[1] ** 2))


def solutions(a: Any, b: Any) -> Any:
    """Many small systems."""
    return np.sum(la.solve(a + 6.0 * np.eye(a.shape[-1]), b) ** 2)


def ranked(x: Any) -> Any:
    """Differences between order statistics, down the columns."""
    z = np.sort(x, axis=0)
    return np.sum((z[1:] - z[:-1]) ** 2)


def edges(h: Any, x: Any) -> Any:
    """Messages along the edges of a graph."""
    ends = np.astype(np.abs(1000.0 * x), "int64") % h.shape[0]
    apart = np.take(h, ends[0], axis=0) - np.take(h, ends[1], axis=0)
    return np.sum(np.log1p(np.sum(apart * apart, axis=1)))


def stencil(u: Any) -> Any:
    """Explicit steps of diffusion in the plane."""
    for _ in range(4):
        inner = u[1:-1, 1:-1]
        around = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
        u = np.pad(inner + 0.1 * (around - 4.0 * inner), 1)
    return np.sum(u * u)


def circulant(k: Any, x: Any) -> Any:
    """Products with a circulant matrix, by Fourier transforms."""
    spectra = pb.fft.rfft(x, axis=-1) * pb.fft.rfft(k)
    return np.sum(np.tanh(pb.fft.irfft(spectra, n=x.shape[-1])) ** 2)


def lorenz(y: Any, t: Any) -> Any:
    """A system of three states by the fourth-order Runge-Kutta method."""

    def slope(y: Any) -> Any:
        a, b, c = y[0], y[1], y[2]
        return np.stack([10.0 * (b - a), a * (28.0 - c) - b, a * b - 2.667 * c])

    def step(y: Any, _: Any) -> Any:
        first = slope(y)
        second = slope(y + 0.0025 * first)
        third = slope(y + 0.0025 * second)
        fourth = slope(y + 0.005 * third)
        y = y + 0.005 / 6.0 * (first + 2.0 * second + 2.0 * third + fourth)
        return y, y[0]

    return np.mean(lax.scan(step, y, t)[1] ** 2)


def image_classifier(k: Any, m: Any, w: Any, x: Any) -> Any:
    """Convolutions with strides, means over the image, and a softmax."""
    z = np.maximum(nn.conv(x, k, stride=2, padding=1), 0.0)
    z = np.maximum(nn.conv(z, m, stride=2, padding=1), 0.0)
    scores = np.mean(z, axis=(2, 3)) @ w
    return np.mean(np.logsumexp(scores, axis=1) - scores[:, 0])


def process_by_cholesky(theta: Any, x: Any, y: Any) -> Any:
    """The likelihood of a Gaussian process in space, by the factor of its kernel."""
    scaled = x * np.exp(0.1 * theta[: x.shape[1]])
    norms = np.sum(scaled * scaled, axis=1)
    apart = np.maximum(norms[:, None] + norms - 2.0 * scaled @ scaled.T, 0.0)
    factor = la.cholesky(np.exp(-0.5 * apart) + (1.0 + theta[-1] ** 2) * np.eye(x.shape[0]))
    white = la.solve_triangular(factor, y, lower=True)
    return 0.5 * np.sum(white * white) + np.sum(np.log(np.diagonal(factor)))


def causal_attention(w: Any, x: Any) -> Any:
    """Self-attention that sees what came before alone."""
    q, k, v = x @ w[0], x @ w[1], x @ w[2]
    scores = np.einsum("bid,bjd->bij", q, k) * 0.1
    places = np.arange(x.shape[1])
    seen = np.where(places[:, None] >= places, scores, -1e9)
    return np.mean(np.einsum("bij,bjd->bid", nn.softmax(seen, axis=-1), v) ** 2)


def bags_of_words(table: Any, w: Any, x: Any) -> Any:
    """Means of rows of a large table, and a logistic regression on them."""
    words = np.astype(np.abs(5000.0 * x), "int64") % table.shape[0]
    return np.mean(np.logaddexp(0.0, np.mean(np.take(table, words, axis=0), axis=1) @ w))


def segments(start: Any, v: Any, x: Any) -> Any:
    """Sums of elements by their group, and what is left over."""
    groups = np.astype(np.abs(2000.0 * x), "int64") % start.shape[0]
    sums = (start * start).at[groups].add(v * v)
    return np.sum(np.log1p(sums)) + np.mean(np.take(sums, groups) * v)


def normals(root: Any, x: Any) -> Any:
    """Densities of many small normal distributions, each with a covariance of its own."""
    covariance = root @ np.swapaxes(root, -1, -2) + 4.0 * np.eye(root.shape[-1])
    return 0.5 * np.sum(la.slogdet(covariance)[1]) + np.sum(x * la.solve(covariance, x))


def power_iterations(v: Any, a: Any) -> Any:
    """The norm of a matrix, by products with a vector."""
    for _ in range(8):
        v = a.T @ (a @ v)
        v = v / np.sqrt(np.sum(v * v))
    return np.sum((a @ v) ** 2)


def layer_norm(g: Any, w: Any, x: Any) -> Any:
    """A normalised layer with smooth kinks."""
    apart = x - np.mean(x, axis=1, keepdims=True)
    z = g * apart / np.sqrt(np.mean(apart * apart, axis=1, keepdims=True) + 1e-5)
    return np.mean(nn.gelu(z @ w) ** 2)


HELD_OUT: tuple[Job, ...] = (
    Job("points in space", short_rows, {"x": (700, 3), "y": (600, 3)}),
    Job("points in float32", short_rows, {"x": (900, 3), "y": (800, 3)}, dtype="float32"),
    Job("tall columns", columns, {"x": (250_000, 6)}),
    Job(
        "wide kernels in float32",
        images,
        {"k": (8, 3, 5, 5), "x": (12, 3, 96, 96)},
        ("k",),
        dtype="float32",
    ),
    Job("population", population, {"r": (), "t": (40_000,)}),
    Job("Kalman filter", filtered, {"gain": (4,), "y": (1500,)}),
    Job("singular values in float32", spread, {"a": (400, 24, 16)}, dtype="float32"),
    Job(
        "small systems in float32",
        solutions,
        {"a": (4000, 8, 8), "b": (4000, 8, 2)},
        ("a",),
        dtype="float32",
    ),
    Job("order statistics", ranked, {"x": (5000, 60)}),
    Job("edges in float32", edges, {"h": (20_000, 16), "x": (2, 120_000)}, dtype="float32"),
    Job("diffusion", stencil, {"u": (1100, 900)}),
    Job("circulant products", circulant, {"k": (1800,), "x": (250, 1800)}, ("k", "x")),
    Job(
        "attention in float32",
        attention,
        dict.fromkeys("qkv", (6, 640, 48)),
        ("q", "k", "v"),
        dtype="float32",
    ),
    Job(
        "bilinear forms in float32",
        bilinear,
        {"a": (160, 160), "x": (30_000, 160)},
        dtype="float32",
    ),
    Job("spectra in float32", spectrum, {"x": (900, 1500)}, dtype="float32"),
    Job("walks in float32", walks, {"x": (3000, 700)}, dtype="float32"),
    Job(
        "normalisation in float32",
        normalised,
        {"g": (96,), "x": (40_000, 96)},
        ("g", "x"),
        dtype="float32",
    ),
)


UNSEEN: tuple[Job, ...] = (
    Job("Lorenz system", lorenz, {"y": (3,), "t": (1000,)}),
    Job(
        "image classifier in float32",
        image_classifier,
        {"k": (16, 3, 3, 3), "m": (32, 16, 3, 3), "w": (32, 10), "x": (48, 3, 64, 64)},
        ("k", "m", "w"),
        dtype="float32",
    ),
    Job(
        "Gaussian process by its factor",
        process_by_cholesky,
        {"theta": (5,), "x": (600, 4), "y": (600, 1)},
    ),
    Job("causal attention", causal_attention, {"w": (3, 96, 64), "x": (6, 384, 96)}),
    Job(
        "bags of words",
        bags_of_words,
        {"table": (20_000, 48), "w": (48,), "x": (6000, 24)},
        ("table", "w"),
    ),
    Job("sums by group", segments, {"start": (3000,), "v": (700_000,), "x": (700_000,)}),
    Job("small normals", normals, {"root": (6000, 5, 5), "x": (6000, 5, 1)}),
    Job("power iterations", power_iterations, {"v": (900,), "a": (4000, 900)}),
    Job(
        "layer norm in float32",
        layer_norm,
        {"g": (160,), "w": (160, 320), "x": (9000, 160)},
        ("g", "w"),
        dtype="float32",
    ),
)
