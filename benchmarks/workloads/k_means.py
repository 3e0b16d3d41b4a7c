"""k-means: the gradient of the clusters' cost by their centres, and the diagonal of its Hessian.

The Hessian is diagonal almost everywhere, so its product with ones is its diagonal.

Source: Schenck et al., AD for an array language with nested parallelism, SC 2022, section 7.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from benchmarks.contest import Call, Case, NDArray, Rival, Target
from benchmarks.libraries import autograd_peer, jax_peer, ours, torch_peer
from benchmarks.libraries.words import Function, Words
from benchmarks.workloads.workload import Workload


class Sizes(NamedTuple):
    """Points, their dimension, and clusters."""

    points: int
    dimension: int
    clusters: int


def write(np: Words) -> Function:
    """The sum over points (N, D) of the squared distance to the nearest of the centres (K, D)."""

    def cost(centres: Any, points: Any) -> Any:
        squares = np.sum(centres * centres, axis=1) - 2.0 * (points @ centres.T)
        return np.sum(np.amin(squares, axis=1)) + np.sum(points * points)

    return cost


def by_hand(centres: NDArray, points: NDArray) -> tuple[NDArray, NDArray]:
    """Each centre's count times its distance from the mean of its points, doubled; and counts."""
    scores = points @ centres.T
    scores *= -2.0
    scores += np.einsum("kd,kd->k", centres, centres)
    chosen = np.zeros(scores.shape)
    chosen[np.arange(len(points)), scores.argmin(axis=1)] = 2.0
    counts = chosen.sum(axis=0)
    gradient = counts[:, None] * centres - chosen.T @ points
    return gradient, np.broadcast_to(counts[:, None], centres.shape)


def case(sizes: Sizes) -> Case:
    """One set of points."""
    random = np.random.default_rng(0)
    n, d, k = sizes
    arguments = [random.normal(size=(k, d)), random.normal(size=(n, d))]
    return Case(
        name=f"N {n:,}, D {d}, K {k}",
        about="gradient by the centres and diagonal of the Hessian, float64",
        rivals=[
            Rival("NumPy by hand", "NumPy", lambda: lambda: by_hand(*arguments)),
            *ours.rivals(_ours, arguments),
            *jax_peer.rivals(_jax, arguments),
            *torch_peer.rivals(_torch, arguments, compiled=False),
            Rival("autograd", "autograd", lambda: _autograd(arguments)),
        ],
        targets=[Target(1.1)],
    )


def _ours(service: Any, **options: Any) -> Function:
    gradient = service.grad(write(ours.words()))
    both = service.jvp(gradient, **options)
    return lambda centres, points: both(centres, points, tangent=np.ones(centres.shape))


def _jax(jax: Any) -> Function:
    gradient = jax.grad(write(jax_peer.words()))

    @jax.jit  # type: ignore[untyped-decorator]
    def both(centres: Any, points: Any) -> Any:
        ones = jax.numpy.ones_like(centres)
        return jax.jvp(lambda c: gradient(c, points), (centres,), (ones,))

    return both  # type: ignore[no-any-return]


def _torch(torch: Any, transform: Function) -> Function:
    gradient = torch.func.grad(write(torch_peer.words()))

    def both(centres: Any, points: Any) -> Any:
        ones = torch.ones_like(centres)
        return torch.func.jvp(lambda c: gradient(c, points), (centres,), (ones,))

    return both


def _autograd(arguments: list[NDArray]) -> Call:
    autograd = import_module("autograd")
    gradient = autograd.grad(write(autograd_peer.words()))
    centres, points = arguments
    ones = np.ones(centres.shape)
    make = autograd.make_vjp(lambda c: gradient(c, points))

    def call() -> Any:
        pull, value = make(centres)
        return value, pull(ones)

    return call


WORKLOAD = Workload(
    "k-means, gradient and Hessian diagonal",
    {"few": Sizes(100_000, 16, 5), "many": Sizes(20_000, 32, 100)},
    Sizes(9, 2, 3),
    case,
    budget_s=8.0,
)
