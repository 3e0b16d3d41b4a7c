"""ADBench's first: the gradient of a Gaussian mixture's log-likelihood, with full covariances.

Source: Šrajer, Kukelova, Fitzgibbon, A benchmark of selected algorithmic differentiation tools,
Optimization Methods and Software 33, 2018, section 3.
"""

from __future__ import annotations

from math import lgamma, log, pi
from typing import Any, NamedTuple

import numpy as np

from benchmarks.contest import Case, NDArray, Target
from benchmarks.libraries.gradients import gradient_rivals
from benchmarks.libraries.words import Function, Words
from benchmarks.workloads.workload import Workload

GAMMA, M = 1.0, 0
"""The Wishart prior's scale and degrees of freedom."""


class Sizes(NamedTuple):
    """Points, their dimension, and components of the mixture."""

    points: int
    dimension: int
    components: int


def write(np: Words) -> Function:
    """The log-likelihood, with the prior.

    Arguments: logits of the weights (K,), means (K, D), logarithms of the diagonals (K, D) and
    entries below them (K, D(D−1)/2) of the inverse covariances' factors, points (N, D), and two
    constants: for each place of a factor, where its entry stands (D²,), and the unit matrix.
    """

    def log_likelihood(
        alphas: Any, means: Any, diagonals: Any, below: Any, x: Any, places: Any, unit: Any
    ) -> Any:
        (n, d), k = x.shape, alphas.shape[0]
        padded = np.concatenate((below, means[:, :1] * 0.0), axis=1)
        strict = np.reshape(np.take(padded, places, axis=1), (k, d, d))
        scales = np.exp(diagonals)
        factors = strict + scales[:, :, None] * unit
        centres = np.sum(factors * means[:, None, :], axis=2)
        moved = np.reshape(x @ np.reshape(factors, (k * d, d)).T, (n, k, d)) - centres
        scores = alphas + np.sum(diagonals, axis=1) - 0.5 * np.sum(moved * moved, axis=2)
        likelihood = np.sum(np.logsumexp(scores, axis=1)) - n * np.logsumexp(alphas, axis=0)
        squares = np.sum(scales * scales) + np.sum(below * below)
        prior = 0.5 * GAMMA**2 * squares - M * np.sum(diagonals)
        return likelihood + prior - _constant(n, d, k)

    return log_likelihood


def _constant(n: int, d: int, k: int) -> float:
    """What the value is shifted by: normalisation of the Gaussians and of the Wishart prior."""
    freedom = d + M + 1
    log_gamma = 0.25 * d * (d - 1) * log(pi) + sum(
        lgamma(0.5 * freedom + 0.5 * (1 - j)) for j in range(1, d + 1)
    )
    wishart = freedom * d * (log(GAMMA) - 0.5 * log(2.0)) - log_gamma
    return 0.5 * n * d * log(2.0 * pi) + k * wishart


def data(sizes: Sizes) -> list[NDArray]:
    """Parameters and points at random."""
    n, d, k = sizes
    random = np.random.default_rng(0)
    below = d * (d - 1) // 2
    places = np.full((d, d), below)
    places[np.tril_indices(d, -1)] = np.arange(below)
    return [
        random.normal(size=k),
        random.uniform(size=(k, d)),
        random.normal(0.0, 0.5, size=(k, d)),
        random.normal(0.0, 0.5, size=(k, below)),
        random.normal(size=(n, d)),
        places.reshape(-1),
        np.eye(d),
    ]


def case(sizes: Sizes) -> Case:
    """One mixture."""
    n, d, k = sizes
    return Case(
        name=f"N {n:,}, D {d}, K {k}",
        about="log-likelihood with Wishart prior, value and gradient, float64",
        rivals=gradient_rivals(write, data(sizes), range(4)),
        targets=[Target(1.1, families=("JAX",))],
    )


WORKLOAD = Workload(
    "ADBench Gaussian mixture, gradient",
    {
        "small": Sizes(1_000, 2, 5),
        "medium": Sizes(1_000, 10, 25),
        "large": Sizes(10_000, 20, 25),
    },
    Sizes(5, 3, 2),
    case,
    first="medium",
    budget_s=10.0,
)
