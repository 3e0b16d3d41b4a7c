"""Jobs of other shapes, other dtypes and other operators than `CASES`, written after them.

They show whether what is predicted holds beyond the jobs that the predictions were tried on; the
last prices were chosen with these in view too.
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
