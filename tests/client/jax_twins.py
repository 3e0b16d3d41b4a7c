"""One function here and in JAX: values, first derivatives and products with the Hessian agree.

JAX compiles for seconds what a difference of values shows at once, so that its derivatives are for
slow tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import pullback as pb
import pullback.numpy as pnp

jax.config.update("jax_enable_x64", True)


class Twins(NamedTuple):
    """The two functions, and the arrays that both are given and differentiated in."""

    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    arrays: Sequence[Any]
    rtol: float = 1e-10


def check_values(twins: Twins) -> None:
    """Plain values are JAX's, and derivatives of both orders central differences of them."""
    ours, theirs, arrays, rtol = twins
    z = np.asarray(ours(*arrays))
    np.testing.assert_allclose(z, theirs(*arrays), rtol=rtol, atol=1e-12)
    weights = _numbers(z, 0.0)
    pb.check_gradient(lambda *args: pnp.sum(pnp.multiply(ours(*args), weights)), *arrays)


def check_first(twins: Twins) -> None:
    """Plain and traced values, and the pullback of some cotangent, are JAX's."""
    ours, theirs, arrays, rtol = twins
    z = np.asarray(ours(*arrays))
    weights = _numbers(z, 0.0)
    wanted, pull = jax.vjp(theirs, *arrays)
    np.testing.assert_allclose(z, wanted, rtol=rtol, atol=1e-12)
    value, gradients = pb.value_and_grad(
        lambda *args: pnp.sum(pnp.multiply(ours(*args), weights)), wrt=_all(arrays)
    )(*arrays)
    np.testing.assert_allclose(value, np.sum(z * weights), rtol=rtol, atol=1e-12)
    for one, other in zip(gradients, pull(weights), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-11)


def check_second(twins: Twins) -> None:
    """The Hessian of a function of the values, along some direction, is JAX's."""
    ours, theirs, arrays, rtol = twins
    weights = _numbers(np.asarray(ours(*arrays)), 0.0)
    directions = tuple([_numbers(array, 1.0) for array in arrays])

    def loss(*args: Any) -> Any:
        z = ours(*args)
        return pnp.sum(pnp.multiply(z + 0.1 * z * z, weights))

    def their_loss(args: Any) -> Any:
        z = theirs(*args)
        return jnp.sum((z + 0.1 * z * z) * weights)

    _, wanted = jax.jvp(jax.grad(their_loss), (tuple(arrays),), (directions,))
    found = pb.hvp(loss, wrt=_all(arrays))(*arrays, tangent=directions)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=100 * rtol, atol=1e-9)


def _numbers(like: Any, phase: float) -> Any:
    """Numbers of that shape, none of them special."""
    return np.cos(phase + np.arange(np.size(like))).reshape(np.shape(like))


def _all(arrays: Sequence[Any]) -> tuple[int, ...]:
    return tuple(range(len(arrays)))
